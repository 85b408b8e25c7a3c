"""Command lines to values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.core.errors import ProtocolViolation
from postino.pop3.commands import (
    Auth,
    Capa,
    Command,
    Dele,
    List,
    Noop,
    Pass,
    Quit,
    Retr,
    Rset,
    Stat,
    Stls,
    Top,
    Uidl,
    User,
    parse_command,
    retr_number,
)
from postino.pop3.states import State, require_allowed


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"CAPA", Capa()),
        (b"capa", Capa()),
        (b"STLS", Stls()),
        (b"USER ann@example.org", User("ann@example.org")),
        (b"PASS  two words ", Pass(" two words ")),
        ("PASS pässword".encode(), Pass("pässword")),
        (b"AUTH", Auth("", None)),
        (b"AUTH PLAIN", Auth("PLAIN", None)),
        (b"AUTH PLAIN =", Auth("PLAIN", b"=")),
        (b"AUTH PLAIN AGE=", Auth("PLAIN", b"AGE=")),
        (b"STAT", Stat()),
        (b"STAT ", Stat()),
        (b"LIST", List(0)),
        (b"LIST 7", List(7)),
        (b"UIDL", Uidl(0)),
        (b"UIDL 4294967295", Uidl(4294967295)),
        (b"RETR 1", Retr(1)),
        (b"RETR 1 ", Retr(1)),
        (b"TOP 1 0", Top(1, 0)),
        (b"DELE 1", Dele(1)),
        (b"RSET", Rset()),
        (b"NOOP", Noop()),
        (b"QUIT", Quit()),
    ],
)
def test_commands(line: bytes, command: Command) -> None:
    assert parse_command(line) == command


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b" STAT",
        b"APOP a b",
        b"STAT 1",
        b"LIST 0",
        b"LIST x",
        b"LIST 4294967296",
        b"LIST 1 2",
        b"LIST -1",
        b"RETR",
        b"RETR +1",
        "RETR ٣".encode(),
        b"TOP 1",
        b"TOP 1 x",
        b"TOP 1 99999999999",
        b"TOP 0 1",
        b"USER",
        b"USER \xff",
        b"USER a\0b",
        b"PASS",
        b"AUTH PLAIN a b",
        b"AUTH  PLAIN",
        b"AUTH PL\tAIN",
    ],
)
def test_no_commands(line: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        parse_command(line)


def test_secrets_do_not_show() -> None:
    assert "hunter2" not in repr(Pass("hunter2"))
    assert "AGE" not in repr(Auth("PLAIN", b"AGE="))


@pytest.mark.parametrize(
    ("line", "number"), [(b"RETR 5", 5), (b"retr 5\r", 5), (b"TOP 5 1", 0), (b"RETR x", 0)]
)
def test_looking_ahead(line: bytes, number: int) -> None:
    assert retr_number(line) == number


@pytest.mark.parametrize(
    ("state", "command", "allowed"),
    [
        (State.AUTHORIZATION, Capa(), True),
        (State.AUTHORIZATION, Quit(), True),
        (State.AUTHORIZATION, Stat(), False),
        (State.AUTHORIZATION, Noop(), False),
        (State.TRANSACTION, Capa(), True),
        (State.TRANSACTION, User("a"), False),
        (State.TRANSACTION, Stls(), False),
        (State.TRANSACTION, Quit(), True),
    ],
)
def test_states(state: State, command: Command, allowed: bool) -> None:
    if allowed:
        require_allowed(state, command)
    else:
        with pytest.raises(ProtocolViolation):
            require_allowed(state, command)


@given(st.binary(max_size=60))
def test_any_line_gives_a_command_or_a_violation(line: bytes) -> None:
    try:
        parse_command(line)
    except ProtocolViolation:
        pass
