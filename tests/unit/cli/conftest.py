"""What tests of commands start from."""

from pathlib import Path

import pytest

from postino.core.address import parse_address
from postino.store.accounts import create_account, create_domain
from postino.store.store import open_store
from tests.support.world import NOW


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    store = open_store(path, first=True)

    def make(tx):
        create_domain(tx, "example.org", NOW)
        create_account(tx, parse_address("ann@example.org"), "hash", "scram", 0, NOW)

    store.write_now(make)
    store.close_now()
    return path
