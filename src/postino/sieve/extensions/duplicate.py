"""duplicate: whether the account saw a message, or anything else with an id, before.

RFC: 7352 §3 (the test), §3.1 (:header, :uniqueid), §3.2 (:handle), §3.3 (:seconds, :last), §3.4 (imapsieve).
Invariants: what is seen now is remembered only when the script's actions succeed, and not asked about before.
Not here: remembering (delivery/, store/).
"""

import re
from typing import TYPE_CHECKING, Final

from postino.sieve.actions import Remembered
from postino.sieve.message import decoded_value
from postino.sieve.texts import value_of
from postino.sieve.vocabulary import Check, Extension, TagSpec, Takes, TestSpec

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_USUAL_SECONDS: Final = 7 * 86_400
_MOST_SECONDS: Final = 90 * 86_400
_FIELD_NAME: Final = re.compile(r"[!-9;-~]+")


def _duplicate(compiling: "Compiling", bound: "Bound") -> Check:
    seconds = min(bound.numbers.get("seconds", _USUAL_SECONDS), _MOST_SECONDS)
    is_last = "last" in bound.tags
    handle_text = bound.text("handle") if "handle" in bound.tags else ""
    id_text = bound.text("uniqueid") if "uniqueid" in bound.tags else None
    name_text = bound.text("header") if "header" in bound.tags else "message-id"

    def duplicate(run: "Run") -> bool:
        if run.during_imap():
            run.place = bound.place
            raise run.fault("duplicate is for delivery; it cannot be used on what IMAP does")
        if seconds == 0:
            return False
        if id_text is not None:
            unique_id = value_of(id_text, run)
        else:
            name = value_of(name_text, run)
            values = run.message.fields.get(name.lower()) if _FIELD_NAME.fullmatch(name) else None
            if not values:
                return False
            unique_id = decoded_value(values[0])
        handle = value_of(handle_text, run)
        was_seen = run.surroundings.was_seen(handle, unique_id, run.circumstances.now)
        if not was_seen or is_last:
            _remember(run, Remembered(handle=handle, unique_id=unique_id, seconds=seconds, is_last=is_last))
        return was_seen

    return duplicate


def _remember(run: "Run", seen: Remembered) -> None:
    # The last test of the same id says for how long (RFC 7352 §3.3 leaves that open).
    for number, known in enumerate(run.remembered):
        if (known.handle, known.unique_id) == (seen.handle, seen.unique_id):
            run.remembered[number] = seen
            return
    if len(run.remembered) >= run.budget.actions:
        raise run.fault(f"duplicate was asked about more than {run.budget.actions} ids")
    run.remembered.append(seen)


DUPLICATE: Final = Extension(
    name="duplicate",
    tests=(
        TestSpec(
            name="duplicate",
            tags=(
                TagSpec(name="handle", takes=Takes.STRING),
                TagSpec(name="header", takes=Takes.STRING, group="id"),
                TagSpec(name="uniqueid", takes=Takes.STRING, group="id"),
                TagSpec(name="seconds", takes=Takes.NUMBER),
                TagSpec(name="last"),
            ),
            compile=_duplicate,
        ),
    ),
)
