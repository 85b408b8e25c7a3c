"""A client that believes every word the server says, and checks that the words fit together.

It keeps a mailbox as RFC 9051 §5.2 and §7 tell a client to: EXISTS adds messages at the end, EXPUNGE takes
one out and moves the others down, FETCH tells of one. With QRESYNC it keeps what it knows when it leaves a
mailbox, and asks for what it missed when it comes back (RFC 7162 §6); with UIDONLY it uses no numbers
(RFC 9586). What breaks the rules is an AssertionError.
"""

import re
from dataclasses import dataclass, field

from postino.core.numset import NumberSet, parse_sequence_set
from tests.support.memory_network import MemoryClient

_LITERAL = re.compile(rb"\{(\d+)\}\Z")
_FLAGS = re.compile(rb"FLAGS \(([^)]*)\)")
_UID = re.compile(rb"\bUID (\d+)")
_MOD_SEQ = re.compile(rb"MODSEQ \((\d+)\)")
_HIGHEST = re.compile(rb"\[HIGHESTMODSEQ (\d+)\]")
_VALIDITY = re.compile(rb"\[UIDVALIDITY (\d+)\]")


@dataclass(frozen=True, slots=True)
class Mode:
    """What a client does after its login."""

    name: str
    enables: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    """Given then, such as NOTIFY."""

    @property
    def condstore(self) -> bool:
        return "CONDSTORE" in self.enables or self.qresync

    @property
    def qresync(self) -> bool:
        return "QRESYNC" in self.enables

    @property
    def is_notified(self) -> bool:
        return any(command.startswith("NOTIFY SET") for command in self.commands)

    @property
    def uid_only(self) -> bool:
        return "UIDONLY" in self.enables


@dataclass(slots=True)
class Seen:
    """A message as the client knows it."""

    uid: int = 0
    flags: frozenset[str] | None = None
    mod_seq: int = 0


class Numbered:
    """A mailbox as clients know it that use sequence numbers."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def exists(self, count: int) -> None:
        assert count >= len(self.seen), "EXISTS took messages away"
        self.seen += [Seen() for _ in range(count - len(self.seen))]

    def expunge(self, number: int) -> None:
        assert 1 <= number <= len(self.seen)
        del self.seen[number - 1]

    def vanish(self, uid: int) -> None:
        """One goes; it may be one whose UID the client has not asked for yet."""
        blank = -1
        for at, seen in enumerate(self.seen):
            if seen.uid == uid:
                blank = at
                break
            if seen.uid > uid:
                break
            blank = -1 if seen.uid else at
        assert blank >= 0, f"VANISHED of {uid}, which the client does not count"
        del self.seen[blank]

    def find(self, number: int) -> Seen:
        assert 1 <= number <= len(self.seen), "FETCH of a message the client does not know"
        return self.seen[number - 1]

    def restore(self, kept: dict[int, Seen]) -> None:
        """Put what is remembered where nothing was told: all below, or at least the first ones."""
        told = {seen.uid for seen in self.seen if seen.uid}
        rest = [kept[uid] for uid in sorted(kept) if uid not in told]
        blanks = [at for at, seen in enumerate(self.seen) if not seen.uid]
        assert len(rest) <= len(blanks), "more messages are remembered than there are"
        for at, seen in zip(blanks, rest, strict=False):
            self.seen[at] = seen

    def listed(self) -> list[Seen]:
        return self.seen


class ByUid:
    """A mailbox as clients know it that use UIDs only: in no order, some known, some only counted."""

    def __init__(self) -> None:
        self.seen: dict[int, Seen] = {}
        self.count = 0

    def exists(self, count: int) -> None:
        assert count >= self.count, "EXISTS took messages away"
        self.count = count

    def vanish(self, uid: int) -> None:
        self.count -= 1
        if self.seen.pop(uid, None) is None:
            assert self.count >= len(self.seen), f"VANISHED of {uid}, which the client does not count"

    def find(self, uid: int) -> Seen:
        seen = self.seen.setdefault(uid, Seen(uid))
        assert len(self.seen) <= self.count, "UIDFETCH of a message the client does not count"
        return seen

    def restore(self, kept: dict[int, Seen]) -> None:
        self.seen = {**kept, **self.seen}
        assert len(self.seen) <= self.count, "more messages are remembered than there are"

    def listed(self) -> list[Seen]:
        blanks = [Seen() for _ in range(self.count - len(self.seen))]
        return [self.seen[uid] for uid in sorted(self.seen)] + blanks


@dataclass(slots=True)
class Cache:
    """What a client keeps of a mailbox it has left."""

    uid_validity: int
    highest: int
    messages: dict[int, Seen]
    """Every message there was with a UID up to the last of these."""


@dataclass(slots=True)
class Answer:
    """What one command brought."""

    status: str = ""
    text: bytes = b""
    lines: list[bytes] = field(default_factory=list)
    fetched: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    """(uid, response text without literals, literals joined) of FETCH responses."""


class Client:
    """One user's mail program, over one connection after the other."""

    def __init__(self, name: str, mode: Mode) -> None:
        self.name = name
        self.mode = mode
        self.known: Numbered | ByUid | None = None
        """What it has been told of the selected mailbox; None when there is none."""
        self.selected = ""
        self.idling = b""
        self.uid_validity = 0
        self.highest = 0
        self.caches: dict[str, Cache] = {}
        self.told_at_select: set[int] = set()
        """The UIDs of the FETCH responses that answered SELECT."""
        self._number = 0
        self._restoring: Cache | None = None
        self._next: tuple[str, Cache | None] | None = None
        self._code: int | None = None
        self._seen_mod_seq = 0

    @property
    def mailbox(self) -> list[Seen]:
        assert self.known is not None
        return self.known.listed()

    async def begin(self, memory: MemoryClient) -> None:
        """Log in, on a new connection."""
        self.memory, self.known, self.idling = memory, None, b""
        await self.memory.quiet()
        assert (await self.run("LOGIN ann@example.org secret")).status == "OK"
        if self.mode.enables:
            await self.run("ENABLE " + " ".join(self.mode.enables))
        for command in self.mode.commands:
            assert (await self.run(command)).status == "OK"

    async def run(self, command: str, literal: bytes | None = None, *, by_seq: bool = False) -> Answer:
        """Send a command; take in everything up to its tagged answer."""
        return await self.answer(self.send(command, literal), by_seq=by_seq)

    def send(self, command: str, literal: bytes | None = None) -> bytes:
        """Send a command; gives its tag."""
        self._number += 1
        tag = f"{self.name}{self._number}".encode()
        octets = tag + b" " + command.encode() + b"\r\n"
        if literal is not None:
            octets = tag + b" " + command.encode() + b" {%d+}\r\n" % len(literal) + literal + b"\r\n"
        self.memory.send(octets)
        return tag

    async def answer(self, tag: bytes, *, by_seq: bool = False) -> Answer:
        """Read up to the tagged answer."""
        answer = Answer()
        while True:
            line, literals = await self._response()
            if line.startswith(tag + b" "):
                status, _, answer.text = line[len(tag) + 1 :].partition(b" ")
                answer.status = status.decode()
                self._take_codes(answer.text)
                self._settle_highest()
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

    async def expect_bye(self) -> None:
        """The mailbox was deleted under the client: it is told goodbye, when it idles at once."""
        if not self.idling and not self.memory.is_closed:
            self.memory.send(b"bye NOOP\r\n")
        while not self.memory.is_closed:
            await self.memory.wait_for_more(10)
            self.memory.take()
        received = self.memory.take()
        assert b"\r\n* BYE " in b"\r\n" + received, received
        self.known = None

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

    # Believing

    def take(self, line: bytes, literals: bytes, answer: Answer, *, by_seq: bool = False) -> None:
        """Believe one untagged response."""
        assert line.startswith(b"* "), line
        answer.lines.append(line)
        self._take_codes(line)
        if line.startswith(b"* VANISHED "):
            self._take_vanished(line[len(b"* VANISHED ") :], by_seq=by_seq)
            return
        words = line.split(b" ", 3)
        if not words[1].isdigit() or words[2] == b"RECENT":
            return
        number, kind = int(words[1]), words[2]
        known = self.known
        if kind == b"EXISTS":
            assert known is not None
            known.exists(number)
        elif kind == b"EXPUNGE":
            assert not self.mode.qresync
            assert isinstance(known, Numbered), "EXPUNGE where VANISHED belongs"
            assert not by_seq, "EXPUNGE while numbers were in use"
            known.expunge(number)
        elif kind in (b"FETCH", b"UIDFETCH"):
            assert known is not None
            assert (kind == b"UIDFETCH") == self.mode.uid_only
            seen = known.find(number)
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
            assert int(mod_seq[1]) >= seen.mod_seq, f"a mod-sequence went back: {seen}, {data!r}"
            seen.mod_seq = int(mod_seq[1])
            self._seen_mod_seq = max(self._seen_mod_seq, seen.mod_seq)
        if self._restoring is not None and self._restoring.uid_validity == self.uid_validity:
            assert seen.uid
            assert seen.flags is not None
            assert seen.mod_seq > self._restoring.highest, "a change the client knew of already"
            self.told_at_select.add(seen.uid)

    def _take_codes(self, line: bytes) -> None:
        if b"[CLOSED]" in line and self._next is not None:
            self._enter()
        if validity := _VALIDITY.search(line):
            self.uid_validity = int(validity[1])
        if highest := _HIGHEST.search(line):
            self._code = int(highest[1])

    def _settle_highest(self) -> None:
        """RFC 7162 §6: what the code said if there was one, else the highest mod-sequence told."""
        if self._code is None:
            self.highest = max(self.highest, self._seen_mod_seq)
        else:
            assert self._code >= self.highest, "HIGHESTMODSEQ went back"
            self.highest = self._code
        self._code, self._seen_mod_seq = None, 0

    def _take_vanished(self, data: bytes, *, by_seq: bool) -> None:
        assert self.known is not None
        gone = parse_sequence_set(data.removeprefix(b"(EARLIER) ")).resolve(0)
        if not data.startswith(b"(EARLIER) "):
            assert self.mode.qresync or self.mode.uid_only
            assert not by_seq, "VANISHED while numbers were in use"
            for uid in gone:
                self.known.vanish(uid)
            return
        assert self.mode.qresync
        assert not any(seen.uid in gone for seen in self.mailbox), "EARLIER of what is still counted"
        if self._restoring is not None:
            for uid in gone:
                self._restoring.messages.pop(uid, None)

    # Whole mailboxes

    async def select(self, name: str, *, says_known: bool = False) -> bool:
        """Select; what is in the mailbox is not asked, as a client does that keeps what it knows.

        With QRESYNC it says what it remembers, if it does, with the UIDs it knows when `says_known`; True
        when it then must know all that is there but for messages it has not asked for.
        """
        before = self.known
        self.leave()
        cache = self.caches.get(name) if self.mode.qresync else None
        parameter, restoring = "", None
        if cache is not None:
            known = f" {NumberSet.of(cache.messages)}" if says_known and cache.messages else ""
            parameter = f" (QRESYNC ({cache.uid_validity} {max(cache.highest, 1)}{known}))"
            copies = {uid: Seen(uid, seen.flags, seen.mod_seq) for uid, seen in cache.messages.items()}
            restoring = Cache(cache.uid_validity, cache.highest, copies)
        self.known, self._next = before, (name, restoring)
        if before is None:
            self._enter()
        self.told_at_select = set()
        answer = await self.run(f"SELECT {name}{parameter}")
        assert answer.status == "OK", answer
        assert self.known is not None
        restored, self._restoring = self._restoring, None
        if restored is None or restored.uid_validity != self.uid_validity:
            return False
        self.known.restore(restored.messages)
        uids = [seen.uid for seen in self.mailbox if seen.uid]
        assert uids == sorted(set(uids)), "what was remembered does not fit what was told"
        return True

    def leave(self) -> None:
        """Remember the mailbox as far as it is known; also when the wire was cut."""
        if self.known is None or not self.mode.qresync:
            return
        messages: dict[int, Seen] = {}
        for seen in self.mailbox:
            if not seen.uid or seen.flags is None or (self.mode.uid_only and self._counts_unknown()):
                break
            messages[seen.uid] = seen
        self.caches[self.selected] = Cache(self.uid_validity, self.highest, messages)
        self.known = None

    def _enter(self) -> None:
        """What is told from now on is of the mailbox just selected (RFC 9051 §7.1, CLOSED)."""
        assert self._next is not None
        (self.selected, self._restoring), self._next = self._next, None
        self.known = ByUid() if self.mode.uid_only else Numbered()
        self.highest, self._code, self._seen_mod_seq = 0, None, 0

    def _counts_unknown(self) -> bool:
        return any(not seen.uid for seen in self.mailbox)

    async def learn(self) -> None:
        """Ask for UID, flags and mod-sequence of what is not known yet."""
        items = "(UID FLAGS MODSEQ)" if self.mode.condstore else "(UID FLAGS)"
        # The answer may come with the news of more.
        while unknown := [n for n, seen in enumerate(self.mailbox, 1) if not self._is_learnt(seen)]:
            if self.mode.uid_only:
                await self.run(f"UID FETCH 1:* {items}")
            else:
                answer = await self.run(f"FETCH {unknown[0]}:{unknown[-1]} {items}", by_seq=True)
                if answer.status == "NO":
                    # Some are gone, and only a command without numbers may tell which.
                    await self.run("NOOP")
        uids = [seen.uid for seen in self.mailbox]
        assert uids == sorted(set(uids)), "UIDs do not go upwards"

    def _is_learnt(self, seen: Seen) -> bool:
        return bool(seen.uid and seen.flags is not None and (seen.mod_seq or not self.mode.condstore))
