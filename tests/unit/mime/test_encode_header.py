"""Texts of people and scripts as header fields: one field whatever they hold, and read back as they were."""

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.mime.encode_header import header_text, one_line
from postino.mime.encoded_word import decode_header_text


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("Auto: hello", "Subject: Auto: hello\r\n"),
        ("Grüße", "Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\n"),
        ("a\r\nBcc: eve@x.example", "Subject: a Bcc: eve@x.example\r\n"),
        ("=?utf-8?Q?x?=", "Subject: =?utf-8?B?PT91dGYtOD9RP3g/PQ==?=\r\n"),
    ],
)
def test_fields(text: str, field: str) -> None:
    assert header_text("Subject", text) == field


@given(st.text(max_size=400))
def test_any_text_is_one_field_of_ascii_that_is_read_as_it_was(text: str) -> None:
    field = header_text("Subject", text, 1000)
    assert field.isascii()
    parsed = email.message_from_string(f"{field}X-End: yes\r\n\r\n", policy=email.policy.compat32)
    assert parsed.keys() == ["Subject", "X-End"]
    value = field.removeprefix("Subject:").encode()
    wanted = " ".join(one_line(text, 1000).split(" "))
    found = decode_header_text(value.replace(b"\r\n", b""))
    assert found.split() == wanted.split()


def test_what_is_long_is_cut() -> None:
    assert one_line("x" * 50, 20) == "x" * 17 + "..."


def test_c1_controls_are_blanks() -> None:
    assert one_line("a\x9b31m\x85b", 20) == "a 31m b"
