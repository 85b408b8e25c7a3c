"""SORT and THREAD against Python's sorted, whatever changes meanwhile; results kept up to date, applied."""

import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from postino.core.numset import parse_sequence_set
from postino.mime.base_subject import base_subject
from postino.servers.imap.searching import key_cache
from postino.store.store import Store
from tests.support import world as worlds
from tests.support.memory_network import MemoryClient
from tests.support.world import NOW, World, open_world, serve_function
from tests.transcripts.seeds import add

SUBJECTS = ["Lunch", "Re: Lunch", "[x] Budget", "", "étude", "Re: Étude", "zoo"]
PEOPLE = ["ann@example.org", "Zoe <zoe@example.net>", "", "Bob <ab@example.net>"]


class Letters:
    """What was put into ann's INBOX, by UID."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.rng = random.Random(seed)
        self.by_uid: dict[int, tuple[str, str, int, int]] = {}

    async def arrive(self, count: int) -> None:
        for _ in range(count):
            subject, sender = self.rng.choice(SUBJECTS), self.rng.choice(PEOPLE)
            day, lines = self.rng.randrange(1, 9), self.rng.randrange(4)
            fields = f"Subject: {subject}\r\nDate: {day} Jan 2026 00:00:00 +0000\r\n"
            octets = (f"From: {sender}\r\n" if sender else "") + fields + "\r\n" + "line\r\n" * lines
            uid = await add(
                self.store, worlds.AccountId(1), octets.encode(), internal_date=worlds.Instant(NOW + day)
            )
            self.by_uid[uid] = (subject, sender, day, len(octets.encode()))


@asynccontextmanager
async def mailbox(tmp_path: Path, seed: int) -> AsyncIterator[tuple[World, MemoryClient, Letters]]:
    async with open_world(tmp_path) as world:
        letters = Letters(world.context.store, seed)
        await letters.arrive(20)
        async with MemoryClient(serve_function(world.context, "imap"), tls=True) as client:
            await client.quiet()
            assert b"a OK" in await client.ask(b"a LOGIN ann@example.org secret\r\n")
            assert b"s OK" in await client.ask(b"s SELECT INBOX\r\n")
            yield world, client, letters


def local_part(sender: str) -> str:
    return sender.partition("<")[2].partition("@")[0].upper() or sender.partition("@")[0].upper()


KEYS = {
    "SUBJECT": lambda letter: base_subject(letter[0])[0],
    "FROM": lambda letter: local_part(letter[1]),
    "DATE": lambda letter: letter[2],
    "ARRIVAL": lambda letter: letter[2],
    "SIZE": lambda letter: letter[3],
}


def in_order(letters: dict[int, tuple[str, str, int, int]], criteria: list[tuple[str, bool]]) -> list[int]:
    uids = sorted(letters)
    for name, is_reverse in reversed(criteria):
        uids = sorted(uids, key=lambda uid: KEYS[name](letters[uid]), reverse=is_reverse)
    return uids


async def test_sort_is_what_sorted_gives(tmp_path: Path) -> None:
    async with mailbox(tmp_path, 5) as (world, client, letters):
        rng = random.Random(6)
        for turn in range(30):
            if turn % 3 == 1:
                await letters.arrive(rng.randrange(3))
            if turn % 7 == 5:
                gone = rng.choice(sorted(letters.by_uid))
                del letters.by_uid[gone]
                await client.ask(b"d UID STORE %d +FLAGS.SILENT (\\Deleted)\r\n" % gone)
                await client.ask(b"d UID EXPUNGE %d\r\n" % gone)
            if turn == 20:
                # Nothing fits: everything is read again each time, and comes out the same.
                world.context.key_cache.octets = 10
            names = rng.sample(sorted(KEYS), rng.randrange(1, 4))
            criteria = [(name, rng.random() < 0.5) for name in names]
            wire = " ".join(f"REVERSE {name}" if is_reverse else name for name, is_reverse in criteria)
            few = f"UID {min(letters.by_uid)}:{min(letters.by_uid) + 1}" if turn % 5 == 4 else "ALL"
            told = await client.ask(f"q UID SORT ({wire}) UTF-8 {few}\r\n".encode())
            found = re.search(rb"\* SORT([0-9 ]*)\r\n", told)
            assert found is not None, told
            expected = in_order(letters.by_uid, criteria)
            if few != "ALL":
                first = min(letters.by_uid)
                expected = [uid for uid in expected if uid in (first, first + 1)]
            assert list(map(int, found[1].split())) == expected, (wire, turn)
        assert world.context.key_cache.used <= 10


def members(octets: bytes) -> list[int]:
    return [number for part in octets.split(b",") for number in parse_sequence_set(part).resolve(0)]


def applied(results: list[int], told: bytes, tag: bytes, *, is_sorted: bool) -> list[int]:
    """What a client makes of the ADDTO and REMOVEFROM items for one search (RFC 5267 §4.3)."""
    results = list(results)
    for item, pairs in re.findall(rb'\* ESEARCH \(TAG "%b"\) UID (ADDTO|REMOVEFROM) \(([^)]*)\)' % tag, told):
        words = pairs.split(b" ")
        for at, uids in zip(map(int, words[::2]), map(members, words[1::2]), strict=True):
            assert (at > 0) == is_sorted
            if item == b"ADDTO":
                assert not set(uids) & set(results)
                results = results[: at - 1] + uids + results[at - 1 :] if at else sorted(results + uids)
            elif at:
                assert results[at - 1 : at - 1 + len(uids)] == uids
                del results[at - 1 : at - 1 + len(uids)]
            else:
                assert set(uids) <= set(results)
                results = [uid for uid in results if uid not in uids]
    return results


@pytest.mark.parametrize("seed", range(3))
async def test_updates_applied_give_the_results(tmp_path: Path, seed: int) -> None:
    async with mailbox(tmp_path, seed) as (world, client, letters):
        searches = {b"U1": b"UID SORT RETURN (%b) (REVERSE DATE SUBJECT) UTF-8 UNSEEN",
                    b"U2": b"UID SEARCH RETURN (%b) OR FLAGGED SUBJECT tude"}  # fmt: skip
        results: dict[bytes, list[int]] = {}
        for tag, wire in searches.items():
            told = await client.ask(tag + b" " + wire % b"UPDATE ALL" + b"\r\n")
            results[tag] = all_of(told)
        rng = random.Random(seed)
        async with MemoryClient(serve_function(world.context, "imap"), tls=True) as other:
            await other.quiet()
            await other.ask(b"a LOGIN ann@example.org secret\r\n")
            await other.ask(b"s SELECT INBOX\r\n")
            for _ in range(25):
                told = b""
                uid = rng.randrange(1, max(letters.by_uid) + 1)
                flag, sign = rng.choice([b"Seen", b"Flagged"]), rng.choice([b"+", b"-"])
                match rng.randrange(5):
                    case 0:
                        await letters.arrive(rng.randrange(1, 4))
                    case 1:
                        await other.ask(b"x UID STORE %d:%d %bFLAGS (\\%b)\r\n" % (uid, uid + 3, sign, flag))
                    case 2:
                        told = await client.ask(
                            b"x UID STORE %d %bFLAGS.SILENT (\\%b)\r\n" % (uid, sign, flag)
                        )
                    case 3:
                        await other.ask(b"x UID STORE %d +FLAGS (\\Deleted)\r\n" % uid)
                        await other.ask(b"x UID EXPUNGE %d\r\n" % uid)
                    case _:
                        told = await client.ask(b"x FETCH 1 FLAGS\r\n")
                told += await client.ask(b"n NOOP\r\n")
                for tag, wire in searches.items():
                    results[tag] = applied(results[tag], told, tag, is_sorted=tag == b"U1")
                    now = all_of(await client.ask(b"q " + wire % b"ALL" + b"\r\n"))
                    assert results[tag] == now, told


def all_of(told: bytes) -> list[int]:
    found = re.search(rb" ALL ([0-9:,]+)", told)
    return members(found[1]) if found is not None else []


async def test_thread_answers_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with mailbox(tmp_path, 1) as (_, client, letters):
        first = await client.ask(b"q UID THREAD REFERENCES UTF-8 ALL\r\n")
        reads: list[object] = []
        monkeypatch.setattr(key_cache, "_read", lambda *args: reads.append(args))
        assert await client.ask(b"q UID THREAD REFERENCES UTF-8 ALL\r\n") == first
        assert reads == []
        monkeypatch.undo()
        await letters.arrive(1)
        told = await client.ask(b"q UID THREAD REFERENCES UTF-8 ALL\r\n")
        assert b"%d" % max(letters.by_uid) in told


async def test_many_messages_are_sorted_and_threaded_beside_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("ordering", "thread"):
        monkeypatch.setattr(f"postino.servers.imap.searching.{module}.IN_PLACE", 3)
    monkeypatch.setattr(key_cache, "READ_IN_PLACE", 3)
    monkeypatch.setattr(key_cache, "PIECE", 7)
    monkeypatch.setattr(key_cache, "MOST_APART", 10)
    async with mailbox(tmp_path, 2) as (_, client, letters):
        told = await client.ask(b"q UID SORT (SUBJECT) UTF-8 ALL\r\n")
        expected = " ".join(map(str, in_order(letters.by_uid, [("SUBJECT", False)])))
        assert f"* SORT {expected}\r\n".encode() in told
        told = await client.ask(b"q UID THREAD ORDEREDSUBJECT UTF-8 ALL\r\n")
        assert sorted(map(int, re.findall(rb"\d+", told.partition(b"\r\n")[0]))) == sorted(letters.by_uid)
