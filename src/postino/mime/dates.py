"""Read and write the dates of mail headers.

RFC: 5322 §3.3 and §4.3 (date-time and its obsolete forms), 5321 §4.4 (in trace fields).
Exposure: unauthenticated octets; only the first 200 are looked at.
Not here: IMAP's date-time (imap/), which writes the same moment differently.
"""

import re
from datetime import date
from functools import lru_cache
from typing import Final

from postino.core.ids import Instant
from postino.mime.parameters import strip_comments

_MONTHS: Final = {
    name: number
    for number, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1)
}
_MONTH_NAMES: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY_NAMES: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_ZONES: Final = {
    b"EST": -5,
    b"EDT": -4,
    b"CST": -6,
    b"CDT": -5,
    b"MST": -7,
    b"MDT": -6,
    b"PST": -8,
    b"PDT": -7,
}
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_LOOKED_AT: Final = 200

# PERF: what nearly every Date field looks like: 1 us instead of 3. The general way reads it no differently.
_USUAL: Final = re.compile(
    rb" (?:[A-Z][a-z][a-z], )?(\d\d?) ([A-Z][a-z][a-z]) (\d{4}) (\d\d):(\d\d):(\d\d) ([+-]\d\d)(\d\d)"
    rb"(?: \([A-Z]+\))?\r?"
)
_DATE: Final = re.compile(
    rb"\s*(?:[A-Za-z]+\s*[,.]?\s*)?(\d{1,2})[\s-]+([A-Za-z]{3})[A-Za-z]*+[\s.,-]+(\d{2,4})"
    rb"(?:[\s,]+(\d{1,2})\s*[:.]\s*(\d{2})(?:\s*[:.]\s*(\d{2})(?:[.,]\d+)?)?"
    rb"(?:\s*([+-])(\d{2}):?(\d{2})|\s*([A-Za-z]+))?)?"
)
_C_DATE: Final = re.compile(  # as C's asctime writes it; common in old mailboxes
    rb"\s*(?:[A-Za-z]+\s*,?\s*)?([A-Za-z]{3})[A-Za-z]*+\s+(\d{1,2})\s+(\d{1,2}):(\d{2})(?::(\d{2}))?\s+"
    rb"(?:([A-Za-z]+|[+-]\d{4})\s+)?(\d{4})"
)


def parse_date(value: bytes) -> tuple[Instant, int] | None:
    """A Date field's instant, and its own day since 1970 with time and zone left out; None if unusable."""
    usual = _USUAL.fullmatch(value)
    if usual is not None:
        digits, month, year, hour, minute, second, zone_hours, zone_minutes = usual.groups()
        east_minutes = int(zone_hours) * 60 + int(zone_hours[:1] + zone_minutes)
        return _moment(int(year), month, int(digits), int(hour), int(minute), int(second), east_minutes)
    read = _read(value)
    return None if read is None else _moment(*read)


def parse_zoned_date(value: bytes) -> tuple[Instant, int] | None:
    """A date's instant, and its zone in minutes east of Greenwich; None if unusable."""
    read = _read(value)
    found = None if read is None else _moment(*read)
    return None if read is None or found is None else (found[0], read[6])


_Numbers = tuple[int, bytes, int, int, int, int, int]
"""Year, month's name, day, hour, minute, second, minutes east."""


def _read(value: bytes) -> _Numbers | None:
    value = value[:_LOOKED_AT]
    found = _DATE.match(value)
    if b"(" in value and (found is None or (found[7] is None and found[10] is None)):
        value = strip_comments(value)
        found = _DATE.match(value)
    if found is None:
        return _read_c_date(value)
    day, month, year, hour, minute, second, sign, zone_hours, zone_minutes, zone = found.groups()
    east_minutes = 0
    if sign is not None:
        east_minutes = int(zone_hours) * 60 + int(zone_minutes)
        if sign == b"-":
            east_minutes = -east_minutes
    elif zone is not None:
        east_minutes = _ZONES.get(zone.upper(), 0) * 60
    return _year(year), month, int(day), int(hour or 0), int(minute or 0), int(second or 0), east_minutes


def format_date(instant: Instant, east_minutes: int = 0) -> str:
    """Write an instant as RFC 5322 §3.3 has it, for the zone `east_minutes` east of Greenwich."""
    days, second = divmod(instant + east_minutes * 60, 86_400)
    day = date.fromordinal(days + _EPOCH_DAY)
    sign = "-" if east_minutes < 0 else "+"
    zone_hours, zone_minutes = divmod(abs(east_minutes), 60)
    return (
        f"{_DAY_NAMES[day.weekday()]}, {day.day:02} {_MONTH_NAMES[day.month - 1]} {day.year:04} "
        f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02} {sign}{zone_hours:02}{zone_minutes:02}"
    )


def _read_c_date(value: bytes) -> _Numbers | None:
    found = _C_DATE.match(value)
    if found is None:
        return None
    month, day, hour, minute, second, zone, year = found.groups()
    east_minutes = 0
    if zone is not None:
        if zone[:1] in b"+-":
            east_minutes = int(zone[:3]) * 60 + int(zone[:1] + zone[3:])
        else:
            east_minutes = _ZONES.get(zone.upper(), 0) * 60
    return int(year), month, int(day), int(hour), int(minute), int(second or 0), east_minutes


def _year(digits: bytes) -> int:
    year = int(digits)
    if len(digits) == 4:
        return year
    # RFC 5322 §4.3: two digits below 50 are 20xx; all other short years count from 1900.
    return year + (2000 if len(digits) == 2 and year < 50 else 1900)


def _moment(
    year: int, month: bytes, day: int, hour: int, minute: int, second: int, east_minutes: int
) -> tuple[Instant, int] | None:
    number = _MONTHS.get(month.lower())
    if number is None or hour > 24 or minute > 59 or second > 61 or abs(east_minutes) > 99 * 60 + 59:
        return None
    day_number = _day_number(year, number, day)
    if day_number is None:
        return None
    return Instant(
        day_number * 86_400 + hour * 3600 + (minute - east_minutes) * 60 + min(second, 59)
    ), day_number


@lru_cache(maxsize=64)
def _day_number(year: int, month: int, day: int) -> int | None:
    try:
        return date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:  # 31 February, year 0
        return None
