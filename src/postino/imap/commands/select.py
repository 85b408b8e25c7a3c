"""SELECT and EXAMINE: open a mailbox.

RFC: 9051 §6.3.2 and §6.3.3, 7162 §3.1.8 (CONDSTORE) and §3.2.5 (QRESYNC).
"""

from dataclasses import dataclass

from postino.core.numset import SequenceSet


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

    @property
    def name(self) -> str:
        """The command's name, for metrics."""
        return "EXAMINE" if self.read_only else "SELECT"
