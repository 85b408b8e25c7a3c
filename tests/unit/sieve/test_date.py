"""date and currentdate: zones, parts, what is no date; the examples of RFC 5260, named by section."""

from datetime import UTC, datetime

import pytest

from postino.sieve import BadScript, Circumstances, compile_script, evaluate
from tests.unit.sieve.scripting import MESSAGE, done

HEAD = (
    'require ["date", "relational", "index", "variables", "fileinto", "comparator-i;ascii-numeric", '
    '"editheader", "vacation"];\r\n'
)
CUTOFF = b"Received: from a by b; Mon, 26 Feb 2007 14:00:01 +0000\r\n"


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def summer(moment: float) -> int:
    """An hour east of UTC, from April to October two."""
    return 120 if 4 <= datetime.fromtimestamp(moment, UTC).month <= 10 else 60


def at(script: str, now: str, message: bytes = MESSAGE) -> list[str]:
    """What is done at that moment of UTC."""
    return done(HEAD + script, message, Circumstances(now=seconds(now), zone_minutes=summer))


def part(arguments: str, date: str, *, name: str = "Date") -> str | None:
    """What :matches "*" finds; None when the test fails."""
    message = f"{name}: {date}\r\n\r\n".encode("utf-8", "surrogateescape")
    argument, _, date_part = arguments.rpartition(" ")
    script = f'if date {argument} :matches "{name}" "{date_part}" "*" {{ fileinto "<${{0}}>"; }}'
    (found,) = at(script, "2026-11-23T10:00:00", message)
    return None if found == "keep" else found.removeprefix("fileinto <").removesuffix(">")


@pytest.mark.parametrize(
    ("date_part", "value"),
    [
        ("year", "2026"),
        ("month", "01"),
        ("day", "04"),
        ("date", "2026-01-04"),
        ("julian", "61044"),
        ("hour", "05"),
        ("minute", "06"),
        ("second", "07"),
        ("time", "05:06:07"),
        ("iso8601", "2026-01-04T05:06:07-03:30"),
        ("std11", "Sun, 04 Jan 2026 05:06:07 -0330"),
        ("zone", "-0330"),
        ("weekday", "0"),
        ("WeekDay", "0"),
    ],
)
def test_section_4_2_parts(date_part: str, value: str) -> None:
    """Each, of fixed width."""
    assert part(f":originalzone {date_part}", "Sun, 4 Jan 2026 05:06:07 -0330") == value


@pytest.mark.parametrize(
    ("arguments", "date", "value"),
    [
        # Local time is that of the date's own season, not of the day on which the script runs.
        ("zone", "Thu, 1 Jan 2026 12:00:00 +0000", "+0100"),
        ("hour", "Thu, 1 Jan 2026 12:00:00 +0000", "13"),
        ("zone", "Wed, 1 Jul 2026 12:00:00 +0000", "+0200"),
        ("hour", "Wed, 1 Jul 2026 12:00:00 +0000", "14"),
        ("date", "Wed, 1 Jul 2026 22:00:00 +0000", "2026-07-02"),
        (':zone "-0500" hour', "Thu, 1 Jan 2026 12:00:00 +0000", "07"),
        (':zone "-0500" zone', "Thu, 1 Jan 2026 12:00:00 +0000", "-0500"),
        (':zone "-0000" zone', "Thu, 1 Jan 2026 12:00:00 +0100", "+0000"),
        (':zone "+0000" iso8601', "Thu, 1 Jan 2026 12:00:00 +0100", "2026-01-01T11:00:00Z"),
        (':zone "-0001" date', "Thu, 1 Jan 2026 00:00:00 +0000", "2025-12-31"),
        (":originalzone zone", "Thu, 1 Jan 2026 12:00:00 EST", "-0500"),
        (":originalzone zone", "Thu, 1 Jan 2026 12:00:00 GMT", "+0000"),
        (":originalzone zone", "Thu, 1 Jan 2026 12:00:00 -0000", "+0000"),
        (":originalzone zone", "Thu, 1 Jan 2026 12:00:00 +1234", "+1234"),
        # No clock is a day or more from Greenwich.
        (":originalzone year", "Thu, 1 Jan 2026 12:00:00 +9959", None),
    ],
)
def test_section_4_1_zones(arguments: str, date: str, value: str | None) -> None:
    """Local time, a given zone, that of the date."""
    assert part(arguments, date) == value


@pytest.mark.parametrize(
    ("date", "year"),
    [
        ("Mon, 23 Nov 2026 10:00:00 +0000", "2026"),
        (" 23 Nov 2026 10:00 +0000 (a comment)", "2026"),
        ("Mon,\r\n 23 Nov 2026\r\n 10:00:00 +0000", "2026"),
        ("from a by b; Mon, 23 Nov 2026 10:00:00 +0000", "2026"),
        ("from a by b (c;d); Mon, 23 Nov 2026 10:00:00 +0000 (UTC)", "2026"),
        ("from a by b; Tue, 1 Jan 2025 10:00:00 +0000; Mon, 23 Nov 2026 10:00:00 +0000", "2026"),
        ("Wed, 1 Jan 2025 10:00:00 +0000; Mon, 23 Nov 2026 10:00:00 +0000", "2026"),
        ("Mon, 29 Feb 2024 10:00:00 +0000", "2024"),
        ("Mon, 29 Feb 2023 10:00:00 +0000", None),
        ("Fri, 32 Jan 2026 10:00:00 +0000", None),
        ("Mon, 23 Nov 2026 10:61:00 +0000", None),
        ("23 Nov 26 10:00 GMT", "2026"),
        ("", None),
        ("yesterday", None),
        ("from a by b; yesterday", None),
        (";", None),
        ("Mon, 23 Nov 2026 10:00:00 +9959", "2026"),
        ("Sat, 1 Jan 0001 00:00:00 +0100", None),
        ("Fri, 31 Dec 9999 23:59:59 -0100", None),
        ("\udcff\udc80", None),
    ],
)
def test_section_4_what_is_a_date(date: str, year: str | None) -> None:
    """The whole value, or what stands behind a semicolon; the test fails for what is none."""
    assert part(':zone "+0000" year', date, name="X-When") == year


@pytest.mark.parametrize(
    ("test", "message", "holds"),
    [
        ('date :originalzone :contains "date" "year" ""', b"To: a@b.example\r\n\r\n", False),
        ('date :count "eq" :comparator "i;ascii-numeric" "date" "year" "0"', b"To: a\r\n\r\n", True),
        ('date :count "eq" :comparator "i;ascii-numeric" "date" "year" "0"', b"Date: no\r\n\r\n", True),
        ('date :count "eq" "date" "year" "1"', b"Date: 1 Jan 2026 00:00 +0000\r\n\r\n", True),
        ('currentdate :count "eq" "year" "1"', MESSAGE, True),
        ('date :zone "+0000" "received" "minute" "00"', MESSAGE, True),
        ('date :index 2 :zone "+0000" "received" "minute" "59"', MESSAGE, True),
        ('date :index 1 :last :zone "+0000" "received" "minute" "59"', MESSAGE, True),
        ('date :index 3 :zone "+0000" :contains "received" "minute" ""', MESSAGE, False),
        ('date :value "ge" :comparator "i;ascii-numeric" "received" "julian" "61367"', MESSAGE, True),
        ('date :value "gt" :comparator "i;ascii-numeric" "received" "julian" "61367"', MESSAGE, False),
        ('currentdate "iso8601" "2026-11-23t11:00:00+01:00"', MESSAGE, True),
        ('currentdate :zone "+0530" "time" "15:30:00"', MESSAGE, True),
    ],
)
def test_counts_fields_and_relations(test: str, message: bytes, holds: bool) -> None:
    """RFC 5260 §4, §4.3, §5, §6."""
    assert (at(f"if {test} {{ discard; }}", "2026-11-23T10:00:00", message) == ["discard"]) is holds


@pytest.mark.parametrize(
    ("hour", "actions"), [("08", ["keep"]), ("09", ["fileinto urgent"]), ("17", ["keep"])]
)
def test_section_4_4_the_hour_of_the_sender(hour: str, actions: list[str]) -> None:
    script = (
        'if allof(header :is "from" "boss@example.com", date :value "ge" :originalzone "date" "hour" "09",'
        ' date :value "lt" :originalzone "date" "hour" "17") { fileinto "urgent"; }'
    )
    message = f"From: boss@example.com\r\nDate: Mon, 23 Nov 2026 {hour}:30:00 -0800\r\n\r\n".encode()
    assert at(script, "2026-11-23T10:00:00", message) == actions


@pytest.mark.parametrize(("day", "actions"), [("22", ["fileinto weekend"]), ("23", ["keep"])])
def test_section_4_4_the_day_of_arrival(day: str, actions: list[str]) -> None:
    script = (
        'if anyof(date :is "received" "weekday" "0", date :is "received" "weekday" "6")'
        ' { fileinto "weekend"; }'
    )
    message = f"Received: from a by b; {day} Nov 2026 10:00:00 +0000\r\n\r\n".encode()
    assert at(script, "2026-11-25T10:00:00", message) == actions


@pytest.mark.parametrize(
    ("now", "actions"),
    [
        ("2026-11-22T12:00:00", ["redirect pager@example.com"]),
        ("2026-11-23T07:59:59", ["redirect pager@example.com"]),
        ("2026-11-23T08:00:00", ["keep"]),
        ("2026-11-23T16:00:00", ["redirect pager@example.com"]),
    ],
)
def test_section_5_1_the_pager(now: str, actions: list[str]) -> None:
    script = (
        'if anyof(currentdate :is "weekday" "0", currentdate :is "weekday" "6",'
        ' currentdate :value "lt" "hour" "09", currentdate :value "ge" "hour" "17")'
        ' { redirect "pager@example.com"; }'
    )
    assert at(script, now) == actions


@pytest.mark.parametrize(
    ("now", "holds"),
    [
        ("2007-06-29T20:00:00", False),
        ("2007-06-29T22:00:00", True),
        ("2007-07-07T21:59:59", True),
        ("2007-07-07T22:00:00", False),
    ],
)
def test_section_5_1_the_vacation(now: str, holds: bool) -> None:
    script = (
        'if allof(currentdate :value "ge" "date" "2007-06-30", currentdate :value "le" "date" "2007-07-07")'
        " { discard; }"
    )
    assert (at(script, now) == ["discard"]) is holds


def test_section_5_1_a_mailbox_for_each_month_and_a_field() -> None:
    months = (
        'if currentdate :matches "month" "*" { set "month" "${1}"; }'
        'if currentdate :matches "year"  "*" { set "year"  "${1}"; } fileinto "${month}-${year}";'
    )
    assert at(months, "2026-10-31T23:30:00") == ["fileinto 11-2026"]
    field = (
        'if currentdate :matches "std11" "*" {addheader "Processing-date" "${0}";}'
        'if date :originalzone "processing-date" "std11" "Mon, 23 Nov 2026 11:00:00 +0100" { discard; }'
    )
    assert at(field, "2026-11-23T10:00:00") == ["discard"]


@pytest.mark.parametrize(
    ("message", "actions"),
    [(CUTOFF + CUTOFF, ["redirect aftercutoff@example.org"]), (CUTOFF, ["keep"])],
)
def test_section_6_1_the_cutoff(message: bytes, actions: list[str]) -> None:
    """Without the comma that the RFC's example has by mistake."""
    script = (
        'if date :value "gt" :index 2 :zone "-0500" "received" "iso8601" "2007-02-26T09:00:00-05:00"'
        ' { redirect "aftercutoff@example.org"; }'
    )
    assert at(script, "2026-11-23T10:00:00", message + b"\r\n") == actions


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ('date :zone "+0100" :originalzone "date" "year" "1"', ":originalzone"),
        ('date :zone "0100" "date" "year" "1"', "no time zone"),
        ('date :zone "CET" "date" "year" "1"', "no time zone"),
        ('date :zone "+01:00" "date" "year" "1"', "no time zone"),
        ('date :zone "+0160" "date" "year" "1"', "no time zone"),
        ('date :zone "date" "year" "1"', "date"),
        ('currentdate :originalzone "year" "1"', "originalzone"),
        ('currentdate :zone "Z" "year" "1"', "no time zone"),
        ('currentdate "century" "21"', "no part 'century'"),
        ('date "date" "century" "21"', "no part 'century'"),
        ('date ["date", "received"] "year" "1"', "takes a string"),
        ('date :last "date" "year" "1"', ":last"),
        ('date :index 0 "date" "year" "1"', ":index"),
        ('currentdate :index 1 "year" "1"', "index"),
    ],
)
def test_bad_tests(test: str, words: str) -> None:
    """Told while compiling."""
    with pytest.raises(BadScript) as bad:
        compile_script(f"{HEAD}if {test} {{ keep; }}".encode())
    assert any(words in fault.words for fault in bad.value.faults), bad.value.faults


@pytest.mark.parametrize(
    ("test", "actions"),
    [
        ('date :zone "${zone}" "received" "hour" "12"', ["discard"]),
        ('date :zone "${no}" "received" "hour" "12"', ["fault: a time zone is written +hhmm or -hhmm"]),
        ('date "${field}" "${part}" "2026"', ["discard"]),
        ('date "${field}" "${no}" "2026"', ["keep"]),
        ('date "${no}" "year" "2026"', ["keep"]),
        ('not currentdate :contains "${no}" ""', ["discard"]),
    ],
)
def test_arguments_out_of_variables(test: str, actions: list[str]) -> None:
    """A part there is not fails the test; a zone that is none is a fault."""
    script = 'set "zone" "+0200"; set "field" "Received"; set "part" "YEAR";'
    assert at(f"{script} if {test} {{ discard; }}", "2026-11-23T10:00:00") == actions


def test_both_tests_need_their_extension() -> None:
    for test in ('date "date" "year" "1"', 'currentdate "year" "1"'):
        with pytest.raises(BadScript, match="date"):
            compile_script(f"if {test} {{ keep; }}".encode())


def test_the_api_takes_a_zone_of_always_or_of_moments() -> None:
    script = compile_script(b'require ["date"]; if currentdate "hour" "02" { discard; }')
    july = seconds("2026-07-01T00:00:00")
    for zone, name in ((120, "Discard"), (summer, "Discard"), (0, "Keep")):
        (action,) = evaluate(script, MESSAGE, now=july, zone_minutes=zone)
        assert type(action).__name__ == name
