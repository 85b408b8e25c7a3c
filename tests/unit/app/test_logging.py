"""One line an event; no secrets; nothing a client sends can forge a line."""

import asyncio
import io
import json
import subprocess
import sys
from typing import Any

import pytest

from postino.app.logging import LogLevel, make_logger


class Lines(io.BytesIO):
    """A log file in memory."""

    def lines(self) -> list[str]:
        return self.getvalue().decode().splitlines()


@pytest.fixture
def out() -> Lines:
    return Lines()


def test_json_lines(out: Lines) -> None:
    log = make_logger(LogLevel("info"), "auto", out).bind(session="s1")
    log.info("login.ok", account="ann@example.org", tls=None)
    event: dict[str, Any] = json.loads(out.lines()[0])
    assert event.pop("time").endswith("Z")
    assert event == {
        "level": "info",
        "event": "login.ok",
        "session": "s1",
        "account": "ann@example.org",
        "tls": None,
    }


def test_text_lines_keep_what_clients_send_on_one_line(out: Lines) -> None:
    log = make_logger(LogLevel("info"), "text", out)
    log.warning(
        "message.refused", helo="evil\n2026 info forged", peer="192.0.2.1:5", empty="", list=["a", "b"]
    )
    (line,) = out.lines()
    assert line.endswith("helo='evil\\n2026 info forged' peer=192.0.2.1:5 empty='' list=a,b")
    assert " warning message.refused" in line


def test_the_level_changes_for_loggers_that_exist(out: Lines) -> None:
    level = LogLevel("warning")
    log = make_logger(level, "json", out).bind(worker=1)
    log.info("hidden")
    level.set("debug")
    log.debug("shown")
    assert [json.loads(line)["event"] for line in out.lines()] == ["shown"]


def test_secrets_are_hidden(out: Lines) -> None:
    make_logger(LogLevel("info"), "json", out).info("x", password="hunter2", token="t0ken", account="a")
    text = out.getvalue().decode()
    assert "hunter2" not in text
    assert "t0ken" not in text
    assert json.loads(text)["account"] == "a"


def test_exceptions_and_odd_values_are_printed(out: Lines) -> None:
    log = make_logger(LogLevel("info"), "json", out)
    log.error("session.fault", exc_info=ValueError("odd"), where=ValueError)
    event = json.loads(out.lines()[0])
    assert "ValueError: odd" in event["exception"]
    assert event["where"] == "<class 'ValueError'>"


def test_a_server_does_not_load_the_table_printer() -> None:
    program = "import sys, postino.app.logging; print('rich' in sys.modules); import rich.table"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


class Pieces(io.BytesIO):
    """A log file that counts how often it is written to."""

    writes = 0

    def write(self, octets: Any, /) -> int:
        self.writes += 1
        return super().write(octets)


async def test_lines_of_one_turn_of_the_loop_are_written_together() -> None:
    out = Pieces()
    log = make_logger(LogLevel("info"), "json", out)
    for number in range(3):
        log.info("message.delivered", number=number)
    assert out.writes == 0
    await asyncio.sleep(0)
    assert out.writes == 1
    assert [json.loads(line)["number"] for line in out.getvalue().splitlines()] == [0, 1, 2]


async def test_an_error_is_written_at_once_behind_what_came_before_it() -> None:
    out = Pieces()
    log = make_logger(LogLevel("info"), "json", out)
    log.info("first")
    log.error("second")
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["first", "second"]
    await asyncio.sleep(0)
    assert out.writes == 1


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_what_a_client_sent_acts_on_no_terminal(out: Lines, log_format: str) -> None:
    sent = "a\x1b[2J \x9b31m \u202eb \u2066 \u2028 \x7f \x85 \u200f \u061c \udcff é"
    make_logger(LogLevel("info"), log_format, out).info("login.failed", account=sent, mailboxes=[sent, 1])
    (line,) = out.getvalue().decode().split("\n")[:-1]
    assert line.isprintable()
    assert "é" in line
    if log_format == "json":
        assert json.loads(line)["account"] == sent.replace("\udcff", "?")
