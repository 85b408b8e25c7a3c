"""ManageSieve against a dictionary: any commands, whichever session gives them."""

import asyncio
import base64
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.memory_network import MemoryClient
from tests.support.world import open_world, serve_function

PLAIN = base64.b64encode(b"\0ann@example.org\0secret")
NAMES = ["main", "outgoing", "übung", 'a "b" \\c']
SOURCES = [b"keep;", b"stop;\r\n", b"# remark\r\ndiscard;"]
BROKEN = b"frobnicate;"

name = st.sampled_from(NAMES)
step = st.tuples(
    st.integers(0, 1),
    st.one_of(
        st.tuples(st.just("put"), name, st.sampled_from([*SOURCES, BROKEN, b""])),
        st.tuples(st.just("activate"), st.sampled_from([*NAMES, ""])),
        st.tuples(st.just("delete"), name),
        st.tuples(st.just("rename"), name, name),
        st.tuples(st.just("get"), name),
        st.tuples(st.just("list")),
    ),
)


def literal(octets: bytes) -> bytes:
    return b"{%d+}\r\n%b" % (len(octets), octets)


class Model:
    """What RFC 5804 §2.6 to §2.11 promise."""

    def __init__(self) -> None:
        self.scripts: dict[str, bytes] = {}
        self.active = ""

    def put(self, name: str, source: bytes) -> bytes:
        if source in (b"", BROKEN):
            return b"NO"
        self.scripts[name] = source
        return b"OK"

    def activate(self, name: str) -> bytes:
        if name and name not in self.scripts:
            return b"NO (NONEXISTENT)"
        self.active = name
        return b"OK"

    def delete(self, name: str) -> bytes:
        if name not in self.scripts:
            return b"NO (NONEXISTENT)"
        if name == self.active:
            return b"NO (ACTIVE)"
        del self.scripts[name]
        return b"OK"

    def rename(self, old: str, new: str) -> bytes:
        if old not in self.scripts:
            return b"NO (NONEXISTENT)"
        if new in self.scripts:
            return b"NO (ALREADYEXISTS)"
        self.scripts[new] = self.scripts.pop(old)
        if self.active == old:
            self.active = new
        return b"OK"

    def get(self, name: str) -> bytes:
        if name not in self.scripts:
            return b"NO (NONEXISTENT)"
        return b"{%d}\r\n%b\r\nOK\r\n" % (len(self.scripts[name]), self.scripts[name])

    def list(self) -> bytes:
        made = b""
        for found in sorted(self.scripts):
            octets = found.encode()
            made += b"{%d}\r\n%b" % (len(octets), octets) if '"' in found else b'"%b"' % octets
            made += b" ACTIVE\r\n" if found == self.active else b"\r\n"
        return made + b"OK\r\n"


WORDS = {
    "put": b"PUTSCRIPT",
    "activate": b"SETACTIVE",
    "delete": b"DELETESCRIPT",
    "rename": b"RENAMESCRIPT",
    "get": b"GETSCRIPT",
    "list": b"LISTSCRIPTS",
}


async def play(steps: list[tuple[int, tuple[object, ...]]], directory: Path) -> None:
    async with open_world(directory) as world:
        serve = serve_function(world.context, "managesieve")
        async with MemoryClient(serve, tls=True) as first, MemoryClient(serve, tls=True) as second:
            clients = (first, second)
            for client in clients:
                await client.quiet()
                await client.ask(b'AUTHENTICATE "PLAIN" "%b"\r\n' % PLAIN)
            model = Model()
            for which, (word, *arguments) in steps:
                octets = [value if isinstance(value, bytes) else str(value).encode() for value in arguments]
                command = b" ".join([WORDS[str(word)], *map(literal, octets)]) + b"\r\n"
                expected = getattr(model, str(word))(*arguments)
                answer = await clients[which].ask(command)
                assert answer.startswith(expected), (command, answer, expected)
            assert await first.ask(b"LISTSCRIPTS\r\n") == model.list()


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(step, max_size=20))
def test_any_commands(steps: list[tuple[int, tuple[object, ...]]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(play(steps, Path(directory) / "data"))
