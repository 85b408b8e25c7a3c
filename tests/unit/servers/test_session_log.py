"""What every protocol tells the log: the same events, with the same fields of the same types."""

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.support.memory_network import MemoryClient
from tests.support.world import World, open_world, serve_function

KINDS = ("smtp", "submission", "lmtp", "imap", "pop3", "managesieve")
HELLO = {"smtp": b"EHLO c.example\r\n", "submission": b"EHLO c.example\r\n", "lmtp": b"LHLO c.example\r\n"}
PLAIN = base64.b64encode(b"\0ann@example.org\0secret")
LOGIN = {
    "smtp": b"AUTH PLAIN " + PLAIN,
    "submission": b"AUTH PLAIN " + PLAIN,
    "imap": b"a AUTHENTICATE PLAIN " + PLAIN,
    "pop3": b"AUTH PLAIN " + PLAIN,
    "managesieve": b'AUTHENTICATE "PLAIN" "%b"' % PLAIN,
}
QUIT = {"imap": b"b LOGOUT\r\n", "managesieve": b"LOGOUT\r\n"}


async def talk(world: World, kind: str, *said: bytes) -> None:
    async with MemoryClient(serve_function(world.context, kind), tls=True) as client:
        await client.quiet()
        for line in (HELLO.get(kind, b""), *said):
            if line:
                client.send(line)
                await client.quiet()


def fields_of(world: World, event: str) -> dict[str, type]:
    found = [one.fields for one in world.log.events if one.event == event]
    assert len(found) == 1, (event, found)
    return {name: type(value) for name, value in found[0].items()}


SESSION: dict[str, Any] = {"protocol": str, "session": str, "peer": str}


@pytest.mark.parametrize("kind", KINDS)
async def test_sessions_of_all_protocols_are_told_alike(tmp_path: Path, kind: str) -> None:
    async with open_world(tmp_path) as world:
        login = LOGIN.get(kind)
        await talk(world, kind, login + b"\r\n" if login else b"", QUIT.get(kind, b"QUIT\r\n"))
        account = {"account": str} if login else {}
        assert fields_of(world, "connection.opened") == {**SESSION, "tls": str}
        if login:
            assert fields_of(world, "login.ok") == {**SESSION, **account, "mechanism": str, "tls": str}
        closed = fields_of(world, "connection.closed")
        assert {**SESSION, **account, "reason": str}.items() <= closed.items()
        assert {one.fields["protocol"] for one in world.log.events} == {kind}
        assert len({one.fields["session"] for one in world.log.events}) == 1
        assert world.log.events[-1].fields["reason"] == "quit"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_goes_away_is_lost_everywhere(tmp_path: Path, kind: str) -> None:
    async with open_world(tmp_path) as world:
        async with MemoryClient(serve_function(world.context, kind), tls=True) as client:
            await client.quiet()
            client.end()
            await client.task
        assert world.log.events[-1].fields["reason"] == "lost"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_fault_is_told_alike(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_world(tmp_path) as world:

        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("a bug")

        with monkeypatch.context() as patched:
            patched.setattr(world.store, "read_now", fail)
            rest = {"lmtp": b"MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\n", "smtp": b"", "imap": b""}
            await talk(world, kind, LOGIN.get(kind, b"") + b"\r\n" + rest.get(kind, b""))
        names = [one.event for one in world.log.events]
        assert names.count("session.fault") == 1
        assert names[-1] == "connection.closed"
        assert world.log.events[-1].fields["reason"] == "fault"


async def test_delivery_names_the_session(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        message = b"DATA\r\n", b"a: b\r\n\r\n.\r\n", b"QUIT\r\n"
        await talk(world, "smtp", b"MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\n", *message)
        assert SESSION.items() <= fields_of(world, "message.delivered").items()


async def test_a_refused_message_says_whose_it_was(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        message = b"DATA\r\n", b"a: b\n\r\n.\r\n", b"QUIT\r\n"
        await talk(world, "smtp", b"MAIL FROM:<x@y.example>\r\nRCPT TO:<ann@example.org>\r\n", *message)
        (refused,) = [one.fields for one in world.log.events if one.event == "message.refused"]
        assert refused["reverse_path"] == "<x@y.example>"
        assert refused["reason"] == "bare-line-end"
        assert (refused["recipients"], refused["octets"]) == (1, 7)


@pytest.mark.parametrize("kind", ["submission", "pop3", "imap", "managesieve"])
async def test_a_password_in_the_wrong_place_is_not_logged(tmp_path: Path, kind: str) -> None:
    async with open_world(tmp_path) as world:
        swapped = base64.b64encode(b"\0hunter2\0ann@example.org")
        wrong = base64.b64encode(b"hunter2")
        verb = b"a AUTHENTICATE PLAIN " if kind == "imap" else b"AUTH PLAIN "
        said = (verb + swapped, b"hunter2", verb + b"hunter2", verb.replace(b"PLAIN", b"hunter2"), wrong)
        if kind == "managesieve":
            said = tuple(
                line.replace(b"AUTH PLAIN ", b'AUTHENTICATE "PLAIN" "').replace(b"AUTH h", b'AUTHENTICATE "h')
                + b'"'
                for line in said
            )
        await talk(world, kind, *(line + b"\r\n" for line in said))
        assert "hunter2" not in repr(world.log.events)
        assert wrong.decode() not in repr(world.log.events)
        failed = [one.fields for one in world.log.events if one.event == "login.failed"]
        assert failed[0]["account"] == "[no address]"


async def test_a_downgrade_is_a_failed_login(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        first = base64.b64encode(b"y,,n=ann@example.org,r=abc")
        await talk(world, "submission", b"AUTH SCRAM-SHA-256 " + first + b"\r\n")
        names = [one.event for one in world.log.events]
        assert names == ["connection.opened", "login.failed"] or "login.failed" in names
        (failed,) = [one.fields for one in world.log.events if one.event == "login.failed"]
        assert failed["detail"]
