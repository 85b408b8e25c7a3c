"""SELECT and EXAMINE: open a mailbox.

RFC: 9051 §6.3.2 and §6.3.3, 7162 §3.1.8 (CONDSTORE) and §3.2.5 (QRESYNC).
"""

from dataclasses import dataclass
from typing import Final

from postino.core.numset import SequenceSet
from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class QresyncParam:
    """What the client remembers of the mailbox. None of the sets holds `*`."""

    uid_validity: int
    mod_seq: int
    known_uids: SequenceSet | None = None
    seq_match: tuple[SequenceSet, SequenceSet] | None = None
    """Sequence numbers and the UIDs they had, both ascending and of equal count."""


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT, or EXAMINE when `read_only`."""

    tag: bytes
    mailbox: str
    read_only: bool
    condstore: bool = False
    qresync: QresyncParam | None = None
    given: str | None = None
    """The name as the client wrote it, when that is another spelling of `mailbox`."""

    @property
    def name(self) -> str:
        """The command's name, for metrics."""
        return "EXAMINE" if self.read_only else "SELECT"


USAGE: Final = "SELECT needs a mailbox, such as SELECT INBOX"
EXAMINE_USAGE: Final = "EXAMINE needs a mailbox, such as EXAMINE INBOX"
_QRESYNC_USAGE: Final = "QRESYNC needs a UIDVALIDITY and a mod-sequence, such as (QRESYNC (6789 20050715))"


def parse_select(tag: bytes, scan: Scanner) -> Select:
    """`SP mailbox [SP select-params]`."""
    return _parse(tag, scan, read_only=False)


def parse_examine(tag: bytes, scan: Scanner) -> Select:
    """As SELECT, to look only."""
    return _parse(tag, scan, read_only=True)


def _parse(tag: bytes, scan: Scanner, *, read_only: bool) -> Select:
    scan.space()
    mailbox, given = scan.named_mailbox()
    condstore = False
    qresync = None
    if scan.accept(b" (") and not scan.accept(b")"):
        while True:
            match scan.keyword():
                case b"CONDSTORE":
                    condstore = True
                case b"QRESYNC" if qresync is None:
                    qresync = _qresync(scan)
                case _:
                    scan.fail("SELECT takes the parameters CONDSTORE and QRESYNC, each once")
            if scan.accept(b")"):
                break
            scan.space()
    scan.end()
    return Select(tag, mailbox, read_only, condstore, qresync, given)


def _qresync(scan: Scanner) -> QresyncParam:
    scan.usage = _QRESYNC_USAGE
    scan.require(b" (")
    uid_validity = scan.number(least=1)
    scan.space()
    mod_seq = scan.number64(least=1)
    known_uids = None
    seq_match = None
    if scan.accept(b" ") and scan.peek() != _OPEN:
        known_uids = _plain_set(scan)
        if not scan.accept(b")"):
            scan.space()
            seq_match = _seq_match(scan)
            scan.require(b")")
    elif scan.peek() == _OPEN:
        seq_match = _seq_match(scan)
        scan.require(b")")
    else:
        scan.require(b")")
    return QresyncParam(uid_validity, mod_seq, known_uids, seq_match)


def _seq_match(scan: Scanner) -> tuple[SequenceSet, SequenceSet]:
    scan.require(b"(")
    seqs = _plain_set(scan)
    scan.space()
    uids = _plain_set(scan)
    scan.require(b")")
    if _count(seqs) != _count(uids):
        scan.fail("QRESYNC's known message numbers and known UIDs must be equally many")
    return seqs, uids


def _plain_set(scan: Scanner) -> SequenceSet:
    found = scan.sequence_set()
    if any(0 in part for part in found.parts):
        scan.fail("QRESYNC's sets cannot hold *")
    return found


def _count(numbers: SequenceSet) -> int:
    return len(numbers.resolve(0))


_OPEN: Final = 0x28
