"""What scripts of a mailbox have sent: messages that are there sent on, and notifications about them.

RFC: 6785 §3.4 (redirect: MAIL says the mailbox's owner), §3.6 (notify), 5436 §2.7 (automatic mail tells
    nobody).
Invariants: what is sent on is not signed as the owner's, for it may be anybody's; nothing is sent to the
    account's own address.
Not here: the write (event_actions.py), how notifications look (auto_mail.py).
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from structlog.typing import FilteringBoundLogger

from postino.core.address import Address, BadAddress, parse_address
from postino.core.ids import AccountId, Instant
from postino.delivery.accept import Delivery
from postino.delivery.filters.events import Decided
from postino.delivery.filters.mail import ScriptMail, options_for
from postino.delivery.filters.plans import is_automatic
from postino.mailauth.alignment import claimed_domains
from postino.sieve.actions import Action, Redirect, SendNotification
from postino.store.accounts import ResolvedRecipient
from postino.store.queue.settle import Report
from postino.store.queue.values import NewQueued, QueueKind, untold_recipient
from postino.store.sending import scripted_today

_MAILTO: Final = "mailto:"


class Composed(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written into the queue."""

    reports: Sequence[Report] = ()
    is_whole: bool = True
    """Everything that was to be sent on is."""


NOTHING_SENT: Final = Composed()


class EventMail:
    """One worker's."""

    def __init__(
        self,
        delivery: Delivery,
        *,
        separator: Callable[[], str],
        lifetime_seconds: Callable[[], int | None],
        log: FilteringBoundLogger,
    ) -> None:
        """`lifetime_seconds` is None where no mail is sent elsewhere."""
        self._delivery = delivery
        self._separator = separator
        self._lifetime_seconds = lifetime_seconds
        self._log = log

    async def compose(self, decided: Decided, actions: Sequence[Action], now: Instant) -> Composed:
        """What these come to. Raises TemporarilyUnavailable."""
        seconds = self._lifetime_seconds()
        if seconds is None:
            self._say(decided, "this server sends no mail elsewhere")
            return Composed(is_whole=False)
        account_id = decided.event.account_id
        sent = self._delivery.store.read_now(lambda tx: scripted_today(tx, account_id, now))
        if sent >= self._delivery.scripts_daily:
            self._say(decided, "the account's scripts have sent as much today as they may")
            return Composed(is_whole=False)
        composed: list[Report] = []
        is_whole = True
        for action in actions:
            if isinstance(action, Redirect):
                going = await self._redirect(decided, action, now, seconds)
                composed += going
                is_whole &= bool(going)
            elif isinstance(action, SendNotification):
                composed += self._notify(decided, action, now, seconds)
        return Composed(reports=composed, is_whole=is_whole)

    async def _redirect(self, decided: Decided, action: Redirect, now: Instant, seconds: int) -> list[Report]:
        try:
            to = parse_address(action.address)
        except BadAddress as error:
            self._say(decided, str(error))
            return []
        if to.key == decided.login:
            self._say(decided, "the script sends the message on to the account itself")
            return []
        message, edited = decided.message, action.edited
        header = message.header if edited is None else edited.header
        if self._would_pass_as_ours(header, to):
            self._say(decided, "the message names an author here, and would pass as theirs elsewhere")
            return []
        octets = bytes(message.body) if edited is None or edited.body is None else edited.body
        return [
            NewQueued(
                # SECURITY: it may be anybody's message, so that it is not signed as the owner's.
                kind=QueueKind.FORWARDED,
                account_id=decided.event.account_id,
                reverse_path=decided.login,
                recipients=[untold_recipient(to)],
                header=header,
                body=await asyncio.to_thread(self._delivery.store.seal_body, octets),
                size=len(header) + len(octets),
                message_id=secrets.token_hex(8),
                options=options_for(header, octets, [to]),
                release_at=now,
                expires_at=Instant(now + seconds),
            )
        ]

    def _would_pass_as_ours(self, header: bytes, to: Address) -> bool:
        """Whether it leaves us under a name of ours.

        SECURITY: whoever may APPEND may write any From, and with our reverse-path SPF would vouch for it.
        """
        is_elsewhere = self._delivery.senders.is_elsewhere
        return is_elsewhere(to.domain) and not all(map(is_elsewhere, claimed_domains(header)))

    def _notify(self, decided: Decided, action: SendNotification, now: Instant, seconds: int) -> list[Report]:
        message = decided.message
        if not action.method.lower().startswith(_MAILTO) or is_automatic(message.header):
            return []
        owner = parse_address(decided.login)
        mail = ScriptMail(
            self._delivery,
            ResolvedRecipient(AccountId(decided.event.account_id), decided.login, 0, 0),
            owner,
            owner,
            message.header,
            separator=self._separator(),
            lifetime_seconds=seconds,
            now=now,
        )
        told, _, _ = mail.notify(action)
        return list(told)

    def _say(self, decided: Decided, words: str) -> None:
        self._log.warning("imapsieve.not-sent", login=decided.login, uid=decided.uid, error=words)
