"""Answers as octets, and read back as a client would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.managesieve.replies import (
    Facts,
    ResponseCode,
    bye,
    capabilities,
    challenge,
    listing,
    no,
    noop_done,
    ok,
    script,
    string,
)


def read_string(octets: bytes) -> tuple[bytes, bytes]:
    """A string at the beginning, and what stands behind it, as RFC 5804 §4 has a client read it."""
    if octets[:1] == b"{":
        size, _, rest = octets[1:].partition(b"}\r\n")
        return rest[: int(size)], rest[int(size) :]
    assert octets[:1] == b'"'
    made = bytearray()
    at = 1
    while octets[at : at + 1] != b'"':
        if octets[at : at + 1] == b"\\":
            at += 1
            assert octets[at : at + 1] in (b'"', b"\\")
        assert octets[at : at + 1] not in (b"\r", b"\n", b"\0", b"")
        made += octets[at : at + 1]
        at += 1
    assert at <= 1 + 1024 + 1
    bytes(made).decode()
    return bytes(made), octets[at + 1 :]


@given(st.one_of(st.binary(), st.text().map(str.encode), st.binary(min_size=1000, max_size=1100)))
def test_whatever_is_put_into_a_string_comes_out(octets: bytes) -> None:
    assert read_string(string(octets) + b" rest") == (octets, b" rest")


@pytest.mark.parametrize(
    ("octets", "sent"),
    [
        (b"", b'""'),
        (b"main_script", b'"main_script"'),
        (b'clever"script', rb'"clever\"script"'),
        ("übung".encode(), '"übung"'.encode()),
        (b"a\r\nb", b"{4}\r\na\r\nb"),
        (b"\xff", b"{1}\r\n\xff"),
        (b"x" * 1025, b"{1025}\r\n" + b"x" * 1025),
        (b'"' * 1000, b"{1000}\r\n" + b'"' * 1000),
    ],
)
def test_strings(octets: bytes, sent: bytes) -> None:
    assert string(octets) == sent


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (ok(), b"OK\r\n"),
        (ok("Goodbye"), b'OK "Goodbye"\r\n'),
        (no("Quota exceeded", ResponseCode.MAX_SIZE), b'NO (QUOTA/MAXSIZE) "Quota exceeded"\r\n'),
        (no("line 2: a\nline 4: b"), b"NO {20}\r\nline 2: a\r\nline 4: b\r\n"),
        (ok("line 8: hm", ResponseCode.WARNINGS), b'OK (WARNINGS) "line 8: hm"\r\n'),
        (bye("Too many"), b'BYE "Too many"\r\n'),
        # §2.13
        (noop_done(None), b'OK "NOOP completed"\r\n'),
        (noop_done(b"STARTTLS-SYNC-42"), b'OK (TAG "STARTTLS-SYNC-42") "Done"\r\n'),
        (noop_done(b"a\r\nb"), b'OK (TAG {4}\r\na\r\nb) "Done"\r\n'),
        (challenge(b""), b'""\r\n'),
        (script(b"keep;\r\n"), b"{7}\r\nkeep;\r\n\r\n"),
        # §2.7
        (
            listing(["summer_script", 'clever"script', "main_script"], "main_script"),
            b'"summer_script"\r\n{13}\r\nclever"script\r\n"main_script" ACTIVE\r\n',
        ),
    ],
)
def test_answers(answer: bytes, sent: bytes) -> None:
    assert answer == sent


def test_a_very_long_text_is_cut_between_characters() -> None:
    answer = no("ä" * 100_000)
    text, rest = read_string(answer[3:])
    assert rest == b"\r\n"
    assert len(text.decode()) < 40_000
    assert text.endswith(b"...")


def test_capabilities() -> None:
    """RFC 5804 §1.7."""
    before = capabilities(Facts(["SCRAM-SHA-256"], ["fileinto", "enotify", "extlists"], True, 4, ""))
    after = capabilities(Facts(["PLAIN"], [], False, 0, 'a"b@example.org'))
    assert before == (
        b'"IMPLEMENTATION" "Postino"\r\n"VERSION" "1.0"\r\n"SASL" "SCRAM-SHA-256"\r\n'
        b'"SIEVE" "fileinto enotify extlists"\r\n"MAXREDIRECTS" "4"\r\n"NOTIFY" "mailto"\r\n'
        b'"EXTLISTS" "urn tag mailto"\r\n"STARTTLS"\r\n"UNAUTHENTICATE"\r\n'
    )
    assert b'"OWNER" "a\\"b@example.org"\r\n' in after
    assert not any(word in after for word in (b"STARTTLS", b"NOTIFY", b"EXTLISTS"))
    assert b'"MAXREDIRECTS" "0"\r\n' in after
