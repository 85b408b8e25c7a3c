"""The runner itself, against a server that echoes: what it must accept, and what it must not."""

from pathlib import Path

import pytest

from postino.net.connection import Connection
from tests.transcripts.runner import (
    MismatchError,
    Mode,
    Player,
    TranscriptError,
    expected_lines,
    make_tls_material,
    parse_transcript,
    pattern,
    rendered,
    sent_octets,
)


async def echo(connection: Connection) -> None:
    """Greet, then say every line back; `BYE` closes, `TLS` switches, `TWO` says two lines."""
    connection.write(b"+OK hello\r\n")
    held = b""
    while data := await connection.read(5):
        held += data
        while b"\r\n" in held:
            line, _, held = held.partition(b"\r\n")
            if line == b"TLS":
                connection.write(b"go\r\n")
                held = b""
                import ssl

                await connection.start_tls(MATERIAL[0].server if MATERIAL else ssl.create_default_context())
            elif line == b"BYE":
                connection.write(b"bye\r\n")
                return
            else:
                connection.write(b"you said " + line + b"\r\n" * (2 if line == b"TWO" else 1))


MATERIAL: list = []


async def run(tmp_path: Path, text: str, mode: Mode) -> None:
    path = tmp_path / "a.txt"
    path.write_text("about: a test\n" + text)
    if not MATERIAL:
        MATERIAL.append(make_tls_material(tmp_path))
    await Player(parse_transcript(path), mode, lambda _kind: echo, MATERIAL[0]).play()


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_right_transcript_passes(tmp_path: Path, mode: Mode) -> None:
    await run(
        tmp_path,
        "A: pop3\nA> one\nA> two\nA< you said {x}\nA~ you ... two\nA> {x}\nA! two\nA< you said {x}\n"
        "B: pop3 tls=no\nB> TLS\nB> smuggled\nB< go\nB: tls\n"
        "B> in private\nB! ...smuggled\nB< you said in ...\n"
        "A> BYE\nA< bye\nA: closed\n",
        mode,
    )


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(
    "text",
    [
        "A> one\nA< you said two\n",
        "A> one\nA! you said one\nA< you said one\n",
        "A> one\nA< you said one\nA! you said one\n",
        "A> {x}\nA< you said {y}\nA> b\nA< you said {y}\n",
        "A> BYE\nA: closed\n",
        "A> one\nA> two\nA~ you said two\nA~ you said two\n",
    ],
)
async def test_a_wrong_transcript_fails(tmp_path: Path, mode: Mode, text: str) -> None:
    with pytest.raises(MismatchError):
        await run(tmp_path, "A: pop3\n" + text, mode)


async def test_an_unexpected_line_fails(tmp_path: Path) -> None:
    with pytest.raises(MismatchError):
        await run(tmp_path, "A: pop3\nA> TWO\nA< you said TWO\n", Mode.WHOLE)


def test_sent_escapes() -> None:
    assert sent_octets(r"a\r\n\0\x41\\ \Seen {x} {5}", "smtp", {"x": "7"}) == b"a\r\n\0A\\ \\Seen 7 {5}"


def test_files_are_inserted_as_each_protocol_carries_them() -> None:
    assert sent_octets("x <<#simple.eml", "smtp", {}).startswith(b"x 1")
    assert b"\r\n...two dots\r\n..\r\nfour" in sent_octets("<<dots.eml", "smtp", {})
    assert sent_octets("a <<dots.eml)", "imap", {}).startswith(b"a {")
    assert "+}" not in expected_lines("* <<dots.eml)", "imap")[0]
    assert expected_lines("* <<dots.eml)", "imap")[-1] == ")"


def test_patterns() -> None:
    assert pattern("* {uv} ... {uv}", {}).fullmatch("* 3 abc 3")
    assert not pattern("* {uv} ... {uv}", {}).fullmatch("* 3 abc 4")
    assert pattern(r"\{x} {5}", {}).fullmatch("{x} {5}")
    assert pattern("{x}", {"x": "a.c"}).fullmatch("a.c")
    assert not pattern("{x}", {"x": "a.c"}).fullmatch("abc")
    assert rendered(b"a\x00\xff") == "a\\x00\\xff"


def test_a_line_that_is_no_step_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("about: x\nA: pop3\nwhat is this\n")
    with pytest.raises(TranscriptError, match=r"a\.txt:3"):
        parse_transcript(path)
