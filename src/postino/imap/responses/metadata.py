"""What the server says of annotations: METADATA with values and without, and its response codes.

RFC: 5464 §4.4 (responses), §5 (codes).
"""

from collections.abc import Iterable
from typing import Final

from postino.imap.mailbox_name import encode_mailbox
from postino.imap.responses.string import astring, nstring8

TOO_MANY: Final = b"METADATA TOOMANY"


def metadata_response(mailbox: str, values: Iterable[tuple[str, bytes | None]], *, utf8: bool) -> bytes:
    """`* METADATA INBOX (/shared/comment "Ours")`; an empty mailbox is the server, None is NIL."""
    listed = b" ".join([astring(entry) + b" " + nstring8(value) for entry, value in values])
    return b"* METADATA " + encode_mailbox(mailbox, utf8) + b" (" + listed + b")\r\n"


def metadata_changed_response(mailbox: str, entries: Iterable[str], *, utf8: bool) -> bytes:
    """`* METADATA INBOX /shared/comment`: these changed, or went; their values are to be asked for."""
    listed = b" ".join([astring(entry) for entry in entries])
    return b"* METADATA " + encode_mailbox(mailbox, utf8) + b" " + listed + b"\r\n"


def long_entries(octets: int) -> bytes:
    """The code for values that MAXSIZE left out: the size of the largest."""
    return b"METADATA LONGENTRIES %d" % octets


def max_size(octets: int) -> bytes:
    """The code for a value that is too large: the most a value may have."""
    return b"METADATA MAXSIZE %d" % octets
