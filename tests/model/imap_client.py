"""A client that believes every word the server says, and checks that the words fit together.

It keeps a mailbox as RFC 9051 §5.2 and §7 tell a client to: EXISTS adds messages at the end, EXPUNGE takes
one out and moves the others down, FETCH tells of one. What breaks the rules is an AssertionError.
"""

import re
from dataclasses import dataclass, field

from tests.support.memory_network import MemoryClient

_LITERAL = re.compile(rb"\{(\d+)\}\Z")
_FLAGS = re.compile(rb"FLAGS \(([^)]*)\)")
_UID = re.compile(rb"\bUID (\d+)")
_MOD_SEQ = re.compile(rb"MODSEQ \((\d+)\)")
_HIGHEST = re.compile(rb"\[HIGHESTMODSEQ (\d+)\]")


@dataclass(slots=True)
class Seen:
    """A message as the client knows it."""

    uid: int = 0
    flags: frozenset[str] | None = None
    mod_seq: int = 0


@dataclass(slots=True)
class Answer:
    """What one command brought."""

    status: str = ""
    text: bytes = b""
    lines: list[bytes] = field(default_factory=list)
    fetched: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    """(uid, response text without literals, literals joined) of FETCH responses."""


class Client:
    """One session. `mailbox` is what it has been told; None when nothing is selected."""

    def __init__(self, name: str, memory: MemoryClient) -> None:
        self.name = name
        self.memory = memory
        self.mailbox: list[Seen] | None = None
        self.selected = ""
        self.idling = b""
        self.condstore = False
        self.highest: dict[str, int] = {}
        self._number = 0

    async def begin(self, *enable: str) -> None:
        await self.memory.quiet()
        assert (await self.run("LOGIN ann@example.org secret")).status == "OK"
        if enable:
            await self.run("ENABLE " + " ".join(enable))
            self.condstore = "CONDSTORE" in enable

    async def run(self, command: str, literal: bytes | None = None, *, by_seq: bool = False) -> Answer:
        """Send a command; take in everything up to its tagged answer."""
        self._number += 1
        tag = f"{self.name}{self._number}".encode()
        octets = tag + b" " + command.encode() + b"\r\n"
        if literal is not None:
            octets = tag + b" " + command.encode() + b" {%d+}\r\n" % len(literal) + literal + b"\r\n"
        self.memory.send(octets)
        return await self.answer(tag, by_seq=by_seq)

    async def answer(self, tag: bytes, *, by_seq: bool = False) -> Answer:
        """Read up to the tagged answer."""
        answer = Answer()
        while True:
            line, literals = await self._response()
            if line.startswith(tag + b" "):
                status, _, answer.text = line[len(tag) + 1 :].partition(b" ")
                answer.status = status.decode()
                return answer
            self.take(line, literals, answer, by_seq=by_seq)

    async def idle(self) -> None:
        self._number += 1
        self.idling = f"{self.name}{self._number}".encode()
        self.memory.send(self.idling + b" IDLE\r\n")
        while True:
            line, literals = await self._response()
            if line.startswith(b"+"):
                return
            self.take(line, literals, Answer())

    async def done(self) -> None:
        tag, self.idling = self.idling, b""
        self.memory.send(b"DONE\r\n")
        assert (await self.answer(tag)).status == "OK"

    async def _response(self) -> tuple[bytes, bytes]:
        memory = self.memory
        text, literals = b"", b""
        while True:
            while b"\r\n" not in memory.received:
                await memory.wait_for_more(10)
                memory.take()
                assert b"\r\n" in memory.received or not memory.is_closed, "the server closed the connection"
            line, _, memory.received = memory.received.partition(b"\r\n")
            text += line
            found = _LITERAL.search(line)
            if found is None:
                return text, literals
            size = int(found[1])
            while len(memory.received) < size:
                await memory.wait_for_more(10)
                memory.take()
            literals += memory.received[:size]
            memory.received = memory.received[size:]

    def take(self, line: bytes, literals: bytes, answer: Answer, *, by_seq: bool = False) -> None:
        """Believe one untagged response."""
        assert line.startswith(b"* "), line
        answer.lines.append(line)
        highest = _HIGHEST.search(line)
        if highest and self.selected:
            assert int(highest[1]) >= self.highest.get(self.selected, 0), "HIGHESTMODSEQ went back"
            self.highest[self.selected] = int(highest[1])
        words = line.split(b" ", 3)
        if not words[1].isdigit():
            return
        number, kind = int(words[1]), words[2]
        if kind == b"RECENT":
            return
        assert self.mailbox is not None
        if kind == b"EXISTS":
            assert number >= len(self.mailbox), "EXISTS took messages away"
            self.mailbox += [Seen() for _ in range(number - len(self.mailbox))]
        elif kind == b"EXPUNGE":
            assert not by_seq, "EXPUNGE while numbers were in use"
            assert 1 <= number <= len(self.mailbox)
            del self.mailbox[number - 1]
        elif kind == b"FETCH":
            assert 1 <= number <= len(self.mailbox), "FETCH of a message the client does not know"
            seen = self.mailbox[number - 1]
            self._take_fetch(seen, words[3])
            answer.fetched.append((seen.uid, words[3], literals))
        else:
            raise AssertionError(line)

    def _take_fetch(self, seen: Seen, data: bytes) -> None:
        uid, flags, mod_seq = _UID.search(data), _FLAGS.search(data), _MOD_SEQ.search(data)
        if uid:
            assert seen.uid in (0, int(uid[1])), "a message changed its UID"
            seen.uid = int(uid[1])
        if flags:
            seen.flags = frozenset(flags[1].decode().lower().split())
        if mod_seq:
            assert int(mod_seq[1]) >= seen.mod_seq, "a mod-sequence went back"
            seen.mod_seq = int(mod_seq[1])

    async def select(self, name: str) -> None:
        """Select; what is in the mailbox is not asked, as a client does that keeps what it knows."""
        self.mailbox, self.selected = [], name
        answer = await self.run(f"SELECT {name}")
        assert answer.status == "OK", answer

    async def learn(self) -> None:
        """Ask for UID and flags of what is not known yet."""
        assert self.mailbox is not None
        # The answer may come with the news of more.
        while unknown := [n for n, seen in enumerate(self.mailbox, 1) if not seen.uid or seen.flags is None]:
            items = "(UID FLAGS MODSEQ)" if self.condstore else "(UID FLAGS)"
            await self.run(f"FETCH {unknown[0]}:{unknown[-1]} {items}", by_seq=True)
        uids = [seen.uid for seen in self.mailbox]
        assert uids == sorted(set(uids)), "UIDs do not go upwards"
