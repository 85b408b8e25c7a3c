"""Scripts that run on what IMAP does to messages (RFC 6785): which events, which script, what becomes of it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from postino.app.mailbox_scripts import build_mailbox_events
from postino.core.ids import AccountId
from postino.delivery.filters.scripts import Scripts
from postino.delivery.settings import SieveSettings
from postino.sieve import compile_script
from postino.store.accounts import set_admin
from postino.store.queue.operate import Choice, chosen_messages, list_queue
from postino.store.scripts import SERVER, ScriptLimits, ScriptPlace, put_script, put_site_script
from tests.support.memory_network import MemoryClient
from tests.support.world import NOW, World, open_world, serve_function
from tests.unit.servers.imap.test_session import HEADER, session, until

ANN = AccountId(1)
MESSAGE = HEADER + b"body\r\n"
# RFC 6785 §5, and what Pigeonhole's administrators do with a pipe: learn from what people move.
LEARN = b"""
require ["imapsieve", "environment", "imap4flags", "copy"];
if environment :is "imap.cause" "COPY" {
    if environment :is "imap.mailbox" "Junk" {
        addflag "$Junk";
        removeflag "$NotJunk";
        redirect :copy "spam@trainer.example";
    } elsif environment :is "vnd.postino.source-mailbox" "Junk" {
        addflag "$NotJunk";
        removeflag "$Junk";
        redirect :copy "ham@trainer.example";
    }
}
"""


class Box:
    """Ann's session, in a world that runs scripts of mailboxes."""

    def __init__(self, world: World, client: MemoryClient) -> None:
        self.world = world
        self.client = client

    async def ask(self, *commands: bytes) -> bytes:
        """The answers of all commands; the scripts of their events have run."""
        said = b""
        for number, command in enumerate(commands):
            answer = await self.client.ask(b"t%d %b\r\n" % (number, command))
            if b"t%d " % number not in answer:
                answer += await until(self.client, b"t%d " % number)
            assert b"t%d OK" % number in answer, answer
            said += answer
            await self.world.context.mailbox_events.close(10.0)
        return said

    async def append(self, mailbox: bytes = b"INBOX", flags: bytes = b"") -> None:
        octets = MESSAGE
        await self.ask(b"APPEND %b (%b) {%d+}\r\n%b" % (mailbox, flags, len(octets), octets))

    async def flags(self, mailbox: bytes = b"INBOX") -> list[bytes]:
        said = await self.ask(b"EXAMINE " + mailbox, b"FETCH 1:* (FLAGS)", b"UNSELECT")
        return [line.partition(b"FLAGS ")[2][:-1] for line in said.split(b"\r\n") if b" FETCH (FLAGS" in line]

    async def has(self, mailbox: bytes) -> int:
        said = await self.ask(b"STATUS %b (MESSAGES)" % mailbox)
        return int(said.partition(b"MESSAGES ")[2].partition(b")")[0])

    async def script(self, name: str, source: bytes, *mailboxes: bytes) -> None:
        def write(tx: Any) -> None:
            stored = compile_script(source, name=name).stored
            put_script(tx, ANN, name, source, stored, now=NOW, limits=ScriptLimits())

        await self.world.store.write(write)
        for mailbox in mailboxes:
            await self.ask(b'SETMETADATA %b (/shared/imapsieve/script "%b")' % (mailbox, name.encode()))

    async def site_script(self, source: bytes) -> None:
        stored = compile_script(source, name="learn").stored
        await self.world.store.write(
            lambda tx: put_site_script(tx, SERVER, ScriptPlace.IMAP, "learn", source, stored, now=NOW)
        )
        self.world.context.mailbox_events.forget()

    def queued(self) -> list[tuple[str, list[str]]]:
        """Reverse-path and recipients of what waits to go."""

        def read(tx: Any) -> Sequence[Any]:
            return list_queue(tx, chosen_messages(tx, Choice(), most=99), Choice(), NOW)

        return [
            (one.message.reverse_path, [each.address for each in one.message.recipients])
            for one in self.world.store.read_now(read)
        ]

    def warnings(self) -> list[str]:
        return [
            str(event.fields.get("error"))
            for event in self.world.log.events
            if event.event.startswith("imapsieve.")
        ]


@asynccontextmanager
async def open_box(directory: Path) -> AsyncIterator[Box]:
    async with open_world(directory) as world:
        context = world.context
        scripts = Scripts(
            world.store,
            settings=SieveSettings(),
            log=context.log,
            metrics=context.metrics,
            bus=context.bus,
        )
        context.mailbox_events = build_mailbox_events(context, scripts)
        async with session(world) as client:
            yield Box(world, client)


async def test_what_is_moved_to_junk_and_back_teaches_the_trainer(tmp_path: Path) -> None:
    async with open_box(tmp_path) as box:
        await box.site_script(LEARN)
        await box.append()
        await box.ask(b"SELECT INBOX", b"MOVE 1 Junk")
        assert await box.flags(b"Junk") == [b"($Junk)"]
        await box.ask(b"SELECT Junk", b"UID MOVE 1 INBOX")
        assert await box.flags() == [b"($NotJunk)"]
        assert box.queued() == [
            ("ann@example.org", ["spam@trainer.example"]),
            ("ann@example.org", ["ham@trainer.example"]),
        ]
        assert box.warnings() == []


async def test_what_claims_an_author_here_is_not_sent_elsewhere(tmp_path: Path) -> None:
    octets = b"From: Carl <carl@example.org>\r\nSubject: pay this\r\n\r\nbody\r\n"
    async with open_box(tmp_path) as box:
        await box.site_script(LEARN)
        await box.ask(b"APPEND INBOX {%d+}\r\n%b" % (len(octets), octets))
        await box.ask(b"SELECT INBOX", b"MOVE 1 Junk")
        assert await box.flags(b"Junk") == [b"($Junk)"]
        assert box.queued() == []
        assert any("names an author here" in warning for warning in box.warnings())


async def test_causes_and_changed_flags_reach_the_script_of_the_mailbox(tmp_path: Path) -> None:
    source = b"""
        require ["imapsieve", "environment", "imap4flags", "variables", "fileinto", "copy", "mailbox"];
        if environment :matches "imap.cause" "*" { set "cause" "${1}"; }
        if environment :matches "imap.changedflags" "*" { set "flags" "${1}"; }
        if environment :matches "imap.mailbox" "*" { set "mailbox" "${1}"; }
        if environment :matches "imap.email" "*" { set "who" "${1}"; }
        fileinto :copy :create "Seen/${cause} ${mailbox} ${flags} ${who}";
    """
    async with open_box(tmp_path) as box:
        await box.ask(b"CREATE Work")
        await box.script("watch", source, b"Work")
        await box.append(b"Work")
        await box.append(b"INBOX")
        await box.ask(b"SELECT INBOX", b"COPY 1 Work", b"SELECT Work")
        await box.ask(
            b"STORE 1:2 +FLAGS (\\Flagged $Later)", b"STORE 1 -FLAGS (\\Flagged)", b"STORE 1 +FLAGS ($Later)"
        )
        await box.ask(b"FETCH 2 BODY[TEXT]")
        listed = await box.ask(b'LIST "" Seen/% RETURN (STATUS (MESSAGES))')
        made = sorted(line for line in listed.split(b"\r\n") if line.startswith(b"* STATUS"))
        assert made == [
            b'* STATUS "Seen/APPEND Work  ann@example.org" (MESSAGES 1)',
            b'* STATUS "Seen/COPY Work  ann@example.org" (MESSAGES 1)',
            b'* STATUS "Seen/FLAG Work \\\\Flagged $Later ann@example.org" (MESSAGES 2)',
            b'* STATUS "Seen/FLAG Work \\\\Flagged ann@example.org" (MESSAGES 1)',
            b'* STATUS "Seen/FLAG Work \\\\Seen ann@example.org" (MESSAGES 1)',
        ]


async def test_what_is_not_kept_is_marked_as_deleted(tmp_path: Path) -> None:
    async with open_box(tmp_path) as box:
        await box.ask(b"CREATE Drop", b"CREATE Elsewhere", b"CREATE Missing")
        await box.script("drop", b'require "imapsieve"; discard;', b"Drop")
        await box.script("file", b'require ["imapsieve", "fileinto"]; fileinto "INBOX";', b"Elsewhere")
        await box.script("lost", b'require ["imapsieve", "fileinto"]; fileinto "No/Such";', b"Missing")
        for mailbox in (b"Drop", b"Elsewhere", b"Missing"):
            await box.append(mailbox, b"\\Flagged")
        assert await box.flags(b"Drop") == [b"(\\Flagged \\Deleted)"]
        assert await box.flags(b"Elsewhere") == [b"(\\Flagged \\Deleted)"]
        assert await box.flags(b"INBOX") == [b"(\\Flagged)"]
        assert await box.flags(b"Missing") == [b"(\\Flagged)"]


async def test_flags_set_by_a_script_are_no_event(tmp_path: Path) -> None:
    source = b"""
        require ["imapsieve", "environment", "imap4flags"];
        if hasflag "b" { addflag "c"; }
        addflag "b";
    """
    async with open_box(tmp_path) as box:
        await box.script("flags", source, b"INBOX")
        await box.append()
        assert await box.flags() == [b"(b)"]
        await box.ask(b"SELECT INBOX", b"STORE 1 +FLAGS (a)")
        assert await box.flags() == [b"(a b c)"]


async def test_an_edited_message_is_another_and_the_kept_one_is_as_it_was(tmp_path: Path) -> None:
    source = b"""
        require ["imapsieve", "editheader", "fileinto"];
        addheader "X-Noted" "yes";
        fileinto "Drafts";
        keep;
    """
    async with open_box(tmp_path) as box:
        await box.script("edit", source, b"INBOX")
        await box.append()
        said = await box.ask(
            b"SELECT Drafts", b"FETCH 1 BODY.PEEK[]", b"SELECT INBOX", b"FETCH 1 BODY.PEEK[]"
        )
        assert said.count(b"X-Noted: yes") == 1
        assert await box.flags() == [b"()"]


async def test_the_mailbox_decides_before_the_server_and_nothing_stands_in_for_it(tmp_path: Path) -> None:
    async with open_box(tmp_path) as box:
        await box.script("mark", b'require ["imapsieve", "imap4flags"]; addflag "m";')
        await box.script("none", b"keep;", b"Trash")
        await box.world.store.write(lambda tx: set_admin(tx, ANN, is_admin=True))
        await box.ask(b'SETMETADATA "" (/shared/imapsieve/script "mark")')
        await box.append(b"INBOX")
        await box.append(b"Trash")
        assert await box.flags(b"INBOX") == [b"(m)"]
        assert await box.flags(b"Trash") == [b"()"]
        await box.ask(b'SETMETADATA INBOX (/shared/imapsieve/script "")')
        await box.append(b"INBOX")
        await box.ask(b'SETMETADATA INBOX (/shared/imapsieve/script "no such script")')
        await box.append(b"INBOX")
        assert await box.flags(b"INBOX") == [b"(m)", b"()", b"()"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b'require "vacation"; vacation "away";', "vacation"),
        (b'require "reject"; reject "no";', "reject"),
        (b'require ["imapsieve", "envelope"]; if envelope "from" "x" { discard; }', "envelope"),
    ],
)
async def test_a_script_that_has_no_place_here_changes_nothing(
    tmp_path: Path, source: bytes, said: str
) -> None:
    async with open_box(tmp_path) as box:
        await box.script("wrong", source, b"INBOX")
        await box.append()
        assert await box.flags() == [b"()"]
        (warning,) = box.warnings()
        assert said in warning


async def test_another_may_not_choose_the_script_that_acts_as_the_owner(tmp_path: Path) -> None:
    async with open_box(tmp_path) as box:
        await box.ask(b"SETACL INBOX bob@example.org lrswite")
        async with MemoryClient(serve_function(box.world.context, "imap"), tls=True) as bob:
            await bob.quiet()
            assert b"a OK" in await bob.ask(b"a LOGIN bob@example.org secret\r\n")
            said = await bob.ask(
                b'b SETMETADATA Shared/ann@example.org/INBOX (/shared/imapsieve/script "x")\r\n'
            )
            assert b"b NO [NOPERM]" in said


async def test_without_a_script_nothing_is_noted(tmp_path: Path) -> None:
    async with open_box(tmp_path) as box:
        events = box.world.context.mailbox_events
        await box.append()
        await box.ask(b"SELECT INBOX", b"STORE 1 +FLAGS (a)")
        assert events._runner is None
        assert b"IMAPSIEVE=sieve://mail.example.org" in await box.ask(b"CAPABILITY")


async def test_scripts_of_events_part_addresses_as_the_server_does(tmp_path: Path) -> None:
    source = b"""
        require ["imapsieve", "subaddress", "imap4flags"];
        if address :detail "to" "shop" { addflag "Shop"; }
    """
    async with open_box(tmp_path) as box:
        box.world.context.subaddress_separator = "-"
        await box.site_script(source)
        octets = b"To: ann-shop@example.org\r\n\r\nbody\r\n"
        await box.ask(b"APPEND INBOX {%d+}\r\n%b" % (len(octets), octets))
        assert await box.flags() == [b"(Shop)"]
