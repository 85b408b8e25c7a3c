"""CREATE: make a mailbox.

RFC: 9051 §6.3.4, 6154 §3 (USE).
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from postino.core.mailbox_name import SEPARATOR
from postino.imap.bad_command import BadCommand
from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Create:
    r"""`mailbox` without a trailing separator; `special_use` such as ("\\Sent",)."""

    name: ClassVar[str] = "CREATE"
    tag: bytes
    mailbox: str
    special_use: tuple[str, ...] = ()
    given: str | None = None
    """The name as the client wrote it, when that is another spelling of `mailbox`."""


USAGE: Final = "CREATE needs a name for the mailbox, such as CREATE Archive"
# RFC 6154 §2 has \All and \Flagged too, which would be views of other mailboxes; there are none here.
_USES: Final = {use.upper(): use for use in ("\\Archive", "\\Drafts", "\\Junk", "\\Sent", "\\Trash")}


def parse(tag: bytes, scan: Scanner) -> Create:
    r"""`SP mailbox [SP "(USE (" use-attr ... "))"]`."""
    scan.space()
    # A trailing separator says that inferiors will follow, which every mailbox here may have (§6.3.4).
    mailbox, given = scan.named_mailbox()
    mailbox = mailbox.removesuffix(SEPARATOR)
    uses: list[str] = []
    if scan.accept(b" ("):
        scan.usage = r"CREATE takes the parameter USE, such as CREATE Archive (USE (\Archive))"
        if scan.keyword() != b"USE":
            scan.fail()
        scan.require(b" (")
        while not scan.accept(b")"):
            if uses:
                scan.space()
            scan.require(b"\\")
            use = "\\" + scan.atom().decode("ascii")
            if use.upper() not in _USES:
                raise BadCommand(
                    r"A mailbox can be for \Archive, \Drafts, \Junk, \Sent or \Trash",
                    status="NO",
                    code=b"USEATTR",
                )
            uses.append(_USES[use.upper()])
        scan.require(b")")
    scan.end()
    return Create(tag, mailbox, tuple(dict.fromkeys(uses)), given)


def special_use(value: bytes) -> str | None:
    r"""A use in its right spelling, such as `\Sent`; None when it is none."""
    return _USES.get(value.decode("latin-1").upper())
