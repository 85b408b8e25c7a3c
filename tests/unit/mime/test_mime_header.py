"""Fields of a header block: RFC 5322 §2.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.mime.header import (
    LISTED_FIELDS,
    MAX_FIELDS,
    field_selector,
    fields,
    first_values,
    header_octets,
    raw_fields,
    unfold,
)

HEADER = (
    b"Date: Fri, 21 Nov 1997 09:55:06 -0600\r\n"
    b"From: John Doe <jdoe@machine.example>\r\n"
    b"subject : This\r\n is a\r\n\ttest\r\n"
    b"X-Empty:\r\n"
    b"this line is no field\r\n and this belongs to it: really\r\n"
    b"To: a@example.org\r\n"
    b"TO: b@example.org\r\n"
    b"\r\n"
)


def test_fields_are_told_with_their_places() -> None:
    found = fields(HEADER)
    assert [name for name, *_ in found] == [b"date", b"from", b"subject", b"x-empty", b"to", b"to"]
    _, start, end, value_start = found[2]
    assert HEADER[start:end] == b"subject : This\r\n is a\r\n\ttest\r\n"
    assert unfold(HEADER[value_start:end]) == b"This is a\ttest"
    assert [whole for whole, _, _ in raw_fields(HEADER)] == [HEADER[a:b] for _, a, b, _ in found]


def test_first_field_of_a_name_counts() -> None:
    assert first_values(HEADER)[b"to"].strip() == b"a@example.org"


@pytest.mark.parametrize(
    ("names", "invert", "selected"),
    [
        ({b"from"}, False, b"From: John Doe <jdoe@machine.example>\r\n"),
        ({b"TO", b"Subject"}, False, b"subject : This\r\n is a\r\n\ttest\r\nTo: a@example.org\r\nTO: b@example.org\r\n"),
        ({b"x"}, False, b""),
        (set(), False, b""),
        ({b"really"}, False, b""),
        ({b"and this belongs to it"}, False, b""),
        ({b"."}, False, b""),
        (set(), True, HEADER[:-2]),
        (
            {b"date", b"subject", b"to"},
            True,
            (b"From: John Doe <jdoe@machine.example>\r\nX-Empty:\r\n"
            b"this line is no field\r\n and this belongs to it: really\r\n"),
        ),
    ],
)  # fmt: skip
def test_fields_are_selected_as_they_are(names: set[bytes], invert: bool, selected: bytes) -> None:
    assert field_selector(names, invert)(HEADER) == selected


@pytest.mark.parametrize(
    ("octets", "length"),
    [
        (b"", 0),
        (b"\r\n", 2),
        (b"\n", 1),
        (b"\r\nbody", 2),
        (b"a: b\r\n\r\nbody", 8),
        (b"a: b\n\nbody\r\n\r\n", 6),
        (b"a: b\r\n\nbody", 7),
        (b"a: b\n\r\nbody", 7),
        (b"a: b\r\n", 6),
        (b"a: b\r\n \r\nc: d\r\n\r\n", 17),
        (b"a: b\r\rbody", 10),
        (b"no header at all", 16),
    ],
)
def test_header_ends_with_the_first_empty_line(octets: bytes, length: int) -> None:
    assert header_octets(octets) == length


@pytest.mark.parametrize(
    ("value", "unfolded"),
    [(b" a\r\n b ", b"a b"), (b"a\n\tb", b"a\tb"), (b"", b""), (b" \r\n ", b""), (b" a\rb\r", b"a\rb")],
)
def test_unfolding(value: bytes, unfolded: bytes) -> None:
    assert unfold(value) == unfolded


def test_eight_bit_and_nul_stay_in_values() -> None:
    ((whole, name, value),) = raw_fields(b"X: \xff\0\xfe\r\n")
    assert (whole, name, value.strip()) == (b"X: \xff\0\xfe\r\n", b"X", b"\xff\0\xfe")


def test_fields_without_end_are_counted() -> None:
    assert len(raw_fields(b"a:\n" * 300_000)) == MAX_FIELDS
    assert len(fields(b"a:\n" * 300_000)) == MAX_FIELDS


def test_listed_names_are_lower_case() -> None:
    assert all(name == name.lower() for name in LISTED_FIELDS)
    assert {b"from", b"subject", b"date", b"message-id", b"references", b"list-id"} <= LISTED_FIELDS


NAMES = st.sampled_from([b"From", b"TO", b"x-a", b"X-B", b"Subject"])
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20).map(str.encode)
LINES = st.builds(lambda name, first, more: (name, name + b":" + b"\r\n ".join([first, *more]) + b"\r\n"),
                  NAMES, VALUES, st.lists(VALUES, max_size=2))  # fmt: skip


@given(st.lists(LINES, max_size=8), st.sets(NAMES, max_size=3))
def test_selected_and_others_are_all(lines: list[tuple[bytes, bytes]], chosen: set[bytes]) -> None:
    header = b"".join(line for _, line in lines) + b"\r\n"
    lower = {name.lower() for name in chosen}
    assert field_selector(chosen)(header) == b"".join(line for name, line in lines if name.lower() in lower)
    assert field_selector(chosen, True)(header) == b"".join(
        line for name, line in lines if name.lower() not in lower
    )


@given(st.binary(max_size=300))
def test_any_octets_have_fields_inside(octets: bytes) -> None:
    last = 0
    for _, start, end, value_start in fields(octets):
        assert last <= start < value_start <= end <= len(octets)
        last = end
    assert len(field_selector({b"a"})(octets)) + len(field_selector({b"a"}, True)(octets)) <= len(octets)


# What mail programs ask for when they list a mailbox.
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(
            "From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To"
            " Content-Type Reply-To",
            id="Thunderbird",
        ),
        pytest.param(
            "DATE FROM SENDER SUBJECT TO CC MESSAGE-ID REFERENCES CONTENT-TYPE CONTENT-DESCRIPTION IN-REPLY-TO"
            " REPLY-TO LINES LIST-POST LIST-SUBSCRIBE LIST-UNSUBSCRIBE X-LABEL X-ORIGINAL-TO",
            id="neomutt",
        ),
        pytest.param("X-TUID", id="mbsync"),
        pytest.param("MESSAGE-ID", id="mbsync, messages it knows"),
        pytest.param(
            "date subject from content-type to cc reply-to message-id references in-reply-to list-unsubscribe"
            " sender X-K9mail-Identity X-Chat-Version",
            id="K-9",
        ),
        pytest.param(
            "date subject from to cc message-id in-reply-to references content-type x-priority"
            " x-uniform-type-identifier x-universally-unique-identifier list-id list-unsubscribe",
            id="Apple Mail, until it asked for signatures too",
        ),
    ],
)
def test_the_fields_kept_for_lists_are_those_that_are_asked_for(names: str) -> None:
    assert set(names.lower().encode().split()) <= LISTED_FIELDS
