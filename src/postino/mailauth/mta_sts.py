"""MTA-STS: the record that says a domain has a policy, the policy, and which hosts it allows.

RFC: 8461 §3.1 (record), §3.2 (policy), §4.1 (matching hosts).
Exposure: both come from other people's servers; sizes are bounded by who fetches them.
Invariants: any text gives a value or BadPolicy, and nothing else; a policy that was taken prints as it came.
Not here: fetching and keeping (outbound/targeting/mta_sts.py), serving our own (servers/web/).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from postino.core.address import ascii_domain
from postino.core.errors import PostinoError

LONGEST_AGE: Final = 31_557_600
MOST_PATTERNS: Final = 200
POLICY_OCTETS: Final = 64 * 1024
"""RFC 8461 §3.3 suggests this as the largest policy worth reading."""
_FIELD_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_RECORD_VALUE: Final = re.compile(r"[\x21-\x3a\x3c\x3e-\x7e]+")
_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}")
_AGE: Final = re.compile(r"[0-9]{1,10}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_BLANKS: Final = " \t"


class Mode(Enum):
    """What a policy asks of those who send."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


class BadPolicy(PostinoError):
    """The text is no policy; `str()` says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """One domain's policy."""

    mode: Mode
    max_age: int
    """Seconds since it was fetched, for which it holds."""
    mx: tuple[str, ...]
    """Patterns, lower case: `mail.example.com` or `*.example.net`."""

    def allows(self, host: str) -> bool:
        """Whether the host of an MX record may get the domain's mail."""
        name = ascii_domain(host)
        return any(_matches(pattern, name) for pattern in self.mx)


def _matches(pattern: str, name: str) -> bool:
    if pattern.startswith("*."):
        label, dot, rest = name.partition(".")
        return bool(label and dot) and rest == pattern[2:]
    return pattern == name


def parse_record(texts: Iterable[str]) -> str | None:
    """The policy id that the TXT records of `_mta-sts` say; None when there is no usable record."""
    records = [text for text in texts if re.match(r"v=STSv1[ \t]*;", text)]
    if len(records) != 1:
        return None
    found: dict[str, str] = {}
    for field in records[0].split(";")[1:]:
        text = field.strip(_BLANKS)
        if not text:
            continue
        name, equals, value = text.partition("=")
        if not equals or not _FIELD_NAME.fullmatch(name) or not _RECORD_VALUE.fullmatch(value):
            return None
        found.setdefault(name, value)
    policy_id = found.get("id", "")
    return policy_id if _ID.fullmatch(policy_id) else None


def parse_policy(octets: bytes) -> StsPolicy:
    """The policy a web server gave. Raises BadPolicy."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise BadPolicy("it is not UTF-8") from None
    fields: dict[str, str] = {}
    patterns: list[str] = []
    for line in text.split("\n"):
        if not line.strip():
            # Not in the grammar, and at the end of many a policy.
            continue
        name, value = _field(line.removesuffix("\r"))
        if name == "mx":
            patterns.append(_pattern(value))
        else:
            fields.setdefault(name, value)
    if fields.get("version") != "STSv1":
        raise BadPolicy("its version is not STSv1")
    try:
        mode = Mode(fields.get("mode", ""))
    except ValueError:
        raise BadPolicy("its mode is none of enforce, testing and none") from None
    age = fields.get("max_age", "")
    if not _AGE.fullmatch(age):
        raise BadPolicy("its max_age is no number of seconds")
    if not patterns and mode is not Mode.NONE:
        raise BadPolicy("it names no mx")
    if len(patterns) > MOST_PATTERNS:
        raise BadPolicy(f"it names more than {MOST_PATTERNS} mx")
    return StsPolicy(mode, min(int(age), LONGEST_AGE), tuple(patterns))


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.rstrip(_BLANKS).partition(":")
    value = value.lstrip(_BLANKS)
    if not colon or not _FIELD_NAME.fullmatch(name):
        raise BadPolicy(f"{line[:40]!r} is not a line of the form KEY: VALUE")
    if not value or _CONTROL.search(value):
        raise BadPolicy(f"the value of {name} is empty or not plain text")
    return name, value


def _pattern(value: str) -> str:
    pattern = value.lower()
    labels = pattern.removeprefix("*.").removesuffix(".").split(".")
    if len(pattern) > 255 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadPolicy(f"{value[:80]!r} is no host, nor *. and a domain")
    return pattern.removesuffix(".")
