"""The answers kept for lists: bounded, and the same as those made afresh whatever happens meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from postino.core.address import parse_address
from postino.core.ids import AccountId, MailboxId
from postino.servers.imap.messages.list_cache import (
    ENTRY_OCTETS,
    LEAST_PACKED,
    SHELF_OCTETS,
    ListCache,
    Shelf,
)
from postino.store import accounts
from postino.store.store import Store
from tests.support import world as worlds
from tests.support.memory_network import MemoryClient
from tests.support.world import NOW, World, open_world, serve_function
from tests.transcripts.seeds import add

ANN, BOB = AccountId(1), AccountId(2)
INBOX = MailboxId(7)
LIST = b"FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE ENVELOPE BODY[HEADER.FIELDS (Subject)])"


def test_what_was_put_is_found() -> None:
    cache = ListCache()
    cache.put(cache.shelf(ANN, INBOX, b"ENVELOPE %b"), [3, 5], [b"three", b"five"])
    assert cache.shelf(ANN, INBOX, b"ENVELOPE %b").find([3, 4, 5]) == [b"three", None, b"five"]
    for other in (
        cache.shelf(BOB, INBOX, b"ENVELOPE %b"),
        cache.shelf(ANN, MailboxId(8), b"ENVELOPE %b"),
        cache.shelf(ANN, INBOX, b"BODYSTRUCTURE %b"),
    ):
        assert other.find([3]) == [None]


def test_the_shelf_not_used_for_longest_goes_first() -> None:
    cache = ListCache(4 * (SHELF_OCTETS + ENTRY_OCTETS + 100))
    for mailbox in range(3):
        cache.put(cache.shelf(ANN, MailboxId(mailbox), b""), [1], [bytes(100)])
    cache.shelf(ANN, MailboxId(0), b"")
    for mailbox in (3, 4):
        cache.put(cache.shelf(ANN, MailboxId(mailbox), b""), [1], [bytes(100)])
        assert cache.used <= cache.octets
    assert cache.shelf(ANN, MailboxId(0), b"").find([1]) == [bytes(100)]
    assert cache.shelf(ANN, MailboxId(1), b"").find([1]) == [None]


def test_one_shelf_never_takes_all_the_room() -> None:
    cache = ListCache(10 * SHELF_OCTETS)
    shelf = cache.shelf(ANN, INBOX, b"")
    for uid in range(1, 1000):
        cache.put(shelf, [uid], [bytes(100)])
    assert 0 < shelf.octets <= cache.octets // 2
    assert cache.used == shelf.octets


def test_room_is_bounded_however_many_lists_are_invented() -> None:
    cache = ListCache(50 * SHELF_OCTETS)
    for number in range(1000):
        cache.shelf(ANN, INBOX, b"BODY[HEADER.FIELDS (%d)]" % number + b"x" * 1000)
        assert cache.used <= cache.octets


def _answer(uid: int) -> bytes:
    return b"ENVELOPE of %d %%d %%%%: " % uid + b"much the same for all" * 20


def _packing_cache(kept: range, room: int = 1 << 20) -> tuple[ListCache, Shelf]:
    """A cache with a shelf that is past what is kept as it is, and has these packed."""
    cache = ListCache(room)
    shelf = cache.shelf(ANN, INBOX, b"")
    cache.put(shelf, [1], [bytes(room // 8 - SHELF_OCTETS - ENTRY_OCTETS)])
    for start in range(kept.start, kept.stop, LEAST_PACKED):
        uids = range(start, min(start + LEAST_PACKED, kept.stop))
        cache.put(shelf, uids, [_answer(uid) for uid in uids])
    return cache, shelf


def test_a_large_shelf_is_kept_compressed() -> None:
    kept = range(100, 100 + 20 * LEAST_PACKED)
    cache, shelf = _packing_cache(kept)
    assert shelf.count == 1 + len(kept)
    assert cache.used == shelf.octets < cache.octets // 2 < shelf.said_octets
    assert shelf.find(kept) == [_answer(uid) for uid in kept]
    for part in (kept[5:6], kept[:LEAST_PACKED], kept[100:150], kept[1:300], kept[7::3]):
        assert shelf.find(part) == [_answer(uid) for uid in part]
    around = range(50, kept.stop + 50)
    assert shelf.find(around) == [_answer(uid) if uid in kept else None for uid in around]


def test_whole_packs_are_given_in_one() -> None:
    kept = range(100, 100 + 4 * LEAST_PACKED)
    _, shelf = _packing_cache(kept)
    joined = shelf.joined(kept)
    assert joined is not None
    assert joined % () == b"\r\n".join([_answer(uid) for uid in kept])
    second = kept[LEAST_PACKED : 2 * LEAST_PACKED]
    joined = shelf.joined(second)
    assert joined is not None
    assert joined % () == b"\r\n".join([_answer(uid) for uid in second])
    for part in (
        kept[1:],
        kept[:-1],
        kept[::2],
        range(99, kept.stop),
        range(100, kept.stop + 1),
        range(1, 2),
        (),
    ):
        assert shelf.joined(part) is None


def test_new_answers_between_and_beside_packs_are_found() -> None:
    kept = [*range(100, 100 + LEAST_PACKED), *range(500, 500 + 2 * LEAST_PACKED, 2)]
    cache, shelf = _packing_cache(range(100, 100 + LEAST_PACKED))
    cache.put(shelf, kept[LEAST_PACKED:], [_answer(uid) for uid in kept[LEAST_PACKED:]])
    for new in ([499], [501, 503, 999], [2], [5000]):
        cache.put(shelf, new, [_answer(uid) for uid in new])
        kept += new
        every = range(2, 6000)
        assert shelf.find(every) == [_answer(uid) if uid in kept else None for uid in every]
        assert shelf.find([new[0]]) == [_answer(new[0])]
    assert shelf.count == len(kept) + 1


def test_what_lies_among_a_pack_is_kept_as_it_is() -> None:
    cache, shelf = _packing_cache(range(0))
    even, odd = range(2, 802, 2), range(3, 803, 2)
    for uids in (even, odd):
        cache.put(shelf, uids, [_answer(uid) for uid in uids])
    assert shelf.find(range(2, 802)) == [_answer(uid) for uid in range(2, 802)]
    assert shelf.find(odd) == [_answer(uid) for uid in odd]


def test_answers_with_what_parts_packs_stay_whole() -> None:
    cache, shelf = _packing_cache(range(0))
    uids = range(2, 2 + LEAST_PACKED)
    answers = [b"BODY[HEADER.FIELDS (X)] {3}\r\n%03d" % uid for uid in uids]
    cache.put(shelf, uids, answers)
    assert shelf.find(uids) == answers


def test_a_compressed_shelf_never_takes_all_the_room_either() -> None:
    cache, shelf = _packing_cache(range(2, 50_000))
    assert shelf.octets <= cache.octets // 2
    assert cache.used == shelf.octets
    assert shelf.find([2]) == [_answer(2)]
    assert shelf.find([49_999]) == [None]


def test_a_forgotten_shelf_still_serves_but_takes_nothing() -> None:
    cache = ListCache(3 * SHELF_OCTETS)
    shelf = cache.shelf(ANN, INBOX, b"")
    cache.put(shelf, [1], [b"x"])
    cache.shelf(ANN, INBOX, b"other" * 300)
    assert not shelf.is_kept
    used = cache.used
    cache.put(shelf, [2], [b"y"])
    assert shelf.find([1, 2]) == [b"x", None]
    assert cache.used == used


# Through whole sessions


async def _three(store: Store, ids: dict[str, AccountId]) -> None:
    for number in range(1, 4):
        await add(store, ids["ann"], b"Subject: number %d\r\n\r\ntext\r\n" % number)


@asynccontextmanager
async def _session(world: World, login: bytes = b"ann") -> AsyncIterator[MemoryClient]:
    async with MemoryClient(serve_function(world.context, "imap"), tls=True) as client:
        await client.quiet()
        await client.ask(b"l LOGIN %b@example.org secret\r\n" % login)
        await client.ask(b"s SELECT INBOX\r\n")
        yield client


async def _ask(client: MemoryClient, command: bytes) -> bytes:
    return await client.ask(b"a " + command + b"\r\n")


async def _afresh(world: World, login: bytes = b"ann") -> bytes:
    """The list as a server says it that has kept nothing."""
    kept, world.context.list_cache = world.context.list_cache, ListCache(0)
    try:
        async with _session(world, login) as client:
            return await _ask(client, LIST)
    finally:
        world.context.list_cache = kept


async def test_lists_stay_right_while_the_mailbox_changes(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, seed_name="list-cache", seed=_three) as world,
        _session(world) as client,
        _session(world) as other,
    ):
        assert await _ask(client, LIST) == await _ask(client, LIST) == await _afresh(world)
        for command in (
            b"STORE 2 +FLAGS (\\Deleted \\Flagged)",
            b"COPY 1,3 INBOX",
            b"EXPUNGE",
            b"UID MOVE 3 Archive",
            b"COPY 1 Archive",
        ):
            await _ask(other, command)
            await _ask(client, b"NOOP")
            assert await _ask(client, LIST) == await _afresh(world)
        await _ask(client, b"SELECT Archive")
        first = await _ask(client, LIST)
        assert first.count(b" FETCH (") == 2
        assert first == await _ask(client, LIST)


async def _three_hundred(store: Store, ids: dict[str, AccountId]) -> None:
    for number in range(1, 301):
        await add(store, ids["ann"], b"Subject: number %d, 100%%d\r\n\r\ntext\r\n" % number)


async def test_lists_from_packs_are_those_made_afresh(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, seed_name="list-cache-packs", seed=_three_hundred) as world,
        _session(world) as client,
    ):
        world.context.list_cache = cache = ListCache(200_000)
        for command in (b"NOOP", b"STORE 7,90:100 +FLAGS (\\Seen \\Deleted)", b"EXPUNGE", b"COPY 3 INBOX"):
            await _ask(client, command)
            first = await _ask(client, LIST)
            assert first == await _ask(client, LIST) == await _afresh(world)
        assert b"number 3, 100%d" in first
        (shelf,) = cache._shelves.values()
        assert shelf._packs


async def test_a_message_gone_meanwhile_is_not_told_from_memory(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, seed_name="list-cache", seed=_three) as world,
        _session(world) as client,
        _session(world) as other,
    ):
        await _ask(client, LIST)
        await _ask(other, b"STORE 2 +FLAGS.SILENT (\\Deleted)")
        await _ask(other, b"EXPUNGE")
        answer = await _ask(client, LIST)
        assert b"number 2" not in answer
        assert b"\r\na NO [EXPUNGEISSUED]" in answer
        assert b"number 3" in answer


async def test_an_account_made_anew_sees_nothing_of_the_old_one(tmp_path: Path) -> None:
    async with open_world(tmp_path, seed_name="list-cache", seed=_three) as world:
        async with _session(world) as client:
            await _ask(client, LIST)

        def replace(tx: object) -> AccountId:
            account = accounts.account_by_login(tx, "ann@example.org")  # type: ignore[arg-type]
            assert account is not None
            accounts.remove_account(tx, account.id)  # type: ignore[arg-type]
            return accounts.create_account(
                tx,  # type: ignore[arg-type]
                parse_address("ann@example.org"),
                *worlds.test_credentials(),
                0,
                NOW,
            )

        account_id = await world.store.write(replace)
        await add(world.store, account_id, b"Subject: new\r\n\r\n")
        async with _session(world) as client:
            answer = await _ask(client, LIST)
        assert b"Subject: new" in answer
        assert b"number" not in answer
