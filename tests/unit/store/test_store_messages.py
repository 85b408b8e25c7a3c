import pytest

from postino.core.errors import NoSuchAccount, NoSuchMailbox, OverQuota
from postino.core.flags import NO_FLAGS, flag_set
from postino.core.numset import NumberSet
from postino.store.accounts import account_by_id
from postino.store.changes import changes_since, vanished_since
from postino.store.mailboxes import create_mailbox, mailbox_by_id
from postino.store.messages import (
    FlagChange,
    FlagMode,
    append,
    copy,
    deliver,
    expunge,
    move,
    store_flags,
)
from postino.store.quota import set_quotas
from tests.support.stored import (
    EVERY_UID,
    NOW,
    contents,
    email,
    inbox_of,
    mailbox_contents,
    make_accounts,
    message_states,
)

SEEN = flag_set(["\\Seen"])
DELETED = flag_set(["\\Deleted"])


@pytest.fixture
def ann(store):
    return make_accounts(store, "ann", "bob")[0]


@pytest.fixture
def inbox(store, ann):
    return inbox_of(store, ann)


@pytest.fixture
def archive(store, ann):
    return inbox_of(store, ann, "Archive")


def fill(store, ann, mailbox, count, flags=NO_FLAGS):
    def run(tx):
        return [append(tx, ann, mailbox, email(b"%d\r\n" % n, flags=flags), now=NOW) for n in range(count)]

    return store.write_now(run)


def row(store, ann, mailbox):
    return store.read_now(lambda tx: mailbox_by_id(tx, ann, mailbox))


def uids(store, ann, mailbox):
    return [state[0] for state in store.read_now(lambda tx: message_states(tx, ann, mailbox))]


def test_append_gives_uids_and_mod_seqs_upwards_and_counts(store, ann, inbox):
    first, second = fill(store, ann, inbox, 2)
    assert (first.uid, second.uid) == (1, 2)
    assert second.mod_seq > first.mod_seq
    assert first.uid_validity == row(store, ann, inbox).uid_validity
    third = store.write_now(lambda tx: append(tx, ann, inbox, email(flags=SEEN.union(DELETED)), now=NOW))
    after = row(store, ann, inbox)
    assert (after.messages, after.unseen, after.deleted, after.uid_next) == (3, 2, 1, 4)
    assert after.highest_mod_seq == third.mod_seq
    account = store.read_now(lambda tx: account_by_id(tx, ann))
    assert (account.used_octets, account.used_messages) == (after.octets, 3)


def test_append_keeps_octets_dates_and_flags(store, ann, inbox):
    new = email(b"\x00\xff raw\r\n" * 3, flags=flag_set(["\\Flagged", "$Work"]), internal_date=77)
    store.write_now(lambda tx: append(tx, ann, inbox, new, now=NOW))
    assert store.read_now(lambda tx: contents(tx, store.blobs, ann, inbox)) == {
        1: new.header + new.body.octets
    }
    ((uid, flags, keywords, _),) = store.read_now(lambda tx: message_states(tx, ann, inbox))
    assert (uid, flags, keywords) == (1, 4, "$Work")
    dates = store.read_now(lambda tx: tx.one("SELECT internal_date, save_date FROM message"))
    assert dates == (77, NOW)


def test_append_to_what_is_not_there(store, ann):
    with pytest.raises(NoSuchMailbox):
        store.write_now(lambda tx: append(tx, ann, 999, email(), now=NOW))
    with pytest.raises(NoSuchAccount):
        store.write_now(lambda tx: append(tx, 999, 1, email(), now=NOW))


def test_over_quota_is_raised_before_anything_is_written(store, ann, inbox, archive):
    new = email(b"x" * 500)
    store.write_now(lambda tx: set_quotas(tx, ann, octets=2 * new.facts.size))
    store.write_now(lambda tx: append(tx, ann, inbox, new, now=NOW))
    store.write_now(lambda tx: append(tx, ann, inbox, new, now=NOW))

    def refused(tx):
        before = tx.all("SELECT * FROM mailbox"), tx.all("SELECT * FROM account")
        with pytest.raises(OverQuota, match=r"ann@example\.org"):
            append(tx, ann, inbox, new, now=NOW)
        with pytest.raises(OverQuota):
            copy(tx, ann, inbox, NumberSet([(1, 1)]), archive, now=NOW)
        assert before == (tx.all("SELECT * FROM mailbox"), tx.all("SELECT * FROM account"))

    store.write_now(refused)
    store.write_now(lambda tx: move(tx, ann, inbox, NumberSet([(1, 2)]), archive, now=NOW))
    store.write_now(lambda tx: expunge(tx, ann, archive, NumberSet([(1, 1)]), only_deleted=False, now=NOW))
    store.write_now(lambda tx: append(tx, ann, inbox, new, now=NOW))


def test_delivery_to_several_accounts_is_all_or_none_and_shares_the_body(store, ann):
    bob = ann + 1
    body = b"a body worth sharing\r\n" * 500
    mine, theirs = email(body), email(body, header=b"Delivered-To: bob@example.org\r\n\r\n")
    done = store.write_now(lambda tx: deliver(tx, [(ann, None, mine), (bob, None, theirs)], NOW))
    assert [one.uid for one in done] == [1, 1]
    assert store.read_now(lambda tx: tx.one("SELECT count(*) FROM shared_body")) == (1,)
    for account, new in ((ann, mine), (bob, theirs)):
        assert mailbox_contents(store, account) == {1: new.header + body}
    store.write_now(lambda tx: set_quotas(tx, bob, octets=1))
    with pytest.raises(OverQuota, match=r"bob@example\.org"):
        store.write_now(lambda tx: deliver(tx, [(ann, None, mine), (bob, None, theirs)], NOW))
    assert row(store, ann, inbox_of(store, ann)).messages == 1


def test_delivery_to_one_account_twice_and_to_a_named_mailbox(store, ann, inbox, archive):
    new = email(b"same " * 1000)
    done = store.write_now(lambda tx: deliver(tx, [(ann, None, new), (ann, archive, new)], NOW))
    assert done[0].mod_seq != done[1].mod_seq
    assert (row(store, ann, inbox).messages, row(store, ann, archive).messages) == (1, 1)
    assert store.read_now(lambda tx: tx.one("SELECT count(*) FROM shared_body")) == (1,)
    assert store.write_now(lambda tx: deliver(tx, [], NOW)) == []


@pytest.mark.parametrize(
    ("mode", "flags", "after"),
    [
        (FlagMode.ADD, ["\\Seen"], ["(\\Seen)", "(\\Seen $A)", "(\\Seen \\Deleted)"]),
        (FlagMode.ADD, ["$a", "$B"], ["($a $B)", "($A $B)", "(\\Deleted \\Seen $a $B)"]),
        (FlagMode.REMOVE, ["\\Deleted", "$a"], ["()", "()", "(\\Seen)"]),
        (FlagMode.SET, ["\\Draft", "$a"], ["(\\Draft $a)", "(\\Draft $A)", "(\\Draft $a)"]),
        (FlagMode.SET, [], ["()", "()", "()"]),
    ],
)
def test_store_flags_modes(store, ann, inbox, mode, flags, after):
    for names in ([], ["$A"], ["\\Seen", "\\Deleted"]):
        fill(store, ann, inbox, 1, flag_set(names))
    before = {state[0]: state[1:] for state in store.read_now(lambda tx: message_states(tx, ann, inbox))}
    stored = store.write_now(
        lambda tx: store_flags(tx, ann, inbox, NumberSet([(1, 9)]), FlagChange(mode, flag_set(flags)))
    )
    wanted = [flag_set(text.strip("()").split()) for text in after]
    states = store.read_now(lambda tx: message_states(tx, ann, inbox))
    assert [flag_set([*_names(state)]) for state in states] == wanted
    changed = {uid: (flags, mod_seq) for uid, flags, mod_seq in stored.changed}
    for (uid, bits, keywords, mod_seq), want in zip(states, wanted, strict=True):
        if (bits, keywords) == before[uid][:2]:
            assert uid not in changed
            assert mod_seq == before[uid][2]
        else:
            assert changed[uid] == (want, mod_seq)
            assert mod_seq == row(store, ann, inbox).highest_mod_seq


def _names(state):
    bits = {1: "\\Seen", 2: "\\Answered", 4: "\\Flagged", 8: "\\Deleted", 16: "\\Draft"}
    return [name for bit, name in bits.items() if state[1] & bit] + state[2].split()


def test_store_flags_that_changes_nothing_takes_no_mod_seq(store, ann, inbox):
    fill(store, ann, inbox, 2, SEEN)
    before = row(store, ann, inbox)
    stored = store.write_now(
        lambda tx: store_flags(tx, ann, inbox, NumberSet([(1, 2)]), FlagChange(FlagMode.ADD, SEEN))
    )
    assert stored.changed == []
    assert row(store, ann, inbox) == before
    with pytest.raises(NoSuchMailbox):
        store.write_now(
            lambda tx: store_flags(tx, ann, 999, NumberSet([(1, 2)]), FlagChange(FlagMode.ADD, SEEN))
        )


def test_unchanged_since_leaves_newer_messages_alone(store, ann, inbox):
    first, second = fill(store, ann, inbox, 2)
    stored = store.write_now(
        lambda tx: store_flags(
            tx, ann, inbox, NumberSet([(1, 2)]), FlagChange(FlagMode.ADD, SEEN), unchanged_since=first.mod_seq
        )
    )
    assert [uid for uid, _, _ in stored.changed] == [1]
    assert stored.modified == NumberSet([(2, 2)])
    assert second.mod_seq == store.read_now(lambda tx: message_states(tx, ann, inbox))[1][3]


def test_copy_keeps_flags_and_dates_and_shares_the_content(store, ann, inbox, archive):
    fill(store, ann, inbox, 5, flag_set(["\\Deleted", "$X"]))
    copied = store.write_now(
        lambda tx: copy(tx, ann, inbox, NumberSet([(2, 3), (5, 9)]), archive, now=NOW + 5)
    )
    assert copied.source_uids == NumberSet([(2, 3), (5, 5)])
    assert copied.target_uids == NumberSet([(1, 3)])
    assert copied.uid_validity == row(store, ann, archive).uid_validity
    rows = store.read_now(
        lambda tx: tx.all(
            "SELECT uid, flags, keywords, mod_seq, internal_date, save_date FROM message WHERE mailbox_id=?",
            (archive,),
        )
    )
    assert rows == [(uid, 8, "$X", copied.mod_seq, NOW, NOW + 5) for uid in (1, 2, 3)]
    source = store.read_now(lambda tx: contents(tx, store.blobs, ann, inbox))
    assert store.read_now(lambda tx: contents(tx, store.blobs, ann, archive)) == {
        1: source[2],
        2: source[3],
        3: source[5],
    }
    assert store.read_now(lambda tx: tx.one("SELECT count(*) FROM content")) == (5,)


def test_copy_of_nothing_and_to_nowhere(store, ann, inbox, archive):
    before = row(store, ann, archive)
    copied = store.write_now(lambda tx: copy(tx, ann, inbox, NumberSet([(1, 9)]), archive, now=NOW))
    assert (copied.source_uids, copied.target_uids) == (NumberSet(), NumberSet())
    assert row(store, ann, archive) == before
    with pytest.raises(NoSuchMailbox):
        store.write_now(lambda tx: copy(tx, ann, inbox, NumberSet([(1, 9)]), 999, now=NOW))
    with pytest.raises(NoSuchMailbox):
        store.write_now(lambda tx: copy(tx, ann, 999, NumberSet([(1, 9)]), archive, now=NOW))


def test_copy_and_move_within_a_mailbox(store, ann, inbox):
    fill(store, ann, inbox, 3)
    store.write_now(lambda tx: copy(tx, ann, inbox, NumberSet([(2, 100)]), inbox, now=NOW))
    assert uids(store, ann, inbox) == [1, 2, 3, 4, 5]
    moved = store.write_now(lambda tx: move(tx, ann, inbox, NumberSet([(1, 1), (3, 100)]), inbox, now=NOW))
    assert uids(store, ann, inbox) == [2, 6, 7, 8, 9]
    assert moved.source_uids == NumberSet([(1, 1), (3, 5)])
    assert moved.target_uids == NumberSet([(6, 9)])


def test_move_shows_in_both_mailboxes_and_not_in_the_quota(store, ann, inbox, archive):
    fill(store, ann, inbox, 4)
    used = store.read_now(lambda tx: account_by_id(tx, ann)).used_octets
    moved = store.write_now(lambda tx: move(tx, ann, inbox, NumberSet([(2, 3)]), archive, now=NOW))
    assert uids(store, ann, inbox) == [1, 4]
    assert uids(store, ann, archive) == [1, 2]
    assert store.read_now(lambda tx: account_by_id(tx, ann)).used_octets == used
    gone = store.read_now(lambda tx: vanished_since(tx, ann, inbox, moved.mod_seq - 1, EVERY_UID))
    assert gone == NumberSet([(2, 3)])
    everything = store.write_now(lambda tx: move(tx, ann, inbox, None, archive, now=NOW))
    assert everything.source_uids == NumberSet([(1, 1), (4, 4)])
    assert uids(store, ann, inbox) == []


def test_expunge_takes_what_it_is_told(store, ann, inbox):
    fill(store, ann, inbox, 2)
    fill(store, ann, inbox, 3, DELETED)
    some = store.write_now(
        lambda tx: expunge(tx, ann, inbox, NumberSet([(1, 4)]), only_deleted=True, now=NOW)
    )
    assert some.uids == NumberSet([(3, 4)])
    assert some.mod_seq == row(store, ann, inbox).highest_mod_seq
    rest = store.write_now(lambda tx: expunge(tx, ann, inbox, None, only_deleted=True, now=NOW))
    assert rest.uids == NumberSet([(5, 5)])
    none = store.write_now(lambda tx: expunge(tx, ann, inbox, None, only_deleted=True, now=NOW))
    assert (none.uids, none.mod_seq) == (NumberSet(), 0)
    assert uids(store, ann, inbox) == [1, 2]
    with pytest.raises(NoSuchMailbox):
        store.write_now(lambda tx: expunge(tx, ann, 999, None, only_deleted=True, now=NOW))


def test_changes_since_tell_what_a_view_lacks(store, ann, inbox):
    fill(store, ann, inbox, 4)
    seen = row(store, ann, inbox)

    def since():
        return store.read_now(lambda tx: changes_since(tx, ann, inbox, seen.highest_mod_seq, seen.uid_next))

    assert (since().rows, since().expunged) == ([], NumberSet())
    fill(store, ann, inbox, 1)
    assert [state[0] for state in since().rows] == [5]
    store.write_now(
        lambda tx: store_flags(tx, ann, inbox, NumberSet([(2, 2)]), FlagChange(FlagMode.ADD, SEEN))
    )
    store.write_now(lambda tx: expunge(tx, ann, inbox, NumberSet([(1, 1)]), only_deleted=False, now=NOW))
    changes = since()
    assert [state[0] for state in changes.rows] == [2, 5]
    assert changes.expunged == NumberSet([(1, 1)])
    assert (changes.highest_mod_seq, changes.uid_next) == (row(store, ann, inbox).highest_mod_seq, 6)
    with pytest.raises(NoSuchMailbox):
        store.read_now(lambda tx: changes_since(tx, ann, 999, 0, 1))


def test_expunged_since_within_a_set(store, ann, inbox):
    fill(store, ann, inbox, 6)
    store.write_now(lambda tx: expunge(tx, ann, inbox, NumberSet([(2, 5)]), only_deleted=False, now=NOW))
    some = store.read_now(lambda tx: vanished_since(tx, ann, inbox, 0, NumberSet([(1, 2), (4, 4)])))
    assert some == NumberSet([(2, 2), (4, 4)])


def test_changes_are_published_after_the_commit_once_for_each_mailbox(store, ann, inbox, archive):
    heard = []
    store.on_commit = heard.extend
    fill(store, ann, inbox, 2)
    store.write_now(lambda tx: move(tx, ann, inbox, NumberSet([(1, 1)]), archive, now=NOW))
    with pytest.raises(ZeroDivisionError):
        store.write_now(lambda tx: (append(tx, ann, inbox, email(), now=NOW), 1 // 0))
    store.on_commit = None
    assert [change.mailbox_id for change in heard] == [inbox, archive, inbox]
    assert heard[-1].mod_seq == row(store, ann, inbox).highest_mod_seq


def test_scattered_sets_of_any_size_work(store, ann, inbox):
    fill(store, ann, inbox, 60)
    odd = NumberSet.of(range(1, 61, 2))
    stored = store.write_now(lambda tx: store_flags(tx, ann, inbox, odd, FlagChange(FlagMode.ADD, SEEN)))
    assert NumberSet.of(uid for uid, _, _ in stored.changed) == odd
    huge = NumberSet([(n * 1000 + 1, n * 1000 + 900) for n in range(100)])
    box = store.write_now(lambda tx: create_mailbox(tx, ann, "x", now=NOW))
    copied = store.write_now(lambda tx: copy(tx, ann, inbox, huge, box.id, now=NOW))
    assert copied.source_uids == NumberSet([(1, 60)])
    gone = store.write_now(lambda tx: expunge(tx, ann, inbox, odd, only_deleted=False, now=NOW))
    assert gone.uids == odd
