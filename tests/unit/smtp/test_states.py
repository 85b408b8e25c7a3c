"""The order of commands: each row of the table, from RFC 5321 §4.1.4 and the extensions."""

from typing import get_args

import pytest

from postino.core.address import Address
from postino.smtp import replies
from postino.smtp.commands import (
    AuthCommand,
    BdatCommand,
    Command,
    Greeting,
    HelloCommand,
    MailCommand,
    RcptCommand,
    SimpleCommand,
    VrfyCommand,
)
from postino.smtp.reply import Reply
from postino.smtp.states import State, refusal

MAIL = MailCommand(None)
RCPT = RcptCommand(Address("a", "b"))
BDAT = BdatCommand(1, False)
AUTH = AuthCommand("PLAIN", None)
HELLO = HelloCommand(Greeting.EHLO, "x")
VRFY = VrfyCommand("x")
DATA, RSET, STARTTLS = SimpleCommand.DATA, SimpleCommand.RSET, SimpleCommand.STARTTLS
C, G, S, R, K, F = State.CONNECTED, State.GREETED, State.SENDER, State.RECIPIENTS, State.CHUNKS, State.FAILED

ROWS: list[tuple[Command, dict[State, Reply | None]]] = [
    (HELLO, dict.fromkeys(State, None)),
    (VRFY, dict.fromkeys(State, None)),
    (RSET, dict.fromkeys(State, None)),
    (SimpleCommand.NOOP, dict.fromkeys(State, None)),
    (SimpleCommand.HELP, dict.fromkeys(State, None)),
    (SimpleCommand.EXPN, dict.fromkeys(State, None)),
    (SimpleCommand.QUIT, dict.fromkeys(State, None)),
    (MAIL, {C: replies.GREET_FIRST, G: None, **dict.fromkeys((S, R, K, F), replies.NESTED_MAIL)}),
    (
        RCPT,
        {
            C: replies.GREET_FIRST,
            G: replies.MAIL_FIRST,
            S: None,
            R: None,
            K: replies.CHUNKS_UNDER_WAY,
            F: replies.CHUNKS_FAILED,
        },
    ),
    (
        DATA,
        {
            C: replies.GREET_FIRST,
            G: replies.MAIL_FIRST,
            S: replies.NO_RECIPIENTS,
            R: None,
            K: replies.CHUNKS_UNDER_WAY,
            F: replies.CHUNKS_FAILED,
        },
    ),
    (
        BDAT,
        {
            C: replies.GREET_FIRST,
            G: replies.MAIL_FIRST,
            S: replies.NO_RECIPIENTS,
            R: None,
            K: None,
            F: replies.CHUNKS_FAILED,
        },
    ),
    (AUTH, {C: replies.GREET_FIRST, G: None, **dict.fromkeys((S, R, K, F), replies.NOT_IN_MESSAGE)}),
    (STARTTLS, {C: replies.GREET_FIRST, G: None, **dict.fromkeys((S, R, K, F), replies.NOT_IN_MESSAGE)}),
]


@pytest.mark.parametrize(("command", "row"), ROWS)
def test_the_table(command: Command, row: dict[State, Reply | None]) -> None:
    for state in State:
        assert refusal(state, command) is row[state], state


def test_every_command_has_a_row() -> None:
    tested = {command if isinstance(command, SimpleCommand) else type(command) for command, _ in ROWS}
    assert tested == {*SimpleCommand, *(kind for kind in get_args(Command) if kind is not SimpleCommand)}
