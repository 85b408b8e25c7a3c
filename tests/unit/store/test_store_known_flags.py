"""STORE by a session that knows the flags: the same as reading them first, and never on old knowledge."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postino.core.flags import flag_set
from postino.core.numset import NumberSet
from postino.imap.view import View
from postino.store.changes import changes_since, load_messages
from postino.store.messages import (
    FlagChange,
    FlagMode,
    KnownFlags,
    append,
    store_flags,
    store_known_flags,
)
from postino.store.verify import verify
from tests.support.stored import NOW, email, inbox_of, make_accounts

NAMES = ["\\Seen", "\\Deleted", "\\Flagged", "one", "Two"]
sets_of_flags = st.lists(st.sampled_from(NAMES), max_size=4, unique=True).map(flag_set)


def mailbox_view(store, ann, mailbox):
    row = store.read_now(
        lambda tx: tx.one(
            "SELECT messages, uid_next, highest_mod_seq FROM mailbox WHERE account_id=? AND id=?",
            (ann, mailbox),
        )
    )
    view = View(*row)
    view.load(*store.read_now(lambda tx: load_messages(tx, ann, mailbox)), NumberSet())
    return view


def flags_of(store, ann, mailbox):
    return store.read_now(
        lambda tx: tx.all(
            "SELECT uid, flags, keywords FROM message WHERE account_id=? AND mailbox_id=? ORDER BY uid",
            (ann, mailbox),
        )
    )


def known_store(store, ann, mailbox, view, spans, change):
    """As a session does it; gives the view afterwards."""
    counts = view.flag_counts(spans)
    outcome = {old: new for old in counts if (new := change.applied_to(old)) != old}
    known = KnownFlags(view.mod_seq, counts, view.uids_with(outcome, spans))
    uids = view.uid_ranges(spans)
    done = store.write_now(lambda tx: store_known_flags(tx, ann, mailbox, uids, change, known))
    assert done.was_known
    if len(outcome) == len(counts):
        view.restamp_all(outcome, spans, done.mod_seq)
    else:
        view.restamp(outcome, spans, done.mod_seq)
    view.follow(done.previous_mod_seq, done.mod_seq)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.lists(sets_of_flags, min_size=1, max_size=12),
    mode=st.sampled_from(FlagMode),
    flags=sets_of_flags,
    spans=st.sampled_from([[(0, 1)], [(0, 99)], [(2, 5)], [(0, 2), (3, 4), (6, 12)]]),
)
def test_it_does_what_reading_first_does(tmp_path_factory, before, mode, flags, spans):
    from postino.store.store import open_store

    spans = [(low, min(high, len(before))) for low, high in spans if low < len(before)]
    change = FlagChange(mode, flags)
    store = open_store(tmp_path_factory.mktemp("known"), first=True)
    try:
        ann = make_accounts(store, "ann")[0]
        inbox, archive = inbox_of(store, ann), inbox_of(store, ann, "Archive")
        for mailbox in (inbox, archive):
            store.write_now(
                lambda tx, mailbox=mailbox: [
                    append(tx, ann, mailbox, email(flags=each), now=NOW) for each in before
                ]
            )
        view = mailbox_view(store, ann, inbox)
        if spans:
            uids = view.uid_ranges(spans)
            store.write_now(lambda tx: store_flags(tx, ann, archive, uids, change))
            start = view.mod_seq
            known_store(store, ann, inbox, view, spans, change)
            assert flags_of(store, ann, inbox) == flags_of(store, ann, archive)
            fresh = mailbox_view(store, ann, inbox)
            everything = (0, len(before))
            assert view.flags(everything) == fresh.flags(everything)
            assert view.mod_seqs(everything) == fresh.mod_seqs(everything)
            assert view.mod_seq == fresh.mod_seq
            changed = store.read_now(lambda tx: changes_since(tx, ann, inbox, start, len(before) + 1))
            assert all(row[3] == fresh.mod_seq for row in changed.rows)
        assert store.read_now(verify) == []
    finally:
        store.close_now()


def test_old_knowledge_is_not_used(store):
    ann = make_accounts(store, "ann")[0]
    inbox = inbox_of(store, ann)
    store.write_now(lambda tx: [append(tx, ann, inbox, email(), now=NOW) for _ in range(3)])
    view = mailbox_view(store, ann, inbox)
    seen, deleted = flag_set(["\\Seen"]), flag_set(["\\Deleted"])
    one = NumberSet([(2, 2)])
    store.write_now(lambda tx: store_flags(tx, ann, inbox, one, FlagChange(FlagMode.ADD, deleted)))
    change = FlagChange(FlagMode.ADD, seen)
    known = KnownFlags(view.mod_seq, view.flag_counts([(0, 3)]), view.uids((0, 3)))
    uids = NumberSet([(1, 3)])
    done = store.write_now(lambda tx: store_known_flags(tx, ann, inbox, uids, change, known))
    assert not done.was_known
    assert [(uid, str(flags)) for uid, flags, _ in done.changed] == [
        (1, "FlagSet(\\Seen)"),
        (2, "FlagSet(\\Deleted \\Seen)"),
        (3, "FlagSet(\\Seen)"),
    ]


def test_nothing_to_change_takes_no_mod_sequence(store):
    ann = make_accounts(store, "ann")[0]
    inbox = inbox_of(store, ann)
    store.write_now(lambda tx: append(tx, ann, inbox, email(flags=flag_set(["\\Seen"])), now=NOW))
    view = mailbox_view(store, ann, inbox)
    known_store(store, ann, inbox, view, [(0, 1)], FlagChange(FlagMode.ADD, flag_set(["\\Seen"])))
    assert mailbox_view(store, ann, inbox).mod_seq == view.mod_seq
