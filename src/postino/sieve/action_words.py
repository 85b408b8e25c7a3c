"""What an action does, in a few words for people: for tests of a script, tables, traces.

RFC: 5228 §4 (actions).
Not here: doing it (delivery/).
"""

from typing import Final

from postino.sieve.actions import (
    Action,
    Discard,
    FileInto,
    Hold,
    Keep,
    Redirect,
    Reject,
    ReportAbuse,
    SendNotification,
    Target,
    Vacation,
)

_MOST: Final = 60


def action_words(action: Action) -> str:
    """`file in Boss, flagged $Work`."""
    match action:
        case Keep(flags=flags, edited=edited):
            said = "keep" + _flagged(flags) + _changed(edited is not None)
        case FileInto(target=target, edited=edited):
            said = f"file in {target_words(target)}" + _flagged(target.flags) + _changed(edited is not None)
        case Discard():
            said = "discard"
        case Redirect(address=address, list_name=list_name, edited=edited):
            of = f" (of the list {list_name})" if list_name else ""
            said = f"send on to {address}{of}" + _changed(edited is not None)
        case Reject(reason=reason, is_ereject=is_ereject):
            said = f"{'refuse (ereject)' if is_ereject else 'refuse'}: {_short(reason)}"
        case Vacation(reason=reason, seconds=seconds):
            said = f"answer, once in {_span(seconds)}: {_short(reason)}"
        case SendNotification(method=method):
            said = f"notify {method}"
        case Hold(seconds=seconds):
            said = "hold until released" if seconds is None else f"hold for {_span(seconds)}"
        case ReportAbuse(address=address, feedback_type=feedback_type):
            said = f"report as {feedback_type} to {address}"
        case _:
            said = type(action).__name__.lower()
    return said


def target_words(target: Target) -> str:
    """The mailbox, as the script named it."""
    wanted = target.special_use or (f"id {target.mailbox_id}" if target.mailbox_id else "")
    named = f"{target.mailbox} (or {wanted})" if wanted else target.mailbox
    return f"{named}, made if need be" if target.create else named


def _flagged(flags: tuple[str, ...]) -> str:
    return f", flagged {' '.join(flags)}" if flags else ""


def _changed(is_edited: bool) -> str:
    return ", changed" if is_edited else ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= _MOST else f"{line[:_MOST]}...")


def _span(seconds: int) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= length and seconds % length == 0:
            count = seconds // length
            return f"{count} {unit if count > 1 else unit.removesuffix('s')}"
    return f"{seconds} seconds"
