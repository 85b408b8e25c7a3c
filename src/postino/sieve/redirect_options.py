"""What redirect's tags ask of the way on: delivery reports and a time by which to be there.

RFC: 6009 §4 (:notify, :ret; :bytimerelative, :bytimeabsolute, :bymode, :bytrace).
Not here: declaring the tags (extensions/redirect_tags.py).
"""

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_NOTIFY: Final = re.compile(r"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY))*", re.IGNORECASE)


class RedirectOptions(msgspec.Struct, frozen=True, kw_only=True):
    """As Redirect has them."""

    notify: str | None = None
    ret: str = ""
    by_mode: str = ""
    by_trace: bool = False
    seconds: int | None = None
    until: float | None = None
    """Since 1970, in place of `seconds`."""

    def by_seconds(self, run: "Run") -> int | None:
        """How long it may take from now on."""
        if self.until is not None:
            return int(self.until - run.circumstances.now)
        return self.seconds


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
    if "bymode" in bound.tags and not bound.tags.keys() & {"bytimerelative", "bytimeabsolute"}:
        compiling.fault(bound.node, ":bymode counts for :bytimerelative or :bytimeabsolute; add one of them.")
    return RedirectOptions(
        notify=notify.upper() if notify is not None else None,
        ret=(ret or "").upper(),
        by_mode=_mode(compiling, bound),
        by_trace="bytrace" in bound.tags,
        seconds=bound.numbers.get("bytimerelative"),
        until=_instant(compiling, bound),
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
    if not bound.tags.keys() & {"bytimerelative", "bytimeabsolute"}:
        return ""
    mode = (_constant(compiling, bound, "bymode") or "notify").lower()
    if mode not in {"notify", "return"}:
        compiling.fault(bound.node, ":bymode is notify or return.")
    return mode[:1].upper()


def _instant(compiling: "Compiling", bound: "Bound") -> float | None:
    text = _constant(compiling, bound, "bytimeabsolute")
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        compiling.fault(bound.node, ":bytimeabsolute is a date and time like 2026-12-24T18:00:00+01:00.")
        return None
    return instant.timestamp()
