"""Canonical forms: RFC 6376 §3.4's examples, and that pieces and forgiven changes make no difference."""

import base64
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.mailauth.dkim.canonicalization import BodyHash, Canonicalization, relaxed_field

SIMPLE, RELAXED = Canonicalization.SIMPLE, Canonicalization.RELAXED


def body_hash(
    body: bytes, canonicalization: Canonicalization, *pieces: int, most: int | None = None
) -> bytes:
    found = BodyHash(canonicalization, most)
    start = 0
    for end in [*sorted(pieces), len(body)]:
        found.update(body[start:end])
        start = max(start, end)
    return found.digest()


def sha256(octets: bytes) -> bytes:
    return hashlib.sha256(octets).digest()


@pytest.mark.parametrize(
    ("canonicalization", "expected"),
    [
        (SIMPLE, b"frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="),  # §3.4.3
        (RELAXED, b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),  # §3.4.4
    ],
)
def test_the_hash_of_an_empty_body_is_the_rfcs(canonicalization: Canonicalization, expected: bytes) -> None:
    assert base64.b64encode(body_hash(b"", canonicalization)) == expected
    assert base64.b64encode(BodyHash(canonicalization).digest()) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (b"A", b" X\r", b"a:X"),  # §3.4.5 example 1
        (b"B ", b" Y\t\r\n\tZ  \r", b"b :Y Z"),
        (b"SUBJect", b" AbC\r", b"subject:AbC"),  # §3.4.2
        (b"X", b"", b"x:"),
        (b"X", b" \x0c a\x0b  b\r", b"x:\x0c a\x0b b"),
        (b"X", b" a\rb \r\n  c\r", b"x:a\rb c"),
    ],
)
def test_relaxed_fields(name: bytes, value: bytes, expected: bytes) -> None:
    assert relaxed_field(name, value) == expected


BODIES = [
    # body, simple, relaxed
    (b" C \r\nD \t E\r\n\r\n\r\n", b" C \r\nD \t E\r\n", b" C\r\nD E\r\n"),  # §3.4.5
    (b"no line end", b"no line end\r\n", b"no line end\r\n"),
    (b"\r\n\r\n", b"\r\n", b""),
    (b" \r\n\t\r\n", b" \r\n\t\r\n", b""),
    (b"a\r\n\r\n\r\nb\r\n", b"a\r\n\r\n\r\nb\r\n", b"a\r\n\r\n\r\nb\r\n"),
    (b"\r\n\r\nb", b"\r\n\r\nb\r\n", b"\r\n\r\nb\r\n"),
    (b"a \t b  \r\n \r\nc\t", b"a \t b  \r\n \r\nc\t\r\n", b"a b\r\n\r\nc\r\n"),
    (b"  a", b"  a\r\n", b" a\r\n"),
    (b"a\r", b"a\r\r\n", b"a\r\r\n"),
    (b"a\n", b"a\n\r\n", b"a\n\r\n"),
    (b"a\r\n\n\r\n\r\n", b"a\r\n\n\r\n", b"a\r\n\n\r\n"),
    (b"a\r\r\nb", b"a\r\r\nb\r\n", b"a\r\r\nb\r\n"),
]


@pytest.mark.parametrize(("body", "simple", "relaxed"), BODIES)
def test_bodies(body: bytes, simple: bytes, relaxed: bytes) -> None:
    for canonicalization, canonical in ((SIMPLE, simple), (RELAXED, relaxed)):
        found = BodyHash(canonicalization)
        found.update(body)
        assert found.digest() == sha256(canonical)
        assert found.octets == len(canonical)
        for at in range(len(body) + 1):
            assert body_hash(body, canonicalization, at) == sha256(canonical), at
        for most in range(len(canonical) + 1):
            assert body_hash(body, canonicalization, most=most) == sha256(canonical[:most])


def plain_relaxed(body: bytes) -> bytes:
    """§3.4.4 word by word."""
    lines = body.split(b"\r\n")
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def plain_simple(body: bytes) -> bytes:
    """§3.4.3 word by word."""
    while body.endswith(b"\r\n"):
        body = body[:-2]
    return body + b"\r\n"


octets = st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"\r", b"\n", b"a", b"bc"]), max_size=30).map(
    b"".join
)


@given(octets, st.lists(st.integers(0, 60), max_size=4))
def test_any_body_in_any_pieces_gives_the_rfcs_form(body: bytes, pieces: list[int]) -> None:
    pieces = [at for at in pieces if at <= len(body)]
    assert body_hash(body, SIMPLE, *pieces) == sha256(plain_simple(body))
    assert body_hash(body, RELAXED, *pieces) == sha256(plain_relaxed(body))


@given(octets, st.integers(1, 5), st.sampled_from([b" ", b"\t", b" \t "]))
def test_relaxed_forgives_more_blanks_and_empty_lines_at_the_end(
    body: bytes, lines: int, blanks: bytes
) -> None:
    changed = re.sub(rb"[ \t]+|(?=\r\n)", blanks, body + b"\r\n") + blanks + b"\r\n" * lines
    assert body_hash(changed, RELAXED) == body_hash(body, RELAXED)


@given(st.binary(max_size=40), st.sampled_from([b"\r\n ", b" \r\n\t", b"\t \t"]))
def test_relaxed_fields_forgive_folding(text: bytes, blanks: bytes) -> None:
    value = re.sub(rb"[ \t\r\n]+", b" ", text)
    assert relaxed_field(b"N", value.replace(b" ", blanks)) == relaxed_field(b"n", value)


def test_a_body_of_nothing_but_empty_lines_is_not_held() -> None:
    found = BodyHash(RELAXED)
    for _ in range(1000):
        found.update(b" \r\n" * 1000)
    assert len(found._rest) < 10
    found.update(b"end")
    assert found.digest() == sha256(b"\r\n" * 1_000_000 + b"end\r\n")
