"""date and currentdate: compare parts of a field's date, or of the present moment.

RFC: 5260 §4 (date, zones, parts), §5 (currentdate); 3339 §5.6 (iso8601), 5322 §3.3 (std11).
Exposure: dates come from strangers' messages.
Invariants: a date that is none fails every comparison; one run has one present moment.
Not here: reading dates (mime/dates.py), choosing one of several fields (sources.py).
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

from postino.core.ids import Instant
from postino.mime.dates import format_date, parse_zoned_date
from postino.mime.header import unfold
from postino.mime.parameters import strip_comments
from postino.sieve.sources import counted, source_of
from postino.sieve.texts import value_of
from postino.sieve.vocabulary import Check, Extension, TagSpec, Takes, TestSpec

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_ZONE: Final = re.compile(r"([+-])([01][0-9]|2[0-3])([0-5][0-9])")
_FIRST_JULIAN: Final = date(1858, 11, 17).toordinal()
_LONGEST_ZONE: Final = 24 * 60


def _zone(moment: datetime) -> str:
    return moment.strftime("%z")


def _iso8601(moment: datetime) -> str:
    zone = _zone(moment)
    written = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return f"{moment.year:04}-{moment:%m-%dT%H:%M:%S}{written}"


def _std11(moment: datetime) -> str:
    east = moment.utcoffset() or timedelta()
    return format_date(Instant(int(moment.timestamp())), int(east.total_seconds()) // 60)


PARTS: Final[dict[str, Callable[[datetime], str]]] = {
    "year": lambda moment: f"{moment.year:04}",
    "month": lambda moment: f"{moment.month:02}",
    "day": lambda moment: f"{moment.day:02}",
    "date": lambda moment: f"{moment.year:04}-{moment.month:02}-{moment.day:02}",
    "julian": lambda moment: str(moment.toordinal() - _FIRST_JULIAN),
    "hour": lambda moment: f"{moment.hour:02}",
    "minute": lambda moment: f"{moment.minute:02}",
    "second": lambda moment: f"{moment.second:02}",
    "time": lambda moment: f"{moment:%H:%M:%S}",
    "iso8601": _iso8601,
    "std11": _std11,
    "zone": _zone,
    "weekday": lambda moment: str(moment.isoweekday() % 7),
}


def moment_of(seconds: float, east_minutes: int) -> datetime | None:
    """The moment in a zone; None when it has no year of four digits there."""
    if abs(east_minutes) >= _LONGEST_ZONE:
        return None
    try:
        moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=int(seconds))
        return moment.astimezone(timezone(timedelta(minutes=east_minutes)))
    except (OverflowError, ValueError):
        return None


def zone_minutes(text: str) -> int | None:
    """Minutes east of UTC of `+hhmm`; None when it is not written so."""
    found = _ZONE.fullmatch(text)
    if found is None:
        return None
    minutes = int(found[2]) * 60 + int(found[3])
    return -minutes if found[1] == "-" else minutes


def date_in(value: bytes) -> tuple[Instant, int] | None:
    """A field's date with its zone: the whole value, or what stands behind its last semicolon."""
    value = unfold(value)
    if b";" in value:
        # RFC 5260 §4: of several dates the last one counts.
        found = parse_zoned_date(strip_comments(value).rpartition(b";")[2])
        if found is not None:
            return found
    return parse_zoned_date(value)


def _asked_zone(compiling: "Compiling", bound: "Bound") -> "Callable[[Run, float], int]":
    if "zone" not in bound.tags:
        return lambda run, seconds: run.circumstances.local_minutes(seconds)
    text = bound.text("zone")
    if isinstance(text, str) and zone_minutes(text) is None:
        compiling.fault(bound.node, f'{text!r} is no time zone; write +hhmm or -hhmm, such as "+0100".')

    def asked(run: "Run", seconds: float) -> int:
        minutes = zone_minutes(value_of(text, run))
        if minutes is None:
            raise run.fault("a time zone is written +hhmm or -hhmm")
        return minutes

    return asked


def _check_part(compiling: "Compiling", bound: "Bound") -> None:
    text = bound.text("date_part")
    if isinstance(text, str) and text.lower() not in PARTS:
        compiling.fault(bound.node, f"A date has no part {text!r}; it has {', '.join(PARTS)}.")


def _answer(compiling: "Compiling", bound: "Bound", moment: "Callable[[Run], datetime | None]") -> Check:
    _check_part(compiling, bound)
    matching = compiling.matching(bound, bound.texts["keys"])
    text, compare, counts = bound.text("date_part"), matching.values, matching.counts

    def answer(run: "Run") -> bool:
        run.spend(1)
        found = moment(run)
        part = PARTS.get(value_of(text, run).lower())
        if found is None or part is None:
            return compare(run, ()) if counts else False
        return compare(run, (part(found),))

    return answer


def _date(compiling: "Compiling", bound: "Bound") -> Check:
    source = source_of(compiling, bound)
    name = bound.text("header_name")
    if isinstance(name, str) and (not name or ":" in name or " " in name):
        compiling.fault(
            bound.node, f"{name!r} cannot be the name of a header field; write it without a colon."
        )
    asked = _asked_zone(compiling, bound)
    is_original = "originalzone" in bound.tags

    def moment(run: "Run") -> datetime | None:
        values = counted(run, source(run, (value_of(name, run).lower(),)))
        found = date_in(values[0]) if values else None
        if found is None:
            return None
        seconds, east = found
        return moment_of(seconds, east if is_original else asked(run, seconds))

    return _answer(compiling, bound, moment)


def _currentdate(compiling: "Compiling", bound: "Bound") -> Check:
    asked = _asked_zone(compiling, bound)

    def moment(run: "Run") -> datetime | None:
        now = run.circumstances.now
        return moment_of(now, asked(run, now))

    return _answer(compiling, bound, moment)


_ZONE_TAG: Final = TagSpec(name="zone", takes=Takes.STRING, group="zone")

DATE: Final = Extension(
    name="date",
    tests=(
        TestSpec(
            name="date",
            params=(("header_name", Takes.STRING), ("date_part", Takes.STRING), ("keys", Takes.STRINGS)),
            tags=(_ZONE_TAG, TagSpec(name="originalzone", group="zone")),
            matches=True,
            compile=_date,
        ),
        TestSpec(
            name="currentdate",
            params=(("date_part", Takes.STRING), ("keys", Takes.STRINGS)),
            tags=(_ZONE_TAG,),
            matches=True,
            compile=_currentdate,
        ),
    ),
)
