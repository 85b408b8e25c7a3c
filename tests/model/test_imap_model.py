"""Sessions on the same mailboxes, deliveries and deletions from elsewhere, against a model of fifty lines.

After NOOP each session has been told a mailbox that is the model's. POSTINO_MODEL_EXAMPLES asks for more
than the default, which takes some ten seconds.
"""

import asyncio
import os
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from postino.core.flags import flag_set
from postino.core.numset import NumberSet
from postino.servers.imap import select, selected
from postino.store import mailboxes, messages
from postino.store.accounts import account_by_login
from tests.model.imap_client import Answer, Client
from tests.support.memory_network import MemoryClient
from tests.support.world import NOW, open_world, serve_function
from tests.transcripts.seeds import new_email

MAILBOXES = ("INBOX", "Archive")
FLAGS = ("\\Seen", "\\Flagged", "\\Deleted", "$Junk", "Work")
SESSIONS = 3
LOAD_AT_ONCE, READ_IN_PLACE = select.LOAD_AT_ONCE, selected.READ_IN_PLACE


class ModelMessage:
    """A message that is there."""

    def __init__(self, uid: int, token: bytes, flags: frozenset[str]) -> None:
        self.uid = uid
        self.token = token
        self.flags = flags


class ModelMailbox:
    """What is in a mailbox, by UID."""

    def __init__(self) -> None:
        self.messages: dict[int, ModelMessage] = {}
        self.uid_next = 1

    def add(self, token: bytes, flags: frozenset[str]) -> int:
        uid = self.uid_next
        self.uid_next += 1
        self.messages[uid] = ModelMessage(uid, token, flags)
        return uid


session_numbers = st.integers(0, SESSIONS - 1)
picks = st.lists(st.integers(0, 30), min_size=1, max_size=4)
flag_sets = st.frozensets(st.sampled_from(FLAGS), min_size=1, max_size=3)
names = st.sampled_from(MAILBOXES)


class ImapMachine(RuleBasedStateMachine):
    """The rules."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.stack = AsyncExitStack()
        self.model = {name: ModelMailbox() for name in MAILBOXES}
        self.clients: list[Client] = []
        self.tokens = 0

    def wait(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    # Set-up and end

    @initialize(
        where=st.lists(names, min_size=SESSIONS, max_size=SESSIONS),
        messages=st.integers(0, 8),
        load_at_once=st.sampled_from([0, 500]),
    )
    def begin(self, where: list[str], messages: int, load_at_once: int) -> None:
        # With 0 a session learns its mailbox's UIDs only when it must, long after SELECT.
        select.LOAD_AT_ONCE = load_at_once
        selected.READ_IN_PLACE = 2000 if load_at_once else 0
        self.wait(self._begin(where, messages))

    async def _begin(self, where: list[str], count: int) -> None:
        self.world = await self.stack.enter_async_context(open_world(Path(self.directory.name) / "data"))
        store = self.world.store
        row = store.read_now(lambda tx: account_by_login(tx, "ann@example.org"))
        self.account_id = row.id
        self.ids = {
            name: store.read_now(lambda tx, name=name: mailboxes.mailbox_by_name(tx, row.id, name).id)
            for name in MAILBOXES
        }
        for _ in range(count):
            await self._deliver("INBOX")
        serve = serve_function(self.world.context, "imap")
        enables = ((), ("CONDSTORE",), ("IMAP4rev2",))
        for number, name in enumerate(where):
            memory = await self.stack.enter_async_context(MemoryClient(serve, tls=True))
            client = Client("abc"[number], memory)
            await client.begin(*enables[number])
            await client.select(name)
            self.clients.append(client)

    def teardown(self) -> None:
        select.LOAD_AT_ONCE, selected.READ_IN_PLACE = LOAD_AT_ONCE, READ_IN_PLACE
        if self.clients:
            self.wait(self._check_all())
        # Leaving the world runs verify().
        self.wait(self.stack.aclose())
        self.runner.close()
        self.directory.cleanup()

    # From elsewhere

    async def _deliver(self, name: str) -> None:
        self.tokens += 1
        token = b"token-%d-" % self.tokens
        new = new_email(b"Subject: %b\r\n\r\n%b\r\n" % (token, token))
        store, account_id, mailbox_id = self.world.store, self.account_id, self.ids[name]
        (appended,) = await store.write(lambda tx: messages.deliver(tx, [(account_id, mailbox_id, new)], NOW))
        assert appended.uid == self.model[name].add(token, frozenset())

    @rule(name=names)
    def deliver(self, name: str) -> None:
        self.wait(self._deliver(name))

    @rule(name=names, pick=picks)
    def delete_elsewhere(self, name: str, pick: list[int]) -> None:
        """As POP3 does at QUIT."""
        there = list(self.model[name].messages)
        uids = {there[number % len(there)] for number in pick} if there else set()

        async def delete() -> None:
            await self.world.store.write(
                lambda tx: messages.expunge(
                    tx, self.account_id, self.ids[name], NumberSet.of(uids), only_deleted=False, now=NOW
                )
            )

        self.wait(delete())
        for uid in uids:
            del self.model[name].messages[uid]

    # Sessions

    def session(self, number: int, *, learn: bool = True) -> Client:
        client = self.clients[number]
        if client.idling:
            self.wait(client.done())
        if learn:
            self.wait(client.learn())
        return client

    def chosen(self, client: Client, pick: list[int], by_uid: bool) -> tuple[str, list[int]]:
        """A message set for a command, and the UIDs it means to this client."""
        assert client.mailbox is not None
        if not client.mailbox:
            return "", []
        numbers = sorted({each % len(client.mailbox) + 1 for each in pick})
        uids = [client.mailbox[number - 1].uid for number in numbers]
        return ",".join(map(str, uids if by_uid else numbers)), uids

    @rule(
        number=session_numbers,
        pick=picks,
        flags=flag_sets,
        mode=st.sampled_from(["+", "-", ""]),
        silent=st.booleans(),
        by_uid=st.booleans(),
    )
    def store_flags(
        self, number: int, pick: list[int], flags: frozenset[str], mode: str, silent: bool, by_uid: bool
    ) -> None:
        client = self.session(number)
        numbers, uids = self.chosen(client, pick, by_uid)
        if not uids:
            return
        assert client.mailbox is not None
        # What a client works out for itself when the server is told to be silent.
        reckoned = {
            seen.uid: self.applied(seen.flags or frozenset(), mode, flags)
            for seen in client.mailbox
            if seen.uid in uids
        }
        before = {seen.uid: seen.flags for seen in client.mailbox}
        command = f"STORE {numbers} {mode}FLAGS{'.SILENT' if silent else ''} ({' '.join(sorted(flags))})"
        if silent:
            for seen in client.mailbox:
                seen.flags = reckoned.get(seen.uid, seen.flags)
        answer = self.wait(client.run("UID " + command if by_uid else command, by_seq=not by_uid))
        model = self.model[client.selected].messages
        gone = [uid for uid in uids if uid not in model]
        assert answer.status == ("NO" if gone and not by_uid else "OK"), answer
        for uid in uids:
            if uid in model:
                model[uid].flags = self.applied(model[uid].flags, mode, flags)
        told = {uid for uid, data, _ in answer.fetched if b"FLAGS" in data}
        if not silent:
            assert told >= set(uids) - set(gone), (answer, before)

    @staticmethod
    def applied(old: frozenset[str], mode: str, flags: frozenset[str]) -> frozenset[str]:
        flags = frozenset(flag.lower() for flag in flags)
        return old | flags if mode == "+" else old - flags if mode == "-" else flags

    @rule(number=session_numbers)
    def expunge(self, number: int) -> None:
        client = self.session(number)
        assert self.wait(client.run("EXPUNGE")).status == "OK"
        self.drop_deleted(client.selected, None)
        self.require_equal(client)

    @rule(number=session_numbers, pick=picks)
    def uid_expunge(self, number: int, pick: list[int]) -> None:
        client = self.session(number)
        numbers, uids = self.chosen(client, pick, True)
        if uids:
            assert self.wait(client.run(f"UID EXPUNGE {numbers}")).status == "OK"
            self.drop_deleted(client.selected, uids)
            self.require_equal(client)

    def drop_deleted(self, name: str, uids: list[int] | None) -> None:
        model = self.model[name].messages
        for uid in list(model):
            if "\\deleted" in model[uid].flags and (uids is None or uid in uids):
                del model[uid]

    @rule(
        number=session_numbers,
        pick=picks,
        into=names,
        by_uid=st.booleans(),
        verb=st.sampled_from(["COPY", "MOVE"]),
    )
    def transfer(self, number: int, pick: list[int], into: str, by_uid: bool, verb: str) -> None:
        client = self.session(number)
        if verb == "MOVE" and into == client.selected:
            return
        numbers, uids = self.chosen(client, pick, by_uid)
        if not uids:
            return
        command = f"{verb} {numbers} {into}"
        answer = self.wait(client.run("UID " + command if by_uid else command))
        source, there = self.model[client.selected].messages, self.model[into]
        gone = [uid for uid in uids if uid not in source]
        if gone and not by_uid:
            assert answer.status == "NO"
            assert b"EXPUNGEISSUED" in answer.text
            return
        assert answer.status == "OK"
        copied = [uid for uid in uids if uid in source]
        made = [there.add(source[uid].token, source[uid].flags) for uid in copied]
        if verb == "MOVE":
            for uid in copied:
                del source[uid]
        if copied:
            code = f" {NumberSet.of(copied)} {NumberSet.of(made)}]".encode()
            assert any(code in line for line in [answer.text, *answer.lines]), answer
        self.require_equal(client)

    @rule(number=session_numbers, name=names, flags=flag_sets)
    def append(self, number: int, name: str, flags: frozenset[str]) -> None:
        client = self.session(number)
        self.tokens += 1
        token = b"token-%d-" % self.tokens
        octets = b"Subject: %b\r\n\r\n%b\r\n" % (token, token)
        answer = self.wait(client.run(f"APPEND {name} ({' '.join(sorted(flags))})", octets))
        uid = self.model[name].add(token, frozenset(flag.lower() for flag in flags))
        assert b"[APPENDUID " in answer.text
        assert b" %d]" % uid in answer.text
        self.require_equal(client)

    @rule(number=session_numbers, pick=picks, by_uid=st.booleans(), whole=st.booleans())
    def fetch(self, number: int, pick: list[int], by_uid: bool, whole: bool) -> None:
        """Octets must be of the message the client means, whatever happened to the others."""
        client = self.session(number)
        numbers, uids = self.chosen(client, pick, by_uid)
        if not uids:
            return
        item = "BODY[]" if whole else "BODY.PEEK[TEXT]"
        command = f"FETCH {numbers} ({item} UID)"
        answer: Answer = self.wait(client.run("UID " + command if by_uid else command, by_seq=not by_uid))
        model = self.model[client.selected].messages
        there = [uid for uid in uids if uid in model]
        assert answer.status == ("OK" if by_uid or len(there) == len(uids) else "NO"), answer
        octets = {uid: literals for uid, _, literals in answer.fetched if literals}
        assert sorted(octets) == there
        for uid in there:
            assert model[uid].token in octets[uid]
            if whole:
                model[uid].flags |= {"\\seen"}

    @rule(number=session_numbers, flag=st.sampled_from(FLAGS), by_uid=st.booleans())
    def search(self, number: int, flag: str, by_uid: bool) -> None:
        client = self.session(number)
        key = flag.removeprefix("\\").upper() if flag.startswith("\\") else f"KEYWORD {flag}"
        command = f"SEARCH RETURN (ALL) {key}"
        answer = self.wait(client.run("UID " + command if by_uid else command, by_seq=not by_uid))
        assert answer.status == "OK"
        (line,) = [line for line in answer.lines if line.startswith(b"* ESEARCH")]
        self.wait(client.learn())
        assert client.mailbox is not None
        model = self.model[client.selected].messages
        wanted = {uid for uid, found in model.items() if flag.lower() in found.flags}
        expected = [
            seen.uid if by_uid else at for at, seen in enumerate(client.mailbox, 1) if seen.uid in wanted
        ]
        found = line.partition(b" ALL ")[2].decode()
        assert found == str(NumberSet.of(expected)), (line, expected)

    @rule(number=session_numbers, name=names)
    def select_another(self, number: int, name: str) -> None:
        client = self.session(number, learn=False)
        self.wait(client.select(name))

    @rule(number=session_numbers)
    def close(self, number: int) -> None:
        client = self.session(number, learn=False)
        assert self.wait(client.run("CLOSE")).status == "OK"
        self.drop_deleted(client.selected, None)
        self.wait(client.select(client.selected))

    @rule(number=session_numbers)
    def idle(self, number: int) -> None:
        client = self.clients[number]
        if not client.idling:
            self.wait(client.idle())

    @rule()
    def poll(self) -> None:
        """Thirty seconds pass."""
        for client in self.clients:
            waiter = client.memory.connection._read_waiter
            if client.idling and waiter is not None:
                self.runner.get_loop().call_soon(client.memory.connection._time_out, waiter)

    @precondition(lambda self: any(client.idling for client in self.clients))
    @rule()
    def idle_is_told_without_asking(self) -> None:
        for client in self.clients:
            if client.idling:
                self.wait(self._settle(client))
                assert client.mailbox is not None
                assert len(client.mailbox) == len(self.model[client.selected].messages)

    async def _settle(self, client: Client) -> None:
        received = client.memory.received + await client.memory.quiet()
        for line in received.split(b"\r\n")[:-1]:
            client.take(line, b"", Answer())

    @rule(number=session_numbers, learn=st.booleans())
    def noop(self, number: int, learn: bool) -> None:
        client = self.session(number, learn=False)
        assert self.wait(client.run("NOOP")).status == "OK"
        assert client.mailbox is not None
        assert len(client.mailbox) == len(self.model[client.selected].messages)
        if learn:
            self.require_equal(client)

    @rule(number=session_numbers, pick=picks, deleted=st.booleans(), flags=flag_sets, then=st.integers(0, 3))
    def act_on_what_has_changed(
        self, number: int, pick: list[int], deleted: bool, flags: frozenset[str], then: int
    ) -> None:
        """Another worker changes a message, and before any news the session acts on it."""
        client = self.session(number)
        _, uids = self.chosen(client, pick, False)
        model = self.model[client.selected].messages
        uids = [uid for uid in uids if uid in model][:1]
        self.wait(self._change_elsewhere(client.selected, uids, deleted))
        match then:
            case 0:
                self.store_flags(number, pick, flags, "+", True, False)
            case 1:
                self.store_flags(number, pick, flags, "-", False, False)
            case 2:
                self.fetch(number, pick, False, True)
            case _:
                self.transfer(number, pick, "Archive", False, "COPY")
        self.noop(number, True)

    async def _change_elsewhere(self, name: str, uids: list[int], deleted: bool) -> None:
        key = (self.account_id, self.ids[name], NumberSet.of(uids))
        change = messages.FlagChange(messages.FlagMode.ADD, flag_set(["\\Answered"]))
        model = self.model[name].messages
        if deleted:
            await self.world.store.write(lambda tx: messages.expunge(tx, *key, only_deleted=False, now=NOW))
            for uid in uids:
                del model[uid]
        else:
            await self.world.store.write(lambda tx: messages.store_flags(tx, *key, change))
            for uid in uids:
                model[uid].flags |= {"\\answered"}

    # What must hold

    def require_equal(self, client: Client) -> None:
        """The client has been told everything; what it holds is the model."""
        self.wait(client.learn())
        assert client.mailbox is not None
        model = self.model[client.selected].messages
        told = [(seen.uid, seen.flags) for seen in client.mailbox]
        assert told == [(uid, found.flags) for uid, found in model.items()]

    async def _check_all(self) -> None:
        for client in self.clients:
            if client.idling:
                await client.done()
            await client.run("NOOP")
            await client.learn()
            assert client.mailbox is not None
            model = self.model[client.selected].messages
            told = [(seen.uid, seen.flags) for seen in client.mailbox]
            assert told == [(uid, found.flags) for uid, found in model.items()]

    @invariant()
    def sessions_live(self) -> None:
        for client in self.clients:
            assert not client.memory.is_closed


TestImapModel = ImapMachine.TestCase
TestImapModel.settings = settings(
    max_examples=int(os.environ.get("POSTINO_MODEL_EXAMPLES", "40")),
    stateful_step_count=40,
    deadline=None,
    derandomize="POSTINO_MODEL_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
