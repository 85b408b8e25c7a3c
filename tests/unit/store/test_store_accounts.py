import pytest

from postino.core.address import Address, BadAddress, parse_address
from postino.core.errors import AlreadyExists, NoSuchAccount, NotPermitted, StoreError
from postino.store.accounts import (
    account_by_id,
    account_by_login,
    add_alias,
    create_account,
    create_domain,
    is_local_domain,
    list_accounts,
    list_aliases,
    list_domains,
    remove_account,
    remove_alias,
    remove_domain,
    resolve,
    set_password,
)
from postino.store.addresses import catch_all
from postino.store.mailboxes import list_mailboxes, lone_subscriptions, set_subscribed
from postino.store.messages import deliver
from postino.store.quota import set_quotas
from tests.support.stored import NOW, email, make_account, make_accounts


def logins(store, address, separator="+"):
    found = store.read_now(lambda tx: resolve(tx, parse_address(address), separator))
    return [one.login for one in found.accounts]


def test_account_has_the_mailboxes_programs_expect(store):
    (ann,) = make_accounts(store, "ann")
    rows = store.read_now(lambda tx: list_mailboxes(tx, ann))
    assert [(row.name, row.special_use) for row in rows] == [
        ("Archive", "\\Archive"),
        ("Drafts", "\\Drafts"),
        ("INBOX", ""),
        ("Junk", "\\Junk"),
        ("Sent", "\\Sent"),
        ("Trash", "\\Trash"),
    ]
    assert len({row.uid_validity for row in rows}) == 6
    assert all(row.subscribed and row.uid_validity >= NOW for row in rows)


def test_account_is_found_by_its_folded_login(store):
    make_accounts(store, "Ann")
    found = store.read_now(lambda tx: account_by_login(tx, "ann@example.org"))
    assert (found.login, found.password_hash, found.scram) == ("ann@example.org", "hash", "scram")
    assert "hash" not in repr(found)
    assert store.read_now(lambda tx: account_by_login(tx, "bob@example.org")) is None


def test_password_and_quota_change(store):
    (ann,) = make_accounts(store, "ann")
    store.write_now(lambda tx: (set_password(tx, ann, "h2", "s2"), set_quotas(tx, ann, octets=5)))
    found = store.read_now(lambda tx: account_by_id(tx, ann))
    assert (found.password_hash, found.scram, found.quota_octets) == ("h2", "s2", 5)
    with pytest.raises(NoSuchAccount):
        store.write_now(lambda tx: set_password(tx, 99, "h2", "s2"))
    with pytest.raises(NoSuchAccount):
        store.write_now(lambda tx: set_quotas(tx, 99, octets=1))
    with pytest.raises(NotPermitted):
        store.write_now(lambda tx: set_quotas(tx, ann, octets=-1))


def test_account_needs_a_known_domain_and_a_free_address(store):
    ann, bob = make_accounts(store, "ann", "bob")
    with pytest.raises(StoreError, match="postino domain add"):
        store.write_now(lambda tx: make_account(tx, "ann@other.example"))
    with pytest.raises(AlreadyExists):
        store.write_now(lambda tx: make_account(tx, "ANN@example.org"))
    store.write_now(lambda tx: add_alias(tx, parse_address("info@example.org"), [bob]))
    with pytest.raises(AlreadyExists):
        store.write_now(lambda tx: make_account(tx, "info@example.org"))
    with pytest.raises(NotPermitted):
        store.write_now(lambda tx: create_account(tx, catch_all("example.org"), "h", "s", 0, NOW))
    assert [row.id for row in store.read_now(list_accounts)] == [ann, bob]


def test_resolve_prefers_the_exact_address_then_no_detail_then_the_catch_all(store):
    ann, bob = make_accounts(store, "ann", "bob")
    store.write_now(lambda tx: add_alias(tx, parse_address("ann+shop@example.org"), [bob]))
    assert logins(store, "ANN@example.org") == ["ann@example.org"]
    assert logins(store, "ann+shop@example.org") == ["bob@example.org"]
    assert logins(store, "ann+x@example.org") == ["ann@example.org"]
    assert logins(store, "ann+x@example.org", "") == []
    assert logins(store, "ann-x@example.org", "-") == ["ann@example.org"]
    assert logins(store, "nobody@example.org") == []
    assert logins(store, "ann@other.example") == []
    store.write_now(lambda tx: add_alias(tx, catch_all("example.org"), [ann, bob]))
    assert logins(store, "nobody@example.org") == ["ann@example.org", "bob@example.org"]
    assert logins(store, "ann@example.org") == ["ann@example.org"]


def test_aliases_are_added_listed_and_removed(store):
    ann, bob = make_accounts(store, "ann", "bob")
    info = parse_address("Info@example.org")
    store.write_now(lambda tx: add_alias(tx, info, [ann]))
    store.write_now(lambda tx: add_alias(tx, info, [ann, bob]))
    store.write_now(lambda tx: add_alias(tx, catch_all("example.org"), [bob]))
    listed = store.read_now(list_aliases)
    assert [(row.address, row.logins) for row in listed] == [
        (Address("", "example.org"), ("bob@example.org",)),
        (Address("info", "example.org"), ("ann@example.org", "bob@example.org")),
    ]
    store.write_now(lambda tx: remove_alias(tx, info, [ann]))
    assert logins(store, "info@example.org") == ["bob@example.org"]
    store.write_now(lambda tx: remove_alias(tx, info))
    with pytest.raises(StoreError, match="no alias"):
        store.write_now(lambda tx: remove_alias(tx, info))
    with pytest.raises(StoreError, match="no alias"):
        store.write_now(lambda tx: remove_alias(tx, parse_address("a@other.example")))
    with pytest.raises(AlreadyExists):
        store.write_now(lambda tx: add_alias(tx, parse_address("ann@example.org"), [bob]))
    with pytest.raises(NoSuchAccount):
        store.write_now(lambda tx: add_alias(tx, info, [99]))
    with pytest.raises(StoreError, match="postino domain add"):
        store.write_now(lambda tx: add_alias(tx, parse_address("a@other.example"), [ann]))


def test_domains(store):
    make_accounts(store, "ann")
    store.write_now(lambda tx: create_domain(tx, "Empty.Example.", NOW))
    assert [(row.name, row.accounts) for row in store.read_now(list_domains)] == [
        ("empty.example", 0),
        ("example.org", 1),
    ]
    with pytest.raises(AlreadyExists):
        store.write_now(lambda tx: create_domain(tx, "EXAMPLE.org", NOW))
    with pytest.raises(BadAddress):
        store.write_now(lambda tx: create_domain(tx, "not a domain", NOW))
    with pytest.raises(NotPermitted):
        store.write_now(lambda tx: remove_domain(tx, "example.org"))
    store.write_now(lambda tx: remove_domain(tx, "empty.example"))
    with pytest.raises(StoreError, match="no domain"):
        store.write_now(lambda tx: remove_domain(tx, "empty.example"))
    assert store.read_now(lambda tx: is_local_domain(tx, "example.org"))
    assert not store.read_now(lambda tx: is_local_domain(tx, "empty.example"))


def test_removed_account_leaves_nothing_and_its_id_is_not_given_again(store):
    ann, bob = make_accounts(store, "ann", "bob")
    shared = email(b"for both" * 1000)
    store.write_now(lambda tx: deliver(tx, [(ann, None, shared), (bob, None, shared)], NOW))
    store.write_now(lambda tx: set_subscribed(tx, bob, "nowhere", True))
    assert store.read_now(lambda tx: lone_subscriptions(tx, bob)) == ["nowhere"]
    store.write_now(lambda tx: remove_account(tx, bob))
    assert store.read_now(lambda tx: tx.one("SELECT count(*) FROM shared_body")) == (1,)
    store.write_now(lambda tx: remove_account(tx, ann))
    for table in ("message", "content", "octets", "shared_body", "mailbox", "address", "lone_subscription"):
        assert store.read_now(lambda tx, table=table: tx.one(f"SELECT count(*) FROM {table}")) == (0,)
    assert store.write_now(make_account) > bob
    with pytest.raises(NoSuchAccount):
        store.write_now(lambda tx: remove_account(tx, ann))
    with pytest.raises(NoSuchAccount):
        store.read_now(lambda tx: account_by_id(tx, ann))
