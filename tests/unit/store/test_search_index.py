"""Searching with the index: the same answers as without, whatever state the index is in."""

import asyncio

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postino.core.numset import NumberSet
from postino.core.search import (
    AllOf,
    AnyOf,
    BodyContains,
    Fuzzy,
    HasFlags,
    HeaderContains,
    Negated,
    TextContains,
    UidIn,
)
from postino.store.accounts import remove_account
from postino.store.fetch import MessageOctets
from postino.store.fuzzy import differ_by_one, words_of
from postino.store.messages import append, copy, expunge
from postino.store.search import relevancies, search, search_mailbox
from postino.store.store import open_store
from postino.store.sweep import RETENTION_SECONDS, sweep_store
from postino.store.text_index import indexer as indexer_module
from postino.store.text_index import segment as segment_module
from postino.store.text_index.folder import current_run
from postino.store.text_index.indexer import CLEAN_SECONDS, AccountIndexing
from tests.support.stored import LIMITS, NOW, email, findings, inbox_of, make_accounts

WORDS = ["apple", "pear", "Straße", "café", "plum-tree", "a", "of the", "Ünïcode", "x\r\ny", "ﬁne"]


@pytest.fixture(autouse=True)
def small_segments(monkeypatch):
    monkeypatch.setattr(segment_module, "MOST_DOCUMENTS", 4)
    monkeypatch.setattr(indexer_module, "MOST_DOCUMENTS", 4)
    monkeypatch.setattr(indexer_module, "_SMALL_DOCUMENTS", 2)
    monkeypatch.setattr(indexer_module, "_BATCH", 3)


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path, first=True)
    yield opened
    assert findings(opened) == []
    opened.close_now()


@pytest.fixture
def ann(store):
    return make_accounts(store, "ann", "bob")[0]


@pytest.fixture
def inbox(store, ann):
    return inbox_of(store, ann)


def message(n: int):
    """The n-th of messages that have some words in header and body."""
    header = (
        f"From: {WORDS[n % 10]} <u{n % 4}@example.org>\r\nSubject: {WORDS[n * 3 % 10]} {n}\r\n"
        + (f"Subject: second {WORDS[n * 7 % 10]}\r\n" if n % 5 == 0 else "")
        + (f"X-Note: {WORDS[n * 7 % 10]}\r\n" if n % 3 == 0 else "")
        + "Content-Type: text/plain; charset=utf-8\r\n\r\n"
    ).encode()
    return email(f"{WORDS[n % 7]} and {WORDS[n % 3]}\r\n{WORDS[n % 10]} {n}\r\n".encode(), header=header)


def put(store, account, mailbox, numbers):
    for n in numbers:
        store.write_now(lambda tx, n=n: append(tx, account, mailbox, message(n), now=NOW))


def index(store, account, *, now=NOW) -> int:
    """Index all there is; gives how many messages were new."""
    visit = AccountIndexing(store.texts, account, store.blobs, LIMITS, now)
    while visit.step(store.read_now):
        pass
    return visit.documents


def plain(store, account, mailbox, criterion):
    return store.read_now(lambda tx: search(tx, account, mailbox, criterion, LIMITS, store.blobs))


def texts(needle):
    return st.one_of(
        st.builds(HeaderContains, st.sampled_from(["subject", "from", "x-note", "content-type"]), needle),
        st.builds(BodyContains, needle),
        st.builds(TextContains, needle),
    )


NEEDLES = st.one_of(
    st.sampled_from([*WORDS, "", "STRASSE", "cafe", "e and", "d a", "plum", "-", "fi", "second", "\r\n", " ", "1", "zzz"]),
    st.builds(lambda a, b, i, j: f"{a} {b}"[i : i + j], st.sampled_from(WORDS), st.sampled_from(WORDS),
              st.integers(0, 8), st.integers(1, 9)),
)  # fmt: skip
CRITERIA = st.recursive(
    st.one_of(texts(NEEDLES), st.builds(UidIn, st.builds(NumberSet.of, st.sets(st.integers(1, 45))))),
    lambda inner: st.one_of(
        st.builds(Negated, inner),
        st.builds(lambda keys: AllOf(tuple(keys)), st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda keys: AnyOf(tuple(keys)), st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=4,
)


@pytest.mark.parametrize("indexed", [0, 3, 17, 40])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_with_an_index_of_some_messages_a_search_finds_the_same(tmp_path_factory, indexed, data) -> None:
    store, ann, inbox = _prepared(tmp_path_factory, indexed)
    criterion = data.draw(CRITERIA)
    found = asyncio.run(search_mailbox(store, ann, inbox, criterion, LIMITS))
    assert found == plain(store, ann, inbox, criterion)


_stores = {}


def _prepared(tmp_path_factory, indexed):
    """40 messages, some of which are indexed; 10 more were copied within the mailbox, some expunged."""
    if indexed not in _stores:
        store = open_store(tmp_path_factory.mktemp("indexed"), first=True)
        ann, bob = make_accounts(store, "ann", "bob")
        inbox = inbox_of(store, ann)
        put(store, bob, inbox_of(store, bob), range(5))
        put(store, ann, inbox, range(indexed))
        put(store, ann, inbox_of(store, ann, "Trash"), range(indexed // 4))
        assert index(store, ann) == indexed + indexed // 4
        put(store, ann, inbox, range(indexed, 40))
        store.write_now(lambda tx: copy(tx, ann, inbox, NumberSet([(10, 12)]), inbox, now=NOW))
        store.write_now(lambda tx: expunge(tx, ann, inbox, NumberSet([(5, 6)]), only_deleted=False, now=NOW))
        _stores[indexed] = store, ann, inbox
    return _stores[indexed]


def answers(store, account, mailbox):
    """Some searches, with the index and without."""
    for criterion in (
        BodyContains("pear"),
        TextContains("of the"),
        HeaderContains("subject", "second"),
        HeaderContains("x-note", ""),
        AllOf((Negated(BodyContains("apple")), TextContains("a"))),
    ):
        yield (
            asyncio.run(search_mailbox(store, account, mailbox, criterion, LIMITS)),
            plain(store, account, mailbox, criterion),
        )


def assert_right(store, account, mailbox):
    for found, right in answers(store, account, mailbox):
        assert found == right


def documents_of(store, account) -> int:
    with store.texts.reading(account) as opened:
        return opened.extent().documents if opened is not None else -1


def test_indexing_goes_on_where_it_ended(store, ann, inbox) -> None:
    assert index(store, ann) == 0
    assert documents_of(store, ann) == -1  # an empty account has no file
    put(store, ann, inbox, range(6))
    assert index(store, ann) == 6
    assert index(store, ann) == 0
    put(store, ann, inbox, range(6, 15))
    assert index(store, ann) == 9
    with store.texts.reading(ann) as opened:
        extent = opened.extent()
    assert (extent.documents, extent.recent) == (15, 3)
    assert_right(store, ann, inbox)


def test_a_visit_that_is_broken_off_is_made_up_for(store, ann, inbox) -> None:
    put(store, ann, inbox, range(30))
    for steps in range(0, 60, 7):
        visit = AccountIndexing(store.texts, ann, store.blobs, LIMITS, NOW)
        for _ in range(steps):
            if not visit.step(store.read_now):
                break
        visit.close()
        assert_right(store, ann, inbox)
    index(store, ann)
    assert documents_of(store, ann) == 30


def test_a_lost_index_and_a_damaged_one_are_made_anew(store, ann, inbox) -> None:
    put(store, ann, inbox, range(20))
    index(store, ann)
    path = store.texts.path(ann)
    store.texts.close()
    path.write_bytes(b"\0" * 20_000)
    assert_right(store, ann, inbox)
    assert not path.exists()
    assert store.texts.take_missing() == {ann}
    assert index(store, ann) == 20
    assert_right(store, ann, inbox)
    store.texts.close()
    content = bytearray(path.read_bytes())
    at = content.index(b"pear") if b"pear" in content else len(content) // 2
    content[at : at + 4] = b"paer"
    path.write_bytes(content)
    assert_right(store, ann, inbox)


def test_an_index_that_was_ahead_of_the_store_is_not_used(tmp_path) -> None:
    """A backup of the database, of before the last run, put beside the newest index."""
    store = open_store(tmp_path, first=True)
    (ann,) = make_accounts(store, "ann")
    inbox = inbox_of(store, ann)
    put(store, ann, inbox, range(9))
    store.close_now()
    database = tmp_path / "postino.sqlite"
    backup = database.read_bytes()
    store = open_store(tmp_path, first=True)
    put(store, ann, inbox, range(9, 20))
    index(store, ann)
    store.close_now()
    database.write_bytes(backup)
    store = open_store(tmp_path, first=True)
    # Other messages get the content ids of those that are gone.
    put(store, ann, inbox, range(31, 45))
    assert_right(store, ann, inbox)
    assert index(store, ann) == 23
    assert_right(store, ann, inbox)
    assert findings(store) == []
    store.close_now()


def test_an_index_survives_orderly_and_other_ends_of_the_server(tmp_path) -> None:
    store = open_store(tmp_path, first=True)
    (ann,) = make_accounts(store, "ann")
    put(store, ann, inbox_of(store, ann), range(9))
    index(store, ann)
    runs = {store.read_now(current_run)}
    for ends_well in (True, False, True):
        store._ends_run = store._ends_run and ends_well
        store.close_now()
        store = open_store(tmp_path, first=True)
        runs.add(store.read_now(current_run))
        assert index(store, ann) == 0
        assert_right(store, ann, inbox_of(store, ann))
    assert len(runs) == 4
    store.close_now()


async def test_what_was_swept_leaves_the_index_and_small_segments_are_joined(store, ann, inbox) -> None:
    put(store, ann, inbox, range(30))
    index(store, ann)
    gone = NumberSet([(1, 9), (11, 11), (13, 13), (15, 15), (29, 30)])
    store.write_now(lambda tx: expunge(tx, ann, inbox, gone, only_deleted=False, now=NOW))
    later = NOW + RETENTION_SECONDS + 1
    await sweep_store(store, now=later)
    index(store, ann, now=NOW + CLEAN_SECONDS - 1)
    assert documents_of(store, ann) == 30
    index(store, ann, now=later + CLEAN_SECONDS)
    assert documents_of(store, ann) == 30 - len(gone)
    with store.texts.reading(ann) as opened:
        rows = opened.segments()
        kept = [content_id for row in rows for content_id in opened.segment(row.number).ids]
    assert kept == sorted(kept)
    assert len(rows) < 7
    for criterion in (BodyContains("pear"), TextContains("of the"), HeaderContains("subject", "second")):
        assert await search_mailbox(store, ann, inbox, criterion, LIMITS) == plain(
            store, ann, inbox, criterion
        )
    expunge_all = NumberSet([(1, 100)])
    store.write_now(lambda tx: expunge(tx, ann, inbox, expunge_all, only_deleted=False, now=later))
    await sweep_store(store, now=later + RETENTION_SECONDS + 1)
    index(store, ann, now=later + 3 * CLEAN_SECONDS)
    assert documents_of(store, ann) == 0


def test_the_index_goes_with_its_account(store, ann, inbox) -> None:
    put(store, ann, inbox, range(5))
    index(store, ann)
    store.write_now(lambda tx: remove_account(tx, ann))
    assert index(store, ann) == 0
    assert not store.texts.path(ann).exists()


def test_what_cannot_be_read_stays_out_and_is_read_when_searched(store, ann, inbox) -> None:
    put(store, ann, inbox, range(9))
    store.write_now(
        lambda tx: tx.run("UPDATE octets SET codec=1 WHERE content_id=(SELECT min(content_id) FROM octets)")
    )
    assert index(store, ann) == 8
    store.write_now(lambda tx: tx.run("UPDATE octets SET codec=0 WHERE codec=1"))
    assert documents_of(store, ann) == 8
    assert_right(store, ann, inbox)


def test_nobody_else_may_read_an_index(store, ann, inbox) -> None:
    put(store, ann, inbox, range(5))
    index(store, ann)
    path = store.texts.path(ann)
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


async def test_searches_deliveries_and_indexing_go_on_together(store, ann, inbox) -> None:
    new = email(b"needle in hay\r\n")
    stop = asyncio.Event()

    async def deliver_some():
        for _ in range(60):
            await store.write(lambda tx: append(tx, ann, inbox, new, now=NOW))
        stop.set()

    async def index_some():
        while not stop.is_set():
            visit = AccountIndexing(store.texts, ann, store.blobs, LIMITS, NOW)
            while await store.read_in_pieces(visit.step):
                pass
            await asyncio.sleep(0)

    async def search_some():
        before = 0
        while not stop.is_set():
            found = await search_mailbox(store, ann, inbox, BodyContains("le in h"), LIMITS)
            assert len(found) >= before
            before = len(found)

    await asyncio.gather(deliver_some(), index_some(), search_some())
    assert len(await search_mailbox(store, ann, inbox, TextContains("NEEDLE"), LIMITS)) == 60


async def test_a_busy_index_makes_nobody_wait_for_long(store, ann, inbox, monkeypatch) -> None:
    put(store, ann, inbox, range(12))
    index(store, ann)
    other = apsw.Connection(str(store.texts.path(ann)))
    other.execute("BEGIN IMMEDIATE")
    assert await search_mailbox(store, ann, inbox, BodyContains("pear"), LIMITS)
    other.close()


# FUZZY


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [("helo", "hello", True), ("helo", "help", True), ("helo", "hleo", True), ("helo", "elo", True),
     ("helo", "helo", False), ("helo", "halo!", False), ("helo", "yellow", False), ("", "a", True)],
)  # fmt: skip
def test_words_differ_by_one_letter(one, other, alike) -> None:
    assert differ_by_one(one, other) is alike
    assert differ_by_one(other, one) is alike


def test_words_are_found_in_what_is_looked_for() -> None:
    assert words_of("IMAP  break, IMAP!") == ["imap", "break"]
    assert words_of("Café “noir” – 漢字") == ["cafe\u0301", "noir", "漢字"]
    assert words_of("...") == []
    assert len(words_of(" ".join(map(str, range(100))))) == 16


@pytest.mark.parametrize("indexed", [False, True])
async def test_fuzzy_finds_words_in_any_order_and_what_is_like_them(store, ann, inbox, indexed) -> None:
    bodies = [
        b"hello world",
        b"the world says hello",
        b"help!",
        b"helpless",
        b"nothing",
        b"othello",
        b"yellow",
    ]
    for body in [*bodies, *[b"else"] * 5]:
        store.write_now(lambda tx, body=body: append(tx, ann, inbox, email(body, subject="S"), now=NOW))
    if indexed:
        index(store, ann)

    async def find(criterion):
        return await search_mailbox(store, ann, inbox, criterion, LIMITS)

    assert await find(Fuzzy(BodyContains("world hello"))) == [1, 2]
    assert await find(Fuzzy(TextContains("hello"))) == [1, 2, 6]
    # RFC 6203 §4: "hello", "help" and other similar strings for "Helo"
    assert await find(Fuzzy(TextContains("Helo"))) == [1, 2, 3, 4, 6]
    assert await find(Fuzzy(BodyContains("zzzz"))) == []
    assert await find(AllOf((Fuzzy(BodyContains("Helo")), Negated(BodyContains("world"))))) == [3, 4, 6]
    assert await find(Fuzzy(AllOf((BodyContains("Helo"), HasFlags(0))))) == [1, 2, 3, 4, 6]
    assert await find(Fuzzy(Negated(BodyContains("Helo")))) == list(range(1, 13))
    assert await find(Fuzzy(HeaderContains("subject", "..."))) == []

    scores = await relevancies(store, ann, inbox, Fuzzy(BodyContains("hello world")), [1, 2])
    assert scores[0] == 100 > scores[1] >= 1
    whole, _, inside = await relevancies(store, ann, inbox, Fuzzy(TextContains("hello")), [1, 2, 6])
    assert whole == 100 > inside
    assert await relevancies(store, ann, inbox, Fuzzy(HasFlags(1)), [3, 1]) == [100, 100]
    assert await relevancies(store, ann, inbox, Fuzzy(BodyContains("hello")), []) == []


async def test_a_subject_counts_more_than_a_body(store, ann, inbox) -> None:
    for n in range(10):
        new = email(b"lunch\r\n", subject="x") if n % 2 else email(b"x\r\n", subject="Lunch")
        store.write_now(lambda tx, new=new: append(tx, ann, inbox, new, now=NOW))
    index(store, ann)
    uids = list(range(10, 0, -1))
    scores = await relevancies(store, ann, inbox, Fuzzy(TextContains("lunch")), uids)
    assert all((score == 100) == (uid % 2 == 1) for uid, score in zip(uids, scores, strict=True))


@pytest.mark.parametrize("part", range(5))
def test_whatever_a_power_cut_leaves_of_the_file_searches_stay_right(
    store, ann, inbox, part, tmp_path
) -> None:
    """The file and a beginning of its log, as they were at some moment; then indexing goes on from there."""
    path = store.texts.path(ann)
    left: list[tuple[bytes, bytes]] = []
    for first in range(0, 30, 10):
        put(store, ann, inbox, range(first, first + 10))
        visit = AccountIndexing(store.texts, ann, store.blobs, LIMITS, NOW)
        while visit.step(store.read_now):
            log = path.with_name(path.name + "-wal")
            if path.exists() and log.exists():
                written = log.read_bytes()
                left.append((path.read_bytes(), written[: len(written) * (part + 1) // 5 + part]))
    assert len(left) > 20
    for file, log_octets in left[part::5]:
        store.texts.close()
        for name in ("", "-wal", "-shm"):
            path.with_name(path.name + name).unlink(missing_ok=True)
        path.write_bytes(file)
        path.with_name(path.name + "-wal").write_bytes(log_octets)
        found = asyncio.run(search_mailbox(store, ann, inbox, BodyContains("pear"), LIMITS))
        assert found == plain(store, ann, inbox, BodyContains("pear"))
        index(store, ann)
        assert documents_of(store, ann) == 30
        assert_right(store, ann, inbox)


@settings(max_examples=100, deadline=None)
@given(header=st.binary(max_size=20), body=st.binary(max_size=40), data=st.data())
def test_ranges_of_a_message_are_its_octets(header, body, data) -> None:
    octets = MessageOctets(header, body, None)
    whole = header + body
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))
    assert octets[start:stop] == whole[start:stop]
