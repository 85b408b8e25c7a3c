"""Keep the ready answers of lists in memory, so that the next client's list needs no database.

Invariants: what is kept never becomes wrong: a UID of a mailbox always means the same octets, and the ids
    of accounts and mailboxes are never given twice; so nothing is ever taken back, only forgotten for
    lack of room. The room is bounded by `octets`, whatever clients ask for.
Not here: whether a message is still there (postino.imap.view), what an answer looks like
    (postino.imap.fetch_plan).
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import zstandard

from postino.core.ids import AccountId, MailboxId

DEFAULT_OCTETS: Final = 64 * 1024 * 1024
ENTRY_OCTETS: Final = 150
"""What one answer takes besides its octets: its UID, its place in a table, the object's head."""
SHELF_OCTETS: Final = 1024
PACK_OCTETS: Final = 300
"""What a pack takes besides its octets and its UIDs."""
PLAIN_PART: Final = 8
"""Past this part of the room, one shelf's answers are kept compressed: a list of a very large mailbox that is
forgotten before it is asked for again was kept for nothing."""
LEAST_PACKED: Final = 128
"""Fewer answers than this are not worth a pack ..."""
MOST_PACKED: Final = 1024 * 1024
"""... and more octets are too much to undo for one of them."""
USUAL_GAIN: Final = 4
"""How much smaller packs are at least, as a rule."""
_LEVEL: Final = -1


class _Pack:
    """Some hundred answers, compressed together."""

    __slots__ = ("octets", "packed", "uids")

    def __init__(self, uids: "array[int]", packed: bytes) -> None:
        self.uids = uids
        self.packed = packed
        self.octets = PACK_OCTETS + len(packed) + uids.itemsize * len(uids)

    def joined(self) -> bytes:
        """In the order of `uids`, as Shelf.joined."""
        # One for each time: they are not to be used by two threads, and cost 1 us.
        return zstandard.ZstdDecompressor().decompress(self.packed)

    def are(self, uids: "array[int]") -> bool:
        """Whether the answers are those of these messages."""
        return len(uids) == len(self.uids) and uids.tobytes() == self.uids.tobytes()


def _pack(uids: Sequence[int], answers: Sequence[bytes], between: bytes) -> _Pack | None:
    """The answers as a pack; None when they cannot be told apart in it."""
    joined = between.join([answer.replace(b"%", b"%%") if b"%" in answer else answer for answer in answers])
    if joined.count(between) != len(answers) - 1:
        return None
    # PERF: level -1 takes 0.8 us for an ENVELOPE, once, and 0.2 back, and leaves a fifth of it; level 3 takes
    # twice as long to leave a sixth.
    return _Pack(array("I", uids), zstandard.ZstdCompressor(level=_LEVEL).compress(joined))


class Shelf:
    """The answers to one list of items, of one mailbox."""

    __slots__ = (
        "_between",
        "_first",
        "_packs",
        "_unpacked",
        "answers",
        "count",
        "is_kept",
        "octets",
        "said_octets",
    )

    def __init__(self, octets: int, between: bytes) -> None:
        self._between = between
        self.answers: dict[int, bytes] = {}
        """By UID; perhaps of messages that are expunged by now."""
        self._packs: list[_Pack] = []
        """Going upwards by UID, no two of them having UIDs in between the other's."""
        self._first: list[int] = []
        """The first UID of each."""
        self._unpacked: tuple[_Pack, list[bytes]] | None = None
        """The pack looked into last: lists come to its other part next."""
        self.octets = octets
        self.count = 0
        self.said_octets = 0
        """What all answers are together when they are said."""
        self.is_kept = True

    def find(self, uids: Sequence[int]) -> list[bytes | None]:
        """The answer for each of these, which go upwards; None where it is not known."""
        if not self._packs or not uids:
            return list(map(self.answers.get, uids))
        found: list[bytes | None] = []
        at, end = 0, len(uids)
        number = max(0, bisect_right(self._first, uids[0]) - 1)
        while at < end and number < len(self._packs):
            pack = self._packs[number]
            number += 1
            first = bisect_left(uids, pack.uids[0], at)
            after = bisect_right(uids, pack.uids[-1], first)
            found += map(self.answers.get, uids[at:first])
            at = after
            if first < after:
                found += self._in_pack(pack, uids[first:after])
        found += map(self.answers.get, uids[at:])
        return found

    def joined(self, uids: Sequence[int]) -> bytes | None:
        """The answers for these as a template, if they are just what some packs hold.

        In between stands what the shelf was made with.
        """
        number = bisect_left(self._first, uids[0]) if self._packs and uids else 0
        wanted = array("I", uids)
        packs: list[_Pack] = []
        at = 0
        while at < len(wanted) and number < len(self._packs):
            pack = self._packs[number]
            after = at + len(pack.uids)
            if not pack.are(wanted[at:after]):
                return None
            packs.append(pack)
            at, number = after, number + 1
        return self._between.join([pack.joined() for pack in packs]) if packs and at == len(wanted) else None

    def _in_pack(self, pack: _Pack, uids: Sequence[int]) -> list[bytes | None]:
        if self._unpacked is not None and self._unpacked[0] is pack:
            answers = self._unpacked[1]
        else:
            answers = pack.joined().split(self._between)
            answers = [answer.replace(b"%%", b"%") if b"%" in answer else answer for answer in answers]
        if pack.are(array("I", uids)):
            self._unpacked = None
            return list(answers)
        self._unpacked = pack, answers
        known = dict(zip(pack.uids, answers, strict=True))
        loose = self.answers.get
        return [known.get(uid) or loose(uid) for uid in uids]

    def add(self, uids: Sequence[int], answers: Sequence[bytes]) -> None:
        """Keep these as they are."""
        self.answers.update(zip(uids, answers, strict=True))

    def add_pack(self, uids: Sequence[int], answers: Sequence[bytes]) -> int | None:
        """Keep these compressed; gives how many octets they take, None when that cannot be."""
        place = bisect_left(self._first, uids[0])
        if place and self._packs[place - 1].uids[-1] >= uids[0]:
            return None
        if place < len(self._packs) and self._first[place] <= uids[-1]:
            return None
        pack = _pack(uids, answers, self._between)
        if pack is None:
            return None
        self._packs.insert(place, pack)
        self._first.insert(place, uids[0])
        return pack.octets


class ListCache:
    """One for each worker. The shelves used last stay."""

    def __init__(self, octets: int = DEFAULT_OCTETS) -> None:
        self.octets = octets
        self.used = 0
        self._shelves: OrderedDict[tuple[AccountId, MailboxId, bytes, bytes], Shelf] = OrderedDict()

    def shelf(
        self, account_id: AccountId, mailbox_id: MailboxId, items: bytes, between: bytes = b"\r\n"
    ) -> Shelf:
        """Where the answers to `items` are kept; good for as long as a command takes.

        `between` is the template of what stands between two answers when many are told; it should be in none.
        """
        key = (account_id, mailbox_id, items, between)
        found = self._shelves.get(key)
        if found is None:
            found = self._shelves[key] = Shelf(SHELF_OCTETS + len(items) + len(between), between)
            self.used += found.octets
            self._make_room()
        else:
            self._shelves.move_to_end(key)
        return found

    def put(self, shelf: Shelf, uids: Sequence[int], answers: Sequence[bytes]) -> None:
        """Keep these answers, unless the shelf would then take more than half of the room.

        `uids` go upwards. Nothing of the shelf is forgotten for them: of a list that is too long, and read
        from its start again and again, the first part stays.
        """
        if not shelf.is_kept or not answers:
            return
        said = sum(map(len, answers))
        octets = ENTRY_OCTETS * len(answers) + said
        if (
            shelf.octets + octets > self.octets // PLAIN_PART
            and len(answers) >= LEAST_PACKED
            and said <= MOST_PACKED
        ):
            if shelf.octets + octets // USUAL_GAIN > self.octets // 2:
                return
            packed = shelf.add_pack(uids, answers)
            if packed is not None:
                self._note(shelf, len(answers), said, packed)
                return
        if shelf.octets + octets > self.octets // 2:
            return
        shelf.add(uids, answers)
        self._note(shelf, len(answers), said, octets)

    def _note(self, shelf: Shelf, count: int, said: int, octets: int) -> None:
        shelf.count += count
        shelf.said_octets += said
        shelf.octets += octets
        self.used += octets
        self._make_room()

    def _make_room(self) -> None:
        while self.used > self.octets and self._shelves:
            _, oldest = self._shelves.popitem(last=False)
            oldest.is_kept = False
            self.used -= oldest.octets
