"""What the server says of messages unasked or in bulk: EXPUNGE, VANISHED, FETCH (FLAGS), SEARCH, ESEARCH.

RFC: 9051 §7.3.4 (ESEARCH), §7.5 (EXPUNGE, FETCH), 3501 §7.2.5 (SEARCH), 7162 §3.2.10 (VANISHED) and §3.1.5.
Invariants: one call a batch, no call a message.
Not here: answers to FETCH (fetch_plan.py).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from postino.core.flags import FlagSet
from postino.core.numset import NumberSet
from postino.imap.search_return import Returning

_PIECE: Final = 4_096


def expunge_responses(seqs: Iterable[int]) -> bytes:
    """`* n EXPUNGE` lines. Each number is what it is after those before it went (RFC 9051 §7.5.1)."""
    return b"".join([b"* %d EXPUNGE\r\n" % seq for seq in seqs])


def vanished_response(uids: NumberSet, *, earlier: bool = False) -> bytes:
    """`* VANISHED uids`, with (EARLIER) when it answers what happened before; nothing for no UIDs."""
    if not uids:
        return b""
    return b"* VANISHED " + (b"(EARLIER) " if earlier else b"") + str(uids).encode("ascii") + b"\r\n"


def flags_fetch_responses(
    rows: Iterable[tuple[int, int, FlagSet, int]], *, with_uid: bool, with_mod_seq: bool
) -> bytes:
    """`* seq FETCH (FLAGS ...)` for rows of (seq, uid, flags, mod_seq)."""
    if with_uid and with_mod_seq:
        return b"".join(
            [
                b"* %d FETCH (UID %d FLAGS %b MODSEQ (%d))\r\n" % (seq, uid, flags.wire, mod_seq)
                for seq, uid, flags, mod_seq in rows
            ]
        )
    if with_uid:
        return b"".join(
            [b"* %d FETCH (UID %d FLAGS %b)\r\n" % (seq, uid, flags.wire) for seq, uid, flags, _ in rows]
        )
    if with_mod_seq:
        return b"".join(
            [
                b"* %d FETCH (FLAGS %b MODSEQ (%d))\r\n" % (seq, flags.wire, mod_seq)
                for seq, _, flags, mod_seq in rows
            ]
        )
    return b"".join([b"* %d FETCH (FLAGS %b)\r\n" % (seq, flags.wire) for seq, _, flags, _ in rows])


def flags_uid_fetch_responses(rows: Iterable[tuple[int, int, FlagSet, int]], *, with_mod_seq: bool) -> bytes:
    """The same for clients that use UIDs only: `* uid UIDFETCH (FLAGS ...)` (RFC 9586)."""
    if with_mod_seq:
        return b"".join(
            [
                b"* %d UIDFETCH (FLAGS %b MODSEQ (%d))\r\n" % (uid, flags.wire, mod_seq)
                for _, uid, flags, mod_seq in rows
            ]
        )
    return b"".join([b"* %d UIDFETCH (FLAGS %b)\r\n" % (uid, flags.wire) for _, uid, flags, _ in rows])


def search_response(numbers: Sequence[int], *, mod_seq: int | None = None, verb: bytes = b"SEARCH") -> bytes:
    """`* SEARCH 2 84 882`, for clients that did not ask for ESEARCH; `verb` may be SORT."""
    line = b"* " + verb
    if numbers:
        # PERF: in pieces that stay near the processor: 0.07 us a number, of 200,000 as of 1,000.
        line += b"".join(
            [
                (b" %d" * len(piece)) % tuple(piece)
                for piece in (numbers[at : at + _PIECE] for at in range(0, len(numbers), _PIECE))
            ]
        )
        if mod_seq is not None:
            line += b" (MODSEQ %d)" % mod_seq
    return line + b"\r\n"


def correlator(tag: bytes, mailbox: bytes = b"", uid_validity: int = 0) -> bytes:
    """Which command an ESEARCH response belongs to, and (RFC 7377 §2.1) which mailbox it speaks of."""
    if not mailbox:
        return b'(TAG "%b")' % tag
    return b'(TAG "%b" MAILBOX %b UIDVALIDITY %d)' % (tag, mailbox, uid_validity)


def esearch_response(
    about: bytes,
    *,
    by_uid: bool,
    returning: Returning,
    numbers: Sequence[int],
    scores: Sequence[int] = (),
    mod_seq: int | None = None,
) -> bytes:
    """`* ESEARCH (TAG "a") UID COUNT 5 ALL 4:19,21,28`; `numbers` in the order asked for.

    With no match MIN, MAX and ALL are left out (RFC 4731 §3.1), but PARTIAL is answered (RFC 9394 §3.1).
    `mod_seq` is the highest of the messages returned (RFC 7162 §3.1.10), left out when none is; `scores`
    has one entry for each of `numbers`.
    """
    wanted = returning.told
    line = b"* ESEARCH " + about + (b" UID" if by_uid else b"")
    if numbers:
        if "MIN" in wanted:
            line += b" MIN %d" % numbers[0]
        if "MAX" in wanted:
            line += b" MAX %d" % numbers[-1]
    if "COUNT" in wanted:
        line += b" COUNT %d" % len(numbers)
    if numbers and "ALL" in wanted:
        line += b" ALL " + ordered_set(numbers)
    if returning.partial is not None:
        part = returning.partial.of(numbers)
        some = ordered_set(part) if part else b"NIL"
        line += b" PARTIAL (%b %b)" % (str(returning.partial).encode("ascii"), some)
    if "RELEVANCY" in wanted:
        told = scores if returning.partial is None else returning.partial.of(scores)
        line += b" RELEVANCY (" + " ".join(map(str, told)).encode("ascii") + b")"
    if numbers and mod_seq is not None:
        line += b" MODSEQ %d" % mod_seq
    return line + b"\r\n"


def context_response(
    about: bytes, *, by_uid: bool, item: bytes, updates: Iterable[tuple[int, bytes]]
) -> bytes:
    """`* ESEARCH (TAG "a") UID ADDTO (1 2733)`; `updates` are positions and sets (RFC 5267 §4.3)."""
    pairs = b" ".join([b"%d %b" % update for update in updates])
    return b"* ESEARCH %b%b %b (%b)\r\n" % (about, b" UID" if by_uid else b"", item, pairs)


def ordered_set(numbers: Sequence[int]) -> bytes:
    """Numbers in this very order as a set; ranges go upwards alone (RFC 5267 §3.2)."""
    pieces: list[str] = []
    first = last = -1
    for number in numbers:
        if number == last + 1:
            last = number
            continue
        if first >= 0:
            pieces.append(str(first) if first == last else f"{first}:{last}")
        first = last = number
    if first >= 0:
        pieces.append(str(first) if first == last else f"{first}:{last}")
    return ",".join(pieces).encode("ascii")
