"""Time zones as scripts write them: `+0100`.

RFC: 5260 §4.1 and 6009 §5 (:zone), 5322 §3.3 (zone).
Not here: what is shifted by them (extensions/).
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling

_ZONE: Final = re.compile(r"([+-])([0-9]{2})([0-5][0-9])")
_MOST_HOURS: Final = 23


def zone_minutes(text: str) -> int | None:
    """Minutes east of UTC; None for what is no zone."""
    found = _ZONE.fullmatch(text)
    if found is None or int(found[2]) > _MOST_HOURS:
        return None
    minutes = int(found[2]) * 60 + int(found[3])
    return -minutes if found[1] == "-" else minutes


def check_zone(compiling: "Compiling", bound: "Bound") -> None:
    """Note a :zone that is none."""
    for text in bound.texts.get("zone", ()):
        if isinstance(text, str) and zone_minutes(text) is None:
            compiling.fault(bound.node, f'{text!r} is no time zone; write it like "+0100".')


def iso_time(seconds: float, minutes: int) -> str:
    """Seconds since 1970 as `2026-11-23T10:00:00+01:00`, Z for UTC (RFC 3339 §5.6); empty out of range."""
    try:
        moment = datetime.fromtimestamp(int(seconds), UTC).astimezone(timezone(timedelta(minutes=minutes)))
    except (OverflowError, ValueError, OSError):
        return ""
    return moment.isoformat().replace("+00:00", "Z")
