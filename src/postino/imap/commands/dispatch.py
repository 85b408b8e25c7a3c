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
    acl,
    append,
    authenticate,
    cancel_update,
    compress,
    copy,
    create,
    delete,
    enable,
    esearch,
    fetch,
    identify,
    language,
    login,
    metadata,
    move,
    notify,
    plain,
    quota,
    rename,
    search,
    select,
    sort,
    status,
    store,
    subscribe,
    thread,
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
    | plain.Unauthenticate
    | plain.Idle
    | plain.Namespace
    | plain.Close
    | plain.Unselect
    | plain.Check
    | plain.Expunge
    | authenticate.Authenticate
    | compress.Compress
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
    | append.AppendUrls
    | uid_expunge.UidExpunge
    | fetch.Fetch
    | store.Store
    | copy.Copy
    | move.Move
    | search.Search
    | sort.Sort
    | thread.Thread
    | esearch.Esearch
    | cancel_update.CancelUpdate
    | acl.SetAcl
    | acl.DeleteAcl
    | acl.GetAcl
    | acl.ListRights
    | acl.MyRights
    | quota.GetQuota
    | quota.GetQuotaRoot
    | quota.SetQuota
    | metadata.GetMetadata
    | metadata.SetMetadata
    | notify.Notify
    | language.Language
)
"""What parse_command() gives; APPEND and REPLACE with a literal are read by an AppendReader."""

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
        plain.Unauthenticate,
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
    b"COMPRESS": (compress.USAGE, compress.parse),
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
    b"ESEARCH": (esearch.USAGE, esearch.parse),
    b"CANCELUPDATE": (cancel_update.USAGE, cancel_update.parse),
    b"SETACL": (acl.SET_USAGE, acl.parse_setacl),
    b"DELETEACL": (acl.DELETE_USAGE, acl.parse_deleteacl),
    b"GETACL": (acl.GET_USAGE, acl.parse_getacl),
    b"LISTRIGHTS": (acl.LIST_USAGE, acl.parse_listrights),
    b"MYRIGHTS": (acl.MY_USAGE, acl.parse_myrights),
    b"GETQUOTA": (quota.GET_USAGE, quota.parse_getquota),
    b"GETQUOTAROOT": (quota.GET_ROOT_USAGE, quota.parse_getquotaroot),
    b"SETQUOTA": (quota.SET_USAGE, quota.parse_setquota),
    b"LANGUAGE": (language.USAGE, language.parse),
    b"NOTIFY": (notify.USAGE, notify.parse),
    b"GETMETADATA": (metadata.GET_USAGE, metadata.parse_getmetadata),
    b"SETMETADATA": (metadata.SET_USAGE, metadata.parse_setmetadata),
}
_NUMBERED: Final[dict[bytes, tuple[str, _ParseNumbered]]] = {
    b"FETCH": (fetch.USAGE, fetch.parse),
    b"STORE": (store.USAGE, store.parse),
    b"COPY": (copy.USAGE, copy.parse),
    b"MOVE": (move.USAGE, move.parse),
    b"SEARCH": (search.USAGE, search.parse),
    b"SORT": (sort.USAGE, sort.parse),
    b"THREAD": (thread.USAGE, thread.parse),
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
        if name in (b"APPEND", b"REPLACE"):
            return append.parse_whole(frame, options)
        if uid is not None and name == b"ESEARCH":
            # QUIRK(RFC 7377 §2, whose examples have the UID that its grammar lacks): both mean the same.
            return esearch.parse(tag, Scanner(frame, head.end(), options, esearch.USAGE))
        if uid is not None:
            if name != b"EXPUNGE":
                raise BadCommand(
                    "UID goes before FETCH, STORE, COPY, MOVE, SEARCH, SORT, THREAD, REPLACE and EXPUNGE only"
                )
            return uid_expunge.parse(tag, Scanner(frame, head.end(), options, uid_expunge.USAGE))
        found = _PARSERS.get(name)
        if found is not None:
            return found[1](tag, Scanner(frame, head.end(), options, found[0]))
        plain_command = _PLAIN.get(name)
        if plain_command is not None:
            if head.end() != len(text) or len(frame.parts) > 1:
                Scanner(frame, head.end(), options, f"{name.decode('ascii')} takes no arguments").end()
            return plain_command(tag)
        raise BadCommand("This command is not known here")
    except BadCommand as error:
        error.tag = tag
        raise


def _refuse_head(text: bytes) -> NoReturn:
    tag = _TAG.match(text)
    if tag is None:
        raise BadCommand("A command starts with a tag, such as: a1 NOOP")
    raise BadCommand("A command is a tag and a command's name, such as: a1 NOOP", tag=tag.group(1))
