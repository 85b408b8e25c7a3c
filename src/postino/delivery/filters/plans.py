"""What becomes of a message that comes in for an account with scripts: their actions as things to write.

RFC: 5228 §4.2 (redirect, loops), §2.10.6 (errors keep), 5429 §2 (refusals), 6009 §6-§7 (redirect's DSN and
    deadline), 5232 §5 (flags of the copy), 3461 §5.2.7.3 (success is told once, here).
Invariants: what is not filed, sent on or refused was thrown away by a script; a redirect that may not be is
    a copy in the INBOX; nothing that is junk, forged or was here before is sent on; refusals never answer a
    null reverse-path.
Not here: running scripts (running.py), the mail they have sent (mail.py), the write (filing.py).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from postino.core.address import Address, BadAddress, domain_key, parse_address
from postino.core.flags import KEYWORD, NO_FLAGS, SYSTEM_FLAG_NAMES, FlagSet, flag_set
from postino.core.ids import AccountId, Instant
from postino.delivery.accept import Delivery, Outgoing
from postino.delivery.facts import derive_facts
from postino.delivery.filters.filing import Answer, Copy, Filing, Filtered, Line
from postino.delivery.filters.mail import ScriptMail
from postino.delivery.filters.running import Arriving
from postino.delivery.forwarding import Accepted, Forwarding, passed_addresses
from postino.delivery.incoming import Content
from postino.delivery.report_words import Told
from postino.delivery.reports import Original, Tellable
from postino.mime.delivery_status import Action as Outcome
from postino.mime.delivery_status import RecipientStatus
from postino.mime.encode_header import one_line
from postino.mime.header import raw_fields
from postino.sieve.actions import (
    Action,
    Discard,
    Edited,
    FileInto,
    Hold,
    Keep,
    Place,
    Redirect,
    Reject,
    ReportAbuse,
    SendNotification,
    Vacation,
)
from postino.sieve.evaluation import Evaluation
from postino.smtp.envelope import BodyType, ByMode, MailOptions, Notify, Return
from postino.smtp.received import delivered_to_field
from postino.store.accounts import Forward, Resolved, ResolvedRecipient
from postino.store.bodies import ROW_OCTETS
from postino.store.content import Body, InlineBody
from postino.store.queue.values import NewQueued, NewRecipient, QueueKind
from postino.store.sending import scripted_today

MOST_PASSES: Final = 20
"""Addresses here that a message may have passed; what passed more is not sent on by scripts any more."""
_NOBODY: Final = AccountId(0)
_ENOUGH: Final = "the account's scripts have sent as much today as they may"
_SYSTEM: Final = frozenset(name.lower() for name in SYSTEM_FLAG_NAMES.values())
_FLAG_OCTETS: Final = 200

IsForged = Callable[[Sequence[Accepted]], Awaitable[bool]]
"""Whether sending the message on would lend it a name of ours (servers/smtp/authorship.py)."""


async def never_forged(accepted: Sequence[Accepted]) -> bool:
    """For mail that was looked at when it came."""
    return False


class Planned(msgspec.Struct, frozen=True, gc=False):
    """What is to be written for one account."""

    filtered: Filtered
    outgoing: Sequence[Outgoing] = ()


def refusal_of(evaluation: Evaluation) -> Reject | None:
    """The refusal, when that is all the script wants done with the message."""
    found = None
    for action in evaluation.actions:
        if isinstance(action, Reject):
            found = action
        elif isinstance(action, (Keep, FileInto, Redirect)):
            return None
    return found


def can_say(refusal: Reject) -> bool:
    """Whether it may be said in an SMTP reply: reject keeps the exact text (RFC 5429 §2.2)."""
    return refusal.is_ereject or refusal.reason.isascii()


class Planner:
    """Makes the plan of one message for one account."""

    def __init__(
        self,
        delivery: Delivery,
        forwarding: Forwarding | None,
        arriving: Arriving,
        recipient: ResolvedRecipient,
        accepted: Accepted,
        *,
        separator: str,
        is_forged: IsForged,
        now: Instant,
    ) -> None:
        """`accepted` is by which of its addresses the account has it. Without `forwarding` nothing leaves."""
        self._delivery = delivery
        self._forwarding = forwarding
        self._arriving = arriving
        self._recipient = recipient
        self._accepted = accepted
        self._is_forged = is_forged
        self._now = now
        self._contents: dict[int, Content] = {}
        self._filings: list[Filing] = []
        self._copies: list[Copy] = []
        self._told: list[Tellable] = []
        self._answers: list[Answer] = []
        self._lines: list[Line] = []
        self._outgoing: list[Outgoing] = []
        self._sends = 0
        self._reached: set[str] = set()
        """Whom the message, or a notification of it, goes to already."""
        self._mail = ScriptMail(
            delivery,
            recipient,
            accepted.forward_path,
            arriving.reverse_path,
            arriving.content.header,
            separator=separator,
            lifetime_seconds=forwarding.lifetime_seconds if forwarding is not None else 0,
            now=now,
        )

    async def plan(self, evaluation: Evaluation) -> Planned:
        """The whole plan. Raises TemporarilyUnavailable."""
        for action in evaluation.actions:
            await self._do(action)
        fault = evaluation.fault
        if fault is not None:
            self._lines.append(Line(fault.place, f"the script had to be ended early: {fault.words}"))
            self._answers.append(self._mail.fault(str(fault.place), fault.words))
        return Planned(
            Filtered(
                recipient=self._recipient,
                filings=self._filings,
                copies=self._copies,
                told=self._told,
                answers=self._answers,
                remembered=evaluation.remembered,
                lines=self._lines,
                sends=self._sends,
                fault=str(fault) if fault is not None else "",
            ),
            self._outgoing,
        )

    async def _do(self, action: Action) -> None:
        place = action.place
        match action:
            case Keep():
                content = await self._content(action.edited)
                self._keep(place, content, usable_flags(action.flags))
                self._say(place, "kept, for no rule said otherwise" if action.is_implicit else "kept")
            case FileInto():
                target = action.target
                content = await self._content(action.edited)
                line = self._say(place, f"filed in {target.mailbox or target.special_use}")
                flags = usable_flags(target.flags)
                self._filings.append(
                    Filing(content=content, target=target, flags=flags, place=place, line=line)
                )
            case Discard():
                self._say(place, "thrown away")
            case Redirect():
                await self._redirect(action)
            case Reject():
                await self._refuse(action)
            case Vacation():
                self._vacation(action)
            case SendNotification():
                await self._notify(action)
            case ReportAbuse():
                await self._complain(action)
            case Hold():
                self._say(place, "not held: only mail that is sent can be")
            case _:
                raise AssertionError(f"no delivery of {action!r}")

    def _say(self, place: Place, words: str) -> Line:
        line = Line(place, one_line(words, 500))
        self._lines.append(line)
        return line

    def _keep(self, place: Place, content: Content, flags: FlagSet = NO_FLAGS) -> None:
        self._filings.append(
            Filing(content=content, to_junk=self._arriving.is_junk, flags=flags, place=place)
        )

    async def _content(self, edited: Edited | None) -> Content:
        """The message as the script left it."""
        if edited is None:
            return self._arriving.content
        known = self._contents.get(id(edited))
        if known is None:
            known = self._contents[id(edited)] = await edited_content(
                self._delivery, self._arriving.content, edited
            )
        return known

    def _may_send(self, recipients: int) -> bool:
        """Whether the account's scripts may send to so many more today, who are then counted."""
        # SECURITY: whoever has a password, or provokes answers, must not send without end from here.
        account_id = self._recipient.account_id
        before = self._delivery.store.read_now(lambda tx: scripted_today(tx, account_id, self._now))
        if before + self._sends + max(recipients, 1) > self._delivery.scripts_daily:
            return False
        self._sends += recipients
        return True

    # Sent on

    async def _redirect(self, action: Redirect) -> None:
        content = await self._content(action.edited)
        stopped, target = await self._stopped(action)
        if target is None or stopped:
            self._say(action.place, f"kept instead of sent on to {action.address}: {stopped}")
            self._keep(action.place, content)
            return
        if target.key in self._reached:
            self._say(action.place, f"sent on to {target} already")
            return
        if not self._may_send(1):
            self._say(action.place, f"kept instead of sent on to {target}: {_ENOUGH}")
            self._keep(action.place, content)
            return
        self._reached.add(target.key)
        arriving, forwarding = self._arriving, self._forwarding
        assert forwarding is not None
        via = parse_address(self._recipient.login)
        path = await forwarding.reverse_path(arriving.reverse_path, via, self._now)
        # SECURITY: what came from elsewhere, or a script has changed, is not signed for its author.
        is_own = arriving.submitted_by != _NOBODY and action.edited is None
        self._outgoing.append(
            Outgoing(
                kind=QueueKind.SUBMITTED if is_own else QueueKind.FORWARDED,
                account_id=arriving.submitted_by if is_own else self._recipient.account_id,
                reverse_path=str(path) if path is not None else "",
                recipients=[self._recipient_of(action, target)],
                options=_options(arriving.options, action, content, self._now),
                release_at=self._now,
                expires_at=Instant(self._now + forwarding.lifetime_seconds),
                top=delivered_to_field(self._recipient.login),
                content=content if action.edited is not None else None,
            )
        )
        self._say(action.place, f"sent on to {target}")

    async def _stopped(self, action: Redirect) -> tuple[str, Address | None]:
        """Why it may not be sent on, else to whom."""
        try:
            target = parse_address(action.address)
        except BadAddress as error:
            return str(error), None
        arriving, login = self._arriving, self._recipient.login
        if self._forwarding is None:
            return "this server sends no mail elsewhere", target
        if arriving.is_junk:
            return "it is junk", target
        if target.key == login:
            return "that is this account's own address", target
        passed = passed_addresses(arriving.content.header)
        if login.lower() in passed:
            return "it was here before, which is a loop", target
        if len(passed) >= MOST_PASSES:
            return f"it has passed {len(passed)} addresses here, which looks like a loop", target
        via = parse_address(login)
        onward = Resolved((), (Forward(target, via, self._recipient.account_id),))
        path = self._accepted.forward_path
        if await self._is_forged([Accepted(path, onward, self._accepted.options)]):
            return "nothing proves that it is from its author, who would be one of ours", target
        return "", target

    def _recipient_of(self, action: Redirect, target: Address) -> NewRecipient:
        options, path = self._accepted.options, str(self._accepted.forward_path)
        notify = options.notify
        if action.notify is not None:
            notify = notify_of(action.notify)
        elif notify & Notify.SUCCESS:
            notify = (notify & ~Notify.SUCCESS) or Notify.NEVER
        kind = "rfc822" if path.isascii() else "utf-8"
        return NewRecipient(
            address=str(target),
            domain=domain_key(target.domain),
            notify=notify,
            original=options.original or f"{kind};{path}",
        )

    # Mail of the server's own

    async def _refuse(self, action: Reject) -> None:
        """Tell the sender by a report, for the reply is for all recipients."""
        arriving, forwarding = self._arriving, self._forwarding
        sender = arriving.reverse_path
        if sender is None or arriving.is_junk or forwarding is None:
            why = "it has no sender" if sender is None else "its sender may be forged"
            self._say(action.place, f"refused, and nobody was told, for {why}: {action.reason}")
            return
        if not self._may_send(1):
            # SECURITY: whoever forges senders must not have us write to them without end.
            self._say(action.place, f"kept instead of refused: {_ENOUGH}")
            self._keep(action.place, await self._content(None))
            return
        self._say(action.place, f"refused: {action.reason}")
        if not action.is_ereject:
            self._told += self._mail.refusal(action.reason)
            return
        content, path = arriving.content, self._accepted.forward_path
        notify = self._accepted.options.notify
        if notify is not Notify.UNSAID and not notify & Notify.FAILURE:
            return
        status = RecipientStatus(
            address=str(path),
            action=Outcome.FAILED,
            status="5.7.1",
            original=self._accepted.options.original,
            reply=f"Refused by the recipient's mail filter. The reason given is: {action.reason}",
            last_attempt=self._now,
            log_id=arriving.message_id,
        )
        original = Original(
            reverse_path=sender,
            options=arriving.options,
            message_id=arriving.message_id,
            header=content.header,
            size=content.facts.size,
            arrived_at=self._now,
            domain=path.domain if path.domain.isascii() and not path.domain.startswith("[") else "",
            is_strangers=arriving.submitted_by == _NOBODY,
        )
        self._told += forwarding.reports.write(original, [Told(status, path.domain)], now=self._now)

    def _vacation(self, action: Vacation) -> None:
        if self._forwarding is None or self._arriving.is_junk:
            self._say(action.place, "did not answer: it is junk" if self._forwarding else "cannot answer")
            return
        answer = self._mail.vacation(action)
        if answer is None:
            self._say(action.place, "did not answer: there is nobody to answer")
        elif not self._may_send(0):
            # It is counted when it turns out to be due.
            self._say(action.place, f"did not answer: {_ENOUGH}")
        else:
            self._answers.append(answer)

    async def _notify(self, action: SendNotification) -> None:
        if is_automatic(self._arriving.content.header):
            # RFC 5436 §2.7.
            self._say(action.place, "told nobody: the message was sent automatically")
        elif self._forwarding is None:
            self._say(action.place, "told nobody: this server sends no mail elsewhere")
        elif action.method in self._reached:
            # RFC 5436 §2.7: no duplicates for one message.
            self._say(action.place, "told nobody: they were told already")
        elif action.method.lower().startswith("mailto:"):
            self._reached.add(action.method)
            told, copies, words = self._mail.notify(action)
            if not self._may_send(sum([len(one.recipients) for one in told if isinstance(one, NewQueued)])):
                self._say(action.place, f"told nobody: {_ENOUGH}")
                return
            self._told += told
            self._copies += copies
            self._say(action.place, words)
        else:
            self._say(action.place, f"told nobody: only mailto: is known, not {action.method}")

    async def _complain(self, action: ReportAbuse) -> None:
        if self._forwarding is None:
            return
        if is_automatic(self._arriving.content.header):
            # SECURITY: two accounts that report to each other would report reports for ever.
            self._say(action.place, "reported to nobody: the message was sent automatically")
            return
        body = b"" if action.headers_only else await _octets(self._delivery, self._arriving.content)
        if not self._may_send(1):
            self._say(action.place, f"reported to nobody: {_ENOUGH}")
            return
        self._told += self._mail.complaint(action, body)
        self._say(action.place, f"reported as {action.feedback_type} to {action.address}")


def usable_flags(names: Sequence[str]) -> FlagSet:
    """Those that may stand on a message: what a script sets beside is left out (RFC 5232 §2)."""
    if not names:
        return NO_FLAGS
    return flag_set(
        name
        for name in names[:100]
        if name.lower() in _SYSTEM or (len(name) <= _FLAG_OCTETS and KEYWORD.fullmatch(name))
    )


def is_automatic(header: bytes) -> bool:
    """Whether the message says that no person sent it (RFC 3834 §5)."""
    return any(
        value.strip().lower().split(b";")[0].split(b"(")[0].strip() not in (b"", b"no")
        for _, name, value in raw_fields(header)
        if name.lower() == b"auto-submitted"
    )


def notify_of(text: str) -> Notify:
    """NOTIFY as `SUCCESS,FAILURE`."""
    found = Notify.UNSAID
    for name in text.upper().split(","):
        if name.strip() in Notify.__members__:
            found |= Notify[name.strip()]
    return Notify.NEVER if found & Notify.NEVER else found


def _options(options: MailOptions, action: Redirect, content: Content, now: Instant) -> MailOptions:
    """MAIL's parameters of what is sent on (RFC 6009)."""
    if action.ret in ("FULL", "HDRS"):
        options = msgspec.structs.replace(options, ret=Return(action.ret))
    if action.by_seconds is not None:
        options = msgspec.structs.replace(
            options,
            by_mode=ByMode(action.by_mode or "R"),
            by_trace=action.by_trace,
            deliver_by=now + action.by_seconds,
        )
    if action.edited is not None and options.body is BodyType.SEVEN_BIT:
        ascii_body = not isinstance(content.body, InlineBody) or content.body.octets.isascii()
        if not (content.header.isascii() and ascii_body):
            options = msgspec.structs.replace(options, body=BodyType.EIGHT_BIT_MIME)
    return options


async def edited_content(delivery: Delivery, content: Content, edited: Edited) -> Content:
    """The message as a script changed it, looked into again. Raises TemporarilyUnavailable."""
    body: Body = content.body
    octets = edited.body
    if octets is None:
        octets = await _octets(delivery, content)
    elif len(octets) > ROW_OCTETS:
        body = await asyncio.to_thread(delivery.store.seal_body, octets)
    else:
        body = InlineBody(octets)
    return Content(edited.header, body, derive_facts(edited.header, octets, delivery.limits))


async def _octets(delivery: Delivery, content: Content) -> bytes:
    if isinstance(content.body, InlineBody):
        return content.body.octets
    return await asyncio.to_thread(delivery.store.blobs.read_body, content.body, content.body_size)
