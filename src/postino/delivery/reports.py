"""Make a report about a message, ready for its sender's INBOX here or for the queue.

RFC: 3461 §5.2 and §6 (who is told of what, and how), 3464 §2, 6533 §4.5, 8689 §5 (REQUIRETLS), 3834 §4.
Invariants: nothing is ever reported about a message with a null reverse-path, so never about a report; a
    report has a null reverse-path itself, and asks for no report; one report tells of all recipients it is
    given; its size is bounded by theirs and ReportRules.returned_octets.
Not here: which outcomes are told of (outbound/reports.py, local_reports.py), writing it down
    (store/queue/settle.tell).
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from postino.core.address import Address
from postino.core.ids import AccountId, Instant
from postino.core.limits import Limits
from postino.delivery.facts import derive_facts
from postino.delivery.report_words import Told, report_subject, report_words
from postino.mime.delivery_status import Action, MessageStatus, delivery_status, needs_utf8
from postino.mime.downgrade import CannotDowngrade, to_seven_bit
from postino.mime.report import About, Heading, Report, Returned, write_report
from postino.smtp.envelope import BodyType, MailOptions, Return
from postino.smtp.received import delivered_to_field, return_path_field
from postino.store.accounts import Resolved
from postino.store.content import InlineBody, NewEmail
from postino.store.messages import Delivery
from postino.store.queue.values import NewQueued, QueueKind, untold_recipient

SENDER: Final = "MAILER-DAEMON"
Tellable = NewQueued | Delivery
"""What settle() and tell() write down."""
Resolve = Callable[[Address], Resolved | None]
"""Who receives mail for an address; None for another's domain."""


@dataclass(frozen=True, slots=True)
class ReportRules:
    """What the operator has set."""

    hostname: str
    returned_octets: int
    """Largest message given back whole."""
    lifetime_seconds: int
    """How long a report is tried."""


@dataclass(frozen=True, slots=True)
class Original:
    """The message a report is about."""

    reverse_path: Address
    options: MailOptions
    message_id: str
    """Our name for it."""
    header: bytes
    size: int
    arrived_at: Instant
    body: bytes = b""
    """When returns_whole() says so."""
    domain: str = ""
    """One of ours the report may come from; empty for the server's own name."""
    is_strangers: bool = False
    """It came from elsewhere and was sent on. SECURITY: its sender may be forged, and whoever that is shall
    not get what somebody else wrote: only the header is given back, whatever RET says."""


def returns_whole(options: MailOptions, actions: Sequence[Action], size: int, most: int) -> bool:
    """Whether the message is given back with its body: only when it failed, and as its sender asked."""
    if options.require_tls or options.ret is Return.HEADERS or options.body is BodyType.BINARY_MIME:
        # RFC 8689 §5: what asked for TLS all the way goes back without its body, whatever RET says.
        return False
    return Action.FAILED in actions and size <= most


class ReportWriter:
    """Writes reports; one for each worker."""

    def __init__(
        self, *, resolve: Resolve, rules: Callable[[], ReportRules], limits: Callable[[], Limits]
    ) -> None:
        self.rules = rules
        self._resolve = resolve
        self._limits = limits

    def is_ours(self, path: Address) -> bool:
        """Whether it is an address of one of our domains."""
        return self._resolve(path) is not None

    def write(self, original: Original, told: Sequence[Told], *, now: Instant) -> list[Tellable]:
        """The report as it is to be written down; nothing when nobody is there to be told."""
        path = original.reverse_path
        resolved = self._resolve(path)
        if not told or (resolved is not None and not resolved):
            # One of our domains, but nobody's address (any more).
            return []
        rules = self.rules()
        if resolved is None:
            return [self._queued(original, told, path, rules, now)]
        tellable: list[Tellable] = []
        if resolved.accounts:
            report = self._report(original, told, path, rules, now, may_8bit=True)
            tellable = [
                (account.account_id, None, self._email(report, account.login, now))
                for account in resolved.accounts
            ]
        for forward in resolved.forwards:
            to = forward.target if forward.is_return else path
            tellable.append(self._queued(original, told, to, rules, now, target=forward.target))
        return tellable

    def _report(
        self,
        original: Original,
        told: Sequence[Told],
        to: Address,
        rules: ReportRules,
        now: Instant,
        *,
        may_8bit: bool,
        may_be_whole: bool = True,
    ) -> Report:
        statuses = [one.status for one in told]
        options, header = original.options, original.header
        actions = [status.action for status in statuses]
        is_withheld = original.is_strangers or not may_be_whole
        whole = not is_withheld and returns_whole(options, actions, original.size, rules.returned_octets)
        message = MessageStatus(
            rules.hostname,
            original.arrived_at,
            options.envid,
            Instant(options.deliver_by if options.by_mode is not None else 0),
            options.hold,
        )
        heading = Heading(
            sender=f"{SENDER}@{original.domain or rules.hostname}",
            recipient=str(to),
            subject=report_subject(told, header),
            message_id=f"{secrets.token_hex(12)}@{rules.hostname}",
            date=now,
        )
        words = report_words(told, header, size=original.size, hostname=rules.hostname, returns_all=whole)
        return write_report(
            heading,
            words,
            delivery_status(message, statuses, utf8=needs_utf8(statuses)),
            About(
                header,
                original.body if whole else b"",
                Returned.WHOLE if whole else Returned.HEADER,
                is_utf8=options.smtputf8,
            ),
            may_8bit=may_8bit,
        )

    def _email(self, report: Report, login: str, now: Instant) -> NewEmail:
        header = return_path_field(None) + delivered_to_field(login) + report.header
        return NewEmail(
            header=header,
            body=InlineBody(report.body),
            facts=derive_facts(header, report.body, self._limits()),
            internal_date=now,
        )

    def _queued(
        self,
        original: Original,
        told: Sequence[Told],
        to: Address,
        rules: ReportRules,
        now: Instant,
        *,
        target: Address | None = None,
    ) -> NewQueued:
        target = target or to
        # RFC 6533 §4.5: a sender whose address is beyond ASCII is reached by SMTPUTF8, or not at all.
        utf8 = not (str(to).isascii() and target.local_part.isascii())
        report = self._report(original, told, to, rules, now, may_8bit=utf8)
        if not utf8 and not self._fits_anywhere(report):
            report = self._report(original, told, to, rules, now, may_8bit=False, may_be_whole=False)
        return NewQueued(
            kind=QueueKind.REPORT,
            account_id=AccountId(0),
            reverse_path="",
            recipients=[untold_recipient(target)],
            header=report.header,
            body=InlineBody(report.body),
            size=len(report.header) + len(report.body),
            message_id=secrets.token_hex(8),
            options=MailOptions(
                body=BodyType.EIGHT_BIT_MIME if report.is_8bit else BodyType.SEVEN_BIT,
                smtputf8=utf8,
                require_tls=original.options.require_tls,
            ),
            release_at=now,
            expires_at=Instant(now + rules.lifetime_seconds),
        )

    def _fits_anywhere(self, report: Report) -> bool:
        """Whether a server without 8BITMIME could take it, too: of a report that cannot go nobody is told."""
        try:
            to_seven_bit(report.header, report.body, self._limits())
        except CannotDowngrade:
            return False
        return True
