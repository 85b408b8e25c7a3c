"""What a message needs of a server, and what a server's replies mean."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.ids import AccountId, Instant
from postino.outbound.client.outgoing import RecipientReply
from postino.outbound.dispatch.attempt import (
    Judge,
    is_confirmed,
    is_crowded,
    is_greylisted,
    lacking,
    needs_utf8,
    recipient_options,
)
from postino.outbound.dispatch.courier import _can_be_proved
from postino.outbound.dispatch.retry import Retry
from postino.outbound.dispatch.work import Held, OctetsBudget, Reached, Work
from postino.outbound.settings import OutboundSettings
from postino.outbound.targeting.target import Host, HostTls, Target, TlsLevel, TlsOrigin
from postino.smtp.client.extensions import Extensions
from postino.smtp.client.transaction import Phase
from postino.smtp.envelope import ByMode, MailOptions, Notify
from postino.store.content import InlineBody
from postino.store.queue.values import (
    Octets,
    QueuedMessage,
    QueuedRecipient,
    QueueId,
    QueueKind,
    RecipientState,
    Result,
)

NOW = Instant(1_000_000)
DAY = 86_400
ALL = Extensions(
    has_size=True,
    size=1000,
    eight_bit_mime=True,
    smtputf8=True,
    dsn=True,
    require_tls=True,
    deliver_by=True,
    deliver_by_seconds=60,
)
NONE = Extensions()


def message(
    count: int = 1,
    *,
    options: MailOptions = MailOptions(),  # noqa: B008  (a value)
    reverse_path: str = "ann@example.org",
    notify: Notify = Notify.UNSAID,
    addresses: Sequence[str] = (),
    attempts: int = 0,
    expires_at: int = NOW + DAY,
) -> QueuedMessage:
    return QueuedMessage(
        queue_id=QueueId(1),
        kind=QueueKind.SUBMITTED,
        account_id=AccountId(1),
        reverse_path=reverse_path,
        message_id="m",
        options=options,
        size=500,
        created_at=NOW,
        expires_at=Instant(expires_at),
        recipients=[
            QueuedRecipient(
                number=number,
                address=address,
                domain=address.rpartition("@")[2],
                notify=notify,
                original="",
                state=RecipientState.WAITING,
                attempts=attempts,
                next_at=NOW,
                first_failed_at=Instant(0),
                delay_told_at=Instant(0),
                last_status="",
                last_reply="",
                last_remote="",
                last_at=Instant(0),
            )
            for number, address in enumerate(addresses or [f"u{n}@far.example" for n in range(count)], 1)
        ],
    )


def work_of(made: QueuedMessage) -> Work:
    return Work(Held(made, OctetsBudget(1), taken_at=0.0, leased_until=NOW), made.recipients)


def judge() -> Judge:
    outbound = OutboundSettings()
    return Judge(Retry(lambda: outbound, lambda: 0.5))


def reply(code: int, status: str = "", text: str = "", phase: Phase = Phase.MESSAGE) -> RecipientReply:
    return RecipientReply(code, status, text or f"{code} {status} words", "mx (192.0.2.1)", phase)


def lack_of(made: QueuedMessage, offered: Extensions, *, verified: bool = True, utf8: bool = False) -> str:
    found = lacking(made, offered, is_verified=verified, size=made.size, utf8=utf8, now=NOW)
    return found.status if found is not None else ""


# Needs


@pytest.mark.parametrize(
    ("options", "offered", "verified", "status"),
    [
        (MailOptions(), NONE, False, ""),
        # RFC 8689 §4.2.1
        (MailOptions(require_tls=True), ALL, True, ""),
        (MailOptions(require_tls=True), ALL, False, "5.7.10"),
        (MailOptions(require_tls=True), NONE, True, "5.7.30"),
        # RFC 2852 §4.1.4.1, §6
        (MailOptions(by_mode=ByMode.RETURN, deliver_by=NOW + 98), ALL, False, ""),
        (MailOptions(by_mode=ByMode.RETURN, deliver_by=NOW + 59), ALL, False, "5.3.3"),
        (MailOptions(by_mode=ByMode.RETURN, deliver_by=NOW + 98), NONE, False, "5.3.3"),
        (MailOptions(by_mode=ByMode.NOTIFY, deliver_by=NOW - 5), NONE, False, ""),
        # What may be left out on the way.
        (MailOptions(priority=5, envid="x"), NONE, False, ""),
    ],
)
def test_what_a_message_cannot_go_without(
    options: MailOptions, offered: Extensions, verified: bool, status: str
) -> None:
    assert lack_of(message(options=options), offered, verified=verified) == status


@pytest.mark.parametrize(
    ("tls", "by_mx", "proved"),
    [
        (HostTls(), True, False),
        (HostTls(TlsLevel.REQUIRED, TlsOrigin.DANE), True, False),
        (HostTls(TlsLevel.VERIFIED, TlsOrigin.DANE), True, True),
        (HostTls(TlsLevel.VERIFIED, TlsOrigin.MTA_STS), True, True),
        (HostTls(TlsLevel.VERIFIED, TlsOrigin.MTA_STS, testing=True), True, False),
        (HostTls(TlsLevel.VERIFIED, TlsOrigin.ROUTE), False, True),
        (HostTls(TlsLevel.REQUIRED, TlsOrigin.ROUTE), False, False),
        # Whoever forges the MX records names hosts that can prove their names.
        (HostTls(TlsLevel.VERIFIED, TlsOrigin.ROUTE), True, False),
    ],
)
def test_which_hosts_are_trusted_far_enough(tls: HostTls, by_mx: bool, proved: bool) -> None:
    host = Host("mx.far.example", 25, tls, ("192.0.2.1",))
    target = Target("far.example", (host,), "mail.example.org", domain="far.example" if by_mx else "")
    assert _can_be_proved(host, target) is proved


def test_a_report_goes_without_tls_rather_than_not_at_all() -> None:
    assert (
        lack_of(message(options=MailOptions(require_tls=True), reverse_path=""), NONE, verified=False) == ""
    )


def test_size_counts_only_when_it_is_said() -> None:
    assert lack_of(message(), Extensions(has_size=True, size=499)) == "5.3.4"
    assert lack_of(message(), Extensions(has_size=True, size=500)) == ""
    assert lack_of(message(), Extensions(has_size=True, size=0)) == ""


@pytest.mark.parametrize(
    ("asked", "reverse_path", "address", "header", "needed"),
    [
        (True, "ann@example.org", "bob@far.example", b"Subject: x\r\n\r\n", False),
        (True, "änn@example.org", "bob@far.example", b"Subject: x\r\n\r\n", True),
        (True, "ann@example.org", "böb@far.example", b"Subject: x\r\n\r\n", True),
        (True, "ann@example.org", "bob@fär.example", b"Subject: x\r\n\r\n", False),
        (True, "ann@example.org", "bob@far.example", "Subject: ä\r\n\r\n".encode(), True),
        (False, "ann@example.org", "bob@far.example", b"Subject: \xe4\r\n\r\n", False),
    ],
)
def test_smtputf8_is_needed_where_it_is_used(
    asked: bool, reverse_path: str, address: str, header: bytes, needed: bool
) -> None:
    made = message(options=MailOptions(smtputf8=asked), reverse_path=reverse_path, addresses=[address])
    octets = Octets(header, InlineBody(b""), len(header))
    assert needs_utf8(made, octets) is needed
    assert lack_of(made, NONE, utf8=needed) == ("5.6.7" if needed else "")


def test_who_does_not_know_the_deadline_is_asked_to_tell_of_delays() -> None:
    """RFC 2852 §4.1.4.2."""
    by = MailOptions(by_mode=ByMode.NOTIFY, deliver_by=NOW + 60)
    for notify, asked in (
        (Notify.UNSAID, Notify.FAILURE | Notify.DELAY),
        (Notify.SUCCESS, Notify.SUCCESS | Notify.DELAY),
        (Notify.NEVER, Notify.NEVER),
    ):
        made = message(options=by, notify=notify)
        assert recipient_options(made, made.recipients[0], Extensions(dsn=True)).notify == asked
        assert recipient_options(made, made.recipients[0], ALL).notify == notify


# Replies


@pytest.mark.parametrize(
    ("code", "status", "result", "noted"),
    [
        (250, "2.1.5", Result.SENT, "2.1.5"),
        (251, "", Result.SENT, "2.0.0"),
        (450, "4.2.1", Result.DEFERRED, "4.2.1"),
        (452, "4.2.2", Result.DEFERRED, "4.2.2"),
        (421, "", Result.DEFERRED, "4.0.0"),
        (550, "5.1.1", Result.FAILED, "5.1.1"),
        (552, "5.2.2", Result.FAILED, "5.2.2"),
        (554, "", Result.FAILED, "5.0.0"),
    ],
)
def test_a_reply_decides(code: int, status: str, result: Result, noted: str) -> None:
    outcomes, again = judge().read(
        work_of(message()), [reply(code, status)], Reached("mx"), confirmed=True, now=NOW
    )
    assert [(one.result, one.status, one.remote) for one in outcomes] == [(result, noted, "mx")]
    assert again == []


def test_too_many_recipients_go_at_once_when_others_were_taken() -> None:
    """RFC 5321 §4.5.3.1.10."""
    work = work_of(message(3))
    # Without a code of the server's own, ours is made of the first digit.
    said = (reply(452, "4.5.3"), reply(452, "4.0.0"), reply(552, "5.0.0"), reply(552, "5.5.3"))
    for too_many in (*said, reply(452), reply(552)):
        outcomes, again = judge().read(
            work, [reply(250, "2.1.5"), too_many, too_many], Reached(), confirmed=True, now=NOW
        )
        assert [one.number for one in outcomes] == [1]
        assert [one.number for one in again] == [2, 3]
    outcomes, again = judge().read(work, [reply(452, "4.5.3")] * 3, Reached(), confirmed=True, now=NOW)
    assert [one.result for one in outcomes] == [Result.DEFERRED] * 3
    assert again == []


@pytest.mark.parametrize(
    ("notify", "options", "confirmed", "result"),
    [
        (Notify.SUCCESS, MailOptions(), True, Result.SENT),
        (Notify.SUCCESS, MailOptions(), False, Result.RELAYED),
        (Notify.UNSAID, MailOptions(), False, Result.SENT),
        (Notify.NEVER, MailOptions(by_mode=ByMode.NOTIFY), False, Result.SENT),
        (Notify.FAILURE, MailOptions(by_mode=ByMode.NOTIFY), False, Result.RELAYED),
        (Notify.FAILURE, MailOptions(by_mode=ByMode.RETURN, by_trace=True), False, Result.RELAYED),
    ],
)
def test_relayed_is_what_nobody_else_confirms_to_who_wants_to_know(
    notify: Notify, options: MailOptions, confirmed: bool, result: Result
) -> None:
    """RFC 3461 §5.2.2, RFC 2852 §4.1.4."""
    work = work_of(message(notify=notify, options=options))
    outcomes, _ = judge().read(work, [reply(250)], Reached(), confirmed=confirmed, now=NOW)
    assert outcomes[0].result is result


def test_success_is_confirmed_by_servers_with_dsn_unless_the_deadline_asks_for_more() -> None:
    assert is_confirmed(message(), Extensions(dsn=True))
    assert not is_confirmed(message(), NONE)
    notify = MailOptions(by_mode=ByMode.NOTIFY)
    assert not is_confirmed(message(options=notify), Extensions(dsn=True))
    assert is_confirmed(message(options=notify), ALL)
    assert not is_confirmed(message(options=MailOptions(by_mode=ByMode.NOTIFY, by_trace=True)), ALL)


@pytest.mark.parametrize(
    ("code", "text", "crowded"),
    [
        (421, "421 4.3.2 Closing", True),
        (451, "451 4.7.1 Too many connections from your host", True),
        (450, "450 4.2.1 Mailbox busy", False),
        (554, "554 5.7.1 Too many connections", False),
        (250, "250 too many", False),
    ],
)
def test_signs_of_a_crowd(code: int, text: str, crowded: bool) -> None:
    assert is_crowded(code, text) is crowded


@pytest.mark.parametrize(
    ("code", "status", "text", "grey"),
    [
        (451, "4.7.1", "451 4.7.1 Try again later", True),
        (
            450,
            "4.2.0",
            "450 4.2.0 <x>: Recipient address rejected: Greylisted, see http://grey.example",
            True,
        ),
        (451, "4.3.0", "451 4.3.0 Disk full", False),
        (550, "5.7.1", "550 5.7.1 Graylisted for ever", False),
    ],
)
def test_signs_of_greylisting(code: int, status: str, text: str, grey: bool) -> None:
    assert is_greylisted(code, status, text) is grey


# Time


def test_the_last_attempt_is_when_the_time_is_over() -> None:
    work = work_of(message(attempts=20, expires_at=NOW + 100))
    (outcome,), _ = judge().read(work, [reply(451, "4.3.0")], Reached(), confirmed=True, now=NOW)
    assert (outcome.result, outcome.next_at) == (Result.DEFERRED, NOW + 100)
    late = Instant(NOW + 100)
    (outcome,), _ = judge().read(
        work, [reply(451, "4.3.0", "451 4.3.0 No")], Reached(), confirmed=True, now=late
    )
    assert (outcome.result, outcome.status, outcome.reply) == (Result.FAILED, "4.4.7", "451 4.3.0 No")


def test_the_senders_own_deadline_ends_it_sooner() -> None:
    """RFC 2852 §4.1.3."""
    options = MailOptions(by_mode=ByMode.RETURN, deliver_by=NOW + 50)
    work = work_of(message(options=options))
    (outcome,), _ = judge().read(work, [reply(451)], Reached(), confirmed=True, now=NOW)
    assert outcome.next_at == NOW + 50
    (outcome,), _ = judge().read(work, [reply(451)], Reached(), confirmed=True, now=Instant(NOW + 50))
    assert (outcome.result, outcome.status) == (Result.FAILED, "5.4.7")


codes = st.integers(200, 299) | st.integers(400, 599)
statuses = st.sampled_from(["", "2.1.5", "4.5.3", "4.7.1", "5.5.3", "5.1.1"])


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(codes, statuses, st.sampled_from(Phase), st.text(max_size=30)), min_size=1, max_size=12
    )
)
def test_any_replies_give_each_recipient_one_outcome_or_another_try(
    said: list[tuple[int, str, Phase, str]],
) -> None:
    work = work_of(message(len(said)))
    replies = [reply(code, status, text, phase) for code, status, phase, text in said]
    outcomes, again = judge().read(work, replies, Reached("mx"), confirmed=False, now=NOW)
    numbers = [one.number for one in outcomes] + [one.number for one in again]
    assert sorted(numbers) == list(range(1, len(said) + 1))
    if again:
        assert any(one.result is Result.SENT for one in outcomes), "it cannot go on for ever"
    for outcome in outcomes:
        assert (outcome.result is Result.DEFERRED) == (outcome.next_at > NOW)
