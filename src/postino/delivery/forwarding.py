"""Where a received message goes beyond its mailboxes here, and what its sender is told about that.

RFC: 5321 §3.9 (aliases), §6.3 (loops), 3461 §5.2.3 (delivered), §5.2.7 (aliases and forwarding), 7208 §D
    (rewritten reverse-paths), 8689 §6 (REQUIRETLS goes along).
Invariants: a null reverse-path stays null; nothing is sent on by the same address twice, nor what is junk or
    would lend itself a name of ours; everything planned is written down with the mailboxes' copies, or not at
    all.
Not here: who receives what (store/addresses.py), the write (accept.py), asking the next server while the
    sender waits (outbound/cut_through.py), sealing (outbound/signing/signer.py).
"""

import secrets
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

import msgspec

from postino.core.address import Address, domain_key
from postino.core.ids import AccountId, Instant
from postino.delivery.accept import Outgoing
from postino.delivery.report_words import Told
from postino.delivery.reports import Original, ReportWriter, Tellable
from postino.mime.delivery_status import Action, RecipientStatus
from postino.mime.header import raw_fields
from postino.smtp.envelope import MailOptions, Notify, RcptOptions
from postino.smtp.paths import ReversePath
from postino.smtp.received import delivered_to_field
from postino.store.accounts import Forward, Resolved, ResolvedRecipient
from postino.store.queue.values import NewRecipient, QueueKind
from postino.store.returns import known_rewriting, rewritten
from postino.store.store import Store

_DELIVERED_TO: Final = b"delivered-to"
_NOBODY: Final = AccountId(0)


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """One RCPT that was taken."""

    forward_path: Address
    found: Resolved
    options: RcptOptions


class Refusal(Enum):
    """Why a message that was only to be sent on is not taken at all."""

    LOOP = "the message was sent on by this address before"
    JUNK = "what is marked as junk is not sent on"
    FORGED = "nothing proves that it is from its author, who would be one of ours"


class Plan(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What is to be written beside the copies for the mailboxes."""

    outgoing: Sequence[Outgoing] = ()
    reports: Sequence[Tellable] = ()
    kept: Sequence[ResolvedRecipient] = ()
    """Accounts that get the message after all, for what is junk or forged is not sent on."""
    refused: Refusal | None = None
    """Somebody would not get it and not be told of: refuse it instead of taking it."""


class Arrived(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The message, as far as its way on depends on it."""

    reverse_path: ReversePath
    options: MailOptions
    message_id: str
    header: bytes
    size: int
    account_id: AccountId = _NOBODY
    """Who submitted it; 0 for mail from elsewhere."""
    is_junk: bool = False
    is_forged: bool = False
    """Sent on from here it would pass as an author's of ours, which nothing proves."""

    @property
    def withheld(self) -> Refusal | None:
        """Why it is not sent on; whose mail it is may have it all the same."""
        if self.is_junk:
            return Refusal.JUNK
        return Refusal.FORGED if self.is_forged else None


def concerns(accepted: Sequence[Accepted]) -> bool:
    """Whether there is anything to plan, which there is for few messages."""
    return any(one.found.forwards or one.options.notify & Notify.SUCCESS for one in accepted)


class Forwarding:
    """One worker's."""

    def __init__(self, store: Store, reports: ReportWriter, lifetime_seconds: Callable[[], float]) -> None:
        self.reports = reports
        self._store = store
        self._lifetime_seconds = lifetime_seconds

    @property
    def lifetime_seconds(self) -> int:
        """How long what is sent on is tried."""
        return int(self._lifetime_seconds())

    async def plan(self, arrived: Arrived, accepted: Sequence[Accepted], *, now: Instant) -> Plan:
        """What becomes of the message for these recipients. Raises TemporarilyUnavailable."""
        passed = (
            passed_addresses(arrived.header) if any(one.found.forwards for one in accepted) else frozenset()
        )
        going: dict[tuple[Address, AccountId], dict[Address, NewRecipient]] = {}
        told: list[Told] = []
        kept: dict[AccountId, ResolvedRecipient] = {}
        looped = False
        for one in accepted:
            looping = [forward for forward in one.found.forwards if str(forward.via).lower() in passed]
            open_ways = [forward for forward in one.found.forwards if forward not in looping]
            if arrived.withheld is not None and open_ways:
                keeping = [forward for forward in open_ways if forward.account_id]
                if not (keeping or one.found.accounts):
                    # Whoever else is named: nothing is taken for somebody who would not get it.
                    return Plan(refused=arrived.withheld)
                kept.update((forward.account_id, _account(forward)) for forward in keeping)
                open_ways = []
            looped = looped or bool(looping)
            notify, action = _dsn(one, open_ways, looping)
            for forward in open_ways:
                group = going.setdefault((forward.via, forward.account_id), {})
                group.setdefault(forward.target, recipient_of(forward, one, notify))
            if action is not None:
                told.append(_told(one, action, arrived, now))
        reaches_somebody = going or kept or any(one.found.accounts for one in accepted)
        if looped and not reaches_somebody:
            return Plan(refused=Refusal.LOOP)
        return Plan(
            outgoing=[
                await self._outgoing(arrived, via, account_id, list(recipients.values()), now)
                for (via, account_id), recipients in going.items()
            ],
            reports=self._tell(arrived, told, accepted, now),
            kept=list(kept.values()),
        )

    async def _outgoing(
        self,
        arrived: Arrived,
        via: Address,
        account_id: AccountId,
        recipients: Sequence[NewRecipient],
        now: Instant,
    ) -> Outgoing:
        path = await self.reverse_path(arrived.reverse_path, via, now)
        # SECURITY: what came from elsewhere is never of kind SUBMITTED: it would be signed as ours.
        submitted = arrived.account_id != _NOBODY
        return Outgoing(
            kind=QueueKind.SUBMITTED if submitted else QueueKind.FORWARDED,
            account_id=arrived.account_id or account_id,
            reverse_path=str(path) if path is not None else "",
            recipients=recipients,
            options=arrived.options,
            release_at=now,
            expires_at=Instant(now + self.lifetime_seconds),
            top=delivered_to_field(str(via)),
        )

    async def reverse_path(self, path: ReversePath, via: Address, now: Instant) -> ReversePath:
        """What MAIL says of mail from `path` that `via` sends on. Raises TemporarilyUnavailable."""
        if path is None:
            return None
        sender = path
        known = self._store.read_now(lambda tx: known_rewriting(tx, sender, via.domain, now))
        if known is not None:
            return known
        fresh = secrets.token_bytes(32)
        return await self._store.write(lambda tx: rewritten(tx, sender, via.domain, fresh, now))

    def _tell(
        self, arrived: Arrived, told: Sequence[Told], accepted: Sequence[Accepted], now: Instant
    ) -> list[Tellable]:
        if arrived.reverse_path is None or not told:
            return []
        domain = accepted[0].forward_path.domain
        original = Original(
            reverse_path=arrived.reverse_path,
            options=arrived.options,
            message_id=arrived.message_id,
            header=arrived.header,
            size=arrived.size,
            arrived_at=now,
            domain=domain if domain.isascii() and not domain.startswith("[") else "",
        )
        return self.reports.write(original, told, now=now)


def _dsn(one: Accepted, going: Sequence[Forward], looping: Sequence[Forward]) -> tuple[Notify, Action | None]:
    """What is asked of the next server, and what this one tells itself."""
    notify, found = one.options.notify, one.found
    wants_success = bool(notify & Notify.SUCCESS)
    if looping and not (going or found.accounts):
        told = notify is Notify.UNSAID or bool(notify & Notify.FAILURE)
        return notify, Action.FAILED if told else None
    if not going:
        return notify, Action.DELIVERED if wants_success else None
    if len(going) == 1 and not found.accounts:
        # RFC 3461 §5.2.7.2: an alias for one is only another name; what was asked for goes along.
        return notify, None
    if not wants_success:
        return notify, None
    # §5.2.7.3 (c): success is told here once, as "expanded".
    return (notify & ~Notify.SUCCESS) or Notify.NEVER, Action.EXPANDED


def recipient_of(forward: Forward, one: Accepted, notify: Notify) -> NewRecipient:
    """Who gets what is sent on, asked for with `notify`."""
    address = str(one.forward_path)
    kind = "rfc822" if address.isascii() else "utf-8"
    return NewRecipient(
        address=str(forward.target),
        domain=domain_key(forward.target.domain),
        notify=notify,
        # §5.2.1 (d): what is added when there was none is the address that was written to.
        original=one.options.original or f"{kind};{address}",
    )


def _told(one: Accepted, action: Action, arrived: Arrived, now: Instant) -> Told:
    address = str(one.forward_path)
    failed = action is Action.FAILED
    return Told(
        RecipientStatus(
            address=address,
            action=action,
            status="5.4.6" if failed else "2.1.5",
            original=one.options.original,
            last_attempt=now,
            log_id=arrived.message_id,
        ),
        domain=one.forward_path.domain,
    )


def _account(forward: Forward) -> ResolvedRecipient:
    """The account whose mail it is. Its quota is looked at when the message is written."""
    return ResolvedRecipient(forward.account_id, forward.via.key, 0, 0)


def passed_addresses(header: bytes) -> frozenset[str]:
    """The addresses that have sent the message on already, or received it, in lower case."""
    return frozenset(
        value.strip().decode(errors="replace").lower()
        for _, name, value in raw_fields(header)
        if name.lower() == _DELIVERED_TO
    )
