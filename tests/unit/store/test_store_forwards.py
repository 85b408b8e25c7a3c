"""What verify() and the sweep know of forwarding, and paths that are kept."""

import pytest

from postino.core.address import Address, parse_address
from postino.core.errors import NoSuchAccount
from postino.core.ids import AccountId, Instant
from postino.mailauth.srs import VALID_DAYS
from postino.store.accounts import create_domain
from postino.store.forwards import forwarding_of, set_forwarding
from postino.store.returns import forget_paths, known_rewriting, original_path, rewritten
from postino.store.verify import verify
from tests.support.stored import NOW, make_accounts

KEY = b"f" * 32
DAY = 86_400


def sentences(store) -> list[str]:
    return [finding.sentence for finding in store.read_now(verify)]


@pytest.mark.parametrize(
    ("login", "says"),
    [
        ("bob@example.org", "is said to be forwarded"),
        ("ann@example.org", "is said to be not forwarded"),
    ],
)
def test_verify_finds_forwarding_that_contradicts_itself(store, login: str, says: str) -> None:
    ann, _ = make_accounts(store, "ann", "bob")
    targets = [parse_address("ann@elsewhere.example")]
    store.write_now(lambda tx: set_forwarding(tx, ann, targets, keeps=True))
    assert sentences(store) == []
    store.write_now(lambda tx: tx.run("UPDATE account SET forwards=1-forwards WHERE login=?", (login,)))
    assert [says in sentence for sentence in sentences(store)] == [True]
    store.write_now(lambda tx: tx.run("UPDATE account SET forwards=1-forwards WHERE login=?", (login,)))


def test_verify_finds_a_domain_that_is_not_looked_into(store) -> None:
    (ann,) = make_accounts(store, "ann")
    targets = [parse_address("ann@elsewhere.example")]
    store.write_now(lambda tx: set_forwarding(tx, ann, targets, keeps=True))
    store.write_now(lambda tx: tx.run("UPDATE domain SET forwards=0"))
    assert sentences(store) == ["the domain example.org is said to forward nothing, and it does"]
    store.write_now(lambda tx: set_forwarding(tx, ann, (), keeps=True))


def test_an_account_that_is_gone_forwards_nothing(store) -> None:
    make_accounts(store, "ann")
    for ask in (forwarding_of, lambda tx, gone: set_forwarding(tx, gone, (), keeps=True)):
        with pytest.raises(NoSuchAccount):
            store.write_now(lambda tx, ask=ask: ask(tx, AccountId(99)))


def test_long_paths_are_kept_as_long_as_they_are_good(store) -> None:
    path = Address("b" * 60, "lists.example.net")
    now = Instant(NOW)
    assert store.read_now(lambda tx: known_rewriting(tx, path, "example.org", now)) is None
    made = store.write_now(lambda tx: rewritten(tx, path, "example.org", KEY, now))
    assert store.write_now(lambda tx: rewritten(tx, path, "example.org", b"other", now)) == made
    for days, found in ((0, path), (VALID_DAYS, path), (VALID_DAYS + 1, None)):
        later = Instant(NOW + days * DAY)
        store.write_now(lambda tx, later=later: forget_paths(tx, later))
        assert store.read_now(lambda tx, at=later: original_path(tx, made.local_part, at)) == found
    store.write_now(lambda tx: forget_paths(tx, Instant(NOW + 30 * DAY)))
    assert store.read_now(lambda tx: tx.all("SELECT 1 FROM long_path")) == []
    # Without its row, a good address leads nowhere.
    assert store.read_now(lambda tx: original_path(tx, made.local_part, now)) is None


def test_our_own_paths_stay(store) -> None:
    store.write_now(lambda tx: create_domain(tx, "example.org", NOW))
    path, now = Address("ann", "example.org"), Instant(NOW)
    assert store.read_now(lambda tx: known_rewriting(tx, path, "example.org", now)) == path
    assert store.write_now(lambda tx: rewritten(tx, path, "example.org", KEY, now)) == path
    # But for those that are rewritten ones themselves: they lead back in one more step.
    again = store.write_now(
        lambda tx: rewritten(tx, Address("SRS0=x=y=z=ann", "example.org"), "example.org", KEY, now)
    )
    assert again.local_part.startswith("SRS1=")
