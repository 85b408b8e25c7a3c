"""The grammar of APPEND and REPLACE, text by text: the RFCs' examples, what is refused, and anything."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.flags import flag_set
from postino.core.ids import Instant
from postino.core.numset import parse_sequence_set
from postino.imap import commands as c
from postino.imap.commands.append import Item
from postino.imap.framer import CommandFrame

OPTIONS = c.ParseOptions()
MESSAGE = c.LiteralPart(c.LiteralKind.MESSAGE)
BINARY = c.LiteralPart(c.LiteralKind.BINARY)
URL = c.LiteralPart(c.LiteralKind.URL)
NONE = flag_set()


def read(*texts: bytes) -> tuple[c.AnyHead, list[list[Item]], bool]:
    """The head, the items of each text, and whether that was all; the first text may not hold a literal."""
    reader = c.AppendReader(OPTIONS)
    found = [reader.first(CommandFrame(texts[:1]))]
    for text in texts[1:]:
        assert not reader.is_complete
        found.append(reader.next(text))
    return reader.head, found, reader.is_complete


def new(*flags: str, date: int | None = None, catenated: bool = False) -> c.NewMessage:
    return c.NewMessage(flag_set(flags), None if date is None else Instant(date), catenated)


EXAMPLES: list[tuple[tuple[bytes, ...], list[list[Item]]]] = [
    # RFC 9051 §6.3.12
    ((rb"A003 APPEND saved-messages (\Seen) {326}", b""), [[new("\\Seen"), MESSAGE], []]),
    (
        (rb'a append INBOX (\Seen $X) "17-Jul-1996 02:44:25 -0700" {1+}', b" "),
        [[new("\\Seen", "$X", date=837596665), MESSAGE], []],
    ),
    ((rb'a APPEND x " 1-Jan-1970 00:00:00 +0000" ~{1}', b""), [[new(date=0), BINARY], []]),
    # RFC 3502 §6.3.11
    (
        (rb"A003 APPEND saved-messages (\Seen) {329}", rb' (\Seen) " 7-Feb-1994 22:43:04 -0800" {295}', b""),
        [[new("\\Seen"), MESSAGE], [new("\\Seen", date=760689784), MESSAGE], []],
    ),
    # RFC 6855 §4
    ((b"a APPEND box UTF8 (~{9+}", b")"), [[new(), BINARY], []]),
    ((b"a APPEND box UTF8 (~{9+}", b") utf8 (~{3}", b")"), [[new(), BINARY], [new(), BINARY], []]),
    # RFC 4469, the examples of its appendix
    (
        (
            (
                rb'A003 APPEND Drafts (\Seen \Draft $MDNSent) CATENATE (URL "/Drafts;UIDVALIDITY=385759045/'
                rb';UID=20/;section=HEADER" TEXT {42}'
            ),
            b' URL "/Drafts;UIDVALIDITY=385759045/;UID=30" TEXT {44}',
            b")",
        ),
        [
            [
                new("\\Seen", "\\Draft", "$MDNSent", catenated=True),
                c.UrlPart(b"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER"),
                MESSAGE,
            ],
            [c.UrlPart(b"/Drafts;UIDVALIDITY=385759045/;UID=30"), MESSAGE],
            [],
        ],
    ),
    # A URL may be any astring, the parts any literals, and another message may follow.
    (
        (b"a APPEND box catenate (url {30+}", b" text ~{3}", b" UTF8 (~{4+}", b")) {1}", b""),
        [
            [new(catenated=True), URL],
            [BINARY],
            [BINARY],
            [new(), MESSAGE],
            [],
        ],
    ),
    (
        (b"a APPEND box {3}", b" CATENATE (URL /x/;UID=1 URL /x/;UID=2) (\\Draft) CATENATE (TEXT {0}", b")"),
        [
            [new(), MESSAGE],
            [
                new(catenated=True),
                c.UrlPart(b"/x/;UID=1"),
                c.UrlPart(b"/x/;UID=2"),
                new("\\Draft", catenated=True),
                MESSAGE,
            ],
            [],
        ],
    ),
    # RFC 8508 §3.2, §3.3, §4.2
    ((rb"A003 REPLACE 4 Drafts (\Seen \Draft) {312}", b""), [[new("\\Seen", "\\Draft"), MESSAGE], []]),
    (
        (b"A011 UID REPLACE 3002 Drafts CATENATE (TEXT {71}", b' URL "/Drafts/;UID=3002")'),
        [[new(catenated=True), MESSAGE], [c.UrlPart(b"/Drafts/;UID=3002")]],
    ),
]


@pytest.mark.parametrize(("texts", "items"), EXAMPLES)
def test_examples(texts: tuple[bytes, ...], items: list[list[Item]]) -> None:
    _, found, is_complete = read(*texts)
    assert found == items
    assert is_complete


def test_heads() -> None:
    four = parse_sequence_set(b"4")
    assert read(b"A003 APPEND saved-messages {326}")[0] == c.AppendHead(b"A003", "saved-messages")
    assert read(b"A003 REPLACE 4 Drafts {312}")[0] == c.ReplaceHead(b"A003", four, False, "Drafts")
    assert read(b"A004 uid replace 4 Drafts {350}")[0] == c.ReplaceHead(b"A004", four, True, "Drafts")
    assert read(b"A004 UID REPLACE * Drafts {350}")[0].name == "UID REPLACE"
    reader = c.AppendReader(OPTIONS)
    assert reader.first(CommandFrame((b"a APPEND {3+}", b"a b", b" () {9}"))) == [new(), MESSAGE]
    assert reader.head == c.AppendHead(b"a", "a b")


def test_a_command_of_urls_alone_is_whole() -> None:
    found = c.parse_command(CommandFrame((b"a APPEND box CATENATE (URL /x/;UID=1)",)), OPTIONS)
    assert found == c.AppendUrls(c.AppendHead(b"a", "box"), (new(catenated=True), c.UrlPart(b"/x/;UID=1")))
    assert (found.tag, found.name) == (b"a", "APPEND")
    found = c.parse_command(CommandFrame((b"a UID REPLACE 7 box CATENATE (URL /x/;UID=1)",)), OPTIONS)
    assert isinstance(found, c.AppendUrls)
    assert isinstance(found.head, c.ReplaceHead)
    assert found.name == "UID REPLACE"


@pytest.mark.parametrize(
    "texts",
    [
        (b"a APPEND {3}",),
        (b"a APPEND  {3}",),
        (b"a APPEND box{3}",),
        (b"a APPEND box \\Seen {3}",),
        (b"a APPEND box (\\Seen){3}",),
        (b'a APPEND box "yesterday" {3}',),
        (b'a APPEND box "31-Feb-2020 00:00:00 +0000" {3}',),
        (b'a APPEND box "1-Feb-2020 24:00:00 +0000" {3}',),
        (b"a APPEND box UTF8 ({3}",),
        (b"a APPEND box UTF8 ~{3}",),
        (b"a APPEND box (\\Seen) (\\Seen) {3}",),
        (b"a UID APPEND box {3}",),
        (b"a APPEND box CATENATE {3}",),
        (b"a APPEND box CATENATE (",),
        (b"a APPEND box CATENATE ()",),
        (b"a APPEND box CATENATE ( TEXT {3}",),
        (b"a APPEND box CATENATE (TEXT{3}",),
        (b'a APPEND box CATENATE (TEXT "x")',),
        (b"a APPEND box CATENATE (URL )",),
        (b"a APPEND box CATENATE (URL ~{3}",),
        (b"a APPEND box CATENATE (URL /x/;UID=1",),
        (b"a APPEND box CATENATE (URL /x/;UID=1 )",),
        (b"a APPEND box CATENATE (URL /x/;UID=1))",),
        (b"a APPEND box CATENATE (TEXT {3}", b""),
        (b"a APPEND box CATENATE (TEXT {3}", b"TEXT {3}"),
        (b"a APPEND box CATENATE (UTF8 (~{3}", b")"),
        (b"a APPEND box {3}", b" x"),
        (b"a APPEND box {3}", b")"),
        (b"a APPEND box {3}", b"{3}"),
        (b"a APPEND box {3}", b" {3"),
        (b"a APPEND box {3}", b"x"),
        (b"a APPEND box UTF8 (~{3}", b""),
        (b"a REPLACE 1:2 box {3}",),
        (b"a REPLACE 1,2 box {3}",),
        (b"a REPLACE $ box {3}",),
        (b"a REPLACE 0 box {3}",),
        (b"a REPLACE box {3}",),
        (b"a REPLACE 4 {3}",),
        (b"a REPLACE 4 box {3}", b" {3}"),
        (b"a REPLACE 4 box CATENATE (URL /x/;UID=1) CATENATE (URL /x/;UID=2)",),
    ],
)
def test_refused(texts: tuple[bytes, ...]) -> None:
    with pytest.raises(c.BadCommand) as caught:
        read(*texts)
    assert caught.value.tag == b"a"


def test_without_streaming_is_before_login() -> None:
    for wire in (b"a APPEND INBOX {5}", b"a REPLACE 4 INBOX {5}"):
        with pytest.raises(c.BadCommand, match=r"Log in before (APPEND|REPLACE)"):
            c.parse_command(CommandFrame((wire, b"hello", b"")), OPTIONS)


def test_a_strange_tag_is_not_said_again() -> None:
    with pytest.raises(c.BadCommand) as caught:
        read(b"a+b APPEND INBOX {5}")
    assert caught.value.tag is None


TOKENS = st.sampled_from(
    b'a1|UID|APPEND|REPLACE|4|box|(|)|((|))|CATENATE|CATENATE (|TEXT|TEXT {3}|URL|URL /x/;UID=1|URL "/x"|URL {3}|UTF8|'
    b'UTF8 (~{3}|~{3}|{3}|{3+}|(\\Seen)|"17-Jul-1996 02:44:25 -0700"|\xff|\x00|'.split(b"|")
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(TOKENS, max_size=8).map(b" ".join), min_size=1, max_size=5), st.booleans())
def test_any_texts_give_items_or_a_refusal(texts: list[bytes], utf8: bool) -> None:
    reader = c.AppendReader(c.ParseOptions(utf8=utf8))
    try:
        found = reader.first(CommandFrame((b"a1 APPEND box " + texts[0],)))
        for text in texts[1:]:
            if reader.is_complete:
                break
            # Only a text that ends with a literal is not the last.
            assert isinstance(found[-1], c.LiteralPart)
            found = reader.next(text)
    except c.BadCommand as error:
        refusal = error
    else:
        assert all(not isinstance(item, c.LiteralPart) for item in found[:-1])
        assert reader.is_complete or isinstance(found[-1], c.LiteralPart)
        return
    assert refusal.tag == b"a1"
