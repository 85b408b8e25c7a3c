"""What transcripts cannot show of ManageSieve: time, slow readers, sizes, failures below, several at once."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from postino.core.errors import TemporarilyUnavailable
from postino.core.limits import Limits
from postino.net.connection import LoginTakenBack
from postino.servers.managesieve import scripts
from postino.sieve import DEFAULT_BUDGET
from postino.store.scripts import ScriptLimits, active_script, list_scripts
from tests.support.memory_network import MemoryClient
from tests.support.scram_client import ScramClient
from tests.support.world import World, open_world, serve_function

PLAIN = base64.b64encode(b"\0ann@example.org\0secret")


@asynccontextmanager
async def session(world: World, *, login: bool = True, **how: Any) -> AsyncIterator[MemoryClient]:
    """A client that has read the greeting, and logged in."""
    async with MemoryClient(serve_function(world.context, "managesieve"), tls=True, **how) as client:
        assert (await client.quiet()).endswith(b'ManageSieve is ready"\r\n')
        if login:
            assert (await client.ask(b'AUTHENTICATE "PLAIN" "%b"\r\n' % PLAIN)).startswith(b"OK")
        yield client


def put(name: str, source: bytes) -> bytes:
    return b'PUTSCRIPT "%b" {%d+}\r\n%b\r\n' % (name.encode(), len(source), source)


async def test_a_script_is_stored_compiled_and_the_active_one_found(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, session(world) as client:
        account_id = next(iter(world.context.sessions._accounts))
        await client.ask(put("main", b"keep;\r\n"))
        assert await world.store.read(lambda tx: active_script(tx, account_id)) is None
        await client.ask(b'SETACTIVE "main"\r\n')
        found = await world.store.read(lambda tx: active_script(tx, account_id))
        assert found is not None
        assert (found.name, found.octets) == ("main", 7)
        assert found.compiled


async def test_scram_proves_both_sides(tmp_path: Path) -> None:
    """§2.1: the last word of the server is a challenge, which the client answers with an empty string."""
    async with open_world(tmp_path) as world, session(world, login=False) as client:
        scram = ScramClient("ann@example.org", "secret")
        first = base64.b64encode(scram.first())
        answer = await client.ask(b'AUTHENTICATE "SCRAM-SHA-256" "%b"\r\n' % first)
        server_first = base64.b64decode(answer.strip().strip(b'"'))
        final = base64.b64encode(scram.final(server_first))
        answer = await client.ask(b"{%d+}\r\n%b\r\n" % (len(final), final))
        assert scram.trusts(base64.b64decode(answer.strip().strip(b'"')))
        assert await client.ask(b'""\r\n') == b'OK "Logged in as ann@example.org"\r\n'


async def test_quotas(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        world.context.script_limits = ScriptLimits(script_octets=1000, scripts=2, total_octets=1500)
        async with session(world) as client:
            remark = b"#" * 898 + b"\r\n"
            assert (await client.ask(put("a", remark + b"#" * 101))).startswith(b"NO (QUOTA/MAXSIZE)")
            assert (await client.ask(put("a", remark))).startswith(b"OK")
            # A new one would be too much, this one's successor is not (§2.5).
            assert (await client.ask(put("b", remark))).startswith(b"NO (QUOTA) ")
            assert (await client.ask(b'HAVESPACE "b" 900\r\n')).startswith(b"NO (QUOTA) ")
            assert (await client.ask(b'HAVESPACE "a" 900\r\n')).startswith(b"OK")
            assert (await client.ask(b'HAVESPACE "a" 1001\r\n')).startswith(b"NO (QUOTA/MAXSIZE) ")
            assert (await client.ask(put("a", remark))).startswith(b"OK")
            assert (await client.ask(put("b", b"keep;"))).startswith(b"OK")
            assert (await client.ask(put("c", b"keep;"))).startswith(b"NO (QUOTA/MAXSCRIPTS) ")
            # §2.12: checking asks for no room.
            check = b"CHECKSCRIPT {900+}\r\n" + remark + b"\r\n"
            assert (await client.ask(check)).startswith(b"OK")


async def test_a_script_too_large_is_skipped_and_the_session_goes_on(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        world.context.script_limits = ScriptLimits(script_octets=1000)
        async with session(world) as client:
            answers = await client.ask(put("a", b"#" * 15_000) + b'NOOP "after"\r\n')
            assert answers.startswith(b'NO (QUOTA/MAXSIZE) "A script has at most 1000 octets"\r\n')
            assert answers.endswith(b'OK (TAG "after") "Done"\r\n')
            answer = await client.ask(b"CHECKSCRIPT {15000+}\r\n" + b"#" * 15_000 + b"\r\n")
            assert answer == b'NO "A script has at most 1000 octets"\r\n'
            assert (await client.ask(put("a", b"#" * 16_001)[:40])).startswith(b"BYE ")
            assert client.is_closed


async def test_before_a_login_little_is_taken(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, session(world, login=False) as client:
        answer = await client.ask(b'AUTHENTICATE "PLAIN" {20000+}\r\n' + b"A" * 20_000 + b"\r\n")
        assert answer.startswith(b"NO ")
        assert (await client.ask(b"NOOP {70000+}\r\n")).startswith(b"BYE ")


async def test_an_answer_too_large_ends_the_exchange(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, session(world, login=False) as client:
        assert await client.ask(b'AUTHENTICATE "PLAIN"\r\n') == b'""\r\n'
        answer = await client.ask(b"{20000+}\r\n" + b"A" * 20_000 + b"\r\n")
        assert answer == b'NO "No answer to a challenge is so long"\r\n'
        assert (await client.ask(b"NOOP\r\n")).startswith(b"OK")


async def test_the_budget_s_redirects_are_announced(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        world.context.budget = msgspec.structs.replace(DEFAULT_BUDGET, redirects=7)
        async with session(world) as client:
            assert b'"MAXREDIRECTS" "7"\r\n' in await client.ask(b"CAPABILITY\r\n")


async def test_silence_ends_a_session_with_bye(tmp_path: Path) -> None:
    limits = Limits(login_seconds=0.05, managesieve_idle_seconds=0.05)
    for login in (False, True):
        async with (
            open_world(tmp_path / str(login), limits=limits) as world,
            session(world, login=login) as client,
        ):
            await asyncio.wait_for(client.task, 5)
            assert client.take() == b'BYE "Logged out after a long silence"\r\n'
            assert world.log.events[-1].fields["reason"] == "timeout"


async def test_chatting_without_a_login_has_an_end(tmp_path: Path) -> None:
    limits = Limits(login_seconds=0.1)
    async with open_world(tmp_path, limits=limits) as world, session(world, login=False) as client:
        while not client.is_closed:
            client.send(b"NOOP\r\n")
            await asyncio.sleep(0.01)
        assert client.take().endswith(b'BYE "Logged out after a long silence"\r\n')


async def test_a_login_taken_back_and_a_shutdown_are_told(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        async with session(world) as client:
            client.connection.end_soon(LoginTakenBack("The password was changed; log in again"))
            assert await client.quiet() == b'BYE "The password was changed; log in again"\r\n'
        async with session(world) as client:
            client.connection.end_soon()
            assert (await client.quiet()).startswith(b"BYE (TRYLATER) ")


async def test_a_disk_that_is_full_is_told_and_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world, session(world) as client:
        await client.ask(put("main", b"keep;"))

        def fail(*_: object, **__: object) -> None:
            raise TemporarilyUnavailable("The disk is full; try again later")

        with monkeypatch.context() as patched:
            patched.setattr(scripts.stored, "put_script", fail)
            answer = await client.ask(put("main", b"stop;"))
        assert answer == b'NO (TRYLATER) "The disk is full; try again later"\r\n'
        assert await client.ask(b'GETSCRIPT "main"\r\n') == b"{5}\r\nkeep;\r\nOK\r\n"


async def test_a_fault_of_ours_ends_the_session_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world, session(world) as other:
        with monkeypatch.context() as patched:
            patched.setattr(scripts, "compile_script", None)
            async with session(world) as client:
                assert (await client.ask(b'CHECKSCRIPT "keep;"\r\n')).startswith(b"BYE (TRYLATER) ")
                assert client.is_closed
        assert (await other.ask(b'CHECKSCRIPT "keep;"\r\n')).startswith(b"OK ")


async def test_only_so_many_sessions_of_one_account(tmp_path: Path) -> None:
    async with open_world(tmp_path, limits=Limits(connections_per_account=1)) as world:
        async with session(world), session(world, login=False) as second:
            answer = await second.ask(b'AUTHENTICATE "PLAIN" "%b"\r\n' % PLAIN)
            assert answer.startswith(b"NO (TRYLATER) ")
        async with session(world) as third:
            # UNAUTHENTICATE makes room as well (§2.14.1).
            await third.ask(b"UNAUTHENTICATE\r\n")
            async with session(world):
                pass


async def test_a_long_script_is_compiled_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []
    compile_script = scripts.compile_script

    def watched(*given: Any, **named: Any) -> Any:
        try:
            asyncio.get_running_loop()
            threads.append(False)
        except RuntimeError:
            threads.append(True)
        return compile_script(*given, **named)

    monkeypatch.setattr(scripts, "compile_script", watched)
    async with open_world(tmp_path) as world, session(world) as client:
        assert (await client.ask(put("short", b"keep;"))).startswith(b"OK")
        client.send(put("long", b"# nothing is said here\r\n" * 1000))
        await client.wait_for_more()
        assert client.take().startswith(b"OK")
    assert threads == [False, True]


async def test_many_faults_are_told_up_to_a_number(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, session(world) as client:
        source = b"frobnicate;\r\n" * 300
        answer = await client.ask(b"CHECKSCRIPT {%d+}\r\n%b\r\n" % (len(source), source))
        assert answer.startswith(b"NO {")
        assert b"line 1, column 1: " in answer
        assert 20 < answer.count(b"\r\n") < 60


async def test_answers_wait_for_a_client_that_reads_slowly(tmp_path: Path) -> None:
    async with open_world(tmp_path, limits=Limits(output_octets=50_000)) as world, session(world) as client:
        client.send(put("large", b"# nothing is said here\r\n" * 2000))
        await client.wait_for_more()
        await client.quiet()
        client.transport.client_reads = False
        client.send(b'GETSCRIPT "large"\r\n' * 50)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(client.transport.written) < 400_000
        client.transport.client_reads = True
        got = b""
        while got.count(b"\r\nOK\r\n") < 50:
            await client.wait_for_more()
            got = client.take()
        assert got.count(b"{48000}\r\n") == 50


async def test_names_are_sorted_and_many(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, session(world) as client:
        names = [f"script {number:03}" for number in range(100)]
        for name in reversed(names):
            assert (await client.ask(put(name, b"keep;"))).startswith(b"OK")
        account_id = next(iter(world.context.sessions._accounts))
        rows = await world.store.read(lambda tx: list_scripts(tx, account_id))
        assert [row.name for row in rows] == names
        listed = await client.ask(b"LISTSCRIPTS\r\n")
        assert listed == "".join(f'"{name}"\r\n' for name in names).encode() + b"OK\r\n"
