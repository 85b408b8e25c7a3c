"""GETQUOTA, GETQUOTAROOT and SETQUOTA: how much may an account hold, and how much does it?

RFC: 9208 §4.1 and §7; the same commands of RFC 2087.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class GetQuota:
    """The usage and limits of one root."""

    name: ClassVar[str] = "GETQUOTA"
    tag: bytes
    root: bytes


@dataclass(frozen=True, slots=True)
class GetQuotaRoot:
    """The roots of a mailbox, which need not exist."""

    name: ClassVar[str] = "GETQUOTAROOT"
    tag: bytes
    mailbox: str


@dataclass(frozen=True, slots=True)
class SetQuota:
    """`limits` by resource, whose names are in upper case and need not be known here."""

    name: ClassVar[str] = "SETQUOTA"
    tag: bytes
    root: bytes
    limits: tuple[tuple[str, int], ...]


GET_USAGE: Final = "GETQUOTA needs the name of a quota root, which GETQUOTAROOT tells"
GET_ROOT_USAGE: Final = "GETQUOTAROOT needs a mailbox, such as GETQUOTAROOT INBOX"
SET_USAGE: Final = (
    "SETQUOTA needs a quota root and a list of resources with limits, such as (STORAGE 5242880 MESSAGE 9000)"
)
MAX_ROOT_OCTETS: Final = 1000
MAX_RESOURCES: Final = 20


def parse_getquota(tag: bytes, scan: Scanner) -> GetQuota:
    """`SP quota-root-name`."""
    scan.space()
    root = _root(scan)
    scan.end()
    return GetQuota(tag, root)


def parse_getquotaroot(tag: bytes, scan: Scanner) -> GetQuotaRoot:
    """`SP mailbox`."""
    scan.space()
    mailbox = scan.mailbox()
    scan.end()
    return GetQuotaRoot(tag, mailbox)


def parse_setquota(tag: bytes, scan: Scanner) -> SetQuota:
    """`SP quota-root-name SP "(" [setquota-resource *(SP setquota-resource)] ")"`."""
    scan.space()
    root = _root(scan)
    scan.space()
    scan.require(b"(")
    limits: dict[str, int] = {}
    while not scan.accept(b")"):
        if limits:
            scan.space()
        resource = scan.keyword().decode("ascii")
        if resource in limits:
            scan.fail("SETQUOTA names each resource only once")
        scan.space()
        limits[resource] = scan.number64()
        if len(limits) > MAX_RESOURCES:
            scan.fail(f"SETQUOTA takes at most {MAX_RESOURCES} resources")
    scan.end()
    return SetQuota(tag, root, tuple(limits.items()))


def _root(scan: Scanner) -> bytes:
    root = scan.astring()
    if len(root) > MAX_ROOT_OCTETS:
        scan.fail("The name of the quota root is too long")
    return root
