"""Run scripts over what IMAP puts into mailboxes or marks there, after the command that did it.

A command only notes what happened; one task of the worker does the rest, message by message in groups, so
that moving a thousand messages holds nobody up. What is not done when the server stops is not done later.
RFC: 6785 (imapsieve): §2.2 (events), §2.3.1 (which script), §3 (actions), §4 (environment).
Exposure: messages of anybody, scripts of the mailbox's owner and of the site.
Invariants: what a script does is no event, so nothing goes round; a script acts as the mailbox's owner,
    whoever caused the event; a fault is logged and changes nothing; without a script the costs are one look
    into a dictionary.
Not here: noting events (servers/imap/events.py), what an evaluation becomes (event_actions.py).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple, Protocol

import msgspec
from structlog.typing import FilteringBoundLogger

from postino.core.address import domain_key
from postino.core.errors import NoSuchMailbox, PostinoError
from postino.core.flags import FlagSet
from postino.core.ids import NAMES, AccountId, Instant, MailboxId
from postino.core.numset import NumberSet
from postino.core.ports import Clock
from postino.delivery.filters.environment import host_items, local_minutes
from postino.mime.index import unpack_index
from postino.sieve import Circumstances, Evaluation, Script, Surroundings, run_sequence
from postino.sieve.budget import Budget
from postino.sieve.message import SieveMessage
from postino.store.accounts import account_by_id
from postino.store.annotations import SERVER, Place, annotations
from postino.store.fetch import Column, body_octets, fetch_rows
from postino.store.flagging import message_flags
from postino.store.mailboxes import mailbox_by_id
from postino.store.store import Store
from postino.store.tx import Tx

ENTRY: Final = "/shared/imapsieve/script"
REMEMBER_SECONDS: Final = 1.0
"""How long another worker may go on without a script that was set here."""
MOST_WAITING: Final = 10_000
"""Events of one worker that may wait; each is a command's, not a message's."""
AT_ONCE: Final = 20
IN_PLACE_OCTETS: Final = 64 * 1024
"""Larger messages are looked at in a thread."""
_MOST_REMEMBERED: Final = 10_000
# RFC 6785 §3.11: what answers the sender has no place here.
_INAPPLICABLE: Final = frozenset({"reject", "ereject", "vacation", "vacation-seconds"})
_COLUMNS: Final = frozenset({Column.INTERNAL_DATE, Column.PARTS, Column.HEADER, Column.BODY})


class Cause(StrEnum):
    """What happened to the messages (`imap.cause`)."""

    APPEND = "APPEND"
    COPY = "COPY"
    FLAG = "FLAG"


class MailboxEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One command did this to these messages."""

    cause: Cause
    account_id: AccountId
    """Whose mailbox it is."""
    mailbox_id: MailboxId
    uids: NumberSet
    login: str
    """Who did it."""
    changed_flags: tuple[str, ...] = ()
    source_id: MailboxId | None = None
    """From which mailbox the messages were copied or moved, when that is the owner's too."""


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What the scripts want done with one message."""

    event: MailboxEvent
    uid: int
    internal_date: Instant
    message: SieveMessage
    flags: FlagSet
    login: str
    """Of the mailbox's owner."""
    evaluation: Evaluation


class Scripts(Protocol):
    """The worker's compiled scripts (delivery/filters/scripts.py)."""

    def imap(self, account_id: AccountId, domain: str) -> Sequence[Script]:
        """Those of the site that run on every event of the account's mailboxes."""
        ...

    def named(self, account_id: AccountId, name: str) -> Script | None:
        """The account's of this name."""
        ...


class _Affected(NamedTuple):
    event: MailboxEvent
    uid: int
    flags: FlagSet
    internal_date: Instant
    message: SieveMessage
    environment: dict[str, str]


Around = Callable[[AccountId, str], Surroundings]
"""What the scripts of an account with this login may look up."""


class Doer(Protocol):
    """Who does what was decided (event_actions.py)."""

    async def do(self, decided: Sequence[Decided]) -> None:
        """Do it. Raises PostinoError when the store cannot now."""
        ...


class MailboxEvents:
    """One worker's."""

    def __init__(
        self,
        *,
        store: Store,
        scripts: Scripts,
        around: Around,
        doer: Doer,
        hostname: str,
        separator: Callable[[], str],
        budget: Callable[[], Budget],
        clock: Clock,
        log: FilteringBoundLogger,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._scripts = scripts
        self._around = around
        self._doer = doer
        self._hostname = hostname
        self._separator = separator
        self._budget = budget
        self._clock = clock
        self._log = log
        self._steady = steady
        self._waiting: deque[MailboxEvent] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._scripted: dict[tuple[AccountId, MailboxId], bool] = {}
        self._forget_at = 0.0

    # For who notes events

    def concerns(self, account_id: AccountId, mailbox_id: MailboxId) -> bool:
        """Whether a script runs on what happens in this mailbox."""
        now = self._steady()
        if now >= self._forget_at or len(self._scripted) >= _MOST_REMEMBERED:
            self._scripted.clear()
            self._forget_at = now + REMEMBER_SECONDS
        known = self._scripted.get((account_id, mailbox_id))
        if known is None:
            _, scripts = self._look(account_id, mailbox_id)
            known = self._scripted[account_id, mailbox_id] = bool(scripts)
        return known

    def forget(self) -> None:
        """A script may have been set or removed: look again."""
        self._scripted.clear()

    def happened(self, event: MailboxEvent) -> None:
        """Have the scripts run. Never raises."""
        if len(self._waiting) >= MOST_WAITING:
            self._log.error("imapsieve.too-many", login=event.login, cause=event.cause)
            return
        self._waiting.append(event)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.get_running_loop().create_task(self._run())

    async def close(self, seconds: float) -> None:
        """End: let the scripts of what happened run, for so long at most."""
        runner = self._runner
        if runner is not None and not runner.done():
            await asyncio.wait([runner], timeout=seconds)
            if not runner.done():
                self._log.warning("imapsieve.unfinished", events=len(self._waiting) + 1)
                runner.cancel()

    # The task

    def _look(self, account_id: AccountId, mailbox_id: MailboxId) -> tuple[str, list[Script]]:
        """The owner's login, and the scripts to run: the site's, then the mailbox's."""

        def look(tx: Tx) -> tuple[str, str]:
            return account_by_id(tx, account_id).login, _named_script(tx, account_id, mailbox_id)

        login, name = self._store.read_now(look)
        scripts = [*self._scripts.imap(account_id, domain_key(login.rpartition("@")[2]))]
        own = self._scripts.named(account_id, name) if name else None
        return login, scripts if own is None else [*scripts, own]

    async def _run(self) -> None:
        while self._waiting:
            event = self._waiting.popleft()
            try:
                await self._deal_with(event)
            except (PostinoError, OSError) as error:
                self._log.warning("imapsieve.failed", login=event.login, error=str(error))
            except Exception:
                self._log.exception("imapsieve.fault", login=event.login)

    async def _deal_with(self, event: MailboxEvent) -> None:
        login, scripts = self._look(event.account_id, event.mailbox_id)
        usable = [script for script in scripts if self._is_usable(script, event)]
        uids = list(event.uids) if usable else []
        for first in range(0, len(uids), AT_ONCE):
            group = NumberSet.of(uids[first : first + AT_ONCE])
            found = await self._store.read(partial(self._read, event=event, uids=group))
            decided = [await self._decide(each, login, usable) for each in found]
            sound = [each for each in decided if self._is_sound(each)]
            if sound:
                await self._doer.do(sound)

    def _read(self, tx: Tx, *, event: MailboxEvent, uids: NumberSet) -> list["_Affected"]:
        """Those of the messages that are still there, as they are now."""
        environment = _environment(tx, event, self._hostname)
        flags = message_flags(tx, event.account_id, event.mailbox_id, uids)
        return [
            _Affected(
                event,
                uid,
                flags[uid],
                internal_date,
                SieveMessage(header, body_octets(body, self._store.blobs), unpack_index(parts)),
                environment,
            )
            for uid, internal_date, parts, header, body in fetch_rows(
                tx, event.account_id, event.mailbox_id, uids, _COLUMNS
            )
        ]

    async def _decide(self, one: "_Affected", login: str, scripts: Sequence[Script]) -> Decided:
        def evaluate() -> Evaluation:
            return run_sequence(
                scripts,
                one.message,
                Circumstances(
                    now=float(self._clock.now()),
                    zone_minutes=local_minutes,
                    environment=one.environment,
                    separator=self._separator(),
                    flags=flag_names(one.flags),
                ),
                self._around(one.event.account_id, login),
                budget=self._budget(),
                steady=self._steady,
            )

        if one.message.size > IN_PLACE_OCTETS:
            evaluation = await asyncio.to_thread(evaluate)
        else:
            evaluation = evaluate()
            # Other sessions have their turn between two messages.
            await asyncio.sleep(0)
        return Decided(
            event=one.event,
            uid=one.uid,
            internal_date=one.internal_date,
            message=one.message,
            flags=one.flags,
            login=login,
            evaluation=evaluation,
        )

    def _is_sound(self, decided: Decided) -> bool:
        fault = decided.evaluation.fault
        if fault is not None:
            self._log.warning(
                "imapsieve.script-failed", login=decided.event.login, uid=decided.uid, error=str(fault)
            )
        return fault is None

    def _is_usable(self, script: Script, event: MailboxEvent) -> bool:
        wrong = sorted(script.requires & _INAPPLICABLE)
        if wrong:
            self._log.warning(
                "imapsieve.script-failed",
                login=event.login,
                script=script.name,
                error=f"{wrong[0]} answers senders, which a script of a mailbox's events may not",
            )
        return not wrong


def _named_script(tx: Tx, account_id: AccountId, mailbox_id: MailboxId) -> str:
    """The name that the mailbox's annotation gives, else the server's; empty for none."""
    for place in (Place(account_id, mailbox_id, account_id), Place(SERVER, NAMES, account_id)):
        for found in annotations(tx, place, ENTRY):
            # An empty one says that no script is run; the server's does not stand in for it.
            return (found.value or b"").decode("utf-8", "replace")
    return ""


def _environment(tx: Tx, event: MailboxEvent, hostname: str) -> dict[str, str]:
    """The items of RFC 6785 §4; the last is ours, for scripts that learn from what is moved."""
    source = ""
    if event.source_id is not None:
        try:
            source = mailbox_by_id(tx, event.account_id, event.source_id).name
        except NoSuchMailbox:
            pass
    return {
        **host_items(hostname),
        "location": "MS",
        "phase": "post",
        "imap.user": event.login,
        "imap.email": event.login,
        "imap.cause": event.cause,
        "imap.mailbox": mailbox_by_id(tx, event.account_id, event.mailbox_id).name,
        "imap.changedflags": " ".join(event.changed_flags),
        "vnd.postino.source-mailbox": source,
    }


def flag_names(flags: FlagSet) -> tuple[str, ...]:
    """As scripts name them."""
    return tuple(flags.wire.decode("ascii")[1:-1].split())
