"""Mail for names at the server's own host name, which is no domain of ours."""

import itertools
from pathlib import Path

import pytest

from postino.core.address import Address, parse_address
from postino.delivery.recipients import Recipients
from postino.store import accounts
from postino.store.tx import Tx
from tests.support.world import HOSTNAME, NOW, open_world


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


async def test_a_domain_that_takes_everything_does_not_get_the_servers_own_mail(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        store = world.store
        seconds = itertools.count(step=10)
        # Nothing is remembered for ten seconds.
        recipients = Recipients(store, lambda: 1000, lambda: next(seconds), world.context.clock)
        ann, bob = parse_address("ann@example.org"), parse_address("bob@example.org")
        ids = {}

        def add(tx: Tx) -> None:
            for address in (ann, bob):
                row = accounts.account_by_login(tx, address.key)
                assert row is not None
                ids[address] = row.id
            for domain in ("aaa.example", "bbb.example"):
                accounts.create_domain(tx, domain, NOW)
            accounts.add_alias(tx, Address("", "aaa.example"), [ids[ann]])
            accounts.add_alias(tx, parse_address("postmaster@bbb.example"), [ids[bob]])

        store.write_now(add)
        root = parse_address(f"root@{HOSTNAME}")
        found = recipients.resolve_own(root, "+", HOSTNAME)
        assert found is not None
        assert [one.login for one in found.accounts] == ["bob@example.org"]
        own = parse_address("postmaster@example.org")
        store.write_now(lambda tx: accounts.add_alias(tx, own, [ids[ann]]))
        found = recipients.resolve(Address("postmaster", ""), "+", HOSTNAME)
        assert found is not None
        assert [one.login for one in found.accounts] == ["ann@example.org"]
