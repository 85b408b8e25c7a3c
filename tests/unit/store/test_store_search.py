import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.flags import flag_set, stored_flag_set
from postino.core.numset import NumberSet
from postino.core.search import (
    AllOf,
    AnyOf,
    ArrivedBefore,
    ArrivedSince,
    BodyContains,
    Everything,
    HasFlags,
    HasKeyword,
    HeaderContains,
    ModSeqFrom,
    Negated,
    SavedBefore,
    SavedSince,
    SentBefore,
    SentSince,
    SizeOver,
    SizeUnder,
    TextContains,
    UidIn,
)
from postino.mime.text import fold
from postino.store.content import SealedBlob
from postino.store.messages import append, deliver
from postino.store.search import search, search_mailbox
from postino.store.store import open_store
from tests.support.stored import (
    LIMITS,
    NOW,
    email,
    findings,
    inbox_of,
    make_accounts,
    message_states,
)

DAY = 86_400
WORDS = ["apple", "Straße", "pear", "QUINCE", "été", "plum"]


class Corpus(tuple):
    """(store, account, mailbox, what was put in, message states); short in failure reports."""

    __slots__ = ()

    def __repr__(self):
        return "Corpus()"


def make_email(n: int):
    """The n-th message: facts that depend on n in simple ways, and text in several forms."""
    word, other = WORDS[n % 6], WORDS[n * 5 % 6]
    subject = word if word.isascii() else f"=?utf-8?q?{''.join(f'={b:02X}' for b in word.encode())}?="
    header = (
        f"From: {other.encode().hex()} <u{n % 3}@example.org>\r\nSubject: {subject} no {n}\r\n"
        f"Date: {1 + n % 9} Jan 2026 23:30:00 -0500\r\n"
        + (f"X-Note: {word}\r\n" if n % 4 == 0 else "")
        + "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    ).encode()
    body = f"The {other} of {n % 7}.\r\n".encode() * (n % 5 + 1)
    names = [name for bit, name in enumerate(("\\Seen", "\\Deleted", "$Work", "$workshop")) if n >> bit & 1]
    return email(body, header=header, flags=flag_set(names), internal_date=NOW + n % 6 * DAY), word, other


@pytest.fixture(scope="module")
def mailbox(tmp_path_factory):
    store = open_store(tmp_path_factory.mktemp("search"), first=True)
    ann, bob = make_accounts(store, "ann", "bob")
    inbox = inbox_of(store, ann)
    made = {}
    for uid in range(1, 41):
        new, word, other = make_email(uid)
        made[uid] = (new, word, other)
        if uid % 10 == 0:  # some in blobs, some shared: text is found there too
            with store.blobs.open_spool() as spool:
                spool.write(new.body.octets)
                stored = SealedBlob(spool.seal(), 0)
            new = email(new.body.octets, header=new.header, stored=stored, flags=new.flags,
                        internal_date=new.internal_date)  # fmt: skip
        to = [(ann, None, new), (bob, None, new)] if uid % 3 == 0 else [(ann, None, new)]
        store.write_now(lambda tx, to=to, uid=uid: deliver(tx, to, NOW + uid % 4 * DAY))
    states = {state[0]: state for state in store.read_now(lambda tx: message_states(tx, ann, inbox))}
    yield Corpus((store, ann, inbox, made, states))
    assert findings(store) == []
    store.close_now()


def holds(criterion, uid, made, states) -> bool:
    """The slow and plain reading of a criterion."""
    new, word, other = made[uid]
    flags = stored_flag_set(states[uid][1], states[uid][2])
    match criterion:
        case Everything():
            return True
        case AllOf(keys):
            return all(holds(key, uid, made, states) for key in keys)
        case AnyOf(keys):
            return any(holds(key, uid, made, states) for key in keys)
        case Negated(key):
            return not holds(key, uid, made, states)
        case HasFlags(system):
            return flags.system & system == system
        case HasKeyword(keyword):
            return keyword in flags
        case UidIn(uids):
            return uid in uids
        case SizeOver(octets):
            return new.facts.size > octets
        case SizeUnder(octets):
            return new.facts.size < octets
        case ArrivedBefore(day):
            return new.internal_date // DAY < day
        case ArrivedSince(day):
            return new.internal_date // DAY >= day
        case SentBefore(day):
            return NOW // DAY + uid % 9 < day
        case SentSince(day):
            return NOW // DAY + uid % 9 >= day
        case SavedBefore(day):
            return (NOW + uid % 4 * DAY) // DAY < day
        case SavedSince(day):
            return (NOW + uid % 4 * DAY) // DAY >= day
        case ModSeqFrom(mod_seq):
            return states[uid][3] >= mod_seq
        case HeaderContains("subject", text):
            return fold(text) in fold(f"{word} no {uid}")
        case HeaderContains("from", text):
            return fold(text) in f"{other.encode().hex()} <u{uid % 3}@example.org>"
        case HeaderContains("x-note", text):
            return uid % 4 == 0 and fold(text) in fold(word)
        case HeaderContains("date" | "to", text):
            return criterion.name == "date" and fold(text) in f"{1 + uid % 9} jan 2026 23:30:00 -0500"
        case BodyContains(text):
            return fold(text) in fold(f"The {other} of {uid % 7}.")
        case TextContains(text):
            folded = fold(text)
            return holds(BodyContains(text), uid, made, states) or folded in fold(f"{word} no {uid}")
    raise AssertionError(criterion)


days = st.integers(NOW // DAY - 1, NOW // DAY + 10)
texts = st.sampled_from(["apple", "STRASSE", "straße", "e\u0301TE\u0301", "quince of 3", "no 1", "zzz"])
leaves = st.one_of(
    st.just(Everything()),
    st.builds(HasFlags, st.sampled_from([1, 8, 9, 2])),
    st.builds(HasKeyword, st.sampled_from(["$work", "$WORKSHOP", "$shop"])),
    st.builds(UidIn, st.builds(NumberSet.of, st.lists(st.integers(1, 60), max_size=30))),
    st.builds(SizeOver, st.integers(150, 400)),
    st.builds(SizeUnder, st.integers(150, 400)),
    *(st.builds(kind, days) for kind in (ArrivedBefore, ArrivedSince, SentBefore, SentSince)),
    *(st.builds(kind, days) for kind in (SavedBefore, SavedSince)),
    st.builds(ModSeqFrom, st.integers(1, 60)),
    st.builds(HeaderContains, st.sampled_from(["subject", "x-note"]), st.one_of(texts, st.just(""))),
    st.builds(HeaderContains, st.just("from"), st.sampled_from(["", "u1@EXAMPLE.org", "706C756D", "zzz"])),
    st.builds(HeaderContains, st.sampled_from(["date", "to"]), st.sampled_from(["", "JAN 2026", "7 jan"])),
    st.builds(BodyContains, st.one_of(texts, st.just(""))),
    st.builds(TextContains, texts),
)
criteria = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Negated, inner),
        st.builds(lambda keys: AllOf(tuple(keys)), st.lists(inner, max_size=4)),
        st.builds(lambda keys: AnyOf(tuple(keys)), st.lists(inner, max_size=4)),
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(criterion=criteria)
def test_search_agrees_with_reading_every_message(mailbox, criterion):
    store, ann, inbox, made, states = mailbox
    if isinstance(criterion, UidIn) and not criterion.uids:
        criterion = UidIn(NumberSet())
    found = store.read_now(lambda tx: search(tx, ann, inbox, criterion, LIMITS, store.blobs))
    assert found == [uid for uid in made if holds(criterion, uid, made, states)]


@pytest.mark.parametrize(
    "criterion",
    [
        HasFlags(1),
        AllOf((HasFlags(1), BodyContains("apple"))),
        AnyOf((Negated(TextContains("plum")), SizeOver(200))),
        UidIn(NumberSet.of(range(1, 400, 3))),
    ],
)
async def test_search_in_pieces_finds_the_same(mailbox, criterion):
    store, ann, inbox, made, states = mailbox
    found = await search_mailbox(store, ann, inbox, criterion, LIMITS)
    assert found == [uid for uid in made if holds(criterion, uid, made, states)]


async def test_texts_are_read_in_batches_that_fit_memory(mailbox, monkeypatch):
    from postino.store import search_reading as module

    store, ann, inbox, made, _ = mailbox
    monkeypatch.setattr(module, "_BATCH", 7)
    monkeypatch.setattr(module, "_BATCH_OCTETS", 1000)
    found = await search_mailbox(store, ann, inbox, BodyContains("the"), LIMITS)
    assert found == list(made)


async def test_searches_and_deliveries_go_on_together(tmp_path):
    store = open_store(tmp_path, first=True)
    (ann,) = make_accounts(store, "ann")
    inbox = inbox_of(store, ann)
    new = email(b"needle\r\n")

    async def deliver_some():
        for _ in range(50):
            await store.write(lambda tx: append(tx, ann, inbox, new, now=NOW))

    async def search_some():
        before = 0
        for _ in range(20):
            found = await search_mailbox(store, ann, inbox, BodyContains("needle"), LIMITS)
            assert len(found) >= before
            before = len(found)
            await asyncio.sleep(0)

    await asyncio.gather(deliver_some(), search_some())
    assert len(await search_mailbox(store, ann, inbox, BodyContains("NEEDLE"), LIMITS)) == 50
    await store.close()
