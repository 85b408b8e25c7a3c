"""Mail for names at the server's own host name, which is no domain of ours."""

from pathlib import Path

import pytest

from postino.core.address import parse_address
from tests.support.world import HOSTNAME, open_world


@pytest.mark.parametrize(
    ("address", "logins"),
    [
        (f"root@{HOSTNAME}", ["ann@example.org"]),
        (f"www-data@{HOSTNAME.upper()}", ["ann@example.org"]),
        ("bob@example.org", ["bob@example.org"]),
        ("nobody@example.org", []),
        ("root@other.example", None),
    ],
)
async def test_whoever_nobody_has_at_our_own_name_is_the_postmaster(
    tmp_path: Path, address: str, logins: list[str] | None
) -> None:
    async with open_world(tmp_path) as world:
        recipients = world.context.delivery.recipients
        found = recipients.resolve_own(parse_address(address), "+", HOSTNAME)
        assert (None if found is None else [one.login for one in found.accounts]) == logins
        # For mail from elsewhere it is nobody's.
        if address.lower().endswith(HOSTNAME):
            assert recipients.resolve(parse_address(address), "+", HOSTNAME) is None
