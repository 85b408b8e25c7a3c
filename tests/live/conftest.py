"""What several of these modules share: starting it takes seconds, so it is started once."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.far_peers import Peers, peers_around


@pytest.fixture(scope="session")
def peers() -> Iterator[Peers]:
    """Our server among Postfix, Exim and OpenSMTPD."""
    # Not in pytest's own directory: each start of a pytest shuts that to the users whom the peers run as.
    with tempfile.TemporaryDirectory(prefix="postino-peers-") as folder, peers_around(Path(folder)) as around:
        yield around
