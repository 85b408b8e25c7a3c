"""envelope-dsn and envelope-deliverby: what MAIL and RCPT said of reports and of the time it may take.

RFC: 6009 §4 (notify, orcpt, ret, envid), §5 (bytimeabsolute, bytimerelative, bymode, bytrace, :zone).
Not here: the test (basics/envelope.py).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from postino.sieve.vocabulary import EnvelopePart, Extension, MoreTags, TagSpec, Takes
from postino.sieve.zones import iso_time

if TYPE_CHECKING:
    from postino.sieve.circumstances import Circumstances
    from postino.sieve.run import Run

_MODES: Final = {"N": "notify", "R": "return"}


def _given(value_of: "Callable[[Circumstances], str]") -> "Callable[[Run, int | None], Sequence[str]]":
    def values(run: "Run", zone: int | None) -> Sequence[str]:
        value = value_of(run.circumstances)
        return (value,) if value else ()

    return values


def _notify(run: "Run", zone: int | None) -> Sequence[str]:
    return [one for one in run.circumstances.notify.split(",") if one]


def _by(value_of: "Callable[[Run, int, int | None], str]") -> "Callable[[Run, int | None], Sequence[str]]":
    def values(run: "Run", zone: int | None) -> Sequence[str]:
        seconds = run.circumstances.by_time
        return (value_of(run, seconds, zone),) if seconds is not None else ()

    return values


def _by_when(run: "Run", seconds: int, zone: int | None) -> str:
    when = run.circumstances.now + seconds
    return iso_time(when, run.circumstances.local_minutes(when) if zone is None else zone)


ENVELOPE_DSN: Final = Extension(
    name="envelope-dsn",
    envelope_parts=(
        EnvelopePart(name="notify", values=_notify),
        EnvelopePart(name="orcpt", values=_given(lambda facts: facts.original_recipient)),
        EnvelopePart(name="ret", values=_given(lambda facts: facts.ret)),
        EnvelopePart(name="envid", values=_given(lambda facts: facts.envid)),
    ),
)
ENVELOPE_DELIVERBY: Final = Extension(
    name="envelope-deliverby",
    more_tags=(MoreTags(to=("envelope",), tags=(TagSpec(name="zone", takes=Takes.STRING),)),),
    envelope_parts=(
        EnvelopePart(
            name="bytimeabsolute",
            values=_by(_by_when),
        ),
        EnvelopePart(name="bytimerelative", values=_by(lambda run, seconds, zone: str(seconds))),
        EnvelopePart(
            name="bymode",
            values=_by(lambda run, seconds, zone: _MODES.get(run.circumstances.by_mode.upper(), "")),
        ),
        EnvelopePart(
            name="bytrace",
            values=_by(lambda run, seconds, zone: "trace" if run.circumstances.by_trace else ""),
        ),
    ),
)
