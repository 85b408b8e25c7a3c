"""What the server says of access: ACL, LISTRIGHTS, MYRIGHTS.

RFC: 4314 §3.6-3.8, §2.1.1 (c and d, for clients that know nothing newer).
"""

from collections.abc import Iterable
from typing import Final

from postino.core.rights import ALL_RIGHTS, Rights
from postino.imap.mailbox_name import encode_mailbox
from postino.imap.responses.string import astring

# Each can be given without the others; c and d stand for several, and so by themselves.
_EACH: Final = " ".join(ALL_RIGHTS.wire_letters).encode("ascii")


def acl_response(name: str, entries: Iterable[tuple[str, Rights]], *, utf8: bool) -> bytes:
    """`* ACL INBOX ann@example.org lrswipkxteacd ...`."""
    pairs = b"".join(
        [b" " + astring(who) + b" " + _rights(rights) for who, rights in entries],
    )
    return b"* ACL " + encode_mailbox(name, utf8) + pairs + b"\r\n"


def list_rights_response(name: str, identifier: str, always: Rights, *, utf8: bool) -> bytes:
    """`* LISTRIGHTS INBOX bob "" l r s ...`; who always has all can be given nothing more."""
    rest = b"" if always == ALL_RIGHTS else b" " + _EACH
    head = encode_mailbox(name, utf8) + b" " + astring(identifier)
    return b"* LISTRIGHTS " + head + b" " + _rights(always) + rest + b"\r\n"


def my_rights_response(name: str, rights: Rights, *, utf8: bool) -> bytes:
    """`* MYRIGHTS INBOX lr`."""
    return b"* MYRIGHTS " + encode_mailbox(name, utf8) + b" " + _rights(rights) + b"\r\n"


def _rights(rights: Rights) -> bytes:
    return rights.wire_letters.encode("ascii") or b'""'
