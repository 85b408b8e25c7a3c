"""The store's functions in any order, against mailboxes that are plain dictionaries.

A reader follows each mailbox with changes_since only, and must know the same as the dictionaries.
"""

import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from postino.core.errors import AlreadyExists, NoSuchMailbox, NotPermitted, OverQuota
from postino.core.flags import FlagSet, flag_set, stored_flag_set
from postino.core.numset import NumberSet
from postino.store.accounts import account_by_id
from postino.store.changes import changes_since, missed_since, vanished_since
from postino.store.content import SealedBlob
from postino.store.mailboxes import create_mailbox, delete_mailbox, list_mailboxes, rename_mailbox
from postino.store.messages import (
    FlagChange,
    FlagMode,
    append,
    copy,
    deliver,
    expunge,
    move,
    store_flags,
)
from postino.store.quota import set_quotas
from postino.store.store import open_store
from postino.store.sweep import RETENTION_SECONDS, sweep
from tests.support.stored import (
    EVERY_UID,
    NOW,
    email,
    findings,
    mailbox_contents,
    make_accounts,
    message_states,
)

NAMES = ["INBOX", "Archive", "Trash", "a", "a/b", "a/b/c", "z"]
FLAGS = ["\\Seen", "\\Deleted", "\\Flagged", "$Work", "$work", "$Junk"]


@dataclass
class Message:
    octets: bytes
    flags: FlagSet


@dataclass
class Mailbox:
    id: int
    uid_validity: int
    messages: dict[int, Message] = field(default_factory=dict)
    uid_next: int = 1
    ever: set[int] = field(default_factory=set)
    # What the reader knows, and as of when.
    known: dict[int, FlagSet] = field(default_factory=dict)
    known_mod_seq: int = 0
    known_uid_next: int = 1

    def add(self, uid: int, message: Message) -> None:
        assert uid >= self.uid_next
        assert uid not in self.ever
        self.ever.add(uid)
        self.uid_next = uid + 1
        self.messages[uid] = message


@cache
def template() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="postino-model-"))
    store = open_store(directory, first=True)
    make_accounts(store, "ann", "bob")
    store.close_now()
    return directory


names = st.sampled_from(NAMES)
uid_sets = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), min_size=1, max_size=6).map(
    lambda pairs: NumberSet((low, low + more) for low, more in pairs)
)
flag_sets = st.lists(st.sampled_from(FLAGS), max_size=3).map(flag_set)
bodies = st.sampled_from([b"", b"short\r\n", b"a longer text " * 400, bytes(range(256)) * 30])


class StoreModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="postino-model-"))
        shutil.copytree(template(), self.directory, dirs_exist_ok=True)
        self.store = open_store(self.directory)
        self.accounts = (1, 2)
        self.mailboxes: dict[int, dict[str, Mailbox]] = {}
        self.quota = 0
        self.now = NOW
        self.last_mod_seq = dict.fromkeys(self.accounts, 0)

    @initialize()
    def look(self) -> None:
        for account in self.accounts:
            rows = self.store.read_now(lambda tx, account=account: list_mailboxes(tx, account))
            self.mailboxes[account] = {row.name: Mailbox(row.id, row.uid_validity) for row in rows}

    def write(self, fn):
        self.now += 1
        return self.store.write_now(fn, durable=False)

    def box(self, name: str) -> Mailbox | None:
        return self.mailboxes[1].get(name)

    def used(self) -> int:
        return sum(len(m.octets) for box in self.mailboxes[1].values() for m in box.messages.values())

    def fits(self, octets: int) -> bool:
        return not self.quota or self.used() + octets <= self.quota

    @rule(name=names, body=bodies, flags=flag_sets, in_blob=st.booleans())
    def append(self, name, body, flags, in_blob):
        stored = None
        if in_blob:
            with self.store.blobs.open_spool() as spool:
                spool.write(b"head" + body)
                stored = SealedBlob(spool.seal(), 4)
        new = email(body, flags=flags, stored=stored)
        box = self.box(name)
        try:
            done = self.write(lambda tx: append(tx, 1, box.id if box else 999_999, new, now=self.now))
        except OverQuota:
            assert not self.fits(new.facts.size)
        except NoSuchMailbox:
            assert box is None
        else:
            assert self.fits(new.facts.size)
            assert done.uid_validity == box.uid_validity
            self.newer(1, done.mod_seq)
            box.add(done.uid, Message(new.header + body, flags))

    @rule(body=bodies, name=names)
    def deliver_to_both(self, body, name):
        new = email(body)
        box = self.box(name) or self.box("INBOX")
        try:
            done = self.write(lambda tx: deliver(tx, [(1, box.id, new), (2, None, new)], self.now))
        except OverQuota:
            assert not self.fits(new.facts.size)
        else:
            for where, one in zip((box, self.mailboxes[2]["INBOX"]), done, strict=True):
                where.add(one.uid, Message(new.header + body, flag_set()))

    @rule(origin=names, goal=names, uids=uid_sets)
    def copy(self, origin, goal, uids):
        self.transfer(copy, origin, goal, uids)

    @rule(origin=names, goal=names, uids=uid_sets)
    def move(self, origin, goal, uids):
        self.transfer(move, origin, goal, uids)

    def transfer(self, verb, origin, goal, uids):
        from_box, to_box = self.box(origin), self.box(goal)
        if from_box is None or to_box is None:
            return
        chosen = [uid for uid in sorted(from_box.messages) if uid in uids]
        octets = sum(len(from_box.messages[uid].octets) for uid in chosen)
        try:
            done = self.write(lambda tx: verb(tx, 1, from_box.id, uids, to_box.id, now=self.now))
        except OverQuota:
            assert verb is copy
            assert not self.fits(octets)
            return
        assert verb is move or not chosen or self.fits(octets)
        assert list(done.source_uids) == chosen
        assert len(done.target_uids) == len(chosen)
        if chosen:
            self.newer(1, done.mod_seq)
        for old, new in zip(done.source_uids, done.target_uids, strict=True):
            message = from_box.messages[old]
            to_box.add(new, Message(message.octets, message.flags))
            if verb is move:
                del from_box.messages[old]

    @rule(name=names, uids=st.none() | uid_sets, only_deleted=st.booleans())
    def expunge(self, name, uids, only_deleted):
        box = self.box(name)
        if box is None:
            return
        done = self.write(lambda tx: expunge(tx, 1, box.id, uids, only_deleted=only_deleted, now=self.now))
        gone = [
            uid
            for uid, message in sorted(box.messages.items())
            if (uids is None or uid in uids) and (not only_deleted or message.flags.system & 8)
        ]
        assert list(done.uids) == gone
        if gone:
            self.newer(1, done.mod_seq)
        for uid in gone:
            del box.messages[uid]

    @rule(
        name=names,
        uids=uid_sets,
        mode=st.sampled_from(FlagMode),
        flags=flag_sets,
        since=st.none() | st.integers(0, 60),
    )
    def store_flags(self, name, uids, mode, flags, since):
        box = self.box(name)
        if box is None:
            return
        states = self.store.read_now(lambda tx: message_states(tx, 1, box.id))
        mod_seqs = {state[0]: state[3] for state in states}
        change = FlagChange(mode, flags)
        done = self.write(lambda tx: store_flags(tx, 1, box.id, uids, change, since))
        changed, modified = {}, []
        for uid, message in sorted(box.messages.items()):
            if uid not in uids:
                continue
            if since is not None and mod_seqs[uid] > since:
                modified.append(uid)
                continue
            after = change.applied_to(message.flags)
            if after != message.flags:
                changed[uid] = message.flags = after
        assert {uid: after for uid, after, _ in done.changed} == changed
        assert list(done.modified) == modified
        if done.changed:
            assert len({mod_seq for _, _, mod_seq in done.changed}) == 1
            self.newer(1, done.changed[0][2])

    @rule(name=names)
    def create(self, name):
        try:
            made = self.write(lambda tx: create_mailbox(tx, 1, name, now=self.now))
        except AlreadyExists:
            assert name in self.mailboxes[1]
            return
        assert made.uid_validity > max(box.uid_validity for box in self.mailboxes[1].values())
        levels = name.split("/")
        above = ["/".join(levels[:n]) for n in range(1, len(levels))]
        rows = {row.name: row for row in self.store.read_now(lambda tx: list_mailboxes(tx, 1))}
        for new in (*above, name):
            self.mailboxes[1].setdefault(new, Mailbox(rows[new].id, rows[new].uid_validity))

    @rule(name=names)
    def delete(self, name):
        below = any(other.startswith(name + "/") for other in self.mailboxes[1])
        try:
            self.write(lambda tx: delete_mailbox(tx, 1, name, now=self.now))
        except NoSuchMailbox:
            assert name not in self.mailboxes[1]
        except NotPermitted:
            assert name == "INBOX" or below
        else:
            assert not below
            del self.mailboxes[1][name]

    @rule(old=names, new=names)
    def rename(self, old, new):
        boxes = self.mailboxes[1]
        try:
            made = self.write(lambda tx: rename_mailbox(tx, 1, old, new, now=self.now))
        except (NoSuchMailbox, AlreadyExists, NotPermitted):
            taken = {new + name[len(old) :] for name in boxes if name.startswith(old + "/")} | {new}
            assert old not in boxes or taken & set(boxes) or f"{new}/".startswith(f"{old}/")
            return
        rows = {row.name: row for row in self.store.read_now(lambda tx: list_mailboxes(tx, 1))}
        if old == "INBOX":
            moved = boxes[old]
            target = Mailbox(made.id, made.uid_validity)
            for uid, message in enumerate(moved.messages.values(), 1):
                target.add(uid, message)
            moved.messages = {}
            boxes[new] = target
        else:
            for name in [name for name in boxes if name == old or name.startswith(old + "/")]:
                boxes[new + name[len(old) :]] = boxes.pop(name)
        for name, row in rows.items():
            boxes.setdefault(name, Mailbox(row.id, row.uid_validity))

    @rule(roomy=st.booleans())
    def change_quota(self, roomy):
        self.quota = 0 if roomy else self.used() + 3000
        self.write(lambda tx: set_quotas(tx, 1, octets=self.quota))

    @rule(late=st.booleans())
    def sweep(self, late):
        now = self.now + RETENTION_SECONDS + 1 if late else self.now
        for blob in self.write(lambda tx: sweep(tx, now=now, batch=10)).blobs:
            self.store.blobs.delete(blob)

    @precondition(lambda self: self.mailboxes)
    @rule(name=names)
    def follow(self, name):
        """The reader learns what changed, and then knows what the dictionary knows."""
        box = self.box(name)
        if box is None:
            return
        since = box.known_mod_seq
        away = self.store.read_now(lambda tx: missed_since(tx, 1, box.id, since, None))
        quick = self.store.read_now(lambda tx: changes_since(tx, 1, box.id, since, box.known_uid_next))
        assert away.rows is not None
        assert quick.rows == away.rows
        assert away.numbers == [sorted(box.messages).index(row[0]) + 1 for row in away.rows]
        assert quick.expunged.intersection(NumberSet.of(box.known)) == away.vanished.intersection(
            NumberSet.of(box.known)
        )
        for uid, flags, keywords, mod_seq in quick.rows:
            assert mod_seq > since
            box.known[uid] = stored_flag_set(flags, keywords)
        for uid in quick.expunged:
            box.known.pop(uid, None)
        box.known_mod_seq, box.known_uid_next = quick.highest_mod_seq, quick.uid_next
        assert box.known == {uid: message.flags for uid, message in box.messages.items()}
        every = self.store.read_now(lambda tx: vanished_since(tx, 1, box.id, 0, EVERY_UID))
        assert set(every) == box.ever - set(box.messages)

    def newer(self, account, mod_seq):
        assert mod_seq > self.last_mod_seq[account]
        self.last_mod_seq[account] = mod_seq

    def teardown(self):
        try:
            self.compare()
        finally:
            self.store.close_now()
            shutil.rmtree(self.directory)

    def compare(self):
        for account, boxes in self.mailboxes.items():
            rows = self.store.read_now(lambda tx, account=account: list_mailboxes(tx, account))
            assert {row.name: row.id for row in rows} == {name: box.id for name, box in boxes.items()}
            for row in rows:
                box = boxes[row.name]
                assert mailbox_contents(self.store, account, row.name) == {
                    uid: message.octets for uid, message in box.messages.items()
                }
                assert row.uid_validity == box.uid_validity
                assert row.uid_next >= box.uid_next
                assert row.unseen == sum(not m.flags.system & 1 for m in box.messages.values())
        used = self.store.read_now(lambda tx: account_by_id(tx, 1)).used_octets
        assert not self.mailboxes or used == self.used()
        assert findings(self.store) == []


StoreModel.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestStoreModel = StoreModel.TestCase
