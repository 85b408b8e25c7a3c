"""One session's idea of its selected mailbox: sequence numbers, and the news that must wait.

RFC: 9051 §2.3.1.2 (sequence numbers), §5.2 (unsolicited updates), §7.4.1 (EXISTS), §7.5.1 (EXPUNGE),
    7162 §3.2 (QRESYNC: VANISHED, MODSEQ in unsolicited FETCH responses), 9586 (UIDONLY).
Invariants: `_uids` goes strictly upwards and an index in it plus one is the sequence number the client
    uses; a message leaves it only when its EXPUNGE is written; messages past `told` are unknown to the
    client, so no number of the client's ever reaches them; the view is the mailbox at `mod_seq`, once what
    is pending has been released.
Not here: reading the store and writing to the connection (servers/imap/updates/selected.py), FETCH data items
    (imap/fetch_plan.py).
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import compress
from typing import Final, NamedTuple

from postino.core.errors import ProtocolViolation
from postino.core.flags import NO_FLAGS, FlagSet, stored_flag_set
from postino.core.numset import NumberSet, SequenceSet
from postino.imap.responses.mailbox import exists_response
from postino.imap.responses.message import (
    expunge_responses,
    flags_fetch_responses,
    flags_uid_fetch_responses,
    vanished_response,
)

MessageRow = tuple[int, int, str, int]
"""(uid, system flags, keywords, mod_seq), as the store gives them."""

Span = tuple[int, int]
"""Half-open range of indexes into a view: the messages numbered first+1 to end."""

# PERF: deleting one by one moves the rest of the arrays each time; past this many, build them anew.
_FEW: Final = 16


class UpdateForm(NamedTuple):
    """How a client wants to be told what happened."""

    uid: bool = False
    """FETCH responses with changed flags name the UID."""
    mod_seq: bool = False
    """They name the mod-sequence."""
    vanished: bool = False
    """VANISHED with UIDs instead of EXPUNGE with sequence numbers (QRESYNC, UIDONLY)."""
    uid_only: bool = False
    """UIDFETCH instead of FETCH: the client uses no sequence numbers (RFC 9586)."""
    flags: bool = True
    """Changed flags are told at all (RFC 5465 §5.1)."""


class View:
    """The selected mailbox as one client knows it.

    Begins without its messages: a session that only waits for news (IDLE) needs their number alone, and
    the store can tell later what the mailbox was like at `mod_seq`, because it remembers expunged UIDs.
    """

    __slots__ = (
        "_changed",
        "_expunged",
        "_flags",
        "_known_mod_seq",
        "_messages",
        "_mod_seqs",
        "_uids",
        "is_loaded",
        "mod_seq",
        "told",
        "uid_next",
    )

    def __init__(self, messages: int, uid_next: int, mod_seq: int) -> None:
        self.told = messages
        """How many messages the client has been told of (EXISTS less EXPUNGE)."""
        self.uid_next = uid_next
        self.mod_seq = mod_seq
        """Every change up to this one is in the view or pending."""
        self.is_loaded = False
        self._messages = messages
        self._uids = _NO_UIDS
        self._mod_seqs = _NO_MOD_SEQS
        self._flags: list[FlagSet] = _NO_FLAG_SETS
        self._changed: set[int] | None = None
        self._expunged: set[int] | None = None
        self._known_mod_seq = 0

    # What the store says

    def must_load(self, rows: Iterable[MessageRow], expunged: NumberSet) -> bool:
        """Whether these changes touch messages the view was not told the UIDs of yet."""
        if self.is_loaded:
            return False
        return bool(expunged and expunged.first < self.uid_next) or any(
            row[0] < self.uid_next for row in rows
        )

    def load(
        self, uids: "array[int]", mod_seqs: "array[int]", flags: list[FlagSet], expunged: NumberSet
    ) -> None:
        """Take the mailbox's messages as they are now, and what was expunged after `mod_seq`.

        Restores the mailbox as it was at `mod_seq`; fold() must follow with the changes since, read in
        the same transaction. A message expunged meanwhile keeps its number and has lost its flags. The
        columns go upwards by UID, and become the view's own.
        """
        uid_next = self.uid_next
        end = bisect_left(uids, uid_next)
        if end < len(uids):
            del uids[end:], mod_seqs[end:], flags[end:]
        gone = [uid for uid in expunged if uid < uid_next]
        if gone:
            uids.extend(gone)
            mod_seqs.extend([0] * len(gone))
            flags += [NO_FLAGS] * len(gone)
            order = sorted(range(len(uids)), key=uids.__getitem__)
            uids = array("I", [uids[at] for at in order])
            mod_seqs = array("Q", [mod_seqs[at] for at in order])
            flags = [flags[at] for at in order]
        self._uids, self._mod_seqs, self._flags = uids, mod_seqs, flags
        self._messages = len(uids)
        self.is_loaded = True

    def give_up(self) -> tuple["array[int]", "array[int]", list[FlagSet]] | None:
        """Forget the messages; gives UIDs, mod-sequences and flags if they are the mailbox's at `mod_seq`."""
        columns = self._uids, self._mod_seqs, self._flags
        is_whole = self.is_loaded and not self._expunged
        self.is_loaded = False
        self._uids, self._mod_seqs, self._flags = _NO_UIDS, _NO_MOD_SEQS, _NO_FLAG_SETS
        return columns if is_whole else None

    def fold(
        self,
        rows: Iterable[MessageRow],
        expunged: NumberSet,
        *,
        mod_seq: int,
        uid_next: int,
        loading: bool = False,
    ) -> None:
        """Take in what changed after `mod_seq`; nothing is told before release().

        `rows` go upwards by UID. Changes the view already has (the session's own) are passed over, unless
        the view was only just loaded, when its client cannot have seen them.
        """
        if not self.is_loaded:
            self._messages += sum(1 for _ in rows)
            self.mod_seq, self.uid_next = mod_seq, max(self.uid_next, uid_next)
            return
        uids, mod_seqs, flag_sets = self._uids, self._mod_seqs, self._flags
        for uid, flags, keywords, changed_at in rows:
            if uid >= self.uid_next:
                uids.append(uid)
                mod_seqs.append(changed_at)
                flag_sets.append(stored_flag_set(flags, keywords))
                continue
            at = bisect_left(uids, uid)
            if at == len(uids) or uids[at] != uid:
                continue
            if mod_seqs[at] != changed_at:
                mod_seqs[at] = changed_at
                flag_sets[at] = stored_flag_set(flags, keywords)
            elif not loading:
                continue
            self._note_changed(uid)
        if expunged:
            gone: set[int] = set()
            for low, high in expunged.ranges:
                gone.update(uids[bisect_left(uids, low) : bisect_right(uids, high)])
            if gone:
                if self._expunged is None:
                    self._expunged, self._known_mod_seq = gone, self.mod_seq
                else:
                    self._expunged |= gone
        self._messages = len(uids)
        self.mod_seq, self.uid_next = mod_seq, max(self.uid_next, uid_next)

    def stored(
        self,
        changed: Iterable[tuple[int, FlagSet, int]],
        expected: Callable[[FlagSet], FlagSet],
        *,
        is_silent: bool,
    ) -> list[int]:
        """Take in the result of the session's own STORE; gives the UIDs it found.

        A silent STORE is not echoed; but where another session had changed the flags first, the outcome
        is not what this client reckons with (`expected` of what it knew), and it is told.
        """
        found: list[int] = []
        outcome: dict[FlagSet, FlagSet] = {}
        uids = self._uids
        at, end = -1, len(uids)
        for uid, flags, mod_seq in changed:
            at += 1
            if at >= end or uids[at] != uid:
                # PERF: they go upwards, and mostly one is the neighbour of the one before.
                at = bisect_left(uids, uid)
                if at == end or uids[at] != uid:
                    continue
            found.append(uid)
            before = self._flags[at]
            reckoned = outcome.get(before)
            if reckoned is None:
                reckoned = outcome[before] = expected(before)
            self._flags[at] = flags
            self._mod_seqs[at] = mod_seq
            if is_silent and (flags is not reckoned and flags != reckoned):
                self._note_changed(uid)
            elif not is_silent and self._changed:
                self._changed.discard(uid)
        return found

    def follow(self, previous_mod_seq: int, mod_seq: int, expunged: NumberSet | None = None) -> None:
        """Take in a change of the session's own, if nothing else happened since the view's `mod_seq`.

        Else the next fold() finds it among the others'. PERF: without this every STORE would have the
        store look through the whole mailbox for what changed (1 ms for 10,000 messages).
        """
        if not self.is_loaded or self.mod_seq != previous_mod_seq:
            return
        if expunged:
            self.fold((), expunged, mod_seq=mod_seq, uid_next=self.uid_next)
        self.mod_seq = mod_seq

    def _note_changed(self, uid: int) -> None:
        if self._changed is None:
            self._changed = {uid}
        else:
            self._changed.add(uid)

    # What the client may be told

    @property
    def has_news(self) -> bool:
        """Whether release() with expunges would write anything."""
        return bool(self._changed or self._expunged or self._messages != self.told)

    @property
    def withheld_mod_seq(self) -> int:
        """While expunges wait to be told: the last mod-sequence before them; else 0 (RFC 7162 §3.2)."""
        return self._known_mod_seq if self._expunged else 0

    def release(self, form: UpdateForm, *, may_expunge: bool) -> bytes:
        """The untagged responses that bring the client up to date, as far as it may be told now.

        EXPUNGE and VANISHED wait while the client may be using sequence numbers (RFC 9051 §7.5.1,
        7162 §3.2.10.2).
        """
        out: list[bytes] = []
        if may_expunge and self._expunged:
            numbers, uids = self._drop_expunged()
            out.append(vanished_response(NumberSet.of(uids)) if form.vanished else expunge_responses(numbers))
        if self._messages != self.told:
            # EXISTS never takes back a message: that is EXPUNGE's to do.
            out.append(exists_response(self._messages))
            self.told = self._messages
        if self._changed:
            gone = self._expunged or ()
            if form.flags:
                uids = sorted(uid for uid in self._changed if uid not in gone)
                out.append(self.flag_lines(uids, form))
            self._changed = None
        return b"".join(out)

    def _drop_expunged(self) -> tuple[list[int], list[int]]:
        """Take the expunged messages out.

        Gives their numbers as EXPUNGE must say them, going upwards, and their UIDs as VANISHED says them:
        in both only of those the client was told of.
        """
        assert self._expunged is not None
        gone = self._expunged
        if len(gone) <= _FEW:
            indexes = sorted(bisect_left(self._uids, uid) for uid in gone)
            told = [at for at in indexes if at < self.told]
            uids = [self._uids[at] for at in told]
            for at in reversed(indexes):
                del self._uids[at], self._mod_seqs[at], self._flags[at]
        else:
            keep = [uid not in gone for uid in self._uids]
            told = [at for at, is_kept in enumerate(keep[: self.told]) if not is_kept]
            uids = [self._uids[at] for at in told]
            self._uids = array("I", compress(self._uids, keep))
            self._mod_seqs = array("Q", compress(self._mod_seqs, keep))
            self._flags = list(compress(self._flags, keep))
        if self._changed:
            self._changed -= gone
        self._expunged = None
        self._messages = len(self._uids)
        self.told -= len(told)
        return [at + 1 - before for before, at in enumerate(told)], uids

    def flag_lines(self, uids: Iterable[int], form: UpdateForm) -> bytes:
        """FETCH responses with the flags of these messages."""
        return self._flag_lines([at for uid in uids if (at := self.index_of(uid)) >= 0], form)

    def flag_lines_of(self, spans: Iterable[Span], form: UpdateForm) -> bytes:
        """As flag_lines(), of the messages of some spans."""
        return self._flag_lines([at for first, end in spans for at in range(first, end)], form)

    def _flag_lines(self, indexes: Iterable[int], form: UpdateForm) -> bytes:
        rows = [(at + 1, self._uids[at], self._flags[at], self._mod_seqs[at]) for at in indexes]
        if form.uid_only:
            return flags_uid_fetch_responses(rows, with_mod_seq=form.mod_seq)
        return flags_fetch_responses(rows, with_uid=form.uid, with_mod_seq=form.mod_seq)

    def forget_changes(self, spans: Iterable[Span]) -> None:
        """These messages' flags have just been told in the answer to a command."""
        if self._changed:
            self._changed.difference_update(*(self._uids[first:end] for first, end in spans))

    # Numbers

    def by_seq(self, numbers: SequenceSet) -> list[Span]:
        """Where the messages with these sequence numbers are.

        Raises ProtocolViolation for numbers beyond the mailbox; a range may end beyond it, as clients
        in want of "all of it" like to write.
        """
        told = self.told
        spans: list[Span] = []
        for low, high in numbers.resolve(told).ranges:
            if low > told:
                raise ProtocolViolation(f"There is no message {low}; the mailbox has {told}")
            spans.append((low - 1, min(high, told)))
        return spans

    def by_uid(self, numbers: SequenceSet) -> list[Span]:
        """Where the messages with these UIDs are; unknown UIDs are passed over (RFC 9051 §6.4.9)."""
        return self.find(numbers.resolve(self.last_uid))

    def find(self, uids: NumberSet) -> list[Span]:
        """Where the messages with these UIDs are."""
        known, told = self._uids, self.told
        spans: list[Span] = []
        for low, high in uids.ranges:
            first, end = bisect_left(known, low, 0, told), bisect_right(known, high, 0, told)
            if first == end:
                continue
            if spans and spans[-1][1] == first:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((first, end))
        return spans

    @property
    def last_uid(self) -> int:
        """The highest UID the client knows, which `*` stands for; 0 for none."""
        return self._uids[self.told - 1] if self.told else 0

    def everything(self) -> list[Span]:
        """All messages the client knows."""
        return [(0, self.told)] if self.told else []

    def uid_ranges(self, spans: Sequence[Span]) -> NumberSet:
        """A UID set that holds these messages and no other of the view.

        Its ranges may cover UIDs that were never used or are gone: exact for asking the store, which has
        no message below `uid_next` that the view lacks; not for telling a client.
        """
        uids = self._uids
        if len(spans) == 1:
            first, end = spans[0]
            return NumberSet.between(uids[first], uids[end - 1])
        return NumberSet((uids[first], uids[end - 1]) for first, end in spans)

    def uid_set(self, spans: Iterable[Span]) -> NumberSet:
        """Exactly the UIDs of these messages."""
        return NumberSet.of(uid for first, end in spans for uid in self._uids[first:end])

    def index_of(self, uid: int) -> int:
        """Where the message with this UID is, or -1 when the client knows none."""
        at = bisect_left(self._uids, uid, 0, self.told)
        return at if at < self.told and self._uids[at] == uid else -1

    def known(self, uids: Sequence[int]) -> list[int]:
        """Those of these UIDs, which go upwards, that the client has been told of."""
        if not uids or not self.told:
            return []
        last = self._uids[self.told - 1]
        if uids[-1] <= last and len(uids) == self.told:
            return list(uids)
        mine = set(self._uids[: self.told])
        return [uid for uid in uids if uid in mine]

    def numbers_of(self, uids: Sequence[int]) -> list[int]:
        """The sequence numbers of these UIDs, which go upwards; unknown ones are passed over."""
        if len(uids) * 16 < self.told:
            return [at + 1 for uid in uids if (at := self.index_of(uid)) >= 0]
        number = dict(zip(self._uids[: self.told], range(1, self.told + 1), strict=True))
        return [number[uid] for uid in uids if uid in number]

    # Columns for FETCH; each slice is a copy

    def uids(self, span: Span) -> "array[int]":
        """The UIDs of a span."""
        return self._uids[span[0] : span[1]]

    def flags(self, span: Span) -> list[FlagSet]:
        """The flags of a span."""
        return self._flags[span[0] : span[1]]

    def mod_seqs(self, span: Span) -> "array[int]":
        """The mod-sequences of a span."""
        return self._mod_seqs[span[0] : span[1]]

    def flag_counts(self, spans: Iterable[Span]) -> dict[FlagSet, int]:
        """How many messages of the spans have which flags."""
        counts: dict[FlagSet, int] = {}
        for first, end in spans:
            if end - first == 1:
                found = self._flags[first]
                counts[found] = counts.get(found, 0) + 1
                continue
            flags = self._flags[first:end]
            # PERF: lists compare one and the same object without asking it: 3 ns each, where ids take 30.
            if flags == flags[:1] * len(flags):
                counts[flags[0]] = counts.get(flags[0], 0) + len(flags)
                continue
            # PERF: equal sets are mostly one object, and comparing the sets is ten times the work.
            ids = list(map(id, flags))
            for each, count in Counter(ids).items():
                found = flags[ids.index(each)]
                counts[found] = counts.get(found, 0) + count
        return counts

    def uids_with(self, among: Collection[FlagSet], spans: Iterable[Span]) -> "array[int]":
        """The UIDs of those messages in the spans that have one of these flag sets."""
        uids = array("I")
        for first, end in spans:
            ids = list(map(id, self._flags[first:end]))
            wanted = {each: self._flags[first + ids.index(each)] in among for each in set(ids)}
            uids += array("I", compress(self._uids[first:end], map(wanted.__getitem__, ids)))
        return uids

    def restamp(self, outcome: Mapping[FlagSet, FlagSet], spans: Iterable[Span], mod_seq: int) -> None:
        """Take in the session's own STORE, which made of flags in `outcome` those it says, at `mod_seq`.

        For a view that was the mailbox just before; messages with other flags stay as they are.
        """
        for first, end in spans:
            flags = self._flags[first:end]
            ids = list(map(id, flags))
            become = {each: outcome[old] for each in set(ids) if (old := flags[ids.index(each)]) in outcome}
            for at, each in enumerate(ids, first):
                new = become.get(each)
                if new is not None:
                    self._flags[at] = new
                    self._mod_seqs[at] = mod_seq

    def restamp_all(self, outcome: Mapping[FlagSet, FlagSet], spans: Iterable[Span], mod_seq: int) -> None:
        """As restamp(), when every message of the spans has flags in `outcome`."""
        alike = set(outcome.values())
        for first, end in spans:
            if len(alike) == 1:
                self._flags[first:end] = [*alike] * (end - first)
            else:
                flags = self._flags[first:end]
                become = {
                    id(old): outcome[old] for old in dict(zip(map(id, flags), flags, strict=True)).values()
                }
                self._flags[first:end] = map(become.__getitem__, map(id, flags))
            self._mod_seqs[first:end] = array("Q", (mod_seq,)) * (end - first)

    def lacking(self, bit: int, spans: Iterable[Span]) -> list[int]:
        """The UIDs of those messages in the spans that lack this system flag and are still there."""
        gone = self._expunged or ()
        return [
            uid
            for first, end in spans
            for uid, flags in zip(self._uids[first:end], self._flags[first:end], strict=True)
            if not flags.system & bit and uid not in gone
        ]

    def having(self, bit: int, spans: Iterable[Span]) -> list[Span]:
        """The part of the spans with this system flag."""
        found: list[Span] = []
        for first, end in spans:
            for at, flags in enumerate(self._flags[first:end], first):
                if flags.system & bit:
                    if found and found[-1][1] == at:
                        found[-1] = (found[-1][0], at + 1)
                    else:
                        found.append((at, at + 1))
        return found

    def changed_since(self, mod_seq: int, spans: Iterable[Span]) -> list[Span]:
        """The part of the spans with a mod-sequence above `mod_seq` (RFC 7162 §3.1.4.1)."""
        found: list[Span] = []
        for first, end in spans:
            for at, value in enumerate(self._mod_seqs[first:end], first):
                if value > mod_seq:
                    if found and found[-1][1] == at:
                        found[-1] = (found[-1][0], at + 1)
                    else:
                        found.append((at, at + 1))
        return found

    def with_state(self, spans: list[Span]) -> list[Span]:
        """The spans without messages that were gone already when the view was loaded: see load()."""
        if not self._expunged:
            return spans
        lost = [uid for uid in self._expunged if not self._mod_seqs[bisect_left(self._uids, uid)]]
        return self.find(self.uid_set(spans).difference(NumberSet.of(lost))) if lost else spans

    def without_gone(self, spans: Iterable[Span]) -> list[Span]:
        """The spans without what is expunged and waits to be told."""
        if not self._expunged:
            return list(spans)
        return self.find(self.uid_set(spans).difference(NumberSet.of(self._expunged)))

    def gone(self, spans: Iterable[Span]) -> NumberSet:
        """The UIDs in the spans that are expunged without the client knowing yet."""
        if not self._expunged:
            return _EMPTY
        return NumberSet.of(
            uid for first, end in spans for uid in self._uids[first:end] if uid in self._expunged
        )

    def keywords(self) -> list[str]:
        """Every keyword on some message, in order of the alphabet; none before the view is loaded."""
        # PERF: equal sets are mostly one object; comparing 500 sets would be most of a SELECT.
        distinct = dict(zip(map(id, self._flags), self._flags, strict=True)).values()
        return sorted({word for flags in distinct for word in flags.keywords})

    def first_unseen(self) -> int:
        """The number of the first message without the Seen flag; 0 for none."""
        for number, flags in enumerate(self._flags[: self.told], 1):
            if not flags.system & 1:
                return number
        return 0


_NO_UIDS: Final = array("I")
_NO_MOD_SEQS: Final = array("Q")
_NO_FLAG_SETS: Final[list[FlagSet]] = []
_EMPTY: Final = NumberSet()
