"""vacation and vacation-seconds: answer who wrote, once in a while.

RFC: 5230 §4 (the action), 6131 §2 (:seconds), 8580 §5 (:fcc), 6785 §3.11 (not for what IMAP does).
Invariants: at most one in a script, whether or not an answer is due; what tells answers apart is not made of
    the message.
Not here: whether an answer is due (personal.py), was given lately (store/), what it looks like (delivery/).
"""

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from postino.mime.address import Mailbox, parse_address_list
from postino.sieve.actions import Vacation
from postino.sieve.basics.actions import good_address
from postino.sieve.extensions.fcc import copy_target
from postino.sieve.language.syntax import Text
from postino.sieve.personal import why_not_answered
from postino.sieve.texts import value_of, values_of
from postino.sieve.vocabulary import CommandSpec, Extension, MoreTags, Op, TagSpec, Takes

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_DAY: Final = 86_400
_LEAST_DAYS: Final = 1
_MOST_DAYS: Final = 365
_DAYS: Final = 7
_MOST_NUMBER: Final = 2**31
_SPACES: Final = re.compile(r"[\x00-\x20\x7f]+")
_FIELD: Final = re.compile(r"[!-9;-~]+[ \t]*:[^\x00]*|[ \t]+[^\x00]*")


def header_address(text: str) -> int:
    """How many addresses a header value names; 0 when it is no list of addresses mail can be sent to."""
    found = parse_address_list(text)
    if all(isinstance(one, Mailbox) and good_address(one.addr_spec) is not None for one in found):
        return len(found)
    return 0


def _seconds(compiling: "Compiling", bound: "Bound") -> int:
    if "seconds" in bound.numbers:
        if bound.numbers["seconds"] > _MOST_NUMBER:
            compiling.fault(bound.node, f":seconds is at most {_MOST_NUMBER}.")
        return min(bound.numbers["seconds"], _MOST_DAYS * _DAY)
    return min(max(bound.numbers.get("days", _DAYS), _LEAST_DAYS), _MOST_DAYS) * _DAY


def _handle(bound: "Bound") -> str:
    """What tells this answer from others, before variables are put in (RFC 5230 §4.2)."""
    given = bound.tags.get("handle")
    if isinstance(given, Text):
        return given.value
    reason = bound.node.arguments[-1]
    pieces = [bound.tags.get("subject"), bound.tags.get("from"), reason]
    texts = [
        piece.value.encode("utf-8", "surrogateescape") if isinstance(piece, Text) else None
        for piece in pieces
    ]
    # A missing argument is not one that is empty.
    said = b"".join(b"-" if text is None else b"%d:%s" % (len(text), text) for text in texts)
    return "made:" + sha256(said + (b"mime" if "mime" in bound.tags else b"")).hexdigest()[:32]


def _check(compiling: "Compiling", bound: "Bound") -> None:
    sender = bound.text("from") if "from" in bound.tags else None
    if isinstance(sender, str):
        count = header_address(sender)
        if count == 0:
            compiling.fault(
                bound.node, f":from takes an address, which {sender!r} is not; write me@example.org."
            )
        elif count > 1:
            compiling.warn(bound.node, ":from names several addresses; answers then come from your own.")
    for address in bound.texts.get("addresses", ()):
        if isinstance(address, str) and good_address(address) is None:
            compiling.warn(bound.node, f"{address!r} of :addresses is no address; it will never match.")
    reason = bound.text("reason")
    if "mime" in bound.tags and isinstance(reason, str):
        header = re.split(r"\r?\n\r?\n", reason, maxsplit=1)[0] if not reason.startswith(("\r", "\n")) else ""
        if not header.isascii():
            compiling.fault(
                bound.node, "With :mime, the fields at the top are ASCII only; encode what is not."
            )
        elif any(_FIELD.fullmatch(line) is None for line in header.splitlines()):
            words = "With :mime, the text begins with fields such as Content-Type: and an empty line."
            compiling.fault(bound.node, words)


def _vacation(compiling: "Compiling", bound: "Bound") -> Op:
    _check(compiling, bound)
    seconds, handle = _seconds(compiling, bound), _handle(bound)
    reason, is_mime = bound.text("reason"), "mime" in bound.tags
    subject = bound.text("subject") if "subject" in bound.tags else ""
    sender = bound.text("from") if "from" in bound.tags else ""
    addresses = bound.texts.get("addresses", ())
    target = copy_target(compiling, bound)

    def vacation(run: "Run") -> bool:
        run.place = bound.place
        if run.during_imap():
            raise run.fault("vacation answers messages that come in; this one is in a mailbox already")
        if run.is_answered:
            raise run.fault("vacation can be used once for a message, and was used before")
        run.is_answered = True
        if run.is_outgoing():
            run.note("not answered: it is the account's own message")
            return False
        action = Vacation(
            place=bound.place,
            reason=value_of(reason, run),
            is_mime=is_mime,
            subject=_SPACES.sub(" ", value_of(subject, run)).strip(),
            from_address=_usable(value_of(sender, run)),
            handle=handle,
            seconds=seconds,
            fcc=target(run),
        )
        if why := why_not_answered(run, values_of(addresses, run)):
            # That it cannot be answered and refused holds also where no answer is due.
            run.conflicts(action)
            run.note(f"not answered: {why}")
        else:
            run.add(action, ends_keep=False)
        return False

    return vacation


def _usable(sender: str) -> str:
    # RFC 5230 §4.3: what is no address is ignored, rather than that nothing is sent.
    return sender if header_address(sender) == 1 else ""


VACATION: Final = Extension(
    name="vacation",
    commands=(
        CommandSpec(
            name="vacation",
            params=(("reason", Takes.STRING),),
            tags=(
                TagSpec(name="days", takes=Takes.NUMBER, group="period"),
                TagSpec(name="subject", takes=Takes.STRING),
                TagSpec(name="from", takes=Takes.STRING),
                TagSpec(name="addresses", takes=Takes.STRINGS),
                TagSpec(name="mime"),
                TagSpec(name="handle", takes=Takes.STRING),
            ),
            compile=_vacation,
        ),
    ),
)
VACATION_SECONDS: Final = Extension(
    name="vacation-seconds",
    implies=("vacation",),
    more_tags=(
        MoreTags(to=("vacation",), tags=(TagSpec(name="seconds", takes=Takes.NUMBER, group="period"),)),
    ),
)
