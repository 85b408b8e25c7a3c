"""Turn what a script says into mail that is ready for the queue or for the account's own mailboxes.

RFC: 5230 §5.1 (null reverse-path, NOTIFY=NEVER), 3834 §4 (where answers go), 5436 §2.7 (envelopes of
    notifications), 5429 §2.1.2 (DSN) and §2.2.1 (MDN), 8580 §3 (:fcc).
Invariants: answers and reports have a null reverse-path, and so has whatever a message with a null one makes
    the server send; nobody is written to in a name that is not the account's.
Not here: the messages' form (auto_mail.py), whether they are due (filing.py), which there are
    (plans.py).
"""

import secrets
from collections.abc import Sequence
from functools import cached_property
from typing import Final

from postino.core.address import Address, BadAddress, parse_address
from postino.core.flags import flag_set
from postino.core.ids import AccountId, Instant
from postino.delivery.accept import Delivery
from postino.delivery.facts import derive_facts
from postino.delivery.filters.auto_mail import (
    Composed,
    From,
    Heard,
    feedback_report,
    hear,
    note,
    notification,
    parse_mailto,
    refusal_report,
    vacation_answer,
)
from postino.delivery.filters.filing import Answer, Copy, Line
from postino.delivery.reports import Tellable
from postino.mime.address import Mailbox, parse_address_list
from postino.sieve.actions import Place, ReportAbuse, SendNotification, Target, Vacation
from postino.smtp.envelope import BodyType, MailOptions
from postino.smtp.received import delivered_to_field, return_path_field
from postino.store.accounts import ResolvedRecipient
from postino.store.content import InlineBody, NewEmail
from postino.store.identities import covers
from postino.store.queue.values import NewQueued, QueueKind, untold_recipient
from postino.store.vacation import reply_key

_SEEN: Final = ("\\Seen",)
_FAULT_HANDLE: Final = "\x00fault"
_DAY_SECONDS: Final = 86_400
_NOBODY: Final = AccountId(0)


class ScriptMail:
    """What the scripts of one account have sent about one message."""

    def __init__(
        self,
        delivery: Delivery,
        recipient: ResolvedRecipient,
        address: Address,
        sender: Address | None,
        header: bytes,
        *,
        separator: str,
        lifetime_seconds: int,
        now: Instant,
    ) -> None:
        """`address` is the one it came for; `sender` the reverse-path; `header` its own."""
        self._delivery = delivery
        self._recipient = recipient
        self._own = address if address.domain else parse_address(recipient.login)
        self._sender = sender
        self._header = header
        self._separator = separator
        self._lifetime_seconds = lifetime_seconds
        self._now = now

    @cached_property
    def _heard(self) -> Heard:
        # PERF: most messages are only filed, and nobody is written to.
        return hear(self._header)

    def vacation(self, action: Vacation) -> Answer | None:
        """The answer; None when there is nobody to answer, or only the account itself."""
        to = self._sender
        if to is None or to.key == self._own.key or to.key == self._recipient.login:
            return None
        composed = vacation_answer(
            self._from(action.from_address),
            to,
            self._heard,
            action.reason,
            subject=action.subject,
            is_mime=action.is_mime,
        )
        return Answer(
            key=reply_key(action.handle, to.key),
            until=Instant(self._now + action.seconds),
            told=[self._report(composed, [to])],
            copy=self._copy(composed, action.fcc, action.place),
            sent=Line(action.place, f"answered {to}"),
            unsent=Line(action.place, f"did not answer {to}, who was answered before"),
        )

    def notify(self, action: SendNotification) -> tuple[list[Tellable], list[Copy], str]:
        """What is sent, its copy, and the trace's words."""
        said = parse_mailto(action.method)
        if said is None:
            return [], [], f"told nobody: {action.method[:200]} names no address"
        sender = self._from(action.from_address)
        composed = notification(
            sender,
            self._recipient.login,
            said,
            self._heard,
            message=action.message,
            importance=action.importance,
        )
        targets = list({one.key: one for one in (*said.to, *said.cc)}.values())
        own_copy = self._copy(composed, action.fcc, action.place)
        words = f"told {', '.join(map(str, targets))}"
        copies = [own_copy] if own_copy is not None else []
        if self._sender is None:
            return [self._report(composed, targets)], copies, words
        # RFC 5436 §2.7: it has a reverse-path where the message has one.
        path = self._parsed(sender.address) or self._own
        queued = self._queued(composed, targets, QueueKind.SUBMITTED, self._recipient.account_id, str(path))
        return [queued], copies, words

    def refusal(self, reason: str) -> list[Tellable]:
        """The MDN for who sent it; nothing for a null reverse-path."""
        if self._sender is None:
            return []
        composed = refusal_report(self._from(""), self._sender, str(self._own), self._heard, reason)
        return [self._report(composed, [self._sender])]

    def complaint(self, action: ReportAbuse, body: bytes) -> list[Tellable]:
        """A report of abuse."""
        try:
            to = parse_address(action.address)
        except BadAddress:
            return []
        composed = feedback_report(
            self._from(""),
            to,
            str(self._own),
            self._heard,
            action.feedback_type,
            action.message,
            None if action.headers_only else body,
        )
        return [self._report(composed, [to])]

    def fault(self, script: str, words: str) -> Answer:
        """A note to the account that its script failed; at most one a day."""
        text = (
            f"A Sieve script of {self._recipient.login} had to be ended early, at {script}:\n\n  {words}\n\n"
            f"The message was kept. Its subject: {self._heard.subject or '(none)'}\n\n"
            "Mend the script; `postino sieve check` and `postino sieve test` say what is wrong with it.\n"
            "There is one such message a day.\n"
        )
        hostname = self._delivery.hostname
        sender = From(f"Postino <postmaster@{hostname}>", hostname, self._now)
        composed = note(sender, self._recipient.login, "Your mail filter has a fault", text)
        email = self._email(composed, ())
        return Answer(
            key=reply_key(_FAULT_HANDLE, ""),
            until=Instant(self._now + _DAY_SECONDS),
            told=[(self._recipient.account_id, None, email)],
        )

    def _from(self, wanted: str) -> From:
        """As whom it is sent: as the script says where that is the account's own, else as who got it."""
        hostname = self._delivery.hostname
        address = self._parsed(wanted) if wanted else None
        if address is not None and self._may_be(address):
            return From(wanted, hostname, self._now)
        return From(f"<{self._own}>", hostname, self._now)

    def _parsed(self, text: str) -> Address | None:
        found = [one for one in parse_address_list(text) if isinstance(one, Mailbox)]
        try:
            return parse_address(found[0].addr_spec) if len(found) == 1 else None
        except BadAddress:
            return None

    def _may_be(self, address: Address) -> bool:
        delivery, account_id = self._delivery, self._recipient.account_id
        found = delivery.recipients.resolve(address, self._separator, delivery.hostname)
        if found is not None and found.reaches(account_id):
            return True
        return covers(delivery.senders.sender(account_id).identities, address, self._separator)

    def _report(self, composed: Composed, to: Sequence[Address]) -> NewQueued:
        return self._queued(composed, to, QueueKind.REPORT, _NOBODY, "")

    def _queued(
        self, composed: Composed, to: Sequence[Address], kind: QueueKind, account_id: AccountId, path: str
    ) -> NewQueued:
        return NewQueued(
            kind=kind,
            account_id=account_id,
            reverse_path=path,
            recipients=[untold_recipient(one) for one in to],
            header=composed.header,
            body=InlineBody(composed.body),
            size=len(composed.header) + len(composed.body),
            message_id=secrets.token_hex(8),
            options=options_for(composed.header, composed.body, to),
            release_at=self._now,
            expires_at=Instant(self._now + self._lifetime_seconds),
        )

    def _copy(self, composed: Composed, target: Target | None, place: Place) -> Copy | None:
        if target is None:
            return None
        email = self._email(composed, target.flags or _SEEN, traced=False)
        return Copy(target=target, email=email, place=place)

    def _email(self, composed: Composed, flags: Sequence[str], *, traced: bool = True) -> NewEmail:
        header = composed.header
        if traced:
            header = return_path_field(None) + delivered_to_field(self._recipient.login) + header
        facts = derive_facts(header, composed.body, self._delivery.limits)
        return NewEmail(header, InlineBody(composed.body), facts, self._now, flag_set(flags))


def options_for(header: bytes, body: bytes, to: Sequence[Address]) -> MailOptions:
    """What servers on the way must be able to do for these octets and recipients."""
    is_ascii = header.isascii() and body.isascii()
    return MailOptions(
        body=BodyType.SEVEN_BIT if is_ascii else BodyType.EIGHT_BIT_MIME,
        smtputf8=not (header.isascii() and all(one.local_part.isascii() for one in to)),
    )
