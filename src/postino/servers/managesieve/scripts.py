"""What a logged-in client asks of its scripts.

RFC: 5804 §2.5 to §2.12, §1.4 (the active script), §1.5 (quotas).
Exposure: authenticated; a script is compiled within its budget, in a thread when it is long.
Invariants: a script that does not compile is never stored; OK to a change means it is on disk.
Not here: the rules of the store (store/scripts.py), the language (sieve/).
"""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from postino.core.errors import (
    AlreadyExists,
    NoSuchScript,
    OverQuota,
    PostinoError,
    ScriptActive,
    ScriptTooLarge,
    TemporarilyUnavailable,
    TooManyScripts,
)
from postino.core.ids import AccountId
from postino.managesieve import commands
from postino.managesieve.commands import Command
from postino.managesieve.replies import ResponseCode, listing, no, ok, script
from postino.sieve import compile_script
from postino.sieve.faults import BadScript, Fault
from postino.sieve.script import Script
from postino.store import scripts as stored

if TYPE_CHECKING:
    from postino.servers.managesieve.session import ManageSieveSession

_SHORT_OCTETS: Final = 4 * 1024
"""A script so short is compiled before a thread would have begun."""
# SECURITY: one long script at a time (a MiB takes seconds), so that whoever sends many slows down only those.
_COMPILING: Final = ThreadPoolExecutor(1, "sieve")
_MOST_FAULTS: Final = 50
_EMPTY: Final = 'A script has at least one octet; to filter no mail, send SETACTIVE ""'
_OUTGOING_NOTE: Final = (
    f'The script called "{stored.OUTGOING_NAME}" runs on the mail you send, active or not; '
    "give it another name if that is not meant"
)


async def run_command(session: "ManageSieveSession", account_id: AccountId, command: Command) -> bytes:
    """Carry out one of the commands that are allowed after a login, and give the answer."""
    store = session.context.store
    match command:
        case commands.ListScripts():
            rows = store.read_now(lambda tx: stored.list_scripts(tx, account_id))
            active = next((row.name for row in rows if row.is_active), "")
            return listing((row.name for row in rows), active) + ok()
        case commands.GetScript(name):
            return script(store.read_now(lambda tx: stored.get_script(tx, account_id, name))) + ok()
        case commands.HaveSpace(name, octets):
            limits = session.context.script_limits
            store.read_now(lambda tx: stored.have_space(tx, account_id, name, octets, limits))
            return ok()
        case commands.PutScript(name, source):
            return await _put(session, account_id, name, source)
        case commands.CheckScript(source):
            return await _check(session, source)
        case commands.SetActive(name):
            await store.write(lambda tx: stored.set_active(tx, account_id, name))
            text = "It filters your mail from now on" if name else "No script filters your mail now"
            return _done((), text, _notes(name))
        case commands.DeleteScript(name):
            await store.write(lambda tx: stored.delete_script(tx, account_id, name))
            return ok("Deleted")
        case commands.RenameScript(old, new):
            await store.write(lambda tx: stored.rename_script(tx, account_id, old, new))
            return _done((), "Renamed", _notes(new))
        case _:
            raise AssertionError(f"{command} is none of a script's")


async def _put(session: "ManageSieveSession", account_id: AccountId, name: str, source: bytes) -> bytes:
    if not source:
        return no(_EMPTY)
    if len(source) > session.script_octets:
        return no(too_large(session), ResponseCode.MAX_SIZE)
    try:
        made = await _compiled(session, source, name)
    except BadScript as error:
        return no(_sentences(error.faults))
    now, limits = session.context.clock.now(), session.context.script_limits
    await session.context.store.write(
        lambda tx: stored.put_script(tx, account_id, name, source, made.stored, now=now, limits=limits)
    )
    session.log.info("script.stored", script=name, octets=len(source))
    return _done(made.warnings, "Stored", _notes(name))


async def _check(session: "ManageSieveSession", source: bytes) -> bytes:
    if not source:
        return no(_EMPTY)
    try:
        made = await _compiled(session, source, "script")
    except BadScript as error:
        return no(_sentences(error.faults))
    return _done(made.warnings, "The script is good", [])


async def _compiled(session: "ManageSieveSession", source: bytes, name: str) -> Script:
    if len(source) <= _SHORT_OCTETS:
        return compile_script(source, name=name, budget=session.budget)
    compile_it = partial(compile_script, source, name=name, budget=session.budget)
    return await asyncio.get_running_loop().run_in_executor(_COMPILING, compile_it)


def _notes(name: str) -> list[str]:
    return [_OUTGOING_NOTE] if name == stored.OUTGOING_NAME else []


def _done(warnings: Iterable[Fault], text: str, notes: list[str]) -> bytes:
    words = "\n".join(filter(None, (_sentences(warnings), *notes)))
    return ok(words, ResponseCode.WARNINGS) if words else ok(text)


def _sentences(faults: Iterable[Fault]) -> str:
    """One line for each, the first ones (RFC 5804 §2.6)."""
    lines = [str(fault) for fault in faults]
    if len(lines) > _MOST_FAULTS:
        lines[_MOST_FAULTS:] = [f"and {len(lines) - _MOST_FAULTS} more like these"]
    return "\n".join(lines)


def too_large(session: "ManageSieveSession") -> str:
    """Why so long a script is refused."""
    return f"A script has at most {session.script_octets} octets"


def code_of(error: PostinoError) -> ResponseCode | None:
    """What a program may conclude from an error of the store."""
    match error:
        case AlreadyExists():
            return ResponseCode.ALREADY_EXISTS
        case NoSuchScript():
            return ResponseCode.NONEXISTENT
        case ScriptActive():
            return ResponseCode.ACTIVE
        case TooManyScripts():
            return ResponseCode.MAX_SCRIPTS
        case ScriptTooLarge():
            return ResponseCode.MAX_SIZE
        case OverQuota():
            return ResponseCode.QUOTA
        case TemporarilyUnavailable():
            return ResponseCode.TRY_LATER
    return None
