"""What redirect's tags ask of the way on: delivery reports and a time by which to be there.

RFC: 6009 §6 (:notify, :ret) and §7 (:bytimerelative, :bytimeabsolute, :bymode, :bytrace).
Not here: declaring the tags (extensions/redirect_tags.py).
"""

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from postino.sieve.texts import TextValue, value_of

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_NOTIFY: Final = re.compile(r"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY))*", re.IGNORECASE)
_TIMES: Final = frozenset({"bytimerelative", "bytimeabsolute"})


class RedirectOptions(msgspec.Struct, frozen=True, kw_only=True):
    """As Redirect has them."""

    notify: str | None = None
    ret: str = ""
    by_mode: str = ""
    by_trace: bool = False
    seconds: int | None = None
    until: TextValue | None = None
    """A date and time, in place of `seconds`."""

    def by_seconds(self, run: "Run") -> int | None:
        """How long it may take from now on. Raises RunTimeFault when a made time is none."""
        if self.until is None:
            return self.seconds
        instant = _instant(value_of(self.until, run))
        if instant is None:
            raise run.fault(":bytimeabsolute was made into something that is no date and time")
        return int(instant - run.circumstances.now)


_NONE: Final = RedirectOptions()


def redirect_options(compiling: "Compiling", bound: "Bound") -> RedirectOptions:
    """Those of one redirect; notes what is wrong with them."""
    if not bound.tags.keys() - {"copy", "list"}:
        return _NONE
    notify = _constant(compiling, bound, "notify")
    if notify is not None and _NOTIFY.fullmatch(notify) is None:
        compiling.fault(bound.node, ":notify is NEVER, or SUCCESS, FAILURE and DELAY with commas between.")
    ret = _constant(compiling, bound, "ret")
    if ret is not None and ret.upper() not in {"FULL", "HDRS"}:
        compiling.fault(bound.node, ":ret is FULL or HDRS.")
    for name in ("bymode", "bytrace"):
        if name in bound.tags and not bound.tags.keys() & _TIMES:
            words = f":{name} counts for :bytimerelative or :bytimeabsolute; add one of them."
            compiling.fault(bound.node, words)
    until = bound.text("bytimeabsolute") if "bytimeabsolute" in bound.tags else None
    if isinstance(until, str) and _instant(until) is None:
        compiling.fault(bound.node, ":bytimeabsolute is a date and time like 2026-12-24T18:00:00+01:00.")
    return RedirectOptions(
        notify=notify.upper() if notify is not None else None,
        ret=(ret or "").upper(),
        by_mode=_mode(compiling, bound),
        by_trace="bytrace" in bound.tags,
        seconds=bound.numbers.get("bytimerelative"),
        until=until,
    )


def _constant(compiling: "Compiling", bound: "Bound", name: str) -> str | None:
    if name not in bound.texts:
        return None
    text = bound.text(name)
    if isinstance(text, str):
        return text
    compiling.fault(bound.node, f":{name} cannot be made of variables; write its value.")
    return None


def _mode(compiling: "Compiling", bound: "Bound") -> str:
    if not bound.tags.keys() & _TIMES:
        return ""
    mode = (_constant(compiling, bound, "bymode") or "return").lower()
    if mode not in {"notify", "return"}:
        compiling.fault(bound.node, ":bymode is notify or return.")
    return mode[:1].upper()


def _instant(text: str) -> float | None:
    # Python takes the zone with and without its colon, as the RFC's own example needs.
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant.timestamp() if instant.tzinfo is not None else None
