"""Which command may come when: the only place that knows, as one table.

RFC: 5321 §4.1.4 (order of commands), §3.3 (transaction), 3030 §2 (BDAT), 4954 §4 (AUTH),
    3207 §4 (STARTTLS).
Invariants: pure lookup; a command that is refused here changes no state.
Not here: what a command does and which state follows (servers/smtp).
"""

from enum import Enum
from typing import Final

from postino.smtp import replies
from postino.smtp.commands import (
    AuthCommand,
    BdatCommand,
    Command,
    HelloCommand,
    MailCommand,
    RcptCommand,
    SimpleCommand,
    VrfyCommand,
)
from postino.smtp.reply import Reply


class State(Enum):
    """Where a session stands between two commands."""

    CONNECTED = "nothing said yet, or TLS just begun"
    GREETED = "no message under way"
    SENDER = "MAIL taken, no recipient yet"
    RECIPIENTS = "at least one recipient taken"
    CHUNKS = "a BDAT taken, LAST not yet"
    FAILED = "a BDAT refused; only RSET goes on"


_Refusals = dict[State, Reply]

_IN_MESSAGE: Final = (State.SENDER, State.RECIPIENTS, State.CHUNKS, State.FAILED)
_BETWEEN_MESSAGES: Final[_Refusals] = {
    State.CONNECTED: replies.GREET_FIRST,
    **dict.fromkeys(_IN_MESSAGE, replies.NOT_IN_MESSAGE),
}

# A state that is missing from a row allows the command.
_REFUSALS: Final[dict[type | SimpleCommand, _Refusals]] = {
    MailCommand: {
        State.CONNECTED: replies.GREET_FIRST,
        **dict.fromkeys(_IN_MESSAGE, replies.NESTED_MAIL),
    },
    RcptCommand: {
        State.CONNECTED: replies.GREET_FIRST,
        State.GREETED: replies.MAIL_FIRST,
        State.CHUNKS: replies.CHUNKS_UNDER_WAY,
        State.FAILED: replies.CHUNKS_FAILED,
    },
    SimpleCommand.DATA: {
        State.CONNECTED: replies.GREET_FIRST,
        State.GREETED: replies.MAIL_FIRST,
        State.SENDER: replies.NO_RECIPIENTS,
        State.CHUNKS: replies.CHUNKS_UNDER_WAY,
        State.FAILED: replies.CHUNKS_FAILED,
    },
    # The chunk itself is read and thrown away all the same (RFC 3030 §2).
    BdatCommand: {
        State.CONNECTED: replies.GREET_FIRST,
        State.GREETED: replies.MAIL_FIRST,
        State.SENDER: replies.NO_RECIPIENTS,
        State.FAILED: replies.CHUNKS_FAILED,
    },
    AuthCommand: _BETWEEN_MESSAGES,
    SimpleCommand.STARTTLS: _BETWEEN_MESSAGES,
    HelloCommand: {},
    VrfyCommand: {},
    SimpleCommand.RSET: {},
    SimpleCommand.NOOP: {},
    SimpleCommand.HELP: {},
    SimpleCommand.EXPN: {},
    SimpleCommand.QUIT: {},
}


def refusal(state: State, command: Command) -> Reply | None:
    """Why `command` may not come in `state`, or None when it may."""
    key = command if isinstance(command, SimpleCommand) else type(command)
    return _REFUSALS[key].get(state)
