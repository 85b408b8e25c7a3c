"""Sizes and times as people write them: `50 MiB`, `5GB`, `30 min`.

Not here: which settings have which unit (app/settings.py).
"""

import re
from typing import Final

from postino.core.errors import SettingsError

SIZES: Final = {
    "": 1, "b": 1, "octets": 1,
    "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40,
    "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
}  # fmt: skip
TIMES: Final = {
    "": 1, "s": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hour": 3600, "hours": 3600,
    "d": 86_400, "day": 86_400, "days": 86_400,
    "w": 604_800, "week": 604_800, "weeks": 604_800,
}  # fmt: skip
_AMOUNT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")


def parse_size(text: str) -> int:
    """Octets in `500`, `50 MiB` (1024 each), `5GB` (1000 each), `2G` (as GiB). Raises SettingsError."""
    found = _AMOUNT.fullmatch(text.strip())
    if found is None or found[2].lower() not in SIZES:
        raise SettingsError(f"{text!r} is not a size; write one such as 500MB, 5GB or 50MiB")
    return round(float(found[1]) * SIZES[found[2].lower()])


def parse_duration(text: str) -> float:
    """Seconds in `90`, `90s`, `5 min`, `12h`, `30 days`. Raises SettingsError."""
    found = _AMOUNT.fullmatch(text.strip())
    if found is None or found[2].lower() not in TIMES:
        raise SettingsError(f"{text!r} is not a time; write one such as 90s, 5min, 12h or 30days")
    return float(found[1]) * TIMES[found[2].lower()]


def show_size(octets: int) -> str:
    """`octets` for people: `1.5 GiB`."""
    size, unit = float(octets), "octets"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "octets" or size == int(size) else f"{size:.1f} {unit}"


def show_duration(seconds: float) -> str:
    """`seconds` for people, exactly: `30 min`, `90 s`."""
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            amount = f"{seconds / length:g}"
            return f"{amount} {unit.removesuffix('s') if amount == '1' else unit}"
    return f"{seconds:g} s"
