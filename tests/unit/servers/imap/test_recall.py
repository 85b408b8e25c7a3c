"""Searches answered from memory against the store's own, whatever changes in between and however they are read."""

import random
import re
from array import array
from itertools import pairwise
from pathlib import Path

import pytest

from postino.core.flags import flag_set
from postino.core.numset import NumberSet
from postino.core.search import BodyContains, Fuzzy, HeaderContains, Negated
from postino.servers.imap.searching import key_cache, recall, search
from postino.store.search import search_mailbox
from tests.support import world as worlds
from tests.support.memory_network import MemoryClient
from tests.support.world import NOW, World, open_world, serve_function
from tests.transcripts.seeds import add

KEYS = [
    "ALL", "SEEN", "UNSEEN", "DELETED", "UNFLAGGED", "KEYWORD $WORK", "UNKEYWORD $w", "1:7", "UID 5:*", "$",
    "LARGER 190", "SMALLER 190", "BEFORE 4-Jan-2026", "SINCE 4-Jan-2026", "ON 3-Jan-2026", "OLDER 86400",
    "YOUNGER 1", "SAVEDBEFORE 2-Jan-2026", "SAVEDSINCE 1-Jan-2026", "SENTBEFORE 5-Jan-2026",
    "SENTSINCE 5-Jan-2026", "MODSEQ 40", "FROM zoe", 'FROM "@EXAMPLE.org"', "TO bob", "CC ann", "BCC x",
    'SUBJECT "re: l"', "SUBJECT lunch", "HEADER Subject étude", 'HEADER Subject ""', 'HEADER Bcc ""',
    'BODY ""', 'TEXT ""', "BODY line", "TEXT zoo", "HEADER X-Note y",
]  # fmt: skip


def octets_of(rng: random.Random) -> bytes:
    subject = rng.choice(["Lunch", "Re: Lunch", "", "étude", "zoo"])
    lines = [f"Subject: {subject}"] if subject or rng.random() < 0.5 else []
    lines.append(f"Date: {rng.randrange(1, 9)} Jan 2026 00:00:00 +0000")
    lines += [
        f"{name}: {rng.choice(['ann@example.org', 'Zoe <zoe@example.net>', 'bob@x'])}"
        for name in ("From", "To", "Cc", "Bcc")
        if rng.random() < 0.6
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + "line\r\n" * rng.randrange(4)).encode()


async def arrive(world: World, rng: random.Random, count: int) -> None:
    for _ in range(count):
        names = [name for name in ("\\Seen", "\\Deleted", "\\Flagged", "$Work") if rng.random() < 0.3]
        date = worlds.Instant(NOW + 86_400 * rng.randrange(-2, 6))
        octets = octets_of(rng)
        await add(world.store, worlds.AccountId(1), octets, flags=flag_set(names), internal_date=date)


def a_key(rng: random.Random, depth: int = 0) -> str:
    kind = rng.randrange(8) if depth < 3 else 7
    if kind == 0:
        return f"NOT {a_key(rng, depth + 1)}"
    if kind == 1:
        return f"OR {a_key(rng, depth + 1)} {a_key(rng, depth + 1)}"
    if kind == 2:
        return "(" + " ".join(a_key(rng, depth + 1) for _ in range(rng.randrange(1, 4))) + ")"
    return rng.choice(KEYS)


@pytest.fixture(params=["in place", "beside", "without room"])
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "beside":
        monkeypatch.setattr(recall, "IN_PLACE", 3)
        monkeypatch.setattr(key_cache, "READ_IN_PLACE", 3)
    return str(request.param)


async def test_memory_answers_as_the_store_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reading: str
) -> None:
    rng = random.Random(7)
    recalled: list[bool] = []

    async def both(session, selected, criterion):  # type: ignore[no-untyped-def]
        found = await recall.recall(session, selected, criterion)
        stored = selected.view.known(
            await search_mailbox(
                session.context.store, selected.account_id, selected.id, criterion, session.limits
            )
        )
        recalled.append(found is not None)
        assert found is None or found == stored, criterion
        return found

    monkeypatch.setattr(search, "recall", both)
    async with open_world(tmp_path) as world:
        if reading == "without room":
            world.context.key_cache.octets = 10
        await arrive(world, rng, 30)
        serve = serve_function(world.context, "imap")
        async with MemoryClient(serve, tls=True) as one, MemoryClient(serve, tls=True) as two:
            for client in (one, two):
                await client.quiet()
                assert b"a OK" in await client.ask(b"a LOGIN ann@example.org secret\r\n")
                assert b"s OK" in await client.ask(b"s SELECT INBOX\r\n")
            for turn in range(120):
                if turn % 6 == 1:
                    await arrive(world, rng, rng.randrange(1, 4))
                if turn % 5 == 2:
                    change = rng.choice(
                        [b"+FLAGS (\\Seen $w)", b"-FLAGS (\\Seen)", b"+FLAGS.SILENT (\\Deleted)"]
                    )
                    await two.ask(b"t UID STORE %d:* %b\r\n" % (rng.randrange(1, 30), change))
                if turn % 20 == 7:
                    await two.ask(b"t EXPUNGE\r\n")
                    await arrive(world, rng, 6)
                prefix = "UID " if rng.random() < 0.5 else ""
                save = "RETURN (SAVE ALL) " if rng.random() < 0.2 else ""
                line = f"q {prefix}SEARCH {save}CHARSET UTF-8 {a_key(rng)} {a_key(rng)}\r\n"
                parts = re.split("(étude)", line)
                # A literal, for a client that did not enable UTF-8.
                wire = b"".join(b"{6+}\r\n" + p.encode() if p == "étude" else p.encode() for p in parts)
                assert b"q OK" in await one.ask(wire), wire
            assert sum(recalled) > 40
            assert len(recalled) > sum(recalled)


async def test_what_memory_cannot_answer_is_left_to_the_store() -> None:
    for criterion in (
        BodyContains("x"),
        HeaderContains("x-note", "y"),
        HeaderContains("subject", ""),
        Fuzzy(HeaderContains("subject", "y")),
    ):
        assert recall._columns(criterion) is None
        assert recall._columns(Negated(criterion)) is None


async def test_texts_of_a_large_mailbox_are_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "MOST_VALUES", 10)
    rng = random.Random(1)
    async with open_world(tmp_path) as world:
        await arrive(world, rng, 11)
        async with MemoryClient(serve_function(world.context, "imap"), tls=True) as client:
            await client.quiet()
            await client.ask(b"a LOGIN ann@example.org secret\r\n")
            await client.ask(b"s SELECT INBOX\r\n")
            used = world.context.key_cache.used
            assert b"q OK" in await client.ask(b"q SEARCH FROM zoe\r\n")
            assert world.context.key_cache.used == used
            await client.ask(b"s UID STORE 1 +FLAGS.SILENT (\\Deleted)\r\n")
            await client.ask(b"s EXPUNGE\r\n")
            assert b"q OK" in await client.ask(b"q SEARCH FROM zoe\r\n")
            assert world.context.key_cache.used > used


def test_sets_of_uids_with_gaps() -> None:
    uids = array("I", [2, 3, 7, 9, 10, 40])
    known = recall.Known(uids, [flag_set()] * 6, array("Q", [1] * 6), {})
    rng = random.Random(3)
    for _ in range(200):
        cuts = sorted(rng.sample(range(1, 50), 6))
        wanted = NumberSet(list(pairwise(cuts))[::2])
        assert known.matching(recall.UidIn(wanted)) == [uid for uid in uids if uid in wanted]
