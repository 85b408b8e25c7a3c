"""The view keeps a client's numbers true while the mailbox changes under it."""

from array import array

import pytest

from postino.core.errors import ProtocolViolation
from postino.core.flags import FlagSet, flag_set, stored_flag_set
from postino.core.numset import NumberSet, parse_sequence_set
from postino.imap.view import MessageRow, UpdateForm, View

NOTHING = NumberSet()
PLAIN = UpdateForm()
UIDS_GONE = UpdateForm(vanished=True)


def row(uid: int, mod_seq: int = 1, flags: int = 0, keywords: str = "") -> MessageRow:
    return (uid, flags, keywords, mod_seq)


def load(view: View, rows: list[MessageRow], expunged: NumberSet) -> None:
    view.load(
        array("I", [row[0] for row in rows]),
        array("Q", [row[3] for row in rows]),
        [stored_flag_set(row[1], row[2]) for row in rows],
        expunged,
    )


def loaded(*uids: int, mod_seq: int = 10) -> View:
    uid_next = max(uids, default=0) + 1
    view = View(len(uids), uid_next, mod_seq)
    load(view, [row(uid) for uid in uids], NOTHING)
    view.fold([], NOTHING, mod_seq=mod_seq, uid_next=uid_next, loading=True)
    return view


def change(
    view: View, *rows: MessageRow, expunged: tuple[int, ...] = (), mod_seq: int = 20, uid_next: int = 0
) -> None:
    view.fold(rows, NumberSet.of(expunged), mod_seq=mod_seq, uid_next=uid_next or view.uid_next)


@pytest.mark.parametrize(
    ("expunged", "told"),
    [
        ((), b""),
        ((11,), b"* 1 EXPUNGE\r\n"),
        ((14,), b"* 4 EXPUNGE\r\n"),
        ((11, 12), b"* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n"),
        ((12, 14), b"* 2 EXPUNGE\r\n* 3 EXPUNGE\r\n"),
        ((11, 12, 13, 14), b"* 1 EXPUNGE\r\n" * 4),
        ((99,), b""),
    ],
)
def test_expunges_are_told_with_numbers_that_hold_one_after_the_other(
    expunged: tuple[int, ...], told: bytes
) -> None:
    view = loaded(11, 12, 13, 14)
    change(view, expunged=expunged)
    assert view.release(PLAIN, may_expunge=True) == told
    assert view.told == 4 - told.count(b"\r\n")
    assert not view.has_news


def test_expunge_waits_and_numbers_stay_until_it_is_told() -> None:
    view = loaded(11, 12, 13)
    change(view, row(14), expunged=(11,), uid_next=15)
    assert view.release(PLAIN, may_expunge=False) == b"* 4 EXISTS\r\n"
    assert view.has_news
    assert list(view.uid_set(view.by_seq(parse_sequence_set(b"1,4")))) == [11, 14]
    assert list(view.gone(view.everything())) == [11]
    assert view.release(PLAIN, may_expunge=True) == b"* 1 EXPUNGE\r\n"
    assert view.told == 3
    assert list(view.uid_set(view.everything())) == [12, 13, 14]


def test_exists_follows_expunge_and_counts_what_remains() -> None:
    view = loaded(11, 12)
    change(view, row(13), row(14), expunged=(12,), uid_next=15)
    assert view.release(PLAIN, may_expunge=True) == b"* 2 EXPUNGE\r\n* 3 EXISTS\r\n"


def test_message_that_came_and_went_unseen_is_never_told() -> None:
    view = loaded(11)
    change(view, expunged=(12,), uid_next=13)
    assert view.release(PLAIN, may_expunge=True) == b""
    assert view.uid_next == 13


def test_message_expunged_before_its_exists_was_told() -> None:
    view = loaded(11)
    change(view, row(12), uid_next=13)
    change(view, expunged=(12,), mod_seq=21)
    assert view.release(PLAIN, may_expunge=True) == b""
    assert view.told == 1


@pytest.mark.parametrize("count", [3, 40])
def test_many_expunges_leave_the_others_in_place(count: int) -> None:
    uids = range(1, 101)
    view = loaded(*uids)
    gone = tuple(uids)[10 : 10 + count]
    change(view, expunged=gone)
    assert view.release(PLAIN, may_expunge=True) == b"* 11 EXPUNGE\r\n" * count
    assert list(view.uid_set(view.everything())) == [uid for uid in uids if uid not in gone]
    assert len(view.flags((0, view.told))) == len(view.mod_seqs((0, view.told))) == 100 - count


@pytest.mark.parametrize(
    ("form", "told"),
    [
        (PLAIN, b"* 2 FETCH (FLAGS (\\Seen $Junk))\r\n"),
        (UpdateForm(uid=True), b"* 2 FETCH (UID 12 FLAGS (\\Seen $Junk))\r\n"),
        (UpdateForm(mod_seq=True), b"* 2 FETCH (FLAGS (\\Seen $Junk) MODSEQ (20))\r\n"),
        (UpdateForm(uid=True, mod_seq=True), b"* 2 FETCH (UID 12 FLAGS (\\Seen $Junk) MODSEQ (20))\r\n"),
    ],
)
def test_changed_flags_are_told_once(form: UpdateForm, told: bytes) -> None:
    view = loaded(11, 12)
    change(view, row(12, 20, 1, "$Junk"))
    assert view.release(form, may_expunge=False) == told
    change(view, row(12, 20, 1, "$Junk"))
    assert view.release(form, may_expunge=True) == b""


def test_flags_of_an_expunged_message_are_not_told() -> None:
    view = loaded(11, 12)
    change(view, row(11, 20, 1), row(12, 21, 1), expunged=(11,), mod_seq=22)
    assert view.release(PLAIN, may_expunge=False) == b"* 2 FETCH (FLAGS (\\Seen))\r\n"
    assert view.release(PLAIN, may_expunge=True) == b"* 1 EXPUNGE\r\n"


def test_changes_shown_by_a_fetch_are_not_told_again() -> None:
    view = loaded(11, 12)
    change(view, row(11, 20, 1), row(12, 20, 1))
    view.forget_changes([(0, 1)])
    assert view.release(PLAIN, may_expunge=False) == b"* 2 FETCH (FLAGS (\\Seen))\r\n"


SEEN = flag_set(["\\Seen"])


def add_seen(before: FlagSet) -> FlagSet:
    return before.union(SEEN)


def test_own_silent_store_is_not_echoed() -> None:
    view = loaded(11, 12)
    assert view.stored([(11, SEEN, 20)], add_seen, is_silent=True) == [11]
    change(view, row(11, 20, 1))
    assert view.release(PLAIN, may_expunge=True) == b""
    assert view.flags((0, 1)) == [SEEN]


def test_own_silent_store_that_met_anothers_change_is_told() -> None:
    view = loaded(11)
    both = flag_set(["\\Seen", "\\Flagged"])
    view.stored([(11, both, 21)], add_seen, is_silent=True)
    assert view.release(PLAIN, may_expunge=False) == b"* 1 FETCH (FLAGS (\\Flagged \\Seen))\r\n"


def test_unloaded_view_counts_arrivals_without_their_uids() -> None:
    view = View(5, 30, 10)
    rows = [row(30), row(31)]
    assert not view.must_load(rows, NOTHING)
    view.fold(rows, NOTHING, mod_seq=12, uid_next=32)
    assert view.release(PLAIN, may_expunge=False) == b"* 7 EXISTS\r\n"
    assert not view.is_loaded
    assert view.uid_next == 32


def test_view_loaded_late_is_the_mailbox_as_it_was() -> None:
    # At mod_seq 10 there were 1, 2, 3. Since then 2 was expunged, 3 was flagged, 4 came.
    view = View(3, 4, 10)
    rows = [row(1, 5), row(3, 12, 4), row(4, 13)]
    changes = [row(3, 12, 4), row(4, 13)]
    assert view.must_load(changes, NumberSet.of([2]))
    load(view, rows, NumberSet.of([2]))
    assert list(view.uid_set(view.everything())) == [1, 2, 3]
    view.fold(changes, NumberSet.of([2]), mod_seq=13, uid_next=5, loading=True)
    told = view.release(PLAIN, may_expunge=False)
    assert told == b"* 4 EXISTS\r\n* 3 FETCH (FLAGS (\\Flagged))\r\n"
    assert view.release(PLAIN, may_expunge=True) == b"* 2 EXPUNGE\r\n"
    assert list(view.uid_set(view.everything())) == [1, 3, 4]


@pytest.mark.parametrize(
    ("numbers", "spans"),
    [
        (b"1", [(0, 1)]),
        (b"*", [(3, 4)]),
        (b"2:3", [(1, 3)]),
        (b"3:99", [(2, 4)]),
        (b"1,3:*", [(0, 1), (2, 4)]),
    ],
)
def test_sequence_numbers(numbers: bytes, spans: list[tuple[int, int]]) -> None:
    assert loaded(11, 22, 33, 44).by_seq(parse_sequence_set(numbers)) == spans


def test_sequence_number_beyond_the_mailbox_is_refused() -> None:
    with pytest.raises(ProtocolViolation, match="no message 5"):
        loaded(11, 22, 33, 44).by_seq(parse_sequence_set(b"1,5"))


def test_sequence_numbers_of_an_empty_mailbox() -> None:
    assert loaded().by_seq(parse_sequence_set(b"1:*")) == []
    with pytest.raises(ProtocolViolation):
        loaded().by_seq(parse_sequence_set(b"1"))


@pytest.mark.parametrize(
    ("numbers", "spans"),
    [
        (b"11", [(0, 1)]),
        (b"12:21", []),
        (b"1:40", [(0, 3)]),
        (b"22,33", [(1, 3)]),
        (b"*", [(3, 4)]),
        (b"50:*", [(3, 4)]),
        (b"11,44:99", [(0, 1), (3, 4)]),
    ],
)
def test_uids(numbers: bytes, spans: list[tuple[int, int]]) -> None:
    assert loaded(11, 22, 33, 44).by_uid(parse_sequence_set(numbers)) == spans


def test_new_message_has_no_number_before_it_is_told() -> None:
    view = loaded(11)
    change(view, row(12), uid_next=13)
    assert view.by_uid(parse_sequence_set(b"1:99")) == [(0, 1)]
    assert view.by_seq(parse_sequence_set(b"1:*")) == [(0, 1)]
    assert view.known([11, 12]) == [11]
    assert view.index_of(12) == -1


def test_numbers_of_uids() -> None:
    view = loaded(*range(10, 1000, 10))
    assert view.numbers_of([10, 15, 990]) == [1, 99]
    assert view.numbers_of(list(range(10, 1000, 10))) == list(range(1, 100))


def test_uid_ranges_cover_the_spans_and_no_other_message() -> None:
    view = loaded(11, 22, 33, 44)
    ranges = view.uid_ranges([(0, 2), (3, 4)])
    assert str(ranges) == "11:22,44"
    assert [uid for uid in (11, 22, 33, 44) if uid in ranges] == [11, 22, 44]


def test_columns_and_questions() -> None:
    view = View(3, 4, 10)
    load(view, [row(1, 4, 1), row(2, 7, 0, "$Junk"), row(3, 9)], NOTHING)
    view.fold([], NOTHING, mod_seq=10, uid_next=4, loading=True)
    assert view.first_unseen() == 2
    assert view.keywords() == ["$Junk"]
    assert view.lacking(1, view.everything()) == [2, 3]
    assert view.changed_since(4, view.everything()) == [(1, 3)]
    assert view.changed_since(6, [(0, 1), (2, 3)]) == [(2, 3)]
    assert list(view.mod_seqs((1, 3))) == [7, 9]


def test_view_unloaded_and_loaded_again_is_the_same() -> None:
    view = loaded(1, 2, 3)
    view.give_up()
    assert view.told == 3
    load(view, [row(1), row(3)], NumberSet.of([2]))
    change(view, expunged=(2,))
    assert list(view.uid_set(view.everything())) == [1, 2, 3]
    assert view.release(PLAIN, may_expunge=True) == b"* 2 EXPUNGE\r\n"


def test_a_change_of_the_sessions_own_is_followed_when_nothing_else_happened() -> None:
    view = loaded(11, 12, 13, mod_seq=10)
    view.follow(10, 20)
    assert view.mod_seq == 20
    view.follow(20, 21, NumberSet.of([12]))
    assert view.mod_seq == 21
    assert view.release(PLAIN, may_expunge=True) == b"* 2 EXPUNGE\r\n"


def test_a_change_of_the_sessions_own_waits_for_the_others_changes_before_it() -> None:
    view = loaded(11, 12, 13, mod_seq=10)
    view.follow(15, 20, NumberSet.of([12]))
    assert view.mod_seq == 10
    change(view, row(11, 15, flags=1), expunged=(12,), mod_seq=20)
    assert view.release(PLAIN, may_expunge=True) == b"* 2 EXPUNGE\r\n* 1 FETCH (FLAGS (\\Seen))\r\n"


def test_many_expunges_are_told_at_once() -> None:
    view = loaded(*range(1, 101))
    gone = [uid for uid in range(1, 101) if uid % 3]
    change(view, expunged=tuple(gone))
    told = view.release(PLAIN, may_expunge=True)
    numbers = list(range(1, 101))
    for line in told.splitlines():
        del numbers[int(line.split()[1]) - 1]
    assert numbers == list(view.uids((0, view.told))) == [uid for uid in range(1, 101) if not uid % 3]


@pytest.mark.parametrize("count", [3, 30])
def test_vanished_names_only_what_the_client_was_told_of(count: int) -> None:
    # Few and many are taken out in two ways.
    uids = range(11, 11 + 2 * count)
    view = loaded(*uids)
    come = uids[-1] + 1
    change(view, row(come, 21), mod_seq=21, uid_next=come + 1)
    gone = tuple(uids[::2])
    change(view, expunged=(*gone, come), mod_seq=22)
    assert view.release(UIDS_GONE, may_expunge=False) == b"* %d EXISTS\r\n" % (2 * count + 1)
    change(view, row(come + 1, 23), mod_seq=23, uid_next=come + 2)
    change(view, expunged=(come + 1,), mod_seq=24)
    told = view.release(UIDS_GONE, may_expunge=True)
    assert told == b"* VANISHED " + ",".join(map(str, (*gone, come))).encode() + b"\r\n"
    assert view.told == count
    assert list(view.uid_set(view.everything())) == list(uids[1::2])
    assert not view.has_news


def test_flags_are_told_by_uid_alone_when_numbers_are_not_used() -> None:
    view = loaded(11, 22)
    change(view, row(22, 12, 1))
    assert view.release(UpdateForm(uid_only=True), may_expunge=False) == b"* 22 UIDFETCH (FLAGS (\\Seen))\r\n"
    change(view, row(22, 13))
    form = UpdateForm(uid=True, mod_seq=True, vanished=True, uid_only=True)
    assert view.release(form, may_expunge=True) == b"* 22 UIDFETCH (FLAGS () MODSEQ (13))\r\n"


def test_the_mod_sequence_before_the_first_withheld_expunge_is_remembered() -> None:
    view = loaded(11, 22, 33, mod_seq=10)
    assert view.withheld_mod_seq == 0
    change(view, row(11, 12, 1), mod_seq=12)
    change(view, expunged=(22,), mod_seq=14)
    change(view, row(11, 16), expunged=(33,), mod_seq=16)
    assert view.withheld_mod_seq == 12
    view.release(UIDS_GONE, may_expunge=False)
    assert view.withheld_mod_seq == 12
    view.release(UIDS_GONE, may_expunge=True)
    assert view.withheld_mod_seq == 0


def test_spans_without_what_is_gone() -> None:
    view = View(4, 5, 10)
    load(view, [row(1), row(3), row(4)], NumberSet.of([2]))
    change(view, expunged=(2, 3), mod_seq=12)
    # 2 was gone before the view knew it; of 3 the flags are known.
    assert view.with_state([(0, 4)]) == [(0, 1), (2, 4)]
    assert view.without_gone([(0, 4)]) == [(0, 1), (3, 4)]
    assert view.last_uid == 4
    view.release(UIDS_GONE, may_expunge=True)
    assert view.with_state([(0, 2)]) == view.without_gone([(0, 2)]) == [(0, 2)]
    assert View(0, 1, 1).last_uid == 0


def test_spans_of_messages_with_a_flag() -> None:
    view = loaded(1, 2, 3, 4)
    change(view, row(1, 11, 8), row(2, 11, 9), row(4, 11, 8))
    assert view.having(8, [(0, 4)]) == [(0, 2), (3, 4)]
    assert view.having(8, [(2, 3)]) == []
