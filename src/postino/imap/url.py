"""IMAP URLs that name one message or a part of one: what CATENATE may be told to copy.

RFC: 5092 §6 (messages and parts), §7 (relative URLs), §11 (syntax), 3986 §2.1 (percent encoding).
Exposure: octets of a client that has logged in.
Invariants: any octets give a MessageUrl or BadUrl, nothing else.
Not here: whether this server has such a message (servers/imap/messages/catenate.py); lists of
    messages, searches and URLAUTH, which name no octets that could be copied.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from postino.core.numset import MAX_NUMBER
from postino.imap.bad_command import BadCommand
from postino.imap.fetch_grammar import fetch_items
from postino.imap.fetch_item import BodySection
from postino.imap.framer import CommandFrame
from postino.imap.mailbox_name import decode_mailbox
from postino.imap.parse_options import ParseOptions
from postino.imap.scanner import Scanner


class BadUrl(ValueError):
    """The octets are no URL of a message; `str(error)` says why in one sentence."""


@dataclass(frozen=True, slots=True)
class MessageUrl:
    """A message, or the part of it that `section` cuts out, as FETCH BODY.PEEK would give it."""

    host: str | None
    """In lower case; None for a URL relative to the server it is said to."""
    user: str | None
    mailbox: str
    uid_validity: int | None
    uid: int
    section: BodySection


# Each part ends where a character comes that it cannot hold, so nothing is matched twice.
_URL: Final = re.compile(
    rb"(?:(?:imap:)?//(?:(?P<user>[^/?#@;]*)(?:;AUTH=[^/?#@;]*)?@)?(?P<host>[^/?#@:;]+)(?::[0-9]{0,5})?)?"
    rb"/(?!/)(?P<mailbox>[^;?#]+?)(?:;UIDVALIDITY=(?P<uid_validity>[0-9]{1,10}))?"
    rb"/;UID=(?P<uid>[0-9]{1,10})"
    rb"(?:/;SECTION=(?P<section>[^;?#]+?))?"
    rb"(?:/;PARTIAL=(?P<first>[0-9]{1,10})(?:\.(?P<count>[0-9]{1,10}))?)?",
    re.IGNORECASE,
)
_PRINTABLE: Final = re.compile(rb"[\x21-\x7e]{1,8000}")
_BAD_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_USAGE: Final = "A URL here names a message or a part of one, such as /Drafts/;UID=20/;SECTION=1.2"


def parse_message_url(octets: bytes) -> MessageUrl:
    """The message a URL names. Raises BadUrl.

    A reference relative to a mailbox (`;UID=20`) is refused, as RFC 5092 §7.2 demands.
    """
    if _PRINTABLE.fullmatch(octets) is None or _BAD_PERCENT.search(octets):
        raise BadUrl("A URL is printable ASCII, with every other octet written as % and two digits")
    found = _URL.fullmatch(octets)
    if found is None:
        raise BadUrl(_USAGE)
    host, user, uid_validity = found["host"], found["user"], found["uid_validity"]
    return MessageUrl(
        host=None if host is None else _text(host).lower(),
        user=None if not user else _text(user),
        mailbox=_mailbox(found["mailbox"]),
        uid_validity=None if uid_validity is None else _number(uid_validity),
        uid=_number(found["uid"]),
        section=_section(found["section"], _partial(found["first"], found["count"])),
    )


def _text(encoded: bytes) -> str:
    try:
        return unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        raise BadUrl("Names in a URL are UTF-8") from None


def _mailbox(encoded: bytes) -> str:
    try:
        # RFC 5092 §8: UTF-8 also where the session itself speaks modified UTF-7.
        return decode_mailbox(unquote_to_bytes(encoded), utf8=True)
    except BadCommand as error:
        raise BadUrl(str(error)) from None


def _number(digits: bytes) -> int:
    number = int(digits)
    if not 1 <= number <= MAX_NUMBER:
        raise BadUrl(f"UID and UIDVALIDITY are numbers from 1 to {MAX_NUMBER}")
    return number


def _partial(first: bytes | None, count: bytes | None) -> tuple[int, int] | None:
    if first is None:
        return None
    most = MAX_NUMBER if count is None else int(count)
    if most < 1:
        raise BadUrl("PARTIAL is an offset and, after a dot, a count of at least 1")
    return int(first), most


def _section(encoded: bytes | None, partial: tuple[int, int] | None) -> BodySection:
    # FETCH's own grammar reads the section, so that both mean the same octets by it.
    text = b"BODY.PEEK[" + unquote_to_bytes(encoded or b"") + b"]"
    scan = Scanner(CommandFrame((text,)), 0, ParseOptions(), _USAGE)
    try:
        items = fetch_items(scan)
        scan.end()
    except BadCommand as error:
        raise BadUrl(str(error)) from None
    item = items[0]
    if not isinstance(item, BodySection) or item.partial is not None:
        raise BadUrl(_USAGE)
    return BodySection(item.section, partial, peek=True)
