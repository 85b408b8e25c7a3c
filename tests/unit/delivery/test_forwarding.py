"""What becomes of a message beyond mailboxes: who gets it, what is asked for, what its sender hears."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.address import Address, parse_address
from postino.core.errors import SettingsError
from postino.core.ids import AccountId, Instant
from postino.core.limits import Limits
from postino.delivery.forwarding import Accepted, Arrived, Forwarding, Plan, Refusal, concerns
from postino.delivery.junk import is_junk, parse_marks
from postino.delivery.report_words import Told, report_subject, report_words
from postino.delivery.reports import ReportRules, ReportWriter
from postino.mime.delivery_status import Action, RecipientStatus
from postino.smtp.envelope import NO_MAIL_OPTIONS, MailOptions, Notify, RcptOptions
from postino.store.accounts import Forward, Resolved, ResolvedRecipient
from postino.store.queue.values import NewQueued, QueueKind
from postino.store.store import Store, open_store
from tests.support.world import NOW

HEADER = b"From: Sue <sue@client.example>\r\nSubject: hello\r\n\r\n"
ANN = ResolvedRecipient(AccountId(1), "ann@example.org", 0, 0)
TEAM = Address("team", "example.org")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path, first=True)
    yield opened
    opened.close_now()


def forward(target: str, via: Address = TEAM, account_id: int = 0) -> Forward:
    return Forward(parse_address(target), via, AccountId(account_id))


def accepted(
    *targets: str,
    accounts: tuple[ResolvedRecipient, ...] = (),
    notify: Notify = Notify.UNSAID,
    original: str = "",
) -> Accepted:
    found = Resolved(accounts, [forward(target) for target in targets])
    return Accepted(TEAM, found, RcptOptions(notify=notify, original=original))


async def plan(
    store: Store,
    *those: Accepted,
    header: bytes = HEADER,
    account_id: int = 0,
    is_junk: bool = False,
    options: MailOptions = NO_MAIL_OPTIONS,
    reverse_path: str = "sue@client.example",
) -> Plan:
    writer = ReportWriter(
        resolve=lambda address: None,
        rules=lambda: ReportRules("mail.example.org", 1000, 86_400),
        limits=Limits,
    )
    arrived = Arrived(
        reverse_path=parse_address(reverse_path) if reverse_path else None,
        options=options,
        message_id="m-1",
        header=header,
        size=100,
        account_id=AccountId(account_id),
        is_junk=is_junk,
    )
    return await Forwarding(store, writer, lambda: 3600.0).plan(arrived, those, now=NOW)


def actions(found: Plan) -> list[str]:
    said = []
    for report in found.reports:
        assert isinstance(report, NewQueued)
        said += [
            line.split(b": ")[1].decode()
            for line in report.body.octets.split(b"\r\n")
            if line.startswith(b"Action: ")
        ]
    return said


S, F, D, NEVER, UNSAID = Notify.SUCCESS, Notify.FAILURE, Notify.DELAY, Notify.NEVER, Notify.UNSAID


@pytest.mark.parametrize(
    ("targets", "accounts", "notify", "asked", "told"),
    [
        # RFC 3461 §5.2.7.2: for one, everything goes along and nothing is told here.
        (1, (), UNSAID, [UNSAID], []),
        (1, (), S | F, [S | F], []),
        (1, (), NEVER, [NEVER], []),
        # §5.2.7.3 (c): for several, success is told here as "expanded" and not asked for further on.
        (2, (), UNSAID, [UNSAID, UNSAID], []),
        (2, (), S | F | D, [F | D, F | D], ["expanded"]),
        (2, (), S, [NEVER, NEVER], ["expanded"]),
        (2, (), NEVER, [NEVER, NEVER], []),
        (1, (ANN,), S | F, [F], ["expanded"]),
        # §5.2.3: mailboxes here.
        (0, (ANN,), S, [], ["delivered"]),
        (0, (ANN,), F, [], []),
        (0, (ANN,), UNSAID, [], []),
    ],
)
async def test_notify(
    store: Store,
    targets: int,
    accounts: tuple[ResolvedRecipient, ...],
    notify: Notify,
    asked: list[Notify],
    told: list[str],
) -> None:
    names = [f"p{number}@far.example" for number in range(targets)]
    one = accepted(*names, accounts=accounts, notify=notify, original="rfc822;Team@x.example")
    found = await plan(store, one)
    recipients = [recipient for out in found.outgoing for recipient in out.recipients]
    assert [recipient.notify for recipient in recipients] == asked
    assert {recipient.original for recipient in recipients} <= {"rfc822;Team@x.example"}
    assert actions(found) == told
    assert concerns([one]) == bool(targets or notify & S)


async def test_nobody_is_told_at_a_null_reverse_path(store: Store) -> None:
    found = await plan(store, accepted("p@far.example", accounts=(ANN,), notify=S), reverse_path="")
    assert [out.reverse_path for out in found.outgoing] == [""]
    assert not found.reports


async def test_what_travels_along(store: Store) -> None:
    options = MailOptions(envid="E1", require_tls=True, priority=3)
    found = await plan(store, accepted("p@far.example", "q@far.example"), options=options)
    (out,) = found.outgoing
    assert out.options == options
    assert out.kind is QueueKind.FORWARDED
    assert out.top == b"Delivered-To: team@example.org\r\n"
    assert out.expires_at == NOW + 3600
    assert out.reverse_path.endswith("=client.example=sue@example.org")
    # What is added where no ORCPT was given is what was written to (RFC 3461 §5.2.1 d).
    assert {one.original for one in out.recipients} == {"rfc822;team@example.org"}


async def test_only_mail_of_users_is_ours_to_sign(store: Store) -> None:
    (out,) = (await plan(store, accepted("p@far.example"), account_id=7)).outgoing
    assert (out.kind, out.account_id) == (QueueKind.SUBMITTED, 7)
    own = Resolved((), [forward("a@far.example", Address("ann", "example.org"), 1)])
    (out,) = (await plan(store, Accepted(TEAM, own, RcptOptions()))).outgoing
    assert (out.kind, out.account_id) == (QueueKind.FORWARDED, 1)


async def test_two_ways_to_one_address_are_one(store: Store) -> None:
    found = await plan(store, accepted("p@far.example"), accepted("p@far.example", "q@far.example"))
    (out,) = found.outgoing
    assert [one.address for one in out.recipients] == ["p@far.example", "q@far.example"]


@pytest.mark.parametrize(
    ("field", "loops"),
    [
        (b"Delivered-To: team@example.org\r\n", True),
        (b"delivered-to:  TEAM@Example.org \r\n", True),
        (b"X-Delivered-To: team@example.org\r\n", False),
        (b"Delivered-To: ann@example.org\r\n", False),
    ],
)
async def test_loops(store: Store, field: bytes, loops: bool) -> None:
    found = await plan(store, accepted("p@far.example"), header=field + HEADER)
    assert (found.refused is Refusal.LOOP) == loops
    # Where others get it, it is taken, and the sender hears of the loop.
    found = await plan(store, accepted("p@far.example"), accepted(accounts=(ANN,)), header=field + HEADER)
    assert (found.refused, bool(found.outgoing)) == (None, not loops)
    assert actions(found) == (["failed"] if loops else [])
    if loops:
        assert b"Status: 5.4.6" in found.reports[0].body.octets
        quiet = await plan(
            store, accepted("p@far.example", notify=NEVER), accepted(accounts=(ANN,)), header=field + HEADER
        )
        assert not quiet.reports


async def test_junk_stays(store: Store) -> None:
    assert (await plan(store, accepted("p@far.example"), is_junk=True)).refused is Refusal.JUNK
    found = await plan(store, accepted("p@far.example", accounts=(ANN,)), is_junk=True)
    assert (found.refused, found.outgoing, found.kept) == (None, [], [])
    # Nobody's mail is dropped because others keep theirs.
    found = await plan(store, accepted(accounts=(ANN,)), accepted("p@far.example"), is_junk=True)
    assert found.refused is Refusal.JUNK
    own = Resolved((), [forward("a@far.example", Address("bob", "example.org"), 2)])
    found = await plan(store, Accepted(TEAM, own, RcptOptions()), is_junk=True)
    assert [(one.account_id, one.login) for one in found.kept] == [(2, "bob@example.org")]
    assert not found.outgoing


@pytest.mark.parametrize(
    ("header", "junk"),
    [
        (b"X-Spam-Flag: YES\r\n\r\n", True),
        (b"Subject: x\r\nx-spam-flag:yes, really\r\n\r\n", True),
        (b"X-Spam-Flag: NO\r\n\r\n", False),
        (b"Subject: X-Spam-Flag: YES\r\n\r\n", False),
        (b"Y-X-Spam-Flag: YES\r\n\r\n", False),
        (b"\r\n", False),
    ],
)
def test_junk_is_what_a_field_says(header: bytes, junk: bool) -> None:
    assert is_junk(header, parse_marks(["X-Spam-Flag: YES"])) == junk
    assert not is_junk(header, ())


@pytest.mark.parametrize("text", ["X-Spam-Flag", ": YES", "X-Spam-Flag:", "X-Späm: yes"])
def test_fields_that_are_none(text: str) -> None:
    with pytest.raises(SettingsError, match="junk_fields"):
        parse_marks([text])


any_text = st.text(max_size=300)


@settings(max_examples=150, deadline=None)
@given(any_text, any_text, any_text, st.binary(max_size=300), st.sampled_from(Action))
def test_nothing_quoted_reads_as_our_own_words(
    address: str, reply: str, remote: str, subject: bytes, action: Action
) -> None:
    status = RecipientStatus(address, action, "5.1.1", reply=reply, remote=remote)
    told = [Told(status, domain=address, attempts=2, since=Instant(NOW))]
    header = b"Subject: " + subject + b"\r\nTo: x\r\n\r\n"
    words = report_words(told, header, size=10, hostname="mail.example.org", returns_all=False)
    lines = words.split("\n")
    known = report_words(
        [Told(RecipientStatus("b@x.example", action, "5.1.1"), domain="x.example")],
        HEADER,
        size=10,
        hostname="mail.example.org",
        returns_all=False,
    ).split("\n")
    flush = [line for line in lines if line and not line.startswith("  ")]
    assert flush == [line for line in known if line and not line.startswith("  ")]
    assert all(len(line) <= 340 for line in lines)
    assert all(char >= " " for line in lines for char in line)
    title = report_subject(told, header)
    assert title.isascii()
    assert len(title) < 250
