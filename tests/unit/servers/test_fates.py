"""What becomes of each recipient of one message, from our port to mailboxes, far servers and reports: nobody is
forgotten, whatever becomes of the others. In virtual time."""

import email
import email.message
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from postino.core.address import parse_address
from postino.servers.context import ServerContext
from postino.store.accounts import (
    account_by_login,
    create_account,
    create_domain,
    remove_account,
    remove_domain,
)
from postino.store.addresses import add_alias, remove_alias
from postino.store.forwards import set_forwarding
from postino.store.queue.values import QueueKind
from postino.store.quota import set_quotas
from postino.store.sending import set_undo_seconds
from postino.store.tx import Tx
from tests.support.far_server import Habits
from tests.support.front_door import Author, Sender, context_of
from tests.support.outbound_world import SendingWorld, sending_world
from tests.support.world import NOW

ZONE = """
far.example.        MX 10 mx.far.example.
mx.far.example.     A  192.0.2.1
null.example.       MX 0 .
client.example.     MX 10 mx.client.example.
mx.client.example.  A  192.0.2.9
"""
FAR, CLIENT = "192.0.2.1", "192.0.2.9"
OURS = b"From: ann@example.org\r\nSubject: hello\r\nMessage-ID: <o@example.org>\r\n\r\nSome words.\r\n"
THEIRS = OURS.replace(b"ann@example.org", b"sue@client.example")
HABITS = Habits(
    recipients={
        "gone@far.example": "550 5.1.1 Nobody here",
        "lost@far.example": "550 5.1.1 Nobody here",
        "busy@far.example": "451 4.2.1 Busy",
    }
)
Scenario = Callable[["Place"], Awaitable[None]]


class Place:
    def __init__(self, world: SendingWorld, context: ServerContext) -> None:
        self.world = world
        self.context = context
        self.far = world.far_server(FAR, HABITS)
        self.client = world.far_server(CLIENT)

    async def submit(
        self, *recipients: str, message: bytes = OURS, mail: str = "ann@example.org"
    ) -> list[str]:
        author = await Author(self.context).login()
        replies = await author.send(mail, *recipients, message=message)
        await author.close()
        return replies

    async def receive(
        self, *recipients: str, message: bytes = THEIRS, mail: str = "sue@client.example"
    ) -> list[str]:
        sender = await Sender(self.context).begin()
        replies = await sender.send(mail, *recipients, message=message)
        await sender.close()
        return replies

    def count(self, login: str, mailbox: str = "INBOX") -> int:
        """Messages other than reports."""
        return sum(not is_report(one) for one in self.mailbox(login, mailbox))

    def mailbox(self, login: str, mailbox: str = "INBOX") -> list[email.message.Message]:
        def look(tx: Tx) -> list[bytes]:
            return [
                header + (body or b"")
                for header, body in tx.all(
                    "SELECT o.header, o.body FROM message m"
                    " JOIN mailbox b ON b.account_id=m.account_id AND b.id=m.mailbox_id"
                    " JOIN account a ON a.id=m.account_id"
                    " JOIN octets o ON o.account_id=m.account_id AND o.content_id=m.content_id"
                    " WHERE a.login=? AND b.name=? ORDER BY m.uid",
                    (login, mailbox),
                )
            ]

        return [email.message_from_bytes(octets) for octets in self.world.store.read_now(look)]

    def sent_to(self) -> list[str]:
        return sorted(to for one in self.far.messages for to, _ in one.recipients)

    def reports(self, login: str = "ann@example.org") -> dict[str, str]:
        """By final recipient, what its sender was told; those who sent from elsewhere at their server."""
        found = [one for one in self.mailbox(login) if is_report(one)]
        found += [email.message_from_bytes(one.octets) for one in self.client.messages]
        told: dict[str, str] = {}
        for report in found:
            for group in report.get_payload(1).get_payload()[1:]:
                address = group["Final-Recipient"].partition("; ")[2]
                assert address not in told, f"{address} was told of twice"
                told[address] = f"{group['Action']} {group['Status']}"
        return told


def is_report(message: email.message.Message) -> bool:
    return message.get_content_type() == "multipart/report"


def play(path: Path, scenario: Scenario, *changes: Callable[[Tx], object]) -> None:
    async def whole(world: SendingWorld) -> None:
        def make(tx: Tx) -> None:
            add_alias(tx, parse_address("team@example.org"), [], [parse_address("sam@far.example")])
            add_alias(
                tx,
                parse_address("mixed@example.org"),
                [account_by_login(tx, "bob@example.org").id],
                [parse_address("lost@far.example"), parse_address("tom@far.example")],
            )
            for change in changes:
                change(tx)

        await world.store.write(make)
        await scenario(Place(world, context_of(world, world.outbound())))

    with sending_world(path / "data", whole, zone=ZONE):
        pass


def id_of(tx: Tx, login: str) -> int:
    return account_by_login(tx, f"{login}@example.org").id


def test_many_recipients_of_different_fates(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        everybody = (
            "bob@example.org> NOTIFY=SUCCESS",
            "eve@far.example> NOTIFY=SUCCESS,FAILURE",
            "gone@far.example",
            "busy@far.example> NOTIFY=FAILURE",
            "x@null.example",
            "y@nowhere.example> NOTIFY=NEVER",
            "z@nowhere.example> NOTIFY=DELAY",
            "mixed@example.org> NOTIFY=SUCCESS,FAILURE",
            "team@example.org",
        )
        replies = await place.submit(*everybody)
        assert {reply[:3] for reply in replies} == {"250"}
        await place.world.until_empty()
        assert place.count("bob@example.org") == 1
        assert place.sent_to() == ["eve@far.example", "sam@far.example", "tom@far.example"]
        assert place.reports() == {
            "bob@example.org": "delivered 2.1.5",
            "mixed@example.org": "expanded 2.1.5",
            "gone@far.example": "failed 5.1.1",
            "lost@far.example": "failed 5.1.1",
            "x@null.example": "failed 5.1.10",
            "busy@far.example": "failed 4.2.1",
        }
        # Of two that wanted no report of it those who run the server read in the log.
        failed = {event["to"] for event in place.world.events("message.failed")}
        assert {"y@nowhere.example", "z@nowhere.example"} <= failed

    play(tmp_path, scenario)


def test_a_stranger_hears_of_the_one_member_who_is_gone(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.receive("mixed@example.org> ORCPT=rfc822;all@client.example")
        await place.world.until_empty()
        assert place.sent_to() == ["tom@far.example"]
        (report,) = place.client.messages
        assert report.reverse_path == ""
        assert report.recipients == [("sue@client.example", {"NOTIFY": "NEVER"})]
        assert b"Original-Recipient: rfc822; all@client.example" in report.octets
        assert place.reports() == {"lost@far.example": "failed 5.1.1"}

    play(tmp_path, scenario)


def hold_ann(tx: Tx) -> None:
    set_undo_seconds(tx, id_of(tx, "ann"), 600)


def test_who_is_gone_when_held_mail_is_let_go(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.submit("bob@example.org", "new@other.example", "sam@far.example")
        assert not place.far.messages

        def remove(tx: Tx) -> None:
            remove_alias(tx, parse_address("mixed@example.org"))
            remove_account(tx, id_of(tx, "bob"))
            remove_account(tx, account_by_login(tx, "new@other.example").id)
            remove_domain(tx, "other.example")

        await place.world.store.write(remove)
        await place.world.until_empty()
        assert place.sent_to() == ["sam@far.example"]
        assert place.reports() == {"bob@example.org": "failed 5.1.1", "new@other.example": "failed 5.1.2"}

    def other(tx: Tx) -> None:
        create_domain(tx, "other.example", NOW)
        create_account(tx, parse_address("new@other.example"), "x", "", 0, NOW)

    play(tmp_path, scenario, hold_ann, other)


def test_a_full_mailbox_is_tried_until_it_has_room_or_time_is_over(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.submit("bob@example.org", message=OURS + b"x" * 900 + b"\r\n")

        def quota(octets: int) -> Callable[[Tx], None]:
            return lambda tx: set_quotas(tx, id_of(tx, "bob"), octets=octets, messages=0)

        await place.world.store.write(quota(1200))
        await place.world.pass_time(86_400)
        (waiting,) = place.world.waiting()
        assert waiting["last_status"] == "4.2.2"
        assert place.reports() == {"bob@example.org": "delayed 4.2.2"}
        await place.world.store.write(quota(100_000))
        await place.world.until_empty()
        assert place.count("bob@example.org") == 1
        assert len(place.reports()) == 1

    play(tmp_path, scenario, hold_ann)


@pytest.mark.parametrize("held", [False, True])
def test_who_is_named_by_several_addresses_gets_it_once(tmp_path: Path, held: bool) -> None:
    async def scenario(place: Place) -> None:
        await place.submit("bob@example.org", "all@example.org", "bob+x@example.org")
        await place.world.until_empty()
        assert (place.count("bob@example.org"), place.count("ann@example.org")) == (1, 1)
        assert place.sent_to() == ["sam@far.example"]

    def everybody(tx: Tx) -> None:
        members = [id_of(tx, "ann"), id_of(tx, "bob")]
        add_alias(tx, parse_address("all@example.org"), members, [parse_address("sam@far.example")])

    play(tmp_path, scenario, everybody, *([hold_ann] if held else []))


def test_the_sender_is_gone_when_mail_fails(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.submit("gone@far.example", "sam@far.example")
        await place.world.store.write(lambda tx: remove_account(tx, id_of(tx, "ann")))
        await place.world.until_empty()
        # What was taken is sent all the same.
        assert place.sent_to() == ["sam@far.example"]
        (event,) = place.world.events("report.undeliverable")
        assert event["status"] == "5.1.1"

    play(tmp_path, scenario, hold_ann)


@pytest.mark.parametrize("to", ["postmaster", "postmaster@example.org", "Postmaster@EXAMPLE.ORG"])
@pytest.mark.parametrize("members", [(), ("ann",), ("ann", "bob")])
def test_held_mail_for_a_postmaster_who_is_elsewhere(
    tmp_path: Path, to: str, members: tuple[str, ...]
) -> None:
    async def scenario(place: Place) -> None:
        assert (await place.submit(to))[-1].startswith("250 2.0.0 Queued as ")
        await place.world.until_empty()
        assert place.sent_to() == ["sam@far.example"]
        assert [place.count(f"{one}@example.org") for one in members] == [1] * len(members)

    def postmaster(tx: Tx) -> None:
        accounts = [id_of(tx, one) for one in members]
        add_alias(tx, parse_address("postmaster@example.org"), accounts, [parse_address("sam@far.example")])

    play(tmp_path, scenario, hold_ann, postmaster)


def test_held_mail_for_a_postmaster_who_forwards_their_own_mail(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.submit("postmaster")
        await place.world.until_empty()
        assert place.sent_to() == ["sam@far.example"]
        assert (place.count("ann@example.org"), place.count("bob@example.org")) == (1, 0)

    def postmaster(tx: Tx) -> None:
        ann, bob = id_of(tx, "ann"), id_of(tx, "bob")
        add_alias(tx, parse_address("postmaster@example.org"), [ann, bob])
        set_forwarding(tx, bob, [parse_address("sam@far.example")], keeps=False)

    play(tmp_path, scenario, hold_ann, postmaster)


def test_a_report_goes_where_its_receiver_has_their_mail_sent(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.submit("gone@far.example")
        await place.world.until_empty()
        assert place.count("ann@example.org") == 0
        assert place.reports() == {"gone@far.example": "failed 5.1.1"}
        assert [to for one in place.client.messages for to, _ in one.recipients] == ["ann@client.example"]

    def forward(tx: Tx) -> None:
        set_forwarding(tx, id_of(tx, "ann"), [parse_address("ann@client.example")], keeps=False)

    play(tmp_path, scenario, forward)


def test_what_came_from_elsewhere_is_never_signed_as_ours(tmp_path: Path) -> None:
    """Forwarded to a domain that has become ours, and from there once more."""

    async def scenario(place: Place) -> None:
        store = place.world.store
        ann = store.read_now(lambda tx: id_of(tx, "ann"))
        await place.world.submit(
            "team@example.org", kind=QueueKind.FORWARDED, account_id=ann, reverse_path="sue@client.example"
        )
        for _ in range(5):
            kinds = store.read_now(lambda tx: tx.all("SELECT kind, account_id FROM queue_message"))
            await place.world.pass_time(1)
        accepted = place.world.events("message.accepted")
        assert [event["kind"] for event in accepted] == ["forwarded"], kinds
        assert place.sent_to() == ["sam@far.example"]
        assert place.far.messages[0].reverse_path.startswith("SRS0=")

    play(tmp_path, scenario)


@pytest.mark.parametrize("domain", ["intranet", "localhost", "192.0.2.1", "com."])
def test_half_a_domain_is_refused_while_its_author_can_mend_it(tmp_path: Path, domain: str) -> None:
    """RFC 6409 §4.2."""

    async def scenario(place: Place) -> None:
        refused = await place.submit(f"bob@{domain}")
        assert refused[0][:9] in {"554 5.1.2", "553 5.1.2"}
        assert not place.world.waiting()

    play(tmp_path, scenario)
