"""Mailbox names between the wire and the store.

RFC: 9051 §5.1 (names, INBOX), 3501 §5.1.3 (modified UTF-7), 6855 §3 (UTF-8, Net-Unicode).
Invariants: inside, a name is NFC text with "/" between levels and INBOX in upper case, whatever way it
    came; decode(encode(name)) == name; two spellings of one name cannot become two mailboxes.
Not here: the one spelling of a name (core/mailbox_name.py), which may be created (store/mailboxes.py).
"""

import binascii
import re
from functools import lru_cache
from typing import Final

from postino.core.mailbox_name import canonical_name, canonical_pattern
from postino.imap.bad_command import BadCommand
from postino.imap.responses.string import astring, literal

# RFC 6855 §3: control characters and the two Unicode line ends may not stand in a name.
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SHIFTED: Final = re.compile(rb"&([A-Za-z0-9+,]*)-")
_UNSHIFTED: Final = re.compile(rb"[\x20-\x25\x27-\x7e]*")
# Of four letters on, so that it is not NIL.
_PLAIN: Final = re.compile("[A-Za-z0-9/._@+=-]{4,500}")
_TO_SHIFT: Final = re.compile(r"&|[^\x20-\x7e]+")
_UTF8_QUOTABLE: Final = re.compile(rb"[^\x00\r\n]{0,1000}")


def decode_mailbox(octets: bytes, utf8: bool) -> str:
    """The name a client means. Raises BadCommand for octets that encode no name."""
    return canonical_name(_decode_text(octets, utf8))


def other_spelling(octets: bytes, utf8: bool, name: str) -> str | None:
    """The name as the client wrote it, when that is not `name`, which decode_mailbox() gave."""
    given = _decode_text(octets, utf8)
    return None if given == name else given


# PERF: clients name the same few mailboxes all day: 0.1 us instead of 5 (bench: imap.status).
@lru_cache(maxsize=1024)
def decode_named(octets: bytes, utf8: bool) -> tuple[str, str | None]:
    """decode_mailbox() and other_spelling() in one."""
    name = decode_mailbox(octets, utf8)
    return name, other_spelling(octets, utf8, name)


def decode_pattern(octets: bytes, utf8: bool) -> str:
    """A LIST pattern or reference: like a name, but only a whole first level `inbox` is INBOX."""
    return canonical_pattern(_decode_text(octets, utf8))


def encode_mailbox(name: str, utf8: bool) -> bytes:
    """The name as an `astring` of a response."""
    # PERF: most names are plain atoms, and lists are made of hundreds (bench: imap LIST).
    if _PLAIN.fullmatch(name):
        return name.encode("ascii")
    if name.isascii():
        return astring(name.replace("&", "&-") if not utf8 and "&" in name else name)
    return _quote_utf8(name.encode()) if utf8 else astring(encode_utf7(name))


def _quote_utf8(octets: bytes) -> bytes:
    # Only names: text that may hold CR or NUL goes through responses.string.
    if not _UTF8_QUOTABLE.fullmatch(octets):
        return literal(octets)
    return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _decode_text(octets: bytes, utf8: bool) -> str:
    if utf8:
        try:
            name = octets.decode()
        except UnicodeDecodeError:
            raise BadCommand("The mailbox name is not UTF-8") from None
    else:
        name = decode_utf7(octets)
    if _FORBIDDEN.search(name):
        raise BadCommand("A mailbox name cannot hold control characters")
    return name


@lru_cache(maxsize=1024)
def decode_utf7(octets: bytes) -> str:
    """Undo modified UTF-7, strictly: only the one encoding encode_utf7() makes is accepted."""
    if b"&" not in octets and octets.isascii():
        return octets.decode("ascii")
    pieces: list[str] = []
    at = 0
    while at < len(octets):
        plain = _UNSHIFTED.match(octets, at)
        assert plain is not None  # the pattern matches the empty string
        pieces.append(plain.group().decode("ascii"))
        at = plain.end()
        if at == len(octets):
            break
        shifted = _SHIFTED.match(octets, at)
        if shifted is None:
            raise _not_utf7()
        pieces.append(_unshift(shifted.group(1)))
        at = shifted.end()
    name = "".join(pieces)
    # SECURITY: superfluous shifts and shifted ASCII would give one mailbox several names (§5.1.3).
    if encode_utf7(name) != octets:
        raise _not_utf7()
    return name


def _unshift(base64: bytes) -> str:
    if not base64:
        return "&"
    try:
        raw = binascii.a2b_base64(base64.replace(b",", b"/") + b"=" * (-len(base64) % 4))
        return raw.decode("utf-16-be")
    except (binascii.Error, UnicodeDecodeError):
        raise _not_utf7() from None


def _not_utf7() -> BadCommand:
    return BadCommand(
        "The mailbox name is not modified UTF-7; write & as &- and encode other characters, "
        "or ENABLE IMAP4rev2 and send UTF-8"
    )


@lru_cache(maxsize=4096)
def encode_utf7(name: str) -> bytes:
    """Modified UTF-7 of the name, without quotes."""
    return _TO_SHIFT.sub(_shift, name).encode("ascii")


def _shift(found: re.Match[str]) -> str:
    text = found.group()
    if text == "&":
        return "&-"
    base64 = binascii.b2a_base64(text.encode("utf-16-be"), newline=False).rstrip(b"=").replace(b"/", b",")
    return f"&{base64.decode('ascii')}-"
