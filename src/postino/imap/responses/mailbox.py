r"""What the server says of mailboxes: LIST, LSUB, STATUS, NAMESPACE, FLAGS, EXISTS.

RFC: 9051 §7.3 (mailbox data) and §6.3.9.7 (OLDNAME), 5258 §3 (extended items), 3501 §7.3.2 (RECENT).
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from postino.core.mailbox_name import SHARED_PREFIX
from postino.imap.mailbox_name import encode_mailbox


def list_response(
    name: str,
    attributes: tuple[str, ...],
    *,
    utf8: bool,
    child_info: Sequence[str] = (),
    old_name: str | None = None,
    verb: bytes = b"LIST",
) -> bytes:
    r"""`* LIST (\HasNoChildren) "/" name`, with CHILDINFO and OLDNAME where given; LSUB by `verb`."""
    items: list[bytes] = []
    if child_info:
        items.append(b'"CHILDINFO" (' + " ".join(f'"{each}"' for each in child_info).encode() + b")")
    if old_name is not None:
        items.append(b'"OLDNAME" (' + encode_mailbox(old_name, utf8) + b")")
    line = list_line(verb, encode_mailbox(name, utf8), attributes)
    return line if not items else line[:-2] + b" (" + b" ".join(items) + b")\r\n"


def list_line(verb: bytes, encoded_name: bytes, attributes: tuple[str, ...]) -> bytes:
    """A LIST or LSUB response without extended items, of a name that is encoded already."""
    return b'* %b (%b) "/" %b\r\n' % (verb, _joined(attributes), encoded_name)


@lru_cache(maxsize=256)
def _joined(attributes: tuple[str, ...]) -> bytes:
    return " ".join(attributes).encode("ascii")


def list_separator_response(verb: bytes = b"LIST") -> bytes:
    """The answer to LIST "" "": the separator and the root of names (RFC 9051 §6.3.9)."""
    return b"* " + verb + b' (\\Noselect) "/" ""\r\n'


def status_response(name: str, values: Iterable[tuple[str, object]], *, utf8: bool) -> bytes:
    """`* STATUS name (MESSAGES 17 ...)`; a value is written as str() gives it."""
    items = " ".join(f"{item} {value}" for item, value in values).encode("ascii")
    return b"* STATUS " + encode_mailbox(name, utf8) + b" (" + items + b")\r\n"


def namespace_response() -> bytes:
    """One personal namespace without a prefix, other users' below Shared/; none that belongs to nobody."""
    return b'* NAMESPACE (("" "/")) (("%b" "/")) NIL\r\n' % SHARED_PREFIX.encode("ascii")


def flags_response(names: Iterable[str]) -> bytes:
    """`* FLAGS (...)`: system flags and keywords in use."""
    return b"* FLAGS (" + " ".join(names).encode("ascii") + b")\r\n"


def permanent_flags(names: Iterable[str], *, may_create: bool) -> bytes:
    r"""The code PERMANENTFLAGS; `\*` says that new keywords may be made."""
    listed = [*names, "\\*"] if may_create else list(names)
    return b"PERMANENTFLAGS (" + " ".join(listed).encode("ascii") + b")"


def exists_response(messages: int) -> bytes:
    """`* 23 EXISTS`."""
    return b"* %d EXISTS\r\n" % messages


def recent_response(messages: int = 0) -> bytes:
    """`* 0 RECENT`, which IMAP4rev1 clients wait for at SELECT; nothing is ever recent."""
    return b"* %d RECENT\r\n" % messages
