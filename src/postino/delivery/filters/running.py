"""Run an account's scripts over a message: which there are, what they are told, how they are kept in bounds.

RFC: 5228 §2.10.6 (errors keep the message), §10 (limits), 5183 §4 (environment), 6009 §4 (envelope-dsn).
Exposure: scripts of users over octets of anybody.
Invariants: whatever goes wrong in a script, the message is kept; what takes long is done in a thread;
    an account without scripts costs one look into the cache.
Not here: the scripts themselves (sieve/, scripts.py), what becomes of their actions (plans.py for what
    comes in, outgoing.py for what goes out).
"""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from postino.core.ids import AccountId, Instant
from postino.delivery.filters.environment import client_items, host_items, local_minutes
from postino.delivery.filters.scripts import Scripts
from postino.delivery.incoming import Content
from postino.sieve import run_sequence
from postino.sieve.actions import Keep, Place
from postino.sieve.budget import Budget, Steady
from postino.sieve.circumstances import Circumstances, Surroundings
from postino.sieve.evaluation import Evaluation
from postino.sieve.faults import RunTimeFault
from postino.sieve.message import SieveMessage
from postino.sieve.script import Script
from postino.smtp.envelope import MailOptions, Notify, RcptOptions
from postino.smtp.paths import ReversePath
from postino.smtp.received import Arrival
from postino.store.addresses import ResolvedRecipient
from postino.store.content import InlineBody
from postino.store.store import Store
from postino.store.tx import Tx

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_NOBODY: Final = AccountId(0)
_ASKS_FOR_ADDRESSES: Final = frozenset({"vacation", "vacation-seconds", "include"})


SurroundingsOf = Callable[[AccountId, str], Surroundings]
"""What the scripts of an account with this login may look up."""


IN_PLACE_SECONDS: Final = 0.02
"""A script that takes longer goes on in a thread."""


class _TakesLong(Exception):
    pass


def _hurried() -> Steady:
    """A clock that ends what holds up the other sessions."""
    until = time.monotonic() + IN_PLACE_SECONDS

    def steady() -> float:
        now = time.monotonic()
        if now > until:
            raise _TakesLong
        return now

    return steady


class Arriving(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The message, as far as all its recipients have it in common."""

    reverse_path: ReversePath
    options: MailOptions
    message_id: str
    content: Content
    arrival: Arrival
    submitted_by: AccountId = _NOBODY
    auth: str = ""
    """The login of who submitted it."""
    is_junk: bool = False


class Filtering:
    """One for each worker."""

    def __init__(
        self,
        store: Store,
        scripts: Scripts,
        surroundings: SurroundingsOf,
        *,
        addresses: Callable[[Tx, AccountId], Sequence[str]],
        budget: Callable[[], Budget],
        separator: Callable[[], str],
        hostname: str,
        log: "FilteringBoundLogger",
    ) -> None:
        self.store = store
        self.scripts = scripts
        self.hostname = hostname
        self.separator = separator
        self._surroundings = surroundings
        self._addresses = addresses
        self._budget = budget
        self._log = log

    def incoming(self, recipient: ResolvedRecipient) -> Sequence[Script]:
        """What runs on mail for the account."""
        return self._found(self.scripts.incoming, recipient.account_id, recipient.login)

    def outgoing(self, account_id: AccountId, login: str) -> Sequence[Script]:
        """What runs on mail the account submits."""
        return self._found(self.scripts.outgoing, account_id, login)

    def _found(
        self,
        find: Callable[[AccountId, str], Sequence[Script]],
        account_id: AccountId,
        login: str,
    ) -> Sequence[Script]:
        """None when they cannot be had: mail is taken and kept without them, and the log says so."""
        try:
            return find(account_id, login.rpartition("@")[2])
        except Exception as error:
            self._log.error("script.unavailable", account=login, exc_info=error)
            return ()

    async def evaluate(
        self,
        scripts: Sequence[Script],
        arriving: Arriving,
        *,
        account_id: AccountId,
        login: str,
        envelope_to: str,
        rcpt: RcptOptions,
        now: Instant,
        is_outgoing: bool = False,
    ) -> Evaluation:
        """What the account's scripts want done; to keep the message, whatever goes wrong."""
        try:
            return await self._evaluate(
                scripts,
                arriving,
                account_id=account_id,
                login=login,
                envelope_to=envelope_to,
                rcpt=rcpt,
                now=now,
                is_outgoing=is_outgoing,
            )
        except Exception as error:
            # A fault of ours, or of the store, must not lose mail either.
            return self.failed(scripts, arriving, login, error)

    def failed(
        self, scripts: Sequence[Script], arriving: Arriving, login: str, error: Exception
    ) -> Evaluation:
        """Keep the message, tell the account, and say in the log what happened."""
        self._log.error("script.failed", account=login, message=arriving.message_id, exc_info=error)
        return kept_for_fault(scripts, "the server failed to run it; its log says why")

    async def _evaluate(
        self,
        scripts: Sequence[Script],
        arriving: Arriving,
        *,
        account_id: AccountId,
        login: str,
        envelope_to: str,
        rcpt: RcptOptions,
        now: Instant,
        is_outgoing: bool,
    ) -> Evaluation:
        circumstances = self._circumstances(
            scripts, arriving, account_id, envelope_to, rcpt, now, is_outgoing=is_outgoing
        )
        surroundings = self._surroundings(account_id, login)
        content = arriving.content
        body = content.body

        def run(octets: bytes, steady: Steady = time.monotonic) -> Evaluation:
            return run_sequence(
                scripts,
                SieveMessage(content.header, octets),
                circumstances,
                surroundings,
                budget=self._budget(),
                steady=steady,
            )

        if isinstance(body, InlineBody):
            try:
                return run(body.octets, _hurried())
            except _TakesLong:
                # SECURITY: nobody else waits for what a script does within its seconds. It begins again.
                return await self.store.read(lambda _: run(body.octets))
        blobs = self.store.blobs
        octets = content.facts.size - len(content.header)
        return await self.store.read(lambda _: run(blobs.read(body.blob_id, body.offset, octets)))

    def _circumstances(
        self,
        scripts: Sequence[Script],
        arriving: Arriving,
        account_id: AccountId,
        envelope_to: str,
        rcpt: RcptOptions,
        now: Instant,
        *,
        is_outgoing: bool,
    ) -> Circumstances:
        addresses: Sequence[str] = ()
        if any(script.requires & _ASKS_FOR_ADDRESSES for script in scripts):
            addresses = self.store.read_now(lambda tx: self._addresses(tx, account_id))
        options, path = arriving.options, arriving.reverse_path
        arrival = arriving.arrival
        return Circumstances(
            envelope_from=str(path) if path is not None else "",
            envelope_to=envelope_to,
            envelope_auth=arriving.auth,
            notify=",".join(one.name or "" for one in Notify if one in rcpt.notify) if rcpt.notify else "",
            original_recipient=rcpt.original,
            ret=options.ret.value,
            envid=options.envid,
            by_time=options.deliver_by - now if options.by_mode is not None else None,
            by_mode=options.by_mode.value if options.by_mode is not None else "",
            by_trace=options.by_trace,
            now=float(now),
            zone_minutes=local_minutes,
            addresses=tuple(addresses),
            environment={
                **host_items(self.hostname),
                "phase": "pre" if is_outgoing else "during",
                **client_items(arrival),
                "location": "MTA",
                "vnd.postino.direction": "outgoing" if is_outgoing else "incoming",
            },
            spam_percent=100.0 if arriving.is_junk else None,
            separator=self.separator(),
        )


def kept_for_fault(scripts: Sequence[Script], words: str) -> Evaluation:
    """Keep the message, and tell the account."""
    place = Place(scripts[-1].name if scripts else "script", 1)
    return Evaluation(actions=[Keep(place=place, is_implicit=True)], fault=RunTimeFault(place, words))
