"""What scripts may look up of an account, asked of a store."""

import threading

import pytest
import structlog

from postino.core.address import Address
from postino.core.ids import NAMES, Instant
from postino.core.ports import Bus
from postino.core.rights import Rights
from postino.delivery.filters.scripts import Scripts
from postino.delivery.filters.surroundings import LIST_ENTRY, StoreSurroundings
from postino.delivery.settings import SieveSettings
from postino.imap.object_id import mailbox_object_id
from postino.net.bus import LocalBus
from postino.servers.metrics import Metrics
from postino.sieve import Surroundings, compile_script
from postino.sieve.actions import Remembered
from postino.store.accounts import add_alias
from postino.store.acl import set_acl
from postino.store.annotations import SERVER as SERVERS
from postino.store.annotations import Place, set_annotations
from postino.store.mailboxes import create_mailbox
from postino.store.scripts import SERVER, ScriptLimits, ScriptPlace, put_script, put_site_script
from postino.store.seen_ids import remember
from postino.store.sending import NO_LIMITS, count_message
from postino.store.store import open_store
from tests.support.stored import NOW, findings, inbox_of, make_accounts

DEFAULT = "urn:ietf:params:sieve:addrbook:default"


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path, first=True)
    yield store
    try:
        assert findings(store) == []
    finally:
        store.close_now()


@pytest.fixture
def accounts(store):
    return make_accounts(store, "ann", "bob")


@pytest.fixture
def around(store, accounts) -> Surroundings:
    bus: Bus = LocalBus()
    store.on_commit = bus.publish
    scripts = Scripts(store, settings=SieveSettings(), log=structlog.get_logger(), metrics=Metrics(), bus=bus)
    return StoreSurroundings(store, scripts, accounts[0], "ann@example.org")


def annotate(store, place, entry, value):
    store.write_now(lambda tx: set_annotations(tx, place, [(entry, value)], most=100, most_octets=100_000))


def share(store, owner, name, rights):
    mailbox = inbox_of(store, owner, name)
    store.write_now(lambda tx: set_acl(tx, owner, mailbox, "ann@example.org", rights))


@pytest.mark.parametrize(
    ("name", "exists"),
    [("INBOX", True), ("inbox", True), ("Junk", True), ("junk", False), ("No", False), ("", False)],
)
def test_mailboxes_exist_or_not(around, name, exists):
    assert around.mailbox_exists(name) is exists


def test_anothers_mailbox_exists_for_who_may_file_there(around, store, accounts):
    # RFC 5490 §3.1
    assert not around.mailbox_exists("Shared/bob@example.org/Archive")
    share(store, accounts[1], "Archive", Rights.LOOKUP | Rights.READ)
    assert not around.mailbox_exists("Shared/bob@example.org/Archive")
    share(store, accounts[1], "Archive", Rights.LOOKUP | Rights.INSERT)
    assert around.mailbox_exists("Shared/bob@example.org/Archive")


def test_a_mailbox_is_found_by_its_id(around, store, accounts):
    # RFC 9042 §4
    ann, bob = accounts
    made = store.write_now(lambda tx: create_mailbox(tx, ann, "Bücher", now=NOW))
    assert around.mailbox_of_id(mailbox_object_id(ann, made.id)) == "Bücher"
    assert around.mailbox_of_id(mailbox_object_id(ann, made.id + 1)) is None
    assert around.mailbox_of_id(mailbox_object_id(bob, inbox_of(store, bob))) is None
    for other in ("", "F", "ü", f"M{ann}_{made.id}"):
        assert around.mailbox_of_id(other) is None


def test_special_uses(around):
    # RFC 8579 §3
    assert around.special_use_mailbox("\\Junk") == "Junk"
    assert around.special_use_mailbox("\\junk") == "Junk"
    assert around.special_use_mailbox("\\Flagged") is None
    assert around.special_use_mailbox("") is None
    assert around.special_uses("Junk") == ("\\Junk",)
    assert around.special_uses("INBOX") == ()
    assert around.special_uses("None") == ()


def test_annotations_are_those_the_account_may_see(around, store, accounts):
    # RFC 5490 §3.3, §3.5
    ann, bob = accounts
    annotate(store, Place(ann, inbox_of(store, ann), ann), "/private/comment", b"Mine \xc3\xbc")
    annotate(store, Place(SERVERS, NAMES, ann), "/shared/comment", b"Ours")
    annotate(store, Place(SERVERS, NAMES, bob), "/private/comment", b"Bob's")
    annotate(store, Place(bob, inbox_of(store, bob, "Archive"), bob), "/shared/comment", b"Bob's too")
    assert around.metadata("INBOX", "/private/Comment") == "Mine ü"
    assert around.metadata("INBOX", "/shared/comment") is None
    assert around.metadata("INBOX", "/private/specialuse") is None
    assert around.metadata("Junk", "/private/specialuse") == "\\Junk"
    assert around.metadata(None, "/shared/comment") == "Ours"
    assert around.metadata(None, "/private/comment") is None
    assert around.metadata("None", "/shared/comment") is None
    assert around.metadata("Shared/bob@example.org/Archive", "/shared/comment") is None
    share(store, bob, "Archive", Rights.LOOKUP | Rights.READ)
    assert around.metadata("Shared/bob@example.org/Archive", "/shared/comment") == "Bob's too"


@pytest.mark.parametrize("name", [DEFAULT, ":addrbook:default", "URN:ietf:params:sieve:addrbook:DeF%61ult"])
def test_the_default_list_is_whom_the_account_wrote_to(around, store, accounts, name):
    # RFC 6134 §2.5, §2.6
    key = Address("Joe", "example.com").key
    store.write_now(lambda tx: count_message(tx, accounts[0], [key], NO_LIMITS, NOW))
    assert around.has_list(name)
    assert around.in_list(name, "Joe@EXAMPLE.com")
    assert not around.in_list(name, "eve@example.com")
    assert not around.in_list(name, "not an address")
    assert around.list_members(name) == ()


def test_annotations_are_lists(around, store, accounts):
    ann, bob = accounts
    lines = b"# friends\r\nJoe@Example.com\r\n\n  @friends.example  \nword\n"
    annotate(store, Place(SERVERS, NAMES, ann), f"/private/{LIST_ENTRY}friends", lines)
    annotate(store, Place(SERVERS, NAMES, ann), f"/shared/{LIST_ENTRY}all", b"x@example.org")
    annotate(store, Place(SERVERS, NAMES, bob), f"/private/{LIST_ENTRY}bobs", b"x@example.org")
    for name in (":addrbook:Friends", "tag:example.org,2026:friends", "tag:friends"):
        assert around.has_list(name)
        assert around.in_list(name, "joe@example.com")
        assert around.in_list(name, "anybody@Friends.example")
        assert around.in_list(name, "WORD")
        assert not around.in_list(name, "# friends")
        assert not around.in_list(name, "joe@example.org")
        assert around.list_members(name) == ("Joe@Example.com",)
    assert around.list_members("tag:all") == ("x@example.org",)
    for missing in ("tag:bobs", "tag:", "http://example.org/friends", "friends", ""):
        assert not around.has_list(missing)
        assert not around.in_list(missing, "x@example.org")
        assert around.list_members(missing) == ()


def test_an_alias_is_a_list_for_who_is_behind_it(around, store, accounts):
    ann, bob = accounts
    team, others = Address("team", "example.org"), Address("others", "example.org")
    far = Address("far", "example.com")
    store.write_now(lambda tx: add_alias(tx, team, [ann, bob], [far]))
    store.write_now(lambda tx: add_alias(tx, others, [bob]))
    assert around.has_list("mailto:team@example.org")
    assert around.in_list("mailto:team@example.org", "BOB@example.org")
    assert not around.in_list("mailto:team@example.org", "eve@example.org")
    assert around.list_members("mailto:team@example.org") == (
        *("ann@example.org", "bob@example.org", "far@example.com"),
    )
    for hidden in ("mailto:others@example.org", "mailto:no@example.org", "mailto:x"):
        assert not around.has_list(hidden)
        assert around.list_members(hidden) == ()


def test_ids_seen(around, store, accounts):
    ids = [Remembered(handle="h", unique_id="1", seconds=10)]
    store.write_now(lambda tx: remember(tx, accounts[0], ids, now=NOW, most_seconds=100))
    assert around.was_seen("h", "1", float(NOW))
    assert not around.was_seen("h", "1", float(Instant(NOW + 10)))
    assert not around.was_seen("", "1", float(NOW))


def test_other_scripts(around, store, accounts):
    compiled = compile_script(b"keep;").stored
    store.write_now(
        lambda tx: put_script(tx, accounts[0], "mine", b"keep;", compiled, now=NOW, limits=ScriptLimits())
    )
    store.write_now(
        lambda tx: put_site_script(tx, "example.org", ScriptPlace.GLOBAL, "d", b"keep;", compiled, now=NOW)
    )
    store.write_now(
        lambda tx: put_site_script(tx, SERVER, ScriptPlace.GLOBAL, "s", b"keep;", compiled, now=NOW)
    )
    assert around.script("mine", is_global=False).name == "mine"
    assert around.script("mine", is_global=True) is None
    assert around.script("d", is_global=True).name == "d"
    assert around.script("s", is_global=True).name == "s"
    assert around.script("s", is_global=False) is None


def test_it_may_be_asked_from_any_thread_and_within_a_long_read(around, store):
    answers = []

    def ask():
        answers.extend(
            (around.mailbox_exists("Junk"), around.script("none", is_global=False)) for _ in range(50)
        )

    assert around.mailbox_exists("Junk")
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    ask()
    for thread in threads:
        thread.join()
    assert answers == [(True, None)] * 200
