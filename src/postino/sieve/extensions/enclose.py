"""enclose: put the message into a new one, below a text.

RFC: 5703 §6, §11 (the enclosed octets stay); 2046 §5.1.1, §5.2.1.
Invariants: every octet of the enclosed message is there; the boundary is in no line of it.
Not here: going on with the new message (editing.py), redirect, which does not send it (run.py).
"""

import hashlib
from typing import TYPE_CHECKING, Final

from postino.core.ids import Instant
from postino.mime.dates import format_date
from postino.mime.encode_header import header_text
from postino.mime.header import raw_fields
from postino.sieve.editing import edit, may_edit, text_entity
from postino.sieve.extensions.date import moment_of
from postino.sieve.texts import value_of, values_of
from postino.sieve.vocabulary import CommandSpec, Extension, Op, TagSpec, Takes

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_TRACE: Final = frozenset({"return-path", "received", "delivered-to"})
_MOST_SUBJECT: Final = 1000


def _enclose(compiling: "Compiling", bound: "Bound") -> Op:
    text = bound.text("text")
    subject = bound.text("subject") if "subject" in bound.tags else None
    names = bound.texts.get("headers", ())

    def enclose(run: "Run") -> bool:
        run.place = bound.place
        if not may_edit(run):
            return False
        if not run.is_enclosed:
            run.is_enclosed, run.before_enclose = True, run.edited
        whole = run.message.whole
        run.spend(len(whole) >> 8)
        fields, body = text_entity(value_of(text, run))
        digest = hashlib.sha256(whole).hexdigest()[:32]
        boundary, number = f"=_{digest}", 0
        while f"--{boundary}".encode() in whole or f"--{boundary}".encode() in body:
            number += 1
            boundary = f"=_{digest}_{number}"
            run.spend(1 + (len(whole) >> 8))
        line = f"--{boundary}".encode()
        kind = b"message/rfc822" if run.message.header.isascii() else b"message/global"
        eight = b"" if whole.isascii() else b"Content-Transfer-Encoding: 8bit\r\n"
        content = b"".join(
            (
                line, b"\r\n", fields, b"\r\n", body, b"\r\n",
                line, b"\r\nContent-Type: ", kind, b"\r\n", eight, b"\r\n", whole, b"\r\n",
                line, b"--\r\n",
            )
        )  # fmt: skip
        wanted = {name.lower() for name in values_of(names, run)}
        title = header_text("Subject", value_of(subject, run), _MOST_SUBJECT) if subject is not None else ""
        header = _header(run, wanted, title, digest)
        header += b"MIME-Version: 1.0\r\n" + eight
        header += f'Content-Type: multipart/mixed;\r\n boundary="{boundary}"\r\n\r\n'.encode()
        edit(run, header, content)
        for loop in run.loops:
            loop.base, loop.path = (1, 0, *loop.base), (1, 0, *loop.path)
        return False

    return enclose


def _header(run: "Run", wanted: set[str], subject: str, digest: str) -> bytes:
    """The fields of the new message but for those of its content."""
    wanted |= _TRACE if subject else _TRACE | {"subject"}
    if subject:
        wanted.discard("subject")
    kept: list[bytes] = []
    copied: set[str] = set()
    for field, raw_name, _ in raw_fields(run.message.header):
        name = raw_name.decode("latin-1").lower()
        if name in wanted and not name.startswith("content-") and name != "mime-version":
            kept.append(field if field.endswith(b"\n") else field + b"\r\n")
            copied.add(name)
    made = [subject]
    facts = run.circumstances
    user = next((one for one in (facts.envelope_to, *facts.addresses) if one), "")
    if "date" not in copied:
        east = facts.local_minutes(facts.now)
        if moment_of(facts.now, east) is None:
            raise run.fault("the present moment is no date that can be written into a message")
        made.append(f"Date: {format_date(Instant(int(facts.now)), east)}\r\n")
    if "from" not in copied and user:
        made.append(header_text("From", f"<{user}>", _MOST_SUBJECT))
    if "message-id" not in copied:
        made.append(f"Message-ID: <{digest}.enclosed@{_domain(user)}>\r\n")
    return b"".join(kept) + "".join(made).encode()


def _domain(user: str) -> str:
    domain = user.rpartition("@")[2]
    return (
        domain if domain and domain.isascii() and domain.isprintable() and " " not in domain else "localhost"
    )


ENCLOSE: Final = Extension(
    name="enclose",
    commands=(
        CommandSpec(
            name="enclose",
            params=(("text", Takes.STRING),),
            tags=(
                TagSpec(name="subject", takes=Takes.STRING),
                TagSpec(name="headers", takes=Takes.STRINGS),
            ),
            compile=_enclose,
        ),
    ),
)
