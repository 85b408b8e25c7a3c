"""SORT, THREAD, ESEARCH, CANCELUPDATE and RETURN (RFC 5256, 5267, 7377, 9394, 6203) on the wire."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core import search as s
from postino.core.ids import Instant
from postino.core.numset import NumberSet, parse_sequence_set
from postino.core.sort import SortCriterion, SortKey, order_of
from postino.imap import commands as c
from postino.imap.commands.esearch import SELECTED_ALONE
from postino.imap.commands.search import Program
from postino.imap.framer import CommandFrame
from postino.imap.responses.message import context_response, correlator, esearch_response, ordered_set
from postino.imap.search_key import (
    Every,
    Fuzzily,
    Not,
    OlderThan,
    SeqIn,
    Surroundings,
    YoungerThan,
    resolve_key,
)
from postino.imap.search_return import PartialRange, Returning
from postino.imap.threading import ThreadAlgorithm

OPTIONS = c.ParseOptions(search_mailboxes=3)
UNSEEN = Not(s.HasFlags(1))


def parse(wire: bytes) -> c.Command:
    return c.parse_command(CommandFrame((wire,)), OPTIONS)


def returning(*options: str, partial: PartialRange | None = None) -> Returning:
    return Returning(frozenset(options), partial)


def since(text: str) -> s.HeaderContains:
    return s.HeaderContains("subject", text)


WIRE: list[tuple[bytes, c.Command]] = [
    # RFC 5256 §3
    (
        b"A282 SORT (SUBJECT) UTF-8 SINCE 1-Feb-1994",
        c.Sort(b"A282", False, None, (SortCriterion(SortKey.SUBJECT),), Program("UTF-8", s.ArrivedSince(8797))),
    ),
    (
        b"A283 UID sort (subject reverse date) utf-8 all",
        c.Sort(
            b"A283",
            True,
            None,
            (SortCriterion(SortKey.SUBJECT), SortCriterion(SortKey.DATE, is_reverse=True)),
            Program("utf-8", s.Everything()),
        ),
    ),
    (
        b'A THREAD REFERENCES "US-ASCII" TEXT "gewp"',
        c.Thread(b"A", False, ThreadAlgorithm.REFERENCES, Program("US-ASCII", s.TextContains("gewp"))),
    ),
    (
        b"A UID thread orderedsubject UTF-8 UNSEEN",
        c.Thread(b"A", True, ThreadAlgorithm.ORDEREDSUBJECT, Program("UTF-8", UNSEEN)),
    ),
    # RFC 5267 §3.3, §4.2 to §4.4
    (
        b"E01 UID SORT RETURN () (REVERSE DATE) UTF-8 UNSEEN",
        c.Sort(
            b"E01", True, returning(), (SortCriterion(SortKey.DATE, is_reverse=True),), Program("UTF-8", UNSEEN)
        ),
    ),
    (
        b"B01 UID SEARCH RETURN (UPDATE COUNT CONTEXT) UNSEEN",
        c.Search(b"B01", True, returning("UPDATE", "COUNT", "CONTEXT"), Program(None, UNSEEN)),
    ),
    (
        b"A02 UID SEARCH RETURN (PARTIAL 23500:24000) UNSEEN",
        c.Search(b"A02", True, returning("PARTIAL", partial=PartialRange(23500, 24000)), Program(None, UNSEEN)),
    ),
    (b'B04 CANCELUPDATE "B01"', c.CancelUpdate(b"B04", (b"B01",))),
    (b'B04 CANCELUPDATE "B01" "B02"', c.CancelUpdate(b"B04", (b"B01", b"B02"))),
    # RFC 9394 §3.1, §3.3
    (
        b"A01 UID SEARCH RETURN (PARTIAL -1:-100) UNSEEN",
        c.Search(
            b"A01", True, returning("PARTIAL", partial=PartialRange(1, 100, from_end=True)), Program(None, UNSEEN)
        ),
    ),
    (
        b"10 UID FETCH 25900:26600 (FLAGS) (PARTIAL -1:-3 CHANGEDSINCE 98305)",
        c.Fetch(
            b"10",
            parse_sequence_set(b"25900:26600"),
            True,
            (c.FetchAtt.FLAGS,),
            98305,
            partial=PartialRange(1, 3, from_end=True),
        ),
    ),
    # RFC 5957, 6203
    (
        b"C1 SORT (DISPLAYFROM RELEVANCY) UTF-8 FUZZY SUBJECT Helo",
        c.Sort(
            b"C1",
            False,
            None,
            (SortCriterion(SortKey.DISPLAYFROM), SortCriterion(SortKey.RELEVANCY)),
            Program("UTF-8", Fuzzily(since("Helo")), uses_fuzzy=True),
        ),
    ),
    # RFC 5032 §4
    (b"a1 SEARCH UNSEEN YOUNGER 259200", c.Search(b"a1", False, None, Program(None, Every((UNSEEN, YoungerThan(259200)))))),
    # RFC 7377 §2, §3
    (
        b'tag1 ESEARCH IN (mailboxes "folder1" subtree "folder2") unseen',
        c.Esearch(
            b"tag1",
            (c.Source(c.SourceKind.MAILBOXES, ("folder1",)), c.Source(c.SourceKind.SUBTREE, ("folder2",))),
            returning(),
            Program(None, UNSEEN),
        ),
    ),
    (
        b'tag2 ESEARCH IN (subtree-one (a b) personal) RETURN (MIN) CHARSET utf-8 subject "chad"',
        c.Esearch(
            b"tag2",
            (c.Source(c.SourceKind.SUBTREE_ONE, ("a", "b")), c.Source(c.SourceKind.PERSONAL)),
            returning("MIN"),
            Program("utf-8", since("chad")),
        ),
    ),
    (
        b"tag1 ESEARCH FROM frobozz 1:100",
        c.Esearch(
            b"tag1",
            SELECTED_ALONE,
            returning(),
            Program(None, Every((s.HeaderContains("from", "frobozz"), SeqIn(parse_sequence_set(b"1:100"))))),
        ),
    ),
    (
        b"t ESEARCH IN (selected) RETURN (SAVE) UNSEEN",
        c.Esearch(b"t", SELECTED_ALONE, returning("SAVE"), Program(None, UNSEEN)),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "command"), WIRE, ids=[wire.decode() for wire, _ in WIRE])
def test_parse(wire: bytes, command: c.Command) -> None:
    assert parse(wire) == command
    assert parse(wire + b" ") == command, "a space before the line end does no harm"


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (b"SORT", "SORT needs"),
        (b"SORT (DATE)", "SORT needs"),
        (b"SORT (DATE) UTF-8", "SORT needs"),
        (b"SORT (DATE UTF-8 ALL", "SORT goes by"),
        (b"SORT (REVERSE REVERSE DATE) UTF-8 ALL", "SORT goes by"),
        (b"SORT RETURN (DATE) (DATE) UTF-8 ALL", "SORT returns"),
        (b"SORT (" + b" ".join([b"DATE"] * 21) + b") UTF-8 ALL", "at most 20"),
        (b"SORT (RELEVANCY) UTF-8 ALL", "FUZZY"),
        (b"THREAD", "THREAD needs"),
        (b"THREAD X UTF-8 ALL", "THREAD knows"),
        (b"SEARCH RETURN (RELEVANCY) ALL", "FUZZY"),
        (b"SEARCH RETURN (PARTIAL) ALL", "PARTIAL takes a range"),
        (b"SEARCH RETURN (PARTIAL 1:4294967296) ALL", "PARTIAL takes a range"),
        (b"SEARCH RETURN (PARTIAL -4294967296:-1) ALL", "PARTIAL takes a range"),
        (b"SEARCH RETURN (PARTIAL 0:1) ALL", "PARTIAL takes a range"),
        (b"SEARCH RETURN (PARTIAL 1) ALL", "PARTIAL takes a range"),
        (b"SEARCH RETURN (PARTIAL 1:2 ALL) ALL", "not both"),
        (b"SEARCH YOUNGER -1", "SEARCH needs"),
        (b"SEARCH FUZZY", "FUZZY needs a value"),
        (b"SEARCH " + b"FUZZY " * 60 + b"ALL", "nested too deeply"),
        (b"ESEARCH", "ESEARCH needs"),
        (b"ESEARCH IN ()", "ESEARCH needs"),
        (b"ESEARCH IN (personal)", "ESEARCH needs"),
        (b"ESEARCH IN (mailboxes) ALL", "ESEARCH needs"),
        (b"ESEARCH IN (mailboxes ()) ALL", "ESEARCH needs"),
        (b"ESEARCH IN (mailboxes (a b c d)) ALL", "at most 3"),
        (b"ESEARCH IN (personal personal personal personal) ALL", "at most 3"),
        (b"ESEARCH IN (selected-delayed) ALL", "ESEARCH searches IN"),
        (b"ESEARCH IN (personal (x)) ALL", "ESEARCH needs"),
        (b"ESEARCH IN (selected personal) RETURN (SAVE) ALL", "SAVE is for"),
        (b"CANCELUPDATE", "CANCELUPDATE needs"),
        (b"CANCELUPDATE B01", "CANCELUPDATE needs"),
        (b'CANCELUPDATE "B01', "quoted string"),
        (b"FETCH 1 (FLAGS) (PARTIAL 1:2)", "PARTIAL is for UID FETCH"),
        (b"UID FETCH 1 (FLAGS) (PARTIAL 1:2 PARTIAL 1:2)", "FETCH takes the modifiers"),
    ],
)
def test_refused(wire: bytes, message: str) -> None:
    with pytest.raises(c.BadCommand, match=message):
        parse(b"a " + wire)


def test_resolving_ages() -> None:
    around = Surroundings(lambda _: NumberSet(), lambda _: NumberSet(), Instant(1000))
    key = Every((OlderThan(10), Not(Fuzzily(YoungerThan(20)))))
    assert resolve_key(key, around) == s.AllOf((s.ArrivedUntil(990), s.Negated(s.Fuzzy(s.ArrivedFrom(980)))))


@settings(max_examples=100)
@given(st.integers(0, 12), st.integers(1, 15), st.integers(1, 15), st.booleans())
def test_partial_is_what_counting_gives(count: int, first: int, last: int, from_end: bool) -> None:
    results = list(range(100, 100 + count))
    low, high = sorted((first, last))
    counted = list(enumerate(reversed(results) if from_end else results, 1))
    expected = sorted(result for place, result in counted if low <= place <= high)
    assert PartialRange(first, last, from_end).of(results) == expected


# RFC 5182 §2.4 and RFC 9394 §3.2, table 1
SAVED = [
    (("MIN",), {1}),
    (("MAX",), {9}),
    (("MIN", "MAX"), {1, 9}),
    (("MIN", "COUNT"), {1, 3, 5, 9}),
    (("MAX", "ALL"), {1, 3, 5, 9}),
    ((), {1, 3, 5, 9}),
    (("PARTIAL",), {3, 5}),
    (("PARTIAL", "MIN"), {1, 3, 5}),
    (("PARTIAL", "MAX"), {3, 5, 9}),
    (("PARTIAL", "MIN", "MAX"), {1, 3, 5, 9}),
    (("PARTIAL", "COUNT"), {1, 3, 5, 9}),
    (("PARTIAL", "COUNT", "MIN"), {1, 3, 5, 9}),
    (("RELEVANCY",), {1, 3, 5, 9}),
]


@pytest.mark.parametrize(("options", "saved"), SAVED)
def test_what_save_keeps(options: tuple[str, ...], saved: set[int]) -> None:
    partial = PartialRange(2, 3) if "PARTIAL" in options else None
    assert set(returning("SAVE", *options, partial=partial).returned([1, 3, 5, 9])) == saved


def test_sets_keep_their_order() -> None:
    # RFC 5267 §3.2: 23765,23764 is no range
    assert ordered_set([23765, 23764, 23763, 10, 11, 12]) == b"23765,23764,23763,10:12"
    assert ordered_set([]) == b""


ANSWERS = [
    # RFC 6203 §4, §6
    (returning("RELEVANCY", "ALL"), [1, 5, 10], b"ALL 1,5,10 RELEVANCY (4 99 42)"),
    (returning("PARTIAL", "RELEVANCY", partial=PartialRange(2, 3)), [5, 10, 1],
     b"PARTIAL (2:3 10,1) RELEVANCY (99 42)"),
    # RFC 9394 §3.1
    (returning("PARTIAL", partial=PartialRange(24000, 24500)), [1, 2, 3], b"PARTIAL (24000:24500 NIL)"),
    (returning("PARTIAL", partial=PartialRange(1, 2, from_end=True)), [1, 2, 3], b"PARTIAL (-1:-2 2:3)"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "numbers", "items"), ANSWERS)
def test_answers(options: Returning, numbers: list[int], items: bytes) -> None:
    told = esearch_response(
        correlator(b"B1"), by_uid=False, returning=options, numbers=numbers, scores=[4, 99, 42]
    )
    assert told == b'* ESEARCH (TAG "B1") ' + items + b"\r\n"


def test_correlators_and_updates() -> None:
    # RFC 7377 §3, RFC 5267 §4.3.3
    about = correlator(b"tag1", b'"folder 1"', 503)
    assert about == b'(TAG "tag1" MAILBOX "folder 1" UIDVALIDITY 503)'
    told = context_response(
        correlator(b"C01"), by_uid=True, item=b"ADDTO", updates=[(1, b"2733"), (1, b"2731:2732")]
    )
    assert told == b'* ESEARCH (TAG "C01") UID ADDTO (1 2733 1 2731:2732)\r\n'


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.text("ab", max_size=2)), max_size=10),
    st.booleans(),
    st.booleans(),
)
def test_order_is_stable_in_both_directions(rows: list[tuple[int, str]], first: bool, second: bool) -> None:
    order = order_of(len(rows), [([row[0] for row in rows], first), ([row[1] for row in rows], second)])
    for one, next_one in pairwise(order):
        (a, b), (x, y) = rows[one], rows[next_one]
        assert a == x or (a > x) == first
        if a == x:
            assert b == y or (b > y) == second
            assert b != y or one < next_one
