"""SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS: who may do what in a mailbox.

RFC: 4314 §3.1-3.5, §7 (grammar).
Not here: which identifiers there are, and preparing them with SASLprep (servers/imap/mailboxes/acl.py).
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from postino.core.rights import AclMode, Rights, parse_rights
from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class SetAcl:
    """Give an identifier rights, more rights, or fewer."""

    name: ClassVar[str] = "SETACL"
    tag: bytes
    mailbox: str
    identifier: str
    mode: AclMode
    rights: Rights


@dataclass(frozen=True, slots=True)
class DeleteAcl:
    """Take an identifier off the list."""

    name: ClassVar[str] = "DELETEACL"
    tag: bytes
    mailbox: str
    identifier: str


@dataclass(frozen=True, slots=True)
class GetAcl:
    """The whole list."""

    name: ClassVar[str] = "GETACL"
    tag: bytes
    mailbox: str


@dataclass(frozen=True, slots=True)
class ListRights:
    """What may an identifier be given?"""

    name: ClassVar[str] = "LISTRIGHTS"
    tag: bytes
    mailbox: str
    identifier: str


@dataclass(frozen=True, slots=True)
class MyRights:
    """What may I do?"""

    name: ClassVar[str] = "MYRIGHTS"
    tag: bytes
    mailbox: str


SET_USAGE: Final = "SETACL needs a mailbox, an identifier and rights, such as SETACL Work ann@example.org lrs"
DELETE_USAGE: Final = "DELETEACL needs a mailbox and an identifier, such as DELETEACL Work ann@example.org"
GET_USAGE: Final = "GETACL needs a mailbox"
LIST_USAGE: Final = "LISTRIGHTS needs a mailbox and an identifier, such as LISTRIGHTS Work ann@example.org"
MY_USAGE: Final = "MYRIGHTS needs a mailbox"
MAX_IDENTIFIER_OCTETS: Final = 1024
_SIGNS: Final = {"+": AclMode.ADD, "-": AclMode.REMOVE}


def parse_setacl(tag: bytes, scan: Scanner) -> SetAcl:
    """`SP mailbox SP identifier SP mod-rights`."""
    mailbox, identifier = _mailbox_and_identifier(scan)
    scan.space()
    letters = scan.utf8(scan.astring(), "rights")
    scan.end()
    mode = _SIGNS.get(letters[:1], AclMode.REPLACE)
    try:
        rights = parse_rights(letters if mode is AclMode.REPLACE else letters[1:])
    except ValueError as error:
        scan.fail(str(error))
    return SetAcl(tag, mailbox, identifier, mode, rights)


def parse_deleteacl(tag: bytes, scan: Scanner) -> DeleteAcl:
    """`SP mailbox SP identifier`."""
    mailbox, identifier = _mailbox_and_identifier(scan)
    scan.end()
    return DeleteAcl(tag, mailbox, identifier)


def parse_getacl(tag: bytes, scan: Scanner) -> GetAcl:
    """`SP mailbox`."""
    return GetAcl(tag, _mailbox(scan))


def parse_listrights(tag: bytes, scan: Scanner) -> ListRights:
    """`SP mailbox SP identifier`."""
    mailbox, identifier = _mailbox_and_identifier(scan)
    scan.end()
    return ListRights(tag, mailbox, identifier)


def parse_myrights(tag: bytes, scan: Scanner) -> MyRights:
    """`SP mailbox`."""
    return MyRights(tag, _mailbox(scan))


def _mailbox(scan: Scanner) -> str:
    scan.space()
    mailbox = scan.mailbox()
    scan.end()
    return mailbox


def _mailbox_and_identifier(scan: Scanner) -> tuple[str, str]:
    scan.space()
    mailbox = scan.mailbox()
    scan.space()
    octets = scan.astring()
    if len(octets) > MAX_IDENTIFIER_OCTETS:
        scan.fail(f"An identifier has at most {MAX_IDENTIFIER_OCTETS} octets")
    return mailbox, scan.utf8(octets, "identifier")
