"""replace: put a text, or a MIME entity, in place of a part or of the whole message.

RFC: 5703 §5; 2046 §5.1.1 (delimiters).
Invariants: header fields that say nothing about content stay; what replaces a part cannot end it early.
Not here: making the new message (editing.py).
"""

import re
from typing import TYPE_CHECKING, Final

from postino.mime.address import Mailbox, parse_address_list
from postino.mime.encode_header import header_text, without_controls
from postino.mime.header import header_octets, raw_fields
from postino.sieve.editing import (
    crlf,
    delimiters,
    edit,
    edit_whole,
    has_line_of,
    may_edit,
    renamed_fields,
    text_entity,
    with_field,
    without_fields,
)
from postino.sieve.loop import enclosing_parts, part_at
from postino.sieve.texts import value_of
from postino.sieve.vocabulary import CommandSpec, Extension, Op, TagSpec, Takes

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.loop import Path
    from postino.sieve.run import Run

_MOST_SUBJECT: Final = 1000
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def _is_content(name: str) -> bool:
    return name.startswith("content-")


def _replace(compiling: "Compiling", bound: "Bound") -> Op:
    is_mime = "mime" in bound.tags
    for tag in ("subject", "from"):
        if is_mime and tag in bound.tags:
            compiling.fault(bound.node, f":{tag} does nothing together with :mime; remove one of them.")
    text = bound.text("replacement")
    subject = bound.text("subject") if "subject" in bound.tags else None
    sender = bound.text("from") if "from" in bound.tags else None
    if isinstance(sender, str) and not _is_sender(sender):
        compiling.fault(bound.node, f":from {sender!r} is no address; write it as in a From field.")

    def replace(run: "Run") -> bool:
        run.place = bound.place
        if not may_edit(run):
            return False
        path: Path = run.loops[-1].path if run.loops else ()
        replacement = value_of(text, run)
        for loop in run.loops:
            loop.is_replaced = loop.is_replaced or loop.path[: len(path)] == path
        if path:
            _replace_part(run, path, replacement, is_mime=is_mime)
            return False
        fields, body = _entity(replacement, [], is_mime=is_mime)
        header = without_fields(run.message.header, _is_content)
        if subject is not None:
            header = renamed_fields(header, "subject", "Original-Subject")
            field = header_text("Subject", value_of(subject, run), _MOST_SUBJECT)
            header = with_field(header, field.encode(), last=True)
        if sender is not None and _is_sender(value := value_of(sender, run)):
            header = renamed_fields(header, "from", "Original-From")
            header = with_field(header, b"From: " + value.encode() + b"\r\n", last=True)
        if not any(name.lower() == b"mime-version" for _, name, _ in raw_fields(header)):
            header = with_field(header, b"MIME-Version: 1.0\r\n", last=True)
        header = with_field(header, fields, last=True)
        edit(run, header if header_octets(header + b"X") == len(header) else header + b"\r\n", body)
        return False

    return replace


def _is_sender(text: str) -> bool:
    """Whether it can stand in a From field as it is: addresses, of ASCII, without control characters."""
    if not text.isascii() or _CONTROL.search(text) or len(text) > _MOST_SUBJECT:
        return False
    found = parse_address_list(text)
    return bool(found) and all(isinstance(one, Mailbox) and one.local_part and one.domain for one in found)


def _entity(text: str, around: list[bytes], *, is_mime: bool) -> tuple[bytes, bytes]:
    """The replacement as (content fields, body)."""
    if not is_mime:
        return text_entity(text, around)
    octets = crlf(text)
    if octets.startswith(b"\r\n"):
        return b"", octets[2:]
    end = header_octets(octets)
    given = b"".join(
        field if field.endswith(b"\n") else field + b"\r\n"
        for field, name, _ in raw_fields(octets[:end])
        if name.lower().startswith(b"content-")
    )
    return without_controls(given), octets[end:]


def _replace_part(run: "Run", path: "Path", text: str, *, is_mime: bool) -> None:
    message = run.message
    part = part_at(message.root, path)
    if part is None:
        return
    around = delimiters(enclosing_parts(message.root, path))
    fields, body = _entity(text, around, is_mime=is_mime)
    if has_line_of(body, around) or has_line_of(fields, around):
        raise run.fault("the replacement has a line that would end the part it replaces")
    whole = message.whole
    kept = without_fields(whole[part.header_start : part.body_start], _is_content)
    header = with_field(kept, fields, last=True)
    if not header.endswith((b"\n\r\n", b"\n\n")) and header not in {b"\r\n", b"\n"}:
        header += b"\r\n"
    edit_whole(run, b"".join((whole[: part.header_start], header, body, whole[part.end :])))


REPLACE: Final = Extension(
    name="replace",
    commands=(
        CommandSpec(
            name="replace",
            params=(("replacement", Takes.STRING),),
            tags=(
                TagSpec(name="mime"),
                TagSpec(name="subject", takes=Takes.STRING),
                TagSpec(name="from", takes=Takes.STRING),
            ),
            compile=_replace,
        ),
    ),
)
