"""Mailboxes known from a read before: the same as a read now, whoever has written meanwhile."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from postino.core.errors import NoSuchMailbox
from postino.core.ids import AccountId
from postino.core.rights import Rights
from postino.servers.imap.mailboxes.known_mailboxes import AT_ONCE, MOST_KEPT, KnownMailboxes
from postino.store.access import reach_mailbox
from postino.store.acl import set_acl
from postino.store.mailboxes import create_mailbox, delete_mailbox
from postino.store.store import Store, open_store
from tests.support.world import NOW, open_world


class Counting:
    """A store that counts its reads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.mark = store.mark
        self.reads = 0

    def read_now(self, fn: Any) -> Any:
        self.reads += 1
        return self._store.read_now(fn)


def reach(known: KnownMailboxes, store: Any, name: str, viewer: int = 1) -> Any:
    return known.reach(store, AccountId(viewer), name, store.mark())


async def test_the_third_mailbox_asked_for_is_known_without_a_read(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        for name in ("A", "B", "C"):
            world.store.write_now(lambda tx, name=name: create_mailbox(tx, AccountId(1), name, now=NOW))
        store, known = Counting(world.store), KnownMailboxes()
        # There are no marks before the first read.
        for name in ("A", "A", "INBOX"):
            reach(known, store, name)
        read = store.reads
        for name in ("C", "B", "A", "INBOX"):
            expected = world.store.read_now(lambda tx, name=name: reach_mailbox(tx, AccountId(1), name))
            assert reach(known, store, name) == expected
        assert store.reads == read
        with pytest.raises(NoSuchMailbox):
            reach(known, store, "D")


async def test_nothing_is_known_once_anybody_has_written(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        known = KnownMailboxes()
        world.store.write_now(lambda tx: create_mailbox(tx, AccountId(1), "A", now=NOW))
        for _ in range(3):
            reach(known, world.store, "A")
        with closing(open_store(tmp_path)._engine) as another_process:
            another_process.write_now(lambda tx: create_mailbox(tx, AccountId(1), "B", now=NOW))
            another_process.write_now(lambda tx: delete_mailbox(tx, AccountId(1), "A", now=NOW))
        with pytest.raises(NoSuchMailbox):
            reach(known, world.store, "A")
        assert reach(known, world.store, "B").name == "B"


async def test_anothers_mailbox_is_read_each_time(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        box = world.store.write_now(lambda tx: create_mailbox(tx, AccountId(1), "A", now=NOW))
        rights = Rights.LOOKUP | Rights.READ
        world.store.write_now(lambda tx: set_acl(tx, AccountId(1), box.id, "bob@example.org", rights))
        store, known = Counting(world.store), KnownMailboxes()
        for count in range(1, 4):
            assert reach(known, store, "Shared/ann@example.org/A", viewer=2).rights == rights
            assert store.reads == count


async def test_of_many_mailboxes_some_are_kept(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:

        def make(tx: Any) -> None:
            for number in range(MOST_KEPT + 300):
                create_mailbox(tx, AccountId(1), f"box{number:04}", now=NOW)

        world.store.write_now(make)
        store, known = Counting(world.store), KnownMailboxes()
        for number in range(MOST_KEPT + 300):
            assert reach(known, store, f"box{number:04}").name == f"box{number:04}"
            assert len(known._found) <= MOST_KEPT
        # The account had some mailboxes from the start.
        assert store.reads < MOST_KEPT + 300 - AT_ONCE // 2
