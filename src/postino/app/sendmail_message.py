"""What a program writes to sendmail, made into a message: line ends, the fields it lacks, its recipients.

RFC: 5322 §2.1, §3.6 (fields), §3.6.3 and §3.6.6 (Bcc, Resent-), 2047 §2 (encoded words), 5321 §2.3.8 (CR LF).
Invariants: lines end with CR LF and nowhere else is a CR or LF, so no field or line is hidden from anybody;
    Bcc is never sent; what is there already stays, but for addresses without a domain in the header.
Not here: the command line (sendmail_options.py), who may send as whom (the server), 8-bit octets for
    servers that take none (mime/downgrade.py).
"""

import base64
import re
from dataclasses import dataclass
from typing import Final

from postino.core.address import BadAddress, parse_address
from postino.core.errors import PostinoError
from postino.core.ids import Instant
from postino.mime.address import Group, Mailbox, parse_address_list
from postino.mime.dates import format_date

_END_BY_DOT: Final = re.compile(rb"^\.\r?(?:\n|\Z)", re.MULTILINE)
_LINE_END: Final = re.compile(rb"\r*\n")
_MBOX_LINE: Final = re.compile(rb">?From [^\n]*\n")
_FIELD: Final = re.compile(rb"([!-9;-~]+)[ \t]*:([^\n]*\n(?:[ \t][^\n]*\n)*)")
_ADDRESS_FIELDS: Final = frozenset(
    b"from sender reply-to to cc resent-from resent-sender resent-to resent-cc".split()
)
_RECIPIENT_FIELDS: Final = (b"to", b"cc", b"bcc")
_NEVER_SENT: Final = frozenset({b"bcc", b"resent-bcc", b"return-path"})
_TOKEN: Final = re.compile(
    rb'"(?:[^"\\]|\\.)*"?|<[^<>]*>|[()]|[,:;]|[^\s()<>,:;"]+|\s+|.',
    re.DOTALL,
)
_BARE: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_WORD_OCTETS: Final = 42


class BadMessage(PostinoError):
    """Nothing can be sent of this; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, and under which name this server is known."""

    user: str
    hostname: str
    now: Instant
    unique: str
    """For a Message-ID."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be handed in."""

    octets: bytes
    sender: str
    """The reverse-path without brackets, empty for the null one."""
    recipients: tuple[str, ...]
    """Each once, in the order they were named."""

    @property
    def is_8bit(self) -> bool:
        """Whether it has octets beyond ASCII."""
        return not self.octets.isascii()


def make_message(
    raw: bytes,
    *,
    writer: Writer,
    sender: str | None,
    full_name: str,
    recipients: tuple[str, ...],
    from_header: bool,
    ignore_dots: bool,
) -> Message:
    """The message that `raw` means. Raises BadMessage where there is no usable address."""
    reverse_path = writer.user if sender is None else sender
    reverse_path = _checked(reverse_path, writer.hostname) if reverse_path else ""
    fields, body = _split(_lines(raw, ignore_dots=ignore_dots))
    named = [_checked(text, writer.hostname) for argument in recipients for text in _listed(argument)]
    if from_header:
        named += [_checked(text, writer.hostname) for text in _header_recipients(fields)]
    if not named:
        raise BadMessage(
            "The message names no recipient in To, Cc or Bcc"
            if from_header
            else "No recipient is named; give addresses, or -t to take those of the message"
        )
    kept = []
    names = {name.lower() for name, _ in fields}
    for name, value in fields:
        key = name.lower()
        if key in _NEVER_SENT:
            continue
        kept.append((name, _qualified(value, writer.hostname) if key in _ADDRESS_FIELDS else value))
    missing = []
    if b"date" not in names:
        missing.append(f"Date: {format_date(writer.now)}\n")
    if b"from" not in names:
        # A message of the null reverse-path still has an author.
        author = reverse_path or _checked(writer.user, writer.hostname)
        missing.append(f"From: {_display_name(full_name)}<{author}>\n")
    if b"message-id" not in names:
        missing.append(f"Message-ID: <{writer.unique}@{writer.hostname}>\n")
    header = "".join(missing).encode("utf-8") + b"".join(b"%b:%b" % field for field in kept)
    octets = (header + b"\n" + body).replace(b"\n", b"\r\n")
    return Message(octets, reverse_path, tuple(dict.fromkeys(named)))


def _lines(raw: bytes, *, ignore_dots: bool) -> bytes:
    """The text with LF as its line end, ending in one."""
    if not ignore_dots:
        end = _END_BY_DOT.search(raw)
        if end is not None:
            raw = raw[: end.start()]
    text = _LINE_END.sub(b"\n", raw)
    # SECURITY: a CR alone is a line end to some and not to others; whoever writes one into a field's value
    # must not begin a new field by it.
    text = text.replace(b"\r", b" ").replace(b"\0", b"")
    return text if text.endswith(b"\n") or not text else text + b"\n"


def _split(text: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Header fields (name, value with its line ends) and body; the first line that is no field begins it."""
    at = 0
    if mbox := _MBOX_LINE.match(text):
        at = mbox.end()
    fields = []
    while field := _FIELD.match(text, at):
        fields.append((field[1], field[2]))
        at = field.end()
    if text.startswith(b"\n", at):
        at += 1
    return fields, text[at:]


def _header_recipients(fields: list[tuple[bytes, bytes]]) -> list[str]:
    """Whom To, Cc and Bcc name, or, of a message that was sent on, Resent-To and so on (RFC 5322 §3.6.6)."""
    for prefix in (b"resent-", b""):
        wanted = {prefix + name for name in _RECIPIENT_FIELDS}
        values = [value for name, value in fields if name.lower() in wanted]
        if values:
            return [text for value in values for text in _listed(value)]
    return []


def _listed(value: bytes | str) -> list[str]:
    found = []
    for entry in parse_address_list(value):
        members = entry.members if isinstance(entry, Group) else [entry]
        found += [_spelled(member) for member in members]
    return [text for text in found if text]


def _spelled(mailbox: Mailbox) -> str:
    local = mailbox.local_part.decode("utf-8", "replace")
    if not mailbox.domain:
        return local
    if not _BARE.fullmatch(mailbox.local_part) and mailbox.local_part.isascii():
        local = '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{local}@{mailbox.domain.decode('utf-8', 'replace')}"


def _checked(text: str, hostname: str) -> str:
    """An address, with this server's name where it has no domain."""
    literal = re.fullmatch(r"(.+@)(\[[0-9A-Za-z:.]+\])", text)
    try:
        if literal:
            return (
                str(parse_address(f"{literal[1]}literal.invalid")).removesuffix("literal.invalid")
                + literal[2]
            )
        return str(parse_address(text if "@" in text else f"{text}@{hostname}"))
    except BadAddress as error:
        raise BadMessage(str(error)) from error


def _qualified(value: bytes, hostname: str) -> bytes:
    """A field of addresses, `@hostname` put behind those that have no domain."""
    domain = b"@" + hostname.encode("utf-8")
    out: list[bytes] = []
    words: list[int] = []
    bare = angled = False
    depth = 0
    for found in _TOKEN.finditer(value):
        token = found[0]
        if token in {b"(", b")"}:
            depth = max(0, depth + (1 if token == b"(" else -1))
        elif depth:
            pass
        elif token in {b",", b";", b":"}:
            if bare and token != b":" and not angled and len(words) == 1:
                out[words[0]] += domain
            words, bare, angled = [], False, False
        elif token.startswith(b"<"):
            angled = True
            inner = token[1:-1].strip()
            if _BARE.fullmatch(inner):
                token = b"<" + inner + domain + b">"
        elif not token.isspace():
            bare = bool(_BARE.fullmatch(token))
            words.append(len(out))
        out.append(token)
    if bare and not angled and len(words) == 1:
        out[words[0]] += domain
    return b"".join(out)


def _display_name(name: str) -> str:
    """A display name and a blank, quoted or encoded as it must be; empty for none."""
    name = " ".join(name.split())
    if not name:
        return ""
    if not name.isprintable() or not name.isascii():
        words, piece = [], ""
        for character in name:
            if len((piece + character).encode("utf-8", "replace")) > _WORD_OCTETS:
                words.append(piece)
                piece = ""
            piece += character
        encoded = [base64.b64encode(w.encode("utf-8", "replace")).decode("ascii") for w in (*words, piece)]
        return "\n ".join(f"=?utf-8?b?{word}?=" for word in encoded) + " "
    if _ATOMS.fullmatch(name):
        return f"{name} "
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" '
