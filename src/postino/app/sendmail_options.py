"""The command line of sendmail, as cron, PHP, git and many scripts write it.

RFC: 3461 §4 (what -N, -R and -V ask for).
Invariants: an option that is not known, or whose value makes no sense, is refused with a sentence; those that
    only ever tuned sendmail itself are taken and mean nothing.
Not here: reading the message (sendmail_message.py), handing it in (handing_in.py).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from postino.core.errors import PostinoError
from postino.smtp.envelope import Notify, Return

_WITH_VALUE: Final = frozenset("ABCDFLMNORVXbefhopr")
_FLAGS: Final = frozenset("GIUcimnstvx")
_OPTIONAL: Final = frozenset("qd")
_NOTIFY: Final = {"success": Notify.SUCCESS, "failure": Notify.FAILURE, "delay": Notify.DELAY}
_RETURN: Final = {"full": Return.FULL, "hdrs": Return.HEADERS}
_NAMED: Final = re.compile(r"<([^<>]*)>\s*\Z")
_ENVID: Final = re.compile(r"[\x21-\x7e]{1,100}")


class BadUsage(PostinoError):
    """The command line makes no sense; the sentence says why."""


class Mode(Enum):
    """What is asked for."""

    SEND = "m"
    SMTP = "s"
    """SMTP on standard input and output."""
    LIST = "p"
    """Show the queue, as mailq does."""
    ALIASES = "i"
    """Rebuild aliases, as newaliases does; ours need it never."""


@dataclass(slots=True)
class Options:
    """What the command line says."""

    mode: Mode = Mode.SEND
    from_header: bool = False
    """-t: the message's own fields name recipients, too."""
    ignore_dots: bool = False
    """-i: a line with one dot is a line like any other, not the end."""
    sender: str | None = None
    """-f: the reverse-path; empty is the null one, None was not said."""
    full_name: str = ""
    notify: Notify = Notify.UNSAID
    ret: Return = Return.UNSAID
    envid: str = ""
    recipients: tuple[str, ...] = ()


def parse_options(arguments: Sequence[str]) -> Options:
    """Understand a command line without the program's name. Raises BadUsage."""
    options = Options()
    recipients: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word == "--":
            recipients += left
            break
        if len(word) < 2 or not word.startswith("-"):
            recipients.append(word)
            continue
        if word.startswith("--"):
            raise BadUsage(f"{word} is not an option; `postino send --help` shows those there are")
        _read_word(options, word[1:], left)
    options.recipients = tuple(recipients)
    return options


def _read_word(options: Options, letters: str, left: list[str]) -> None:
    while letters:
        letter, letters = letters[0], letters[1:]
        if letter in _WITH_VALUE:
            if not letters and not left:
                raise BadUsage(f"-{letter} needs a value; `postino send --help` shows how")
            _set(options, letter, letters or left.pop(0))
            return
        if letter in _OPTIONAL:
            return
        if letter not in _FLAGS:
            raise BadUsage(f"-{letter} is not an option; `postino send --help` shows those there are")
        if letter == "t":
            options.from_header = True
        elif letter == "i":
            options.ignore_dots = True


def _set(options: Options, letter: str, value: str) -> None:
    match letter:
        case "f" | "r":
            # Some programs give the name, too.
            named = _NAMED.search(value)
            options.sender = named[1] if named else value.strip()
        case "F":
            options.full_name = value
        case "N":
            options.notify = _notify(value)
        case "R":
            found = _RETURN.get(value.lower())
            if found is None:
                raise BadUsage(f"-R {value} makes no sense; write full or hdrs")
            options.ret = found
        case "V":
            if not _ENVID.fullmatch(value):
                raise BadUsage("-V takes at most 100 printable characters of ASCII without blanks")
            options.envid = value
        case "B":
            # Whether there are 8-bit octets is seen when the message is read.
            if value.upper() not in {"7BIT", "8BITMIME"}:
                raise BadUsage(f"-B {value} makes no sense; write 7BIT or 8BITMIME")
        case "b":
            options.mode = _mode(value)
        case "o":
            if value == "i":
                options.ignore_dots = True
        case _:
            pass


def _notify(value: str) -> Notify:
    if value.lower() == "never":
        return Notify.NEVER
    found = Notify.UNSAID
    for word in value.lower().split(","):
        if word.strip() not in _NOTIFY:
            raise BadUsage(f"-N {value} makes no sense; write never, or some of success,failure,delay")
        found |= _NOTIFY[word.strip()]
    return found


def _mode(value: str) -> Mode:
    if value in {"d", "D"}:
        raise BadUsage("The server is not started like this; use: postino serve")
    try:
        return Mode(value)
    except ValueError as error:
        raise BadUsage(f"-b{value} is not known; -bm sends, -bs speaks SMTP, -bp shows the queue") from error
