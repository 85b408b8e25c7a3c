"""Sieve scripts: an account's, a domain's and the server's."""

import pytest

from postino.core.errors import (
    AlreadyExists,
    NoRoomForScript,
    NoSuchAccount,
    NoSuchScript,
    NotPermitted,
    ScriptActive,
    ScriptTooLarge,
    StoreError,
    TooManyScripts,
)
from postino.core.ids import EVERYBODY, SCRIPTS, AccountId
from postino.store.accounts import remove_account, remove_domain
from postino.store.scripts import (
    SERVER,
    ScriptLimits,
    ScriptPlace,
    active_script,
    delete_script,
    delete_site_script,
    get_script,
    get_site_script,
    have_space,
    list_scripts,
    list_site_scripts,
    put_script,
    put_site_script,
    rename_script,
    script_name,
    script_to_run,
    script_version,
    set_active,
    site_scripts_to_run,
    versions,
)
from tests.support.stored import NOW, make_accounts

LIMITS = ScriptLimits(script_octets=100, scripts=3, total_octets=150)


@pytest.fixture
def ann(store):
    return make_accounts(store, "ann", "bob")[0]


def put(store, account_id, name, source=b"keep;\r\n", compiled=b"tree", limits=LIMITS):
    store.write_now(lambda tx: put_script(tx, account_id, name, source, compiled, now=NOW, limits=limits))


def put_site(store, domain, place, name, source=b"keep;", compiled=b"tree"):
    store.write_now(lambda tx: put_site_script(tx, domain, place, name, source, compiled, now=NOW))


def activate(store, account_id, name):
    store.write_now(lambda tx: set_active(tx, account_id, name))


def names(store, account_id):
    return [row.name + "*" * row.is_active for row in store.read_now(lambda tx: list_scripts(tx, account_id))]


def version(store, account_id):
    return store.read_now(lambda tx: script_version(tx, account_id))


def test_a_script_is_kept_as_it_was_put(store, ann):
    put(store, ann, "main", b"# \xff\x00 any octets\r\nkeep;")
    assert store.read_now(lambda tx: get_script(tx, ann, "main")) == b"# \xff\x00 any octets\r\nkeep;"
    (row,) = store.read_now(lambda tx: list_scripts(tx, ann))
    assert (row.name, row.is_active, row.octets, row.changed_at) == ("main", False, 22, NOW)


def test_one_script_at_most_is_active(store, ann):
    put(store, ann, "one", compiled=b"1")
    put(store, ann, "two", compiled=b"2")
    assert store.read_now(lambda tx: active_script(tx, ann)) is None
    activate(store, ann, "one")
    activate(store, ann, "two")
    assert names(store, ann) == ["one", "two*"]
    assert store.read_now(lambda tx: active_script(tx, ann)).compiled == b"2"
    activate(store, ann, "")
    assert names(store, ann) == ["one", "two"]


def test_a_new_text_leaves_a_script_active(store, ann):
    put(store, ann, "main", compiled=b"old")
    activate(store, ann, "main")
    put(store, ann, "main", compiled=b"new")
    assert store.read_now(lambda tx: active_script(tx, ann)).compiled == b"new"


def test_activating_what_is_not_there_leaves_the_active_one(store, ann):
    # RFC 5804 §2.8
    put(store, ann, "main")
    activate(store, ann, "main")
    with pytest.raises(NoSuchScript):
        activate(store, ann, "other")
    assert names(store, ann) == ["main*"]


def test_the_active_script_is_not_deleted(store, ann):
    # RFC 5804 §2.10
    put(store, ann, "main")
    activate(store, ann, "main")
    with pytest.raises(ScriptActive):
        store.write_now(lambda tx: delete_script(tx, ann, "main"))
    activate(store, ann, "")
    store.write_now(lambda tx: delete_script(tx, ann, "main"))
    assert names(store, ann) == []
    with pytest.raises(NoSuchScript):
        store.write_now(lambda tx: delete_script(tx, ann, "main"))


def test_renaming_keeps_the_text_and_whether_it_is_active(store, ann):
    # RFC 5804 §2.11
    put(store, ann, "main", b"discard;")
    put(store, ann, "other")
    activate(store, ann, "main")
    with pytest.raises(AlreadyExists):
        store.write_now(lambda tx: rename_script(tx, ann, "main", "other"))
    with pytest.raises(NoSuchScript):
        store.write_now(lambda tx: rename_script(tx, ann, "none", "new"))
    store.write_now(lambda tx: rename_script(tx, ann, "main", "new"))
    assert names(store, ann) == ["new*", "other"]
    assert store.read_now(lambda tx: get_script(tx, ann, "new")) == b"discard;"


@pytest.mark.parametrize(
    ("name", "octets", "error"),
    [
        ("fourth", 1, TooManyScripts),
        ("one", 101, ScriptTooLarge),
        ("one", 100, NoRoomForScript),
        ("", 1, NotPermitted),
        ("one", 90, None),
    ],
)
def test_limits(store, ann, name, octets, error):
    for each in ("one", "two", "three"):
        put(store, ann, each, b"#" * 30)

    def ask():
        store.read_now(lambda tx: have_space(tx, ann, name, octets, LIMITS))

    def do():
        put(store, ann, name, b"#" * octets)

    if error is None:
        ask()
        do()
        return
    for step in (ask, do):
        with pytest.raises(error):
            step()
    assert names(store, ann) == ["one", "three", "two"]


@pytest.mark.parametrize(
    "name", ["", "a\nb", "a\x00", "a\x7f", "a\x85", "a\u2028", "a\u2029", "\ud800", "x" * 129]
)
def test_names_that_cannot_be(name):
    with pytest.raises(NotPermitted):
        script_name(name)


@pytest.mark.parametrize("name", ["x" * 128, 'Ümläut 😀 / . \\ "', " "])
def test_names_that_can_be(store, ann, name):
    put(store, ann, name)
    assert names(store, ann) == [name]


def test_names_are_the_same_however_their_accents_are_written(store, ann):
    put(store, ann, "e\u0301te\u0301", b"keep;")
    assert names(store, ann) == ["\xe9t\xe9"]
    assert store.read_now(lambda tx: get_script(tx, ann, "e\u0301te\u0301")) == b"keep;"
    activate(store, ann, "e\u0301te\u0301")
    activate(store, ann, "")
    store.write_now(lambda tx: delete_script(tx, ann, "e\u0301te\u0301"))


def test_accounts_do_not_see_each_others_scripts(store, ann):
    put(store, ann, "main")
    bob = AccountId(ann + 1)
    assert names(store, bob) == []
    with pytest.raises(NoSuchScript):
        store.read_now(lambda tx: get_script(tx, bob, "main"))
    assert store.read_now(lambda tx: script_to_run(tx, bob, "main")) is None
    with pytest.raises(NoSuchAccount):
        put(store, AccountId(99), "main")


def test_every_change_gives_a_new_version_and_a_hint(store, ann):
    heard = []
    store.on_commit = heard.extend
    seen = [version(store, ann)]
    assert seen == [0]

    def changed(step):
        heard.clear()
        step()
        assert [(c.account_id, c.mailbox_id) for c in heard] == [(EVERYBODY, SCRIPTS)]
        seen.append(version(store, ann))

    changed(lambda: put(store, ann, "main"))
    changed(lambda: put(store, ann, "other"))
    changed(lambda: activate(store, ann, "main"))
    changed(lambda: store.write_now(lambda tx: rename_script(tx, ann, "main", "new")))
    changed(lambda: activate(store, ann, ""))
    changed(lambda: store.write_now(lambda tx: delete_script(tx, ann, "new")))
    assert len(set(seen)) == len(seen)
    changed(lambda: store.write_now(lambda tx: delete_script(tx, ann, "other")))
    assert seen[-1] == 0
    changed(lambda: put(store, ann, "main"))
    assert seen.count(seen[-1]) == 1
    assert version(store, AccountId(ann + 1)) == 0
    heard.clear()
    activate(store, ann, "main")
    activate(store, ann, "main")
    assert len(heard) == 1


def test_site_scripts_run_by_place_in_the_order_of_their_names(store, ann):
    put_site(store, SERVER, ScriptPlace.BEFORE, "20-junk", compiled=b"2")
    put_site(store, SERVER, ScriptPlace.BEFORE, "10-virus", compiled=b"1")
    put_site(store, SERVER, ScriptPlace.AFTER, "30", compiled=b"3")
    put_site(store, "example.org", ScriptPlace.BEFORE, "10-virus", compiled=b"4")

    def run(domain, place):
        return [s.compiled for s in store.read_now(lambda tx: site_scripts_to_run(tx, domain, place))]

    assert run(SERVER, ScriptPlace.BEFORE) == [b"1", b"2"]
    assert run(SERVER, ScriptPlace.AFTER) == [b"3"]
    assert run("example.org", ScriptPlace.BEFORE) == [b"4"]
    assert run("example.org", ScriptPlace.AFTER) == []
    put_site(store, SERVER, ScriptPlace.AFTER, "20-junk", compiled=b"5")
    assert run(SERVER, ScriptPlace.BEFORE) == [b"1"]
    assert run(SERVER, ScriptPlace.AFTER) == [b"5", b"3"]
    assert names(store, ann) == []


def test_site_scripts_are_listed_and_deleted(store, ann):
    put_site(store, "example.org", ScriptPlace.GLOBAL, "shared", b"discard;")
    put_site(store, SERVER, ScriptPlace.IMAP, "learn")
    listed = store.read_now(list_site_scripts)
    assert [(domain, row.name, row.place) for domain, row in listed] == [
        ("", "learn", "imap"),
        ("example.org", "shared", "global"),
    ]
    assert [row.name for _, row in store.read_now(lambda tx: list_site_scripts(tx, SERVER))] == ["learn"]
    assert store.read_now(lambda tx: get_site_script(tx, "example.org", "shared")) == b"discard;"
    store.write_now(lambda tx: delete_site_script(tx, SERVER, "learn"))
    with pytest.raises(NoSuchScript):
        store.write_now(lambda tx: delete_site_script(tx, SERVER, "learn"))
    with pytest.raises(NoSuchScript):
        store.read_now(lambda tx: get_site_script(tx, SERVER, "shared"))
    with pytest.raises(StoreError):
        put_site(store, "example.com", ScriptPlace.GLOBAL, "shared")


def test_site_changes_have_a_version_of_their_own(store, ann):
    assert store.read_now(versions) == (0, 0)
    put_site(store, SERVER, ScriptPlace.AFTER, "a")
    assert store.read_now(versions) == (1, 1)
    put(store, ann, "main")
    assert store.read_now(versions) == (2, 1)
    store.write_now(lambda tx: delete_site_script(tx, SERVER, "a"))
    assert store.read_now(versions) == (3, 3)


def test_scripts_go_with_their_account_and_their_domain(store, ann):
    put(store, ann, "main")
    put_site(store, "example.org", ScriptPlace.AFTER, "a")
    before = store.read_now(versions)
    for account_id in (ann, AccountId(ann + 1)):
        store.write_now(lambda tx, account_id=account_id: remove_account(tx, account_id))
    assert store.read_now(lambda tx: tx.all("SELECT name FROM sieve_script")) == [("a",)]
    store.write_now(lambda tx: remove_domain(tx, "example.org"))
    assert store.read_now(list_site_scripts) == []
    assert store.read_now(versions)[1] > before[1]
