"""Which outcomes senders hear of, and what the report says and where it goes."""

import email
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.address import Address
from postino.core.ids import AccountId, BlobId, Instant
from postino.core.limits import Limits
from postino.delivery.reports import ReportRules, ReportWriter, Tellable
from postino.mime.downgrade import to_seven_bit
from postino.outbound.reports import Reporter, to_tell
from postino.smtp.envelope import BodyType, ByMode, MailOptions, Notify, Return
from postino.store.accounts import Forward, Resolved, ResolvedRecipient
from postino.store.blobs import BlobStore
from postino.store.content import InlineBody, SealedBlob
from postino.store.queue.values import (
    NewQueued,
    Octets,
    Outcome,
    QueuedMessage,
    QueuedRecipient,
    QueueId,
    QueueKind,
    RecipientState,
    Result,
)
from tests.support.memory_network import FixedClock, RecordingLog

NOW = Instant(1_767_225_600)
HEADER = b"From: ann@example.org\r\nSubject: Lunch\r\nMessage-ID: <m1@example.org>\r\n\r\n"
BODY = b"At noon?\r\n"
OCTETS = Octets(HEADER, InlineBody(BODY), len(HEADER) + len(BODY))


def recipient(number: int = 1, **changed: object) -> QueuedRecipient:
    values: dict[str, object] = {
        "number": number,
        "address": f"bob{number}@example.net",
        "domain": "example.net",
        "notify": Notify.UNSAID,
        "original": "",
        "state": RecipientState.WAITING,
        "attempts": 3,
        "next_at": NOW,
        "first_failed_at": Instant(NOW - 7200),
        "delay_told_at": Instant(0),
        "last_status": "4.4.1",
        "last_reply": "No answer",
        "last_remote": "",
        "last_at": Instant(NOW - 60),
    }
    return QueuedRecipient(**{**values, **changed})  # type: ignore[arg-type]


def message(*recipients: QueuedRecipient, **changed: object) -> QueuedMessage:
    values: dict[str, object] = {
        "queue_id": QueueId(7),
        "kind": QueueKind.SUBMITTED,
        "account_id": AccountId(1),
        "reverse_path": "ann@elsewhere.example",
        "message_id": "m-1",
        "options": MailOptions(),
        "size": OCTETS.size,
        "created_at": Instant(NOW - 86_400),
        "expires_at": Instant(NOW + 86_400),
        "recipients": recipients or (recipient(),),
    }
    return QueuedMessage(**{**values, **changed})  # type: ignore[arg-type]


def outcome(result: Result = Result.FAILED, number: int = 1, **changed: object) -> Outcome:
    values: dict[str, object] = {
        "queue_id": QueueId(7),
        "number": number,
        "result": result,
        "status": "5.1.1",
        "reply": "550 5.1.1 No such user",
        "remote": "mx.example.net (192.0.2.1)",
    }
    return Outcome(**{**values, **changed})  # type: ignore[arg-type]


class Desk:
    """A reporter for whom some addresses are here."""

    def __init__(
        self, here: dict[str, Resolved] | None = None, *, returned: int = 1000, blobs: BlobStore | None = None
    ) -> None:
        self.log = RecordingLog()
        writer = ReportWriter(
            resolve=lambda address: (here or {}).get(str(address)),
            rules=lambda: ReportRules("mail.example.org", returned, 2 * 86_400),
            limits=Limits,
        )
        self.reporter = Reporter(writer, blobs or BlobStore(Path("nowhere")), FixedClock(NOW), self.log)  # type: ignore[arg-type]

    async def settled(
        self, about: QueuedMessage, *outcomes: Outcome, octets: Octets = OCTETS
    ) -> Sequence[Tellable]:
        return await self.reporter.make_reports(about, outcomes, octets)


def queued(reports: Sequence[Tellable]) -> NewQueued:
    (report,) = reports
    assert isinstance(report, NewQueued)
    return report


def read(report: NewQueued) -> email.message.Message:
    assert isinstance(report.body, InlineBody)
    return email.message_from_bytes(report.header + report.body.octets)


def words(report: NewQueued) -> str:
    text = read(report).get_payload(0).get_payload(decode=True).decode()
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("notify", "failed", "delayed", "relayed"),
    [
        # RFC 3461 §5.2.2, §5.2.5, §5.2.6. Whether "relayed" is asked for is decided before (attempt.py).
        (Notify.UNSAID, True, True, True),
        (Notify.NEVER, False, False, False),
        (Notify.SUCCESS, False, False, True),
        (Notify.FAILURE, True, False, True),
        (Notify.DELAY, False, True, True),
        (Notify.FAILURE | Notify.DELAY, True, True, True),
    ],
)
async def test_notify_decides(notify: Notify, failed: bool, delayed: bool, relayed: bool) -> None:
    desk, one = Desk(), recipient(notify=notify)
    about = message(one)
    assert bool(await desk.settled(about, outcome())) == failed
    assert bool(await desk.settled(about, outcome(Result.RELAYED))) == relayed
    assert bool(await desk.reporter.late(about, [one], OCTETS)) == delayed
    assert not await desk.settled(about, outcome(Result.SENT), outcome(Result.DEFERRED))


@settings(max_examples=200)
@given(
    kind=st.sampled_from(QueueKind),
    reverse_path=st.sampled_from(["", "ann@example.org", "MAILER-DAEMON@example.org"]),
    result=st.sampled_from(Result),
    notify=st.integers(0, 15).map(Notify),
)
def test_never_a_report_about_a_report(
    kind: QueueKind, reverse_path: str, result: Result, notify: Notify
) -> None:
    about = message(recipient(notify=notify), kind=kind, reverse_path=reverse_path)
    told = to_tell(about, [outcome(result)])
    if kind is QueueKind.REPORT or not reverse_path:
        assert not told
    assert not told or result in {Result.FAILED, Result.RELAYED}


async def test_a_report_is_itself_beyond_reports() -> None:
    report = queued(await Desk().settled(message(), outcome()))
    assert (report.kind, report.reverse_path) == (QueueKind.REPORT, "")
    assert [one.notify for one in report.recipients] == [Notify.NEVER]
    assert report.size == len(report.header) + len(report.body.octets)
    assert report.expires_at == NOW + 2 * 86_400


async def test_failures_of_one_attempt_share_a_report() -> None:
    about = message(*(recipient(number) for number in (1, 2, 3)))
    report = queued(
        await Desk().settled(about, outcome(number=1), outcome(Result.SENT, 2), outcome(number=3))
    )
    parts = read(report).get_payload()
    assert [group["Final-Recipient"] for group in parts[1].get_payload()[1:]] == [
        "rfc822; bob1@example.net",
        "rfc822; bob3@example.net",
    ]
    assert parts[2].get_content_type() == "message/rfc822"
    assert [one.address for one in report.recipients] == ["ann@elsewhere.example"]
    said = words(report)
    assert "could not be delivered to these addresses" in said
    assert "There is no mailbox of that name at example.net." in said
    assert "mx.example.net (192.0.2.1) answered: 550 5.1.1 No such user" in said
    assert read(report)["Subject"] == "Not delivered: Lunch"
    # An account of ours may write as an address elsewhere; we do not write in that domain's name.
    assert read(report)["From"] == "Mail Delivery System <MAILER-DAEMON@mail.example.org>"


async def test_who_gave_up_says_how_long_it_was_tried() -> None:
    late = outcome(status="4.4.7", reply="", remote="")
    report = queued(await Desk().settled(message(), late))
    said = words(report)
    assert "does not answer. It was tried 3 times since Wed, 31 Dec 2025 22:00:00 +0000." in said
    group = read(report).get_payload(1).get_payload(1)
    # RFC 3464 §2.3.3: failed, with the temporary status of what stood in the way.
    assert (group["Action"], group["Status"]) == ("failed", "4.4.1")
    assert group["Diagnostic-Code"] == "X-Postino; No answer"


async def test_a_missed_deadline_is_told_as_such() -> None:
    options = MailOptions(by_mode=ByMode.RETURN, deliver_by=NOW - 60)
    report = queued(await Desk().settled(message(options=options), outcome(status="5.4.7", remote="")))
    about, group = read(report).get_payload(1).get_payload()
    assert about["Deliver-By-Date"] == "Wed, 31 Dec 2025 23:59:00 +0000"
    assert group["Status"] == "5.4.7"
    assert "The time you allowed for it is over" in words(report)
    options = MailOptions(by_mode=ByMode.NOTIFY, deliver_by=NOW - 60)
    report = queued(await Desk().reporter.late(message(options=options), [recipient()], OCTETS))
    group = read(report).get_payload(1).get_payload(1)
    assert (group["Action"], group["Status"]) == ("delayed", "4.4.7")
    assert "The time you allowed for it is over" in words(report)


async def test_a_late_message_is_said_to_be_tried_on() -> None:
    report = queued(await Desk().reporter.late(message(), [recipient()], OCTETS))
    said = words(report)
    assert "You need not send it again" in said
    assert "It will be tried until Fri, 02 Jan 2026 00:00:00 +0000." in said
    parts = read(report).get_payload()
    group = parts[1].get_payload(1)
    assert (group["Action"], group["Status"]) == ("delayed", "4.4.1")
    assert group["Will-Retry-Until"] == "Fri, 02 Jan 2026 00:00:00 +0000"
    # RFC 3461 §6.2: only failures give the message back.
    assert parts[2].get_content_type() == "text/rfc822-headers"


@pytest.mark.parametrize(
    ("options", "returned", "whole"),
    [
        (MailOptions(), 1000, True),
        (MailOptions(), 10, False),
        (MailOptions(ret=Return.FULL), 1000, True),
        (MailOptions(ret=Return.FULL), 10, False),
        (MailOptions(ret=Return.HEADERS), 1000, False),
        (MailOptions(ret=Return.FULL, require_tls=True), 1000, False),
        (MailOptions(body=BodyType.BINARY_MIME), 1000, False),
    ],
)
async def test_how_much_is_given_back(options: MailOptions, returned: int, whole: bool) -> None:
    """RFC 3461 §4.3 and §6.2, RFC 8689 §5."""
    report = queued(await Desk(returned=returned).settled(message(options=options), outcome()))
    assert (BODY in report.body.octets) == whole
    assert report.options.require_tls == options.require_tls


async def test_a_large_body_is_read_from_its_file(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    with blobs.open_spool() as spool:
        spool.write(b"skip" + BODY)
        blob_id = BlobId(spool.seal())
    octets = Octets(HEADER, SealedBlob(blob_id, 4), OCTETS.size)
    report = queued(await Desk(blobs=blobs).settled(message(), outcome(), octets=octets))
    assert read(report).get_payload(2).get_payload(0).get_payload().encode() == BODY


async def test_a_sender_here_gets_it_into_the_inbox() -> None:
    here = Resolved([ResolvedRecipient(AccountId(5), "ann@example.org", 0, 0)])
    reports = await Desk({"ann@example.org": here}).settled(
        message(reverse_path="ann@example.org"), outcome()
    )
    ((account_id, mailbox_id, new),) = reports
    assert (account_id, mailbox_id) == (5, None)
    assert new.header.startswith(b"Return-Path: <>\r\nDelivered-To: ann@example.org\r\nFrom: ")
    assert b"MAILER-DAEMON@example.org" in new.header
    assert new.facts.size == len(new.header) + len(new.body.octets)
    assert new.facts.refs == "m1@example.org"


async def test_a_sender_here_who_is_gone_hears_nothing() -> None:
    desk = Desk({"ann@example.org": Resolved()})
    assert not await desk.settled(message(reverse_path="ann@example.org"), outcome())
    # Those who run the server are told, in the log.
    assert [one.event for one in desk.log.events] == ["report.undeliverable"]


async def test_a_rewritten_reverse_path_leads_to_the_sender() -> None:
    path = "SRS0=x=y=elsewhere.example=ann@example.org"
    sender = Address("ann", "elsewhere.example")
    via = Address(path.rpartition("@")[0], "example.org")
    here = Resolved((), [Forward(sender, via, AccountId(0), is_return=True)])
    about = message(kind=QueueKind.FORWARDED, account_id=AccountId(0), reverse_path=path)
    report = queued(await Desk({path: here}).settled(about, outcome()))
    assert [one.address for one in report.recipients] == ["ann@elsewhere.example"]
    assert read(report)["To"] == "<ann@elsewhere.example>"
    # Who may have nothing to do with it, and need not read what others wrote.
    assert read(report).get_payload(2).get_content_type() == "text/rfc822-headers"
    assert read(report)["From"] == "Mail Delivery System <MAILER-DAEMON@example.org>"


async def test_a_sender_beyond_ascii_is_reached_with_smtputf8() -> None:
    report = queued(await Desk().settled(message(reverse_path="jörg@elsewhere.example"), outcome()))
    assert report.options == MailOptions(smtputf8=True, body=BodyType.EIGHT_BIT_MIME)
    assert "To: <jörg@elsewhere.example>".encode() in report.header


async def test_a_report_can_go_to_servers_that_take_seven_bits_only() -> None:
    signed = (
        b"MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n",
        b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n--b--\r\n",
    )
    plain = (HEADER, signed[1])
    for (header, body), whole in ((signed, False), (plain, True)):
        octets = Octets(header, InlineBody(body), len(header + body))
        report = queued(await Desk().settled(message(), outcome(), octets=octets))
        assert isinstance(report.body, InlineBody)
        to_seven_bit(report.header, report.body.octets, Limits())
        returned = read(report).get_payload(2)
        assert returned.get_content_type() == ("message/rfc822" if whole else "text/rfc822-headers")
        assert ("and your message." in words(report)) == whole


async def test_what_cannot_be_told_to_a_sender_is_logged() -> None:
    desk = Desk()
    assert not await desk.settled(message(kind=QueueKind.REPORT, reverse_path=""), outcome())
    assert [one.event for one in desk.log.events] == ["report.undeliverable"]


async def test_thousands_of_lines_of_a_reply_stay_a_small_report() -> None:
    report = queued(await Desk().settled(message(), outcome(reply="550 " + "no\r\n" * 100_000)))
    assert report.size < 8000
