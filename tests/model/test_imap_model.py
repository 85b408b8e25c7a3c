"""Sessions on the same mailboxes, deliveries and deletions from elsewhere, against a model of fifty lines.

After NOOP each session has been told a mailbox that is the model's, whatever it has enabled; after SELECT
with QRESYNC so has one that was away. POSTINO_MODEL_EXAMPLES asks for more than the default, which takes
some ten seconds; POSTINO_MODEL_MODE has every session be of one mode.
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
from postino.core.ids import MailboxId
from postino.core.numset import NumberSet, parse_sequence_set
from postino.servers.imap.messages import fetch
from postino.servers.imap.updates import select, selected
from postino.store import changes, flagging, mailboxes, messages
from postino.store.accounts import account_by_login
from postino.store.flagging import prune_flag_log
from postino.store.sweep import forget_expunged, sweep, too_much_expunged
from tests.model.imap_client import Answer, Client, Mode
from tests.support.memory_network import MemoryClient
from tests.support.world import NOW, open_world, serve_function
from tests.transcripts.seeds import new_email

MAILBOXES = ("INBOX", "Archive")
PLACES = (*MAILBOXES, "Old")
FLAGS = ("\\Seen", "\\Flagged", "\\Deleted", "$Junk", "Work")
SESSIONS = 4
_EVENTS = "MessageExpunge FlagChange"
_OTHERS = f"(personal (MessageNew {_EVENTS} MailboxName SubscriptionChange))"
DELAYED = f"NOTIFY SET (selected-delayed (MessageNew {_EVENTS})) {_OTHERS}"
AT_ONCE = f"NOTIFY SET STATUS (selected (MessageNew (UID FLAGS MODSEQ) {_EVENTS})) {_OTHERS}"
MODES = (
    Mode("plain"),
    Mode("rev2", ("IMAP4rev2",)),
    Mode("condstore", ("CONDSTORE",)),
    Mode("qresync", ("QRESYNC",)),
    Mode("uidonly", ("UIDONLY",)),
    Mode("uidonly qresync", ("QRESYNC", "UIDONLY")),
    Mode("notify", (), (DELAYED,)),
    Mode("notify condstore", ("CONDSTORE",), (DELAYED,)),
    Mode("notify qresync", ("QRESYNC",), (DELAYED,)),
    Mode("notify uidonly", ("UIDONLY",), (AT_ONCE,)),
    Mode("notify uidonly qresync", ("QRESYNC", "UIDONLY"), (AT_ONCE,)),
)
LOAD_AT_ONCE, READ_IN_PLACE = select.LOAD_AT_ONCE, selected.READ_IN_PLACE
OCTETS_BATCH, MISSED = fetch.OCTETS_BATCH, changes.MISSED
CHOSEN = [mode for mode in MODES if mode.name == os.environ.get("POSTINO_MODEL_MODE", mode.name)]
# There is most to go wrong with QRESYNC.
CHOSEN += [mode for mode in CHOSEN if mode.qresync] * 2


class ModelMessage:
    """A message that is there."""

    def __init__(self, uid: int, token: bytes, flags: frozenset[str]) -> None:
        self.uid = uid
        self.token = token
        self.flags = flags


class ModelMailbox:
    """What is in a mailbox, by UID."""

    def __init__(self, mailbox_id: MailboxId) -> None:
        self.id = mailbox_id
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
names = st.sampled_from(PLACES)


class ImapMachine(RuleBasedStateMachine):
    """The rules."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.stack = AsyncExitStack()
        self.model: dict[str, ModelMailbox] = {}
        self.clients: list[Client] = []
        self.tokens = 0

    def wait(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    # Set-up and end

    @initialize(
        modes=st.lists(st.sampled_from(CHOSEN), min_size=2, max_size=SESSIONS),
        where=st.lists(st.sampled_from(MAILBOXES), min_size=SESSIONS, max_size=SESSIONS),
        messages=st.integers(0, 8),
        load_at_once=st.sampled_from([0, 500]),
        missed=st.sampled_from([1, 1000]),
    )
    def begin(
        self, modes: list[Mode], where: list[str], messages: int, load_at_once: int, missed: int
    ) -> None:
        # With 0 a session learns its mailbox's UIDs only when it must, long after SELECT.
        select.LOAD_AT_ONCE = load_at_once
        selected.READ_IN_PLACE = 2000 if load_at_once else 0
        # Long FETCHes wait for the client in between, and the mailbox changes meanwhile.
        fetch.OCTETS_BATCH = 2
        changes.MISSED = missed
        self.wait(self._begin(modes, where, messages))

    async def _begin(self, modes: list[Mode], where: list[str], count: int) -> None:
        self.world = await self.stack.enter_async_context(open_world(Path(self.directory.name) / "data"))
        self.store = self.world.store
        self.account_id = self.store.read_now(lambda tx: account_by_login(tx, "ann@example.org")).id
        for name in MAILBOXES:
            self.model[name] = ModelMailbox(self._id_of(name))
        for _ in range(count):
            await self._deliver("INBOX")
        for number, mode in enumerate(modes):
            client = Client("abcd"[number], mode)
            await self._connect(client)
            await client.select(where[number])
            self.clients.append(client)

    def _id_of(self, name: str) -> MailboxId:
        row = self.store.read_now(lambda tx: mailboxes.mailbox_by_name(tx, self.account_id, name))
        return row.id  # type: ignore[no-any-return]

    async def _connect(self, client: Client) -> None:
        serve = serve_function(self.world.context, "imap")
        await client.begin(await self.stack.enter_async_context(MemoryClient(serve, tls=True)))

    def teardown(self) -> None:
        select.LOAD_AT_ONCE, selected.READ_IN_PLACE = LOAD_AT_ONCE, READ_IN_PLACE
        fetch.OCTETS_BATCH, changes.MISSED = OCTETS_BATCH, MISSED
        for number in range(len(self.clients)):
            self.noop(number, True)
        # Leaving the world runs verify().
        self.wait(self.stack.aclose())
        self.runner.close()
        self.directory.cleanup()

    def box(self, client: Client) -> ModelMailbox:
        return self.model[client.selected]

    def place(self, name: str) -> str:
        """A mailbox that is there now."""
        return name if name in self.model else "INBOX"

    # From elsewhere

    async def _deliver(self, name: str) -> None:
        self.tokens += 1
        token = b"token-%d-" % self.tokens
        new = new_email(b"Subject: %b\r\n\r\n%b\r\n" % (token, token))
        box = self.model[name]
        (appended,) = await self.store.write(
            lambda tx: messages.deliver(tx, [(self.account_id, box.id, new)], NOW)
        )
        assert appended.uid == box.add(token, frozenset())

    @rule(name=names)
    def deliver(self, name: str) -> None:
        self.wait(self._deliver(self.place(name)))

    @rule(name=names, pick=picks)
    def delete_elsewhere(self, name: str, pick: list[int]) -> None:
        box = self.model[self.place(name)]
        there = list(box.messages)
        self.wait(self._change_elsewhere(box, {there[number % len(there)] for number in pick if there}, True))

    @rule(pick=picks)
    def delete_by_pop3(self, pick: list[int]) -> None:
        self.wait(self._pop3({number + 1 for number in pick}))

    async def _pop3(self, numbers: set[int]) -> None:
        box = self.model["INBOX"]
        there = list(box.messages)
        async with MemoryClient(serve_function(self.world.context, "pop3"), tls=True) as memory:
            await memory.quiet()
            assert b"+OK" in await memory.ask(b"USER ann@example.org\r\n")
            assert b"+OK" in await memory.ask(b"PASS secret\r\n")
            for number in numbers:
                said = await memory.ask(b"DELE %d\r\n" % number)
                assert said.startswith(b"+OK" if number <= len(there) else b"-ERR")
            assert b"+OK" in await memory.ask(b"QUIT\r\n")
        for number in numbers:
            if number <= len(there):
                del box.messages[there[number - 1]]

    @rule(keep=st.integers(0, 3))
    def forget(self, keep: int) -> None:
        """The store's memory is short: of what was expunged, and where flags were changed."""
        # A session that has not looked for so long would be told goodbye.
        for number in range(len(self.clients)):
            self.noop(number, False)
        self.wait(self._forget(keep))

    async def _forget(self, keep: int) -> None:
        store = self.store
        await store.write(lambda tx: sweep(tx, now=NOW + 10_000_000))
        for key in store.read_now(lambda tx: too_much_expunged(tx, keep)):
            await store.write(lambda tx, key=key: forget_expunged(tx, *key))
        for box in self.model.values():
            await store.write(lambda tx, box=box: prune_flag_log(tx, self.account_id, box.id, keep))

    # Sessions

    def session(self, number: int, *, learn: bool = True) -> Client:
        client = self.clients[number % len(self.clients)]
        if client.idling:
            self.wait(client.done())
        if learn:
            self.wait(client.learn())
        return client

    def chosen(self, client: Client, pick: list[int], by_uid: bool) -> tuple[str, list[int]]:
        """A message set for a command, and the UIDs it means to this client."""
        mailbox = client.mailbox
        if not mailbox:
            return "", []
        numbers = sorted({each % len(mailbox) + 1 for each in pick})
        uids = [mailbox[number - 1].uid for number in numbers]
        return ",".join(map(str, uids if by_uid else numbers)), uids

    def run_on(self, client: Client, command: str, by_uid: bool) -> Answer:
        answer: Answer = self.wait(client.run("UID " + command if by_uid else command, by_seq=not by_uid))
        return answer

    @rule(
        number=session_numbers,
        pick=picks,
        flags=flag_sets,
        mode=st.sampled_from(["+", "-", ""]),
        silent=st.booleans(),
        by_uid=st.booleans(),
        since=st.none() | st.integers(-2, 1),
    )
    def store_flags(
        self,
        number: int,
        pick: list[int],
        flags: frozenset[str],
        mode: str,
        silent: bool,
        by_uid: bool,
        since: int | None,
    ) -> None:
        client = self.session(number)
        by_uid = by_uid or client.mode.uid_only
        numbers, uids = self.chosen(client, pick, by_uid)
        if not uids:
            return
        model = self.box(client).messages
        failed: set[int] = set()
        condition = ""
        if client.mode.condstore and since is not None:
            actual = self.mod_seqs(client)
            known = {seen.uid: seen.mod_seq for seen in client.mailbox}
            unchanged_since = max(0, max(known[uid] for uid in uids) + since)
            failed = {uid for uid in uids if actual.get(uid, 0) > unchanged_since}
            condition = f"(UNCHANGEDSINCE {unchanged_since}) "
        command = (
            f"STORE {numbers} {condition}{mode}FLAGS{'.SILENT' if silent else ''} ({' '.join(sorted(flags))})"
        )
        before = {seen.uid: seen.flags for seen in client.mailbox}

        def work_out() -> None:
            """What a client works out for itself when the server is told to be silent."""
            for seen in client.mailbox:
                if silent and seen.uid in uids and seen.uid not in failed:
                    seen.flags = self.applied(seen.flags or frozenset(), mode, flags)

        # Who is told at any time may be told, just before, of what was there before.
        if not client.mode.is_notified:
            work_out()
        answer = self.run_on(client, command, by_uid)
        if client.mode.is_notified:
            work_out()
        gone = [uid for uid in uids if uid not in model]
        assert answer.status == ("NO" if gone and not by_uid else "OK"), answer
        assert (b"[MODIFIED " in answer.text) == bool(failed or (gone and condition and not by_uid)), answer
        for uid in uids:
            if uid in model and uid not in failed:
                model[uid].flags = self.applied(model[uid].flags, mode, flags)
        told = {uid for uid, data, _ in answer.fetched if b"FLAGS" in data}
        if not silent:
            assert told >= set(uids) - set(gone), (answer, before)

    @staticmethod
    def applied(old: frozenset[str], mode: str, flags: frozenset[str]) -> frozenset[str]:
        flags = frozenset(flag.lower() for flag in flags)
        return old | flags if mode == "+" else old - flags if mode == "-" else flags

    def mod_seqs(self, client: Client) -> dict[int, int]:
        box = self.box(client)
        return dict(
            self.store.read_now(
                lambda tx: tx.all(
                    "SELECT uid, mod_seq FROM message WHERE account_id=? AND mailbox_id=?",
                    (self.account_id, box.id),
                )
            )
        )

    @rule(number=session_numbers)
    def expunge(self, number: int) -> None:
        client = self.session(number)
        answer = self.wait(client.run("EXPUNGE"))
        self.require_expunged(client, answer, self.drop_deleted(client, None))

    @rule(number=session_numbers, pick=picks)
    def uid_expunge(self, number: int, pick: list[int]) -> None:
        client = self.session(number)
        numbers, uids = self.chosen(client, pick, True)
        if uids:
            answer = self.wait(client.run(f"UID EXPUNGE {numbers}"))
            self.require_expunged(client, answer, self.drop_deleted(client, uids))

    def require_expunged(self, client: Client, answer: Answer, count: int) -> None:
        assert answer.status == "OK"
        assert (b"[HIGHESTMODSEQ " in answer.text) == (client.mode.qresync and count > 0)
        self.require_equal(client)

    def drop_deleted(self, client: Client, uids: list[int] | None) -> int:
        model = self.box(client).messages
        gone = [
            uid
            for uid, found in model.items()
            if "\\deleted" in found.flags and (uids is None or uid in uids)
        ]
        for uid in gone:
            del model[uid]
        return len(gone)

    @rule(
        number=session_numbers,
        pick=picks,
        into=names,
        by_uid=st.booleans(),
        verb=st.sampled_from(["COPY", "MOVE"]),
    )
    def transfer(self, number: int, pick: list[int], into: str, by_uid: bool, verb: str) -> None:
        client = self.session(number)
        by_uid = by_uid or client.mode.uid_only
        into = self.place(into)
        if verb == "MOVE" and into == client.selected:
            return
        numbers, uids = self.chosen(client, pick, by_uid)
        if not uids:
            return
        command = f"{verb} {numbers} {into}"
        answer = self.wait(client.run("UID " + command if by_uid else command))
        source, there = self.box(client).messages, self.model[into]
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
        name = self.place(name)
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
        by_uid = by_uid or client.mode.uid_only
        numbers, uids = self.chosen(client, pick, by_uid)
        if not uids:
            return
        item = "BODY[]" if whole else "BODY.PEEK[TEXT]"
        answer = self.run_on(client, f"FETCH {numbers} ({item} UID)", by_uid)
        model = self.box(client).messages
        there = [uid for uid in uids if uid in model]
        assert answer.status == ("OK" if by_uid or len(there) == len(uids) else "NO"), answer
        octets = {uid: literals for uid, _, literals in answer.fetched if literals}
        assert sorted(octets) == there
        for uid in there:
            assert model[uid].token in octets[uid]
            if whole:
                model[uid].flags |= {"\\seen"}

    @rule(number=session_numbers, by_uid=st.booleans())
    def fetch_flags(self, number: int, by_uid: bool) -> None:
        """What is told in the answer need not be told again, and is what it is now."""
        client = self.session(number)
        by_uid = by_uid or client.mode.uid_only
        if client.mailbox:
            self.run_on(client, "FETCH 1:* (UID FLAGS)", by_uid)
            model = self.box(client).messages
            for seen in client.mailbox:
                assert seen.flags is None or seen.uid not in model or seen.flags == model[seen.uid].flags

    @rule(number=session_numbers, back=st.integers(0, 6))
    def fetch_what_is_missed(self, number: int, back: int) -> None:
        """VANISHED (EARLIER) and FETCH are exactly what happened since, and a new client can ask for it."""
        client = self.session(number)
        if not client.mode.qresync:
            return
        since = 1 if back > 5 else max(1, client.highest - back)
        last = max((seen.uid for seen in client.mailbox), default=0)
        answer = self.wait(client.run(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {since} VANISHED)"))
        assert answer.status == "OK"
        there = self.mod_seqs(client)
        fetched = {uid for uid, _, _ in answer.fetched if uid in there}
        assert fetched <= {uid for uid, mod_seq in there.items() if mod_seq > since}
        if since == 1:
            lines = [line for line in answer.lines if line.startswith(b"* VANISHED ")]
            gone = [parse_sequence_set(line.split()[-1]).resolve(0) for line in lines]
            assert {uid for uids in gone for uid in uids if uid <= last} == set(range(1, last + 1)) - set(
                there
            )
        self.noop(number, True)

    @rule(number=session_numbers, flag=st.sampled_from(FLAGS), by_uid=st.booleans())
    def search(self, number: int, flag: str, by_uid: bool) -> None:
        client = self.session(number)
        by_uid = by_uid or client.mode.uid_only
        key = flag.removeprefix("\\").upper() if flag.startswith("\\") else f"KEYWORD {flag}"
        answer = self.run_on(client, f"SEARCH RETURN (ALL) {key}", by_uid)
        assert answer.status == "OK"
        (line,) = [line for line in answer.lines if line.startswith(b"* ESEARCH")]
        self.wait(client.learn())
        model = self.box(client).messages
        wanted = {uid for uid, found in model.items() if flag.lower() in found.flags}
        expected = [
            seen.uid if by_uid else at for at, seen in enumerate(client.mailbox, 1) if seen.uid in wanted
        ]
        found = line.partition(b" ALL ")[2].decode()
        assert found == str(NumberSet.of(expected)), (line, expected)

    # Coming and going

    @rule(number=session_numbers, name=names, says_known=st.booleans())
    def select_another(self, number: int, name: str, says_known: bool) -> None:
        client = self.session(number, learn=False)
        self.come_back(client, self.place(name), says_known)

    def come_back(self, client: Client, name: str, says_known: bool) -> None:
        if self.wait(client.select(name, says_known=says_known)):
            # Without a NOOP: the answer to SELECT told what was missed.
            cache = client.caches[name]
            changed = {uid for uid, mod_seq in self.mod_seqs(client).items() if mod_seq > cache.highest}
            if says_known and cache.messages:
                changed &= set(cache.messages)
            assert client.told_at_select == changed
            self.require_equal(client)

    @rule(
        number=session_numbers,
        learn=st.booleans(),
        says_known=st.booleans(),
        meanwhile=st.lists(st.integers(0, 3), max_size=4),
        pick=picks,
    )
    def lose_the_wire(
        self, number: int, learn: bool, says_known: bool, meanwhile: list[int], pick: list[int]
    ) -> None:
        """The client goes without a word, other things happen, and it comes back."""
        client = self.clients[number % len(self.clients)]
        if learn:
            self.session(number)
        name = client.selected
        self.wait(self._cut(client))
        for what in meanwhile:
            if what == 0:
                self.deliver(name)
            elif what == 1:
                self.delete_elsewhere(name, pick)
            else:
                there = list(self.model[name].messages)
                uids = {there[number % len(there)] for number in pick if there}
                self.wait(self._change_elsewhere(self.model[name], uids, False))
        self.wait(self._connect(client))
        self.come_back(client, name, says_known)

    @rule(number=session_numbers, pick=picks, says_known=st.booleans(), then=st.integers(0, 2))
    def leave_while_expunges_wait(self, number: int, pick: list[int], says_known: bool, then: int) -> None:
        """What is told of flags is newer than an expunge that is not told, and then the wire is cut."""
        client = self.session(number)
        if client.mode.uid_only or len(client.mailbox) < 2:
            return
        _, uids = self.chosen(client, pick, True)
        box = self.box(client)
        there = [uid for uid in box.messages if uid not in uids]
        self.wait(self._change_elsewhere(box, {uid for uid in uids[:2] if uid in box.messages}, True))
        self.wait(self._change_elsewhere(box, set(there[:1]), False))
        command = ("FETCH 1 (UID)", "STORE 2 +FLAGS (Work)", "SEARCH ALL")[then]
        answered = client.mailbox[1].uid
        self.wait(client.run(command, by_seq=True))
        if then == 1 and answered in box.messages:
            box.messages[answered].flags |= {"work"}
        name = client.selected
        self.wait(self._cut(client))
        self.wait(self._connect(client))
        self.come_back(client, name, says_known)

    @rule(number=session_numbers, pick=picks, then=st.integers(0, 3))
    def at_once(self, number: int, pick: list[int], then: int) -> None:
        """While a command is carried out, messages come, and some of them and others go."""
        client = self.session(number)
        if not client.mailbox:
            return
        by_uid = client.mode.uid_only or then == 3
        box = self.box(client)
        uids = [seen.uid for seen in client.mailbox]
        # RFC 5465 §5.2: who is told at any time of new messages cannot know what `*` will mean.
        last = "*" if not client.mode.is_notified else uids[-1] if by_uid else len(uids)
        command = (
            f"FETCH 1:{last} (BODY.PEEK[])",
            f"STORE 1:{last} +FLAGS (Work)",
            f"STORE 1:{last} +FLAGS.SILENT (Work)",
        )
        if then == 2:
            for seen in client.mailbox:
                seen.flags = (seen.flags or frozenset()) | {"work"}
        chosen = {uids[number % len(uids)] for number in pick[:2]} & set(box.messages)
        self.wait(self._at_once(client, command[then % 3], by_uid, box, chosen))
        if then % 3:
            for uid in uids:
                if uid in box.messages:
                    box.messages[uid].flags |= {"work"}
        self.noop(number, True)

    async def _at_once(
        self, client: Client, command: str, by_uid: bool, box: ModelMailbox, chosen: set[int]
    ) -> None:
        async def meanwhile() -> None:
            for turn in range(4):
                await self._deliver(client.selected)
                await asyncio.sleep(0)
                if turn % 2:
                    await self._change_elsewhere(box, {box.uid_next - 1}, True)
            await self._change_elsewhere(box, chosen, True)

        running = client.run("UID " + command if by_uid else command, by_seq=not by_uid)
        await asyncio.gather(running, meanwhile())

    @rule(number=session_numbers, pick=picks, by_uid=st.booleans())
    def read_slowly(self, number: int, pick: list[int], by_uid: bool) -> None:
        """In the middle of an answer messages go that came before it, and were not told of."""
        client = self.session(number)
        if len(client.mailbox) < 3:
            return
        by_uid = by_uid or client.mode.uid_only
        self.deliver(client.selected)
        box = self.box(client)
        uids = [seen.uid for seen in client.mailbox if seen.uid in box.messages]
        gone = {box.uid_next - 1} | {uids[number % len(uids)] for number in pick[1:] if uids}
        command = "FETCH 1:* (BODY.PEEK[] UID)"
        self.wait(self._read_slowly(client, "UID " + command if by_uid else command, by_uid, box, gone))
        self.noop(number, True)

    async def _read_slowly(
        self, client: Client, command: str, by_uid: bool, box: ModelMailbox, gone: set[int]
    ) -> None:
        transport = client.memory.transport
        transport.client_reads, transport.high_water = False, 0
        tag = client.send(command)
        for _ in range(10):
            await asyncio.sleep(0)
        await self._change_elsewhere(box, gone, True)
        transport.client_reads, transport.high_water = True, 64 * 1024
        await client.answer(tag, by_seq=not by_uid)

    async def _cut(self, client: Client) -> None:
        client.leave()
        client.known = None
        client.memory.lose()

    @rule(number=session_numbers, says_known=st.booleans())
    def close(self, number: int, says_known: bool) -> None:
        client = self.session(number, learn=False)
        name = client.selected
        # What comes before the answer is still of this mailbox.
        before = client.known
        client.leave()
        client.known = before
        answer = self.wait(client.run("CLOSE"))
        client.known = None
        assert answer.status == "OK"
        assert answer.lines == [] or client.mode.is_notified
        assert b"HIGHESTMODSEQ" not in answer.text
        self.drop_deleted(client, None)
        self.come_back(client, name, says_known)

    # Mailboxes

    @rule(number=session_numbers, back=st.booleans())
    def rename(self, number: int, back: bool) -> None:
        """A renamed mailbox stays selected; to its sessions it is the one it was."""
        old, new = ("Old", "Archive") if back else ("Archive", "Old")
        if old not in self.model or new in self.model:
            return
        client = self.session(number, learn=False)
        assert self.wait(client.run(f"RENAME {old} {new}")).status == "OK"
        self.model[new] = self.model.pop(old)
        for each in self.clients:
            if each.selected == old:
                each.selected = new

    @rule(number=session_numbers)
    def rename_inbox(self, number: int) -> None:
        """Its messages move, INBOX stays."""
        if "Old" in self.model:
            return
        client = self.session(number, learn=False)
        assert self.wait(client.run("RENAME INBOX Old")).status == "OK"
        self.model["Old"] = box = ModelMailbox(self._id_of("Old"))
        for found in self.model["INBOX"].messages.values():
            box.add(found.token, found.flags)
        self.model["INBOX"].messages.clear()

    @rule(number=session_numbers, name=st.sampled_from(["Archive", "Old"]), again=st.booleans())
    def delete(self, number: int, name: str, again: bool) -> None:
        """Sessions that have it selected are told goodbye, also when there is one of that name again."""
        client = self.session(number, learn=False)
        if name not in self.model:
            return
        if client.selected == name:
            self.wait(client.select("INBOX"))
        assert self.wait(client.run(f"DELETE {name}")).status == "OK"
        del self.model[name]
        if again or name == "Archive":
            assert self.wait(client.run(f"CREATE {name}")).status == "OK"
            self.model[name] = ModelMailbox(self._id_of(name))
        for each in self.clients:
            if each.selected == name:
                self.wait(each.expect_bye())
                self.wait(self._connect(each))
                self.come_back(each, self.place(name), False)

    # Waiting and asking for news

    @rule(number=session_numbers)
    def idle(self, number: int) -> None:
        client = self.clients[number % len(self.clients)]
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
                assert len(client.mailbox) == len(self.box(client).messages)

    async def _settle(self, client: Client) -> None:
        received = client.memory.received + await client.memory.quiet()
        for line in received.split(b"\r\n")[:-1]:
            client.take(line, b"", Answer())

    @rule(number=session_numbers, learn=st.booleans())
    def noop(self, number: int, learn: bool) -> None:
        client = self.session(number, learn=False)
        assert self.wait(client.run("NOOP")).status == "OK"
        assert len(client.mailbox) == len(self.box(client).messages)
        if learn:
            self.require_equal(client)

    @rule(number=session_numbers, pick=picks, deleted=st.booleans(), flags=flag_sets, then=st.integers(0, 5))
    def act_on_what_has_changed(
        self, number: int, pick: list[int], deleted: bool, flags: frozenset[str], then: int
    ) -> None:
        """Another worker changes a message, and before any news the session acts on it."""
        client = self.session(number)
        _, uids = self.chosen(client, pick, True)
        box = self.box(client)
        uids = [uid for uid in uids if uid in box.messages][:1]
        self.wait(self._change_elsewhere(box, set(uids), deleted))
        match then:
            case 0:
                self.store_flags(number, pick, flags, "+", True, False, None)
            case 1:
                self.store_flags(number, pick, flags, "-", False, False, None)
            case 2:
                self.store_flags(number, pick, flags, "+", True, True, 0)
            case 3:
                self.fetch(number, pick, False, True)
            case 4:
                self.fetch_flags(number, False)
            case _:
                self.transfer(number, pick, "Archive", False, "COPY")
        self.noop(number, True)

    async def _change_elsewhere(self, box: ModelMailbox, uids: set[int], deleted: bool) -> None:
        key = (self.account_id, box.id, NumberSet.of(uids))
        change = messages.FlagChange(messages.FlagMode.ADD, flag_set(["\\Answered"]))
        if deleted:
            await self.store.write(lambda tx: messages.expunge(tx, *key, only_deleted=False, now=NOW))
            for uid in uids:
                del box.messages[uid]
        else:
            await self.store.write(lambda tx: flagging.store_flags(tx, *key, change))
            for uid in uids:
                box.messages[uid].flags |= {"\\answered"}

    # What must hold

    def require_equal(self, client: Client) -> None:
        """The client has been told everything; what it holds is the model."""
        self.wait(client.learn())
        mailbox = client.mailbox
        told = [(seen.uid, seen.flags) for seen in mailbox]
        assert told == [(uid, found.flags) for uid, found in self.box(client).messages.items()]
        if client.mode.condstore:
            assert {seen.uid: seen.mod_seq for seen in mailbox} == self.mod_seqs(client)

    @invariant()
    def sessions_live(self) -> None:
        for client in self.clients:
            assert not client.memory.is_closed


TestImapModel = ImapMachine.TestCase
TestImapModel.settings = settings(
    max_examples=int(os.environ.get("POSTINO_MODEL_EXAMPLES", "30")),
    stateful_step_count=40,
    deadline=None,
    derandomize="POSTINO_MODEL_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
