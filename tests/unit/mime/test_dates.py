"""Dates of headers: RFC 5322 §3.3, §4.3 and what is met in mail."""

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.core.ids import Instant
from postino.mime.dates import format_date, parse_date


def moment(text: str) -> tuple[int, int]:
    stated = datetime.fromisoformat(text)
    day = datetime(stated.year, stated.month, stated.day, tzinfo=UTC)
    return int(stated.timestamp()), int(day.timestamp()) // 86400


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # RFC 5322 appendix A.1.1, A.5, A.6.2, A.6.3
        (b"Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21T09:55:06-06:00"),
        ((b"Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n"
         b"               -0330 (Newfoundland Time)"), "1969-02-13T23:32:00-03:30"),
        (b"21 Nov 97 09:55:06 GMT", "1997-11-21T09:55:06+00:00"),
        (b"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "1997-11-21T09:55:06-06:00"),
        # RFC 9051 §8
        (b"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)", "1996-07-17T02:23:25-07:00"),
        # RFC 5322 §4.3: years and zones
        (b"1 Jan 49 00:00 UT", "2049-01-01T00:00:00+00:00"),
        (b"1 Jan 50 00:00 UT", "1950-01-01T00:00:00+00:00"),
        (b"1 Jan 102 00:00 UT", "2002-01-01T00:00:00+00:00"),
        (b"1 Jan 2000 00:00:00 PST", "2000-01-01T00:00:00-08:00"),
        (b"1 Jan 2000 00:00:00 edt", "2000-01-01T00:00:00-04:00"),
        (b"1 Jan 2000 00:00:00 Z", "2000-01-01T00:00:00+00:00"),
        (b"1 Jan 2000 00:00:00 A", "2000-01-01T00:00:00+00:00"),
        (b"1 Jan 2000 00:00:00 CEST", "2000-01-01T00:00:00+00:00"),
        (b"1 Jan 2000 00:00:00 -0000", "2000-01-01T00:00:00+00:00"),
        # met in mail
        (b"Sat, 1 Jan 2000 00:00:00", "2000-01-01T00:00:00+00:00"),
        (b"Sat, 1 Jan 2000", "2000-01-01T00:00:00+00:00"),
        (b"Saturday, 01-Jan-2000 10:00:00 +01:00", "2000-01-01T10:00:00+01:00"),
        (b"1 January 2000 1:02:03 +0100", "2000-01-01T01:02:03+01:00"),
        (b"Sat Jan  1 10:00:00 2000", "2000-01-01T10:00:00+00:00"),
        (b"Sat Jan  1 10:00:00 PST 2000", "2000-01-01T10:00:00-08:00"),
        (b"Sat Jan 1 10:00 -0330 2000", "2000-01-01T10:00:00-03:30"),
        (b"Sat, 1 Jan 2000 00:00:00.123 +0000", "2000-01-01T00:00:00+00:00"),
        (b"Sat, 31 Dec 2016 23:59:60 +0000", "2016-12-31T23:59:59+00:00"),
    ],
)  # fmt: skip
def test_date_is_read(value: bytes, expected: str) -> None:
    assert parse_date(value) == moment(expected)


@pytest.mark.parametrize(
    "value",
    [b"", b"yesterday", b"32 Jan 2000 00:00:00 +0000", b"30 Feb 2000 00:00:00 +0000", b"1 Foo 2000 00:00 +0000",
     b"1 Jan 2000 25:00:00 +0000", b"1 Jan 2000 00:61:00 +0000", b"1 Jan 0000 00:00:00 +0000", b"\xff" * 100],
)  # fmt: skip
def test_unusable_date_is_none(value: bytes) -> None:
    assert parse_date(value) is None


def test_date_is_written_for_a_zone() -> None:
    assert format_date(Instant(0)) == "Thu, 01 Jan 1970 00:00:00 +0000"
    assert format_date(Instant(880127706), -360) == "Fri, 21 Nov 1997 09:55:06 -0600"


@given(st.integers(-62_135_000_000, 253_402_000_000), st.integers(-840, 840))
def test_written_date_is_read_back(seconds: int, east_minutes: int) -> None:
    written = format_date(Instant(seconds), east_minutes)
    assert parse_date(written.encode()) == (seconds, (seconds + east_minutes * 60) // 86400)


@given(st.integers(0, 4_000_000_000))
def test_agrees_with_the_standard_library(seconds: int) -> None:
    written = format_datetime(datetime.fromtimestamp(seconds, UTC))
    assert format_date(Instant(seconds)) == written
    assert int(parsedate_to_datetime(written).timestamp()) == seconds
    assert parse_date(written.encode()) == (seconds, seconds // 86400)


@given(st.binary(max_size=300))
def test_any_octets_give_a_date_or_none(octets: bytes) -> None:
    parse_date(octets)
    parse_date(b"1 Jan 2000" + octets)
