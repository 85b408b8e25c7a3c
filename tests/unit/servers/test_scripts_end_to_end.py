"""Scripts and the queue together, in virtual time: what is sent on arrives or is reported, loops end, answers
are not answered, and held mail goes through its recipients' scripts when it is delivered."""

import email
import email.message
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from postino.app.filters import build_filtering
from postino.delivery.settings import SieveSettings
from postino.sieve import compile_script
from postino.store.accounts import account_by_login
from postino.store.scripts import ScriptLimits, put_script, set_active
from postino.store.sending import set_undo_seconds
from tests.support.far_server import Habits
from tests.support.front_door import Author, Sender, context_of
from tests.support.outbound_world import SendingWorld, sending_world
from tests.support.world import NOW

ZONE = """
far.example.        MX 10 mx.far.example.
mx.far.example.     A  192.0.2.1
client.example.     MX 10 mx.client.example.
mx.client.example.  A  192.0.2.9
"""
THEIRS = (
    b"From: sue@client.example\r\nTo: ann@example.org\r\nSubject: hello\r\n"
    b"Message-ID: <o@client.example>\r\n\r\nSome words.\r\n"
)
OURS = THEIRS.replace(b"sue@client.example", b"ann@example.org").replace(b"To: ann", b"To: bob")
HABITS = Habits(recipients={"gone@far.example": "550 5.1.1 Nobody here"})
AWAY = 'require "vacation"; vacation "I am away";'


class Place:
    def __init__(self, world: SendingWorld) -> None:
        self.world = world
        self.context = context_of(world, world.outbound())
        self.context.filtering = world.filtering = build_filtering(SieveSettings(), self.context)
        self.far = world.far_server("192.0.2.1", HABITS)
        self.client = world.far_server("192.0.2.9")

    async def script(self, text: str, login: str = "ann") -> None:
        compiled = compile_script(text.encode(), name="main")

        def put(tx: Any) -> None:
            account_id = account_by_login(tx, f"{login}@example.org").id
            put_script(tx, account_id, "main", text.encode(), compiled.stored, now=NOW, limits=ScriptLimits())
            set_active(tx, account_id, "main")

        await self.world.store.write(put)

    async def receive(self, *recipients: str, message: bytes = THEIRS) -> list[str]:
        sender = await Sender(self.context).begin()
        replies = await sender.send("sue@client.example", *recipients, message=message)
        await sender.close()
        await self.world.until_empty()
        return replies

    async def submit(self, *recipients: str) -> list[str]:
        author = await Author(self.context).login()
        replies = await author.send("ann@example.org", *recipients, message=OURS)
        await author.close()
        await self.world.until_empty()
        return replies

    def mailbox(self, login: str, mailbox: str = "INBOX") -> list[email.message.Message]:
        rows = self.world.store.read_now(
            lambda tx: tx.all(
                "SELECT o.header, coalesce(o.body, s.body, '') FROM message m"
                " JOIN mailbox b ON b.account_id=m.account_id AND b.id=m.mailbox_id"
                " JOIN account a ON a.id=m.account_id"
                " JOIN octets o ON o.account_id=m.account_id AND o.content_id=m.content_id"
                " LEFT JOIN shared_body s ON s.id=o.blob_id"
                " WHERE a.login=? AND b.name=? ORDER BY m.uid",
                (f"{login}@example.org", mailbox),
            )
        )
        return [email.message_from_bytes(header + body) for header, body in rows]


def play(path: Path, scenario: Callable[[Place], Awaitable[None]]) -> None:
    async def whole(world: SendingWorld) -> None:
        await scenario(Place(world))

    with sending_world(path / "data", whole, zone=ZONE):
        pass


def test_a_redirected_message_arrives_in_our_name(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.script('redirect "me@far.example";')
        await place.receive("ann@example.org")
        (arrived,) = place.far.messages
        assert [to for to, _ in arrived.recipients] == ["me@far.example"]
        assert arrived.octets.endswith(THEIRS)
        assert place.mailbox("ann") == []

    play(tmp_path, scenario)


def test_who_wrote_hears_that_it_could_not_be_sent_on(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.script('redirect "gone@far.example";')
        await place.receive("ann@example.org")
        (report,) = place.client.messages
        assert [to for to, _ in report.recipients] == ["sue@client.example"]
        assert b"Action: failed" in report.octets

    play(tmp_path, scenario)


def test_two_accounts_that_send_each_other_everything_keep_it_once(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.script('redirect "bob@example.org";')
        await place.script('redirect "ann@example.org";', "bob")
        await place.receive("ann@example.org")
        assert len(place.mailbox("ann")) == 1
        assert place.mailbox("bob") == []

    play(tmp_path, scenario)


def test_a_redirect_to_an_account_here_goes_through_its_script(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.script('redirect "bob@example.org";')
        await place.script('require "fileinto"; fileinto "Archive";', "bob")
        await place.receive("ann@example.org")
        (found,) = place.mailbox("bob", "Archive")
        assert found.get_all("Delivered-To") == ["bob@example.org", "ann@example.org"]

    play(tmp_path, scenario)


def test_two_who_are_away_do_not_answer_each_other(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        for login in ("ann", "bob"):
            await place.script(AWAY, login)
        await place.submit("bob@example.org")
        (answer,) = place.mailbox("ann")
        assert answer["Subject"] == "Auto: hello"
        assert len(place.mailbox("bob")) == 1

    play(tmp_path, scenario)


def test_an_answer_reaches_who_is_elsewhere(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.script(AWAY)
        for _ in range(2):
            await place.receive("ann@example.org")
        (answer,) = place.client.messages
        assert answer.reverse_path == ""
        assert b"Auto-Submitted: auto-replied" in answer.octets
        assert len(place.mailbox("ann")) == 2

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("script", "mailbox"), [('require "fileinto"; fileinto "Archive";', "Archive"), ("discard;", "")]
)
def test_held_mail_goes_through_scripts_when_it_is_delivered(
    tmp_path: Path, script: str, mailbox: str
) -> None:
    async def scenario(place: Place) -> None:
        await place.world.store.write(
            lambda tx: set_undo_seconds(tx, account_by_login(tx, "ann@example.org").id, 20)
        )
        await place.script(script, "bob")
        await place.submit("bob@example.org")
        assert place.mailbox("bob") == []
        assert not mailbox or len(place.mailbox("bob", mailbox)) == 1

    play(tmp_path, scenario)


def test_who_held_a_message_hears_that_a_script_refused_it(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.world.store.write(
            lambda tx: set_undo_seconds(tx, account_by_login(tx, "ann@example.org").id, 20)
        )
        await place.script('require "ereject"; ereject "Not now";', "bob")
        await place.submit("bob@example.org")
        (report,) = place.mailbox("ann")
        assert report["Subject"] == "Not delivered: hello"
        assert "Not now" in report.as_string()

    play(tmp_path, scenario)
