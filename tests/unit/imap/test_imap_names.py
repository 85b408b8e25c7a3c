"""Mailbox names and LIST patterns."""

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.mailbox_name import canonical_name, canonical_pattern
from postino.imap.bad_command import BadCommand
from postino.imap.commands import List, Lsub, ParseOptions, parse_command
from postino.imap.framer import CommandFrame
from postino.imap.list_pattern import compile_pattern, compile_patterns, match
from postino.imap.list_selection import ListedMailbox, select_list, select_lsub
from postino.imap.mailbox_name import decode_mailbox, decode_utf7, encode_mailbox, encode_utf7

NAMES: list[tuple[str, bytes]] = [
    ("INBOX", b"INBOX"),
    ("Sent", b"Sent"),
    ("a&b", b"a&-b"),
    # RFC 3501 §5.1.3
    ("~peter/mail/台北/日本語", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
    ("Entwürfe", b"Entw&APw-rfe"),
    ("😀", b"&2D3eAA-"),
    ("é&ñ", b"&AOk-&-&APE-"),
]


@pytest.mark.parametrize(("name", "wire"), NAMES)
def test_modified_utf7(name: str, wire: bytes) -> None:
    assert encode_utf7(name) == wire
    assert decode_utf7(wire) == name
    assert decode_mailbox(wire, utf8=False) == name
    assert decode_mailbox(name.encode(), utf8=True) == name


@pytest.mark.parametrize(
    "wire",
    [
        b"&",
        b"a&b",
        b"&AOk",
        b"&AO-",
        b"&AOl-",  # leftover bits that are not zero
        b"&AOk=-",
        b"&AGE-",  # shifted ASCII
        b"&AOk-&AOk-",  # superfluous shift
        b"&2D0-",  # half a surrogate pair
        b"&Jjo!",
        b"\xc3\xa9",
        b"a\x7f",
        b"&AAA-",
        b"&ICg-",  # line separator
    ],
)
def test_modified_utf7_is_strict(wire: bytes) -> None:
    with pytest.raises(BadCommand):
        decode_mailbox(wire, utf8=False)


@pytest.mark.parametrize("wire", [b"\xff", b"a\x00b", b"\xc2\x85", b"\xed\xa0\x80", "a\u2029".encode()])
def test_utf8_names_are_strict(wire: bytes) -> None:
    with pytest.raises(BadCommand):
        decode_mailbox(wire, utf8=True)


@settings(max_examples=200, deadline=None)
@given(
    st.text(
        st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029"),
        min_size=1,
        max_size=20,
    )
)
def test_names_come_back(text: str) -> None:
    name = canonical_name(text)
    assert decode_utf7(encode_utf7(name)) == name
    for utf8 in (False, True):
        frame = CommandFrame((b"a DELETE " + encode_mailbox(name, utf8),))
        assert parse_command(frame, ParseOptions(utf8=utf8)).mailbox == name  # type: ignore[union-attr]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=12))
def test_any_octets_are_a_name_or_refused(octets: bytes) -> None:
    for utf8 in (False, True):
        try:
            name = decode_mailbox(octets, utf8)
        except BadCommand:
            continue
        assert unicodedata.is_normalized("NFC", name)
        assert decode_mailbox(encode_utf7(name), utf8=False) == name


def test_inbox_is_inbox_in_any_spelling() -> None:
    assert decode_mailbox(b"iNbOx", utf8=False) == "INBOX"
    assert decode_mailbox(b"inbox/a", utf8=False) == "INBOX/a"
    assert decode_mailbox(b"inboxes", utf8=False) == "inboxes"
    assert decode_mailbox(b"a/inbox", utf8=False) == "a/inbox"


def test_names_are_normalised() -> None:
    assert decode_mailbox("u\u0308".encode(), utf8=True) == "ü"


def test_names_on_the_wire() -> None:
    assert encode_mailbox("a b", utf8=False) == b'"a b"'
    assert encode_mailbox("NIL", utf8=False) == b'"NIL"'
    assert encode_mailbox("", utf8=False) == b'""'
    assert encode_mailbox("a&b", utf8=True) == b"a&b"
    assert (
        encode_mailbox('ü"\\', utf8=True)
        == 'ü"\\'.replace("\\", "\\\\").replace('"', '\\"').join('""').encode()
    )
    assert encode_mailbox("ü]", utf8=False) == b"&APw-]"


# LIST patterns (RFC 9051 §6.3.9)

MATCHES: list[tuple[str, str, bool]] = [
    ("*", "", True),
    ("*", "a/b", True),
    ("%", "a", True),
    ("%", "a/b", False),
    ("%", "", True),
    ("a", "a", True),
    ("a", "ab", False),
    ("a*", "a/b", True),
    ("a*", "b", False),
    ("a%", "ab", True),
    ("a%", "a/b", False),
    ("a/%", "a/b", True),
    ("a/%", "a/b/c", False),
    ("%/b", "a/b", True),
    ("%/b", "a/c/b", False),
    ("*/b", "a/c/b", True),
    ("*b", "ab/b", True),
    ("*b", "ab/c", False),
    ("*a%b", "a/xa1b", True),
    ("*a%b", "xa/b", False),
    ("%a%a%", "xaxax", True),
    ("%%", "a/b", False),
    ("%*%", "a/b", True),
    ("*%", "a/b", True),
    ("a*/%", "ab/c", True),
    ("a.b", "axb", False),
    ("[a-z]?", "b", False),
    ("日%語", "日本語", True),
]


@pytest.mark.parametrize(("pattern", "name", "expected"), MATCHES)
def test_match(pattern: str, name: str, expected: bool) -> None:
    assert match(pattern, name) is expected


def slow_match(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] in "*%":
        return slow_match(pattern[1:], name) or (
            bool(name) and not (pattern[0] == "%" and name[0] == "/") and slow_match(pattern, name[1:])
        )
    return bool(name) and name[0] == pattern[0] and slow_match(pattern[1:], name[1:])


@settings(max_examples=200, deadline=None)
@given(st.text("ab/*%", max_size=7), st.text("ab/", max_size=8))
def test_match_agrees_with_the_definition(pattern: str, name: str) -> None:
    assert match(pattern, name) is slow_match(pattern, name)


def test_no_pattern_is_catastrophic() -> None:
    matches = compile_pattern("*a" * 400 + "b")
    started = time.perf_counter()
    assert not matches("a" * 1000)
    assert time.perf_counter() - started < 0.5


# LIST selection (RFC 5258 §5's examples)


def listed(wire: bytes, mailboxes: list[ListedMailbox]) -> dict[str, tuple[set[str], tuple[str, ...]]]:
    command = parse_command(CommandFrame((b"a " + wire,)), ParseOptions())
    assert isinstance(command, List)
    return {
        entry.name: (set(entry.attributes) - {"\\HasNoChildren"}, entry.child_info)
        for entry in select_list(command, mailboxes)
    }


def boxes(names: str, subscribed: str = "", lone: str = "") -> list[ListedMailbox]:
    chosen = set(subscribed.split())
    return [ListedMailbox(name, name in chosen) for name in names.split()] + [
        ListedMailbox(name, subscribed=True, exists=False) for name in lone.split()
    ]


FRUIT = boxes(
    "INBOX Fruit Fruit/Apple Fruit/Banana Tofu Vegetable Vegetable/Broccoli Vegetable/Corn",
    "INBOX Fruit/Banana Vegetable Vegetable/Broccoli",
    "Fruit/Peach",
)
SUB, GONE, KIDS = "\\Subscribed", "\\NonExistent", "\\HasChildren"
INFO = ("SUBSCRIBED",)


def test_example_1_and_3_whole_hierarchy() -> None:
    assert list(listed(b'LIST "" "*"', FRUIT)) == sorted(box.name for box in FRUIT if box.exists)
    assert listed(b'LIST () "" "%" RETURN (CHILDREN)', FRUIT) == {
        "INBOX": (set(), ()),
        "Fruit": ({KIDS}, ()),
        "Tofu": (set(), ()),
        "Vegetable": ({KIDS}, ()),
    }


def test_example_2_subscribed() -> None:
    assert listed(b'LIST (SUBSCRIBED) "" "*"', FRUIT) == {
        "INBOX": ({SUB}, ()),
        "Fruit/Banana": ({SUB}, ()),
        "Fruit/Peach": ({SUB, GONE}, ()),
        "Vegetable": ({SUB, KIDS}, ()),
        "Vegetable/Broccoli": ({SUB}, ()),
    }


def test_example_6_subscription_state() -> None:
    found = listed(b'LIST (REMOTE) "" "*" RETURN (SUBSCRIBED)', FRUIT)
    assert "Fruit/Peach" not in found
    assert {name for name, (attributes, _) in found.items() if SUB in attributes} == {
        "INBOX",
        "Fruit/Banana",
        "Vegetable",
        "Vegetable/Broccoli",
    }


def test_example_8_recursive_match() -> None:
    foo = boxes("INBOX Foo Foo/Bar Foo/Baz Moo", "Foo/Baz")
    recursive = b'LIST (SUBSCRIBED RECURSIVEMATCH) "" "%"'
    assert listed(b'LIST (SUBSCRIBED) "" "%"', foo) == {}
    assert listed(recursive, foo) == {"Foo": ({KIDS}, INFO)}
    assert listed(recursive, boxes("INBOX Foo Foo/Baz Moo", "Foo Foo/Baz")) == {"Foo": ({SUB, KIDS}, INFO)}
    assert listed(recursive, boxes("INBOX Foo/Baz Moo", "Foo/Baz")) == {"Foo": ({GONE, KIDS}, INFO)}
    assert listed(recursive, boxes("INBOX Foo Foo/Bar Moo")) == {}
    assert listed(recursive, boxes("INBOX Foo Foo/Bar Moo", "Foo Moo")) == {
        "Foo": ({SUB, KIDS}, ()),
        "Moo": ({SUB}, ()),
    }


def test_example_9_redundant_child_info_is_left_out() -> None:
    mailboxes = boxes(
        "INBOX foo2 foo2/bar1 foo2/bar2 baz2 baz2/bar2 baz2/bar22 baz2/bar222 eps2 eps2/mamba qux2/bar2",
        "foo2/bar1 foo2/bar2 baz2/bar2 baz2/bar22 baz2/bar222 eps2 eps2/mamba qux2/bar2",
    )
    assert listed(b'LIST (RECURSIVEMATCH SUBSCRIBED) "" "*2"', mailboxes) == {
        "foo2": ({KIDS}, INFO),
        "foo2/bar2": ({SUB}, ()),
        "baz2/bar2": ({SUB}, ()),
        "baz2/bar22": ({SUB}, ()),
        "baz2/bar222": ({SUB}, ()),
        "eps2": ({SUB, KIDS}, INFO),
        "qux2/bar2": ({SUB}, ()),
    }


def test_example_10_child_info_without_children() -> None:
    mailboxes = boxes("foo", lone="foo/bar")
    assert listed(b'LIST "" ("foo" "foo/*")', mailboxes) == {"foo": (set(), ())}
    assert listed(b'LIST (SUBSCRIBED RECURSIVEMATCH) "" foo RETURN (CHILDREN)', mailboxes) == {
        "foo": (set(), INFO)
    }


def test_example_11_levels_that_are_no_mailboxes() -> None:
    mailboxes = boxes("music/rock")
    assert listed(b'LIST () "" %', mailboxes) == {"music": ({GONE, KIDS}, ())}
    assert listed(b'LIST "" %', mailboxes) == {"music": ({"\\Noselect", KIDS}, ())}
    assert listed(b'LIST "" *', mailboxes) == {"music/rock": (set(), ())}
    assert listed(b'LIST "" (% music/rock)', mailboxes) == {"music/rock": (set(), ())}


def test_special_use_and_reference() -> None:
    mailboxes = [ListedMailbox("a/Sent", special_use="\\Sent"), ListedMailbox("a/b"), ListedMailbox("INBOX")]
    assert listed(b'LIST (SPECIAL-USE) "" "*"', mailboxes) == {"a/Sent": ({"\\Sent"}, ())}
    assert listed(b"LIST a/ %", mailboxes) == {"a/Sent": ({"\\Sent"}, ()), "a/b": (set(), ())}
    assert listed(b'LIST "" inBox', mailboxes) == {"INBOX": (set(), ())}


def test_lsub_shows_levels_above_subscriptions() -> None:
    def lsub(wire: bytes) -> list[tuple[str, tuple[str, ...]]]:
        command = parse_command(CommandFrame((b"a LSUB " + wire,)), ParseOptions())
        assert isinstance(command, Lsub)
        return [(entry.name, entry.attributes) for entry in select_lsub(command, FRUIT)]

    assert lsub(b'"" *') == [
        ("Fruit/Banana", ()),
        ("Fruit/Peach", ()),
        ("INBOX", ()),
        ("Vegetable", ()),
        ("Vegetable/Broccoli", ()),
    ]
    assert lsub(b'"" %') == [("Fruit", ("\\Noselect",)), ("INBOX", ()), ("Vegetable", ())]


def test_listing_a_large_account_is_quick() -> None:
    mailboxes = [ListedMailbox(f"project {n % 100}/year {n}/box") for n in range(10_000)]
    started = time.perf_counter()
    assert len(listed(b'LIST "" "*"', mailboxes)) == 10_000
    assert time.perf_counter() - started < 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("ab/*%", max_size=5), max_size=4), st.text("ab/", max_size=6))
def test_several_patterns_match_what_each_does(patterns: list[str], name: str) -> None:
    assert compile_patterns(patterns)(name) is any(match(pattern, name) for pattern in patterns)


def test_many_hostile_patterns_cost_what_one_of_their_length_does() -> None:
    matches = compile_patterns(["%*%a" * 10 + f"{n}%*" for n in range(90)])
    started = time.perf_counter()
    assert not matches("a" * 1000)
    assert time.perf_counter() - started < 0.5


def test_the_patterns_of_a_list_are_bounded() -> None:
    options = ParseOptions(mailbox_name_octets=100)
    many = b" ".join([b"%d*" % n for n in range(101)])
    for wire in (b"(" + many + b")", b"(" + b" ".join([b"x" * 99 + b"*"] * 5) + b")", b"x" * 401):
        with pytest.raises(BadCommand):
            parse_command(CommandFrame((b'a LIST "" ' + wire,)), options)


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("Shared/Ann@Example.ORG/inbox/Sub", "Shared/ann@example.org/INBOX/Sub"),
        ("Shared/ann@example.org/Work/inbox", "Shared/ann@example.org/Work/inbox"),
        ("Shared/Ann@example.org", "Shared/ann@example.org"),
        ("Shared", "Shared"),
        ("shared/Ann", "shared/Ann"),
        ("SharedThings/Ann", "SharedThings/Ann"),
    ],
)
def test_anothers_mailbox_has_one_name_too(given: str, canonical: str) -> None:
    assert canonical_name(given) == canonical
    assert canonical_name(canonical) == canonical


@settings(max_examples=200, deadline=None)
@given(st.text("Shared/ InboxXü\u0301\u0130\u1e9e*%", max_size=24))
def test_the_one_spelling_is_stable(name: str) -> None:
    for text in (name, "Shared/" + name):
        assert canonical_name(canonical_name(text)) == canonical_name(text)
        assert canonical_pattern(canonical_pattern(text)) == canonical_pattern(text)


@pytest.mark.parametrize(
    ("pattern", "canonical"),
    [
        ("Shared/*Deep", "Shared/*Deep"),
        ("Shared/Ann*Deep", "Shared/ann*Deep"),
        ("Shared/%@Example.org/Inbox", "Shared/%@example.org/INBOX"),
        ("Shared/Ann@example.org/W*Deep", "Shared/ann@example.org/W*Deep"),
        ("S*", "S*"),
    ],
)
def test_a_pattern_is_spelled_like_the_names_it_means(pattern: str, canonical: str) -> None:
    assert canonical_pattern(pattern) == canonical


def test_what_may_not_be_read_is_listed_and_cannot_be_selected() -> None:
    mailboxes = [ListedMailbox("Shared/ann/Work", may_read=False), ListedMailbox("Shared/ann/Work/x")]
    found = listed(b'LIST "" Shared/* RETURN (CHILDREN)', mailboxes)
    assert found["Shared/ann/Work"][0] == {"\\Noselect", "\\HasChildren"}
    assert found["Shared/ann/Work/x"][0] == set()
