"""Find the grammar for a command and apply it.

RFC: 9051 §9 (command).
Exposure: unauthenticated octets, framed and bounded by framer.py.
Invariants: any frame gives a Command or BadCommand (with the tag, if one could be read), nothing else.
"""

import re
from collections.abc import Callable
from typing import Final, NoReturn

from postino.imap.bad_command import BadCommand
from postino.imap.commands import (
    append,
    authenticate,
    copy,
    create,
    delete,
    enable,
    fetch,
    identify,
    login,
    move,
    plain,
    rename,
    search,
    select,
    status,
    store,
    subscribe,
    uid_expunge,
)
from postino.imap.commands import list as list_command
from postino.imap.framer import CommandFrame
from postino.imap.parse_options import ParseOptions
from postino.imap.scanner import Scanner

Command = (
    plain.Capability
    | plain.Noop
    | plain.Logout
    | plain.Starttls
    | plain.Idle
    | plain.Namespace
    | plain.Close
    | plain.Unselect
    | plain.Check
    | plain.Expunge
    | authenticate.Authenticate
    | login.Login
    | enable.Enable
    | identify.Id
    | select.Select
    | create.Create
    | delete.Delete
    | rename.Rename
    | subscribe.Subscribe
    | subscribe.Unsubscribe
    | list_command.List
    | list_command.Lsub
    | status.Status
    | uid_expunge.UidExpunge
    | fetch.Fetch
    | store.Store
    | copy.Copy
    | move.Move
    | search.Search
)
"""What parse_command() gives; APPEND comes as AppendHead through parse_append_head()."""

_HEAD: Final = re.compile(
    rb"([^\x00-\x20\x7f-\xff(){%*\"\\+]{1,128}) (?:([Uu][Ii][Dd]) )?([A-Za-z]{1,20})(?= |\Z)"
)
_TAG: Final = re.compile(rb"([^\x00-\x20\x7f-\xff(){%*\"\\+]{1,128})(?: |\Z)")

_Plain = Callable[[bytes], Command]
_Parse = Callable[[bytes, Scanner], Command]
_ParseNumbered = Callable[[bytes, Scanner, bool], Command]

_PLAIN: Final[dict[bytes, _Plain]] = {
    command.name.encode("ascii"): command
    for command in (
        plain.Capability,
        plain.Noop,
        plain.Logout,
        plain.Starttls,
        plain.Idle,
        plain.Namespace,
        plain.Close,
        plain.Unselect,
        plain.Check,
        plain.Expunge,
    )
}
_PARSERS: Final[dict[bytes, tuple[str, _Parse]]] = {
    b"AUTHENTICATE": (authenticate.USAGE, authenticate.parse),
    b"LOGIN": (login.USAGE, login.parse),
    b"ENABLE": (enable.USAGE, enable.parse),
    b"ID": (identify.USAGE, identify.parse),
    b"SELECT": (select.USAGE, select.parse_select),
    b"EXAMINE": (select.EXAMINE_USAGE, select.parse_examine),
    b"CREATE": (create.USAGE, create.parse),
    b"DELETE": (delete.USAGE, delete.parse),
    b"RENAME": (rename.USAGE, rename.parse),
    b"SUBSCRIBE": (subscribe.USAGE, subscribe.parse_subscribe),
    b"UNSUBSCRIBE": (subscribe.UNSUBSCRIBE_USAGE, subscribe.parse_unsubscribe),
    b"LIST": (list_command.USAGE, list_command.parse_list),
    b"LSUB": (list_command.LSUB_USAGE, list_command.parse_lsub),
    b"STATUS": (status.USAGE, status.parse),
}
_NUMBERED: Final[dict[bytes, tuple[str, _ParseNumbered]]] = {
    b"FETCH": (fetch.USAGE, fetch.parse),
    b"STORE": (store.USAGE, store.parse),
    b"COPY": (copy.USAGE, copy.parse),
    b"MOVE": (move.USAGE, move.parse),
    b"SEARCH": (search.USAGE, search.parse),
}


def parse_command(frame: CommandFrame, options: ParseOptions) -> Command:
    """The command of one frame. Raises BadCommand for everything that is none."""
    text = frame.parts[0]
    head = _HEAD.match(text)
    if head is None:
        _refuse_head(text)
    tag, uid, name = head.groups()
    name = name.upper()
    try:
        numbered = _NUMBERED.get(name)
        if numbered is not None:
            return numbered[1](tag, Scanner(frame, head.end(), options, numbered[0]), uid is not None)
        if uid is not None:
            if name != b"EXPUNGE":
                raise BadCommand("UID goes before FETCH, STORE, COPY, MOVE, SEARCH and EXPUNGE only")
            return uid_expunge.parse(tag, Scanner(frame, head.end(), options, uid_expunge.USAGE))
        found = _PARSERS.get(name)
        if found is not None:
            return found[1](tag, Scanner(frame, head.end(), options, found[0]))
        plain_command = _PLAIN.get(name)
        if plain_command is not None:
            if head.end() != len(text) or len(frame.parts) > 1:
                Scanner(frame, head.end(), options, f"{name.decode('ascii')} takes no arguments").end()
            return plain_command(tag)
        if name == b"APPEND":
            _refuse_append(tag, frame, head.end(), options)
        raise BadCommand("This command is not known here")
    except BadCommand as error:
        error.tag = tag
        raise


def parse_append_head(head: CommandFrame, options: ParseOptions) -> append.AppendHead:
    """What AppendStarted brings when it is the first of its command. Raises BadCommand."""
    found = _HEAD.match(head.parts[0])
    if found is None or found.group(3).upper() != b"APPEND" or found.group(2) is not None:
        _refuse_head(head.parts[0])
    tag = found.group(1)
    try:
        # The message itself is not among the parts, so the last text ends with its marker.
        return append.parse_first(tag, Scanner(head, found.end(), options, append.USAGE))
    except BadCommand as error:
        error.tag = tag
        raise


def parse_append_next(
    head: CommandFrame, previous: append.AppendHead, options: ParseOptions
) -> append.AppendHead:
    """What a further AppendStarted of the same command brings (RFC 3502). Raises BadCommand."""
    scan = Scanner(CommandFrame(head.parts[-1:]), 0, options, append.USAGE)
    try:
        if previous.is_utf8:
            scan.require(b")")
        return append.parse_message(previous.tag, scan, previous.mailbox)
    except BadCommand as error:
        error.tag = previous.tag
        raise


def parse_append_rest(line: bytes, previous: append.AppendHead) -> None:
    """Insist that nothing but the end follows the last message. Raises BadCommand."""
    if line.rstrip(b" ") != (b")" if previous.is_utf8 else b""):
        raise BadCommand(append.USAGE, tag=previous.tag)


def _refuse_append(tag: bytes, frame: CommandFrame, at: int, options: ParseOptions) -> NoReturn:
    """An APPEND that did not stream: without its message, or before a login (FramerLimits)."""
    if len(frame.parts) >= 3:
        append.parse_first(tag, Scanner(CommandFrame(frame.parts[:-2]), at, options, append.USAGE))
        raise BadCommand("Log in before APPEND")
    raise BadCommand(append.USAGE)


def _refuse_head(text: bytes) -> NoReturn:
    tag = _TAG.match(text)
    if tag is None:
        raise BadCommand("A command starts with a tag, such as: a1 NOOP")
    raise BadCommand("A command is a tag and a command's name, such as: a1 NOOP", tag=tag.group(1))
