"""Read a maildrop's messages, several in one query where the client's next wishes are known or plain.

RFC: 1939 §5 (RETR), §7 (TOP).
Invariants: holds at most one batch, and of messages nobody has asked for yet at most GUESSED_OCTETS.
Not here: how answers look (pop3/replies.py), messages too large for memory beyond opening them.
"""

from typing import Any, Final

from postino.core.errors import ProtocolViolation
from postino.core.ids import AccountId
from postino.core.numset import NumberSet
from postino.pop3.commands import retr_number
from postino.pop3.framer import LineFramer
from postino.pop3.replies import first_lines
from postino.store.fetch import BodySource, Column, body_octets, fetch_rows, open_body
from postino.store.maildrop import Maildrop
from postino.store.store import Store

PIPELINED: Final = 64
"""Messages asked for at once that are read from the store in one query."""
PIPELINED_OCTETS: Final = 512 * 1024
GUESSED: Final = 32
"""Messages read with the one asked for, when the client goes through them in order."""
GUESSED_OCTETS: Final = 64 * 1024
_HEADER_OCTETS: Final = 2048
"""A guess at a header's size."""
_WHOLE: Final = frozenset({Column.HEADER, Column.BODY})
_HEADER: Final = frozenset({Column.HEADER})


class MessageReader:
    """One session's. `framer` shows which commands have come already, `deleted` what not to read."""

    def __init__(
        self, store: Store, account_id: AccountId, drop: Maildrop, framer: LineFramer, deleted: set[int]
    ) -> None:
        self._store = store
        self._account_id = account_id
        self._drop = drop
        self._framer = framer
        self._deleted = deleted
        self._ahead: dict[int, tuple[Any, ...]] = {}
        self._columns = _WHOLE
        self._last = 0

    @property
    def holds_guesses(self) -> bool:
        """Whether something was read that was not asked for yet."""
        return bool(self._ahead)

    def forget(self) -> None:
        """Let go of what was read ahead."""
        self._ahead.clear()

    def whole(self, number: int) -> bytes:
        """All of a message. Raises ProtocolViolation when another session has deleted it."""
        _, header, body = self._row(number, _WHOLE)
        octets: bytes = header + (body if type(body) is bytes else body_octets(body, self._store.blobs))
        return octets

    def top(self, number: int, lines: int) -> bytes:
        """The header and the first lines of the body; raises like `whole`."""
        row = self._row(number, _WHOLE if lines else _HEADER)
        header: bytes = row[1]
        return header + first_lines(body_octets(row[2], self._store.blobs), lines) if lines else header

    def opened(self, number: int) -> tuple[bytes, BodySource]:
        """The header, and the body to be read in pieces; raises like `whole`."""
        _, header, body = self._row(number, _WHOLE)
        return header, open_body(body, self._store.blobs)

    def _row(self, number: int, columns: frozenset[Column]) -> tuple[Any, ...]:
        row = self._ahead.pop(number, None) if columns is self._columns else None
        if row is None:
            wanted = self._wanted(number, columns)
            uids, account_id, mailbox_id = NumberSet.of(wanted), self._account_id, self._drop.mailbox_id
            rows = self._store.read_now(lambda tx: fetch_rows(tx, account_id, mailbox_id, uids, columns))
            self._ahead = {wanted[found[0]]: found for found in rows}
            self._columns = columns
            row = self._ahead.pop(number, None)
        self._last = number
        if row is None:
            raise ProtocolViolation("This message was deleted by another session")
        return row

    def _wanted(self, number: int, columns: frozenset[Column]) -> dict[int, int]:
        """The messages to read with this one, number by UID: those asked for already, or the next.

        PERF: one query for several messages costs little more than for one (bench: pop3.retr).
        """
        uids, sizes = self._drop.uids, self._drop.sizes
        wanted = {uids[number - 1]: number}
        octets = 0
        if columns is _WHOLE:
            for line in self._framer.peek(PIPELINED):
                following = retr_number(line)
                if not 0 < following <= len(sizes) or following in self._deleted:
                    break
                octets += sizes[following - 1]
                if octets > PIPELINED_OCTETS:
                    break
                wanted[uids[following - 1]] = following
        if len(wanted) == 1 and number == self._last + 1 and columns is self._columns:
            octets = 0
            for following in range(number + 1, min(number + GUESSED, len(uids)) + 1):
                octets += sizes[following - 1] if columns is _WHOLE else _HEADER_OCTETS
                if octets > GUESSED_OCTETS:
                    break
                wanted[uids[following - 1]] = following
        return wanted
