"""Search keys (RFC 9051 §6.4.4): tables, limits, character sets, resolution to the store's criteria."""

import pytest

from postino.core import search as s
from postino.core.ids import Instant
from postino.core.numset import NumberSet, SequenceSet, parse_sequence_set
from postino.imap import commands as c
from postino.imap.commands.search import Program
from postino.imap.framer import CommandFrame
from postino.imap.search_key import Either, Every, Not, SearchKey, SeqIn, Surroundings, UidsIn, resolve_key
from postino.imap.search_return import Returning

OPTIONS = c.ParseOptions()


def search(*parts: bytes, options: c.ParseOptions = OPTIONS) -> c.Search:
    found = c.parse_command(CommandFrame((b"a SEARCH " + parts[0], *parts[1:])), options)
    assert isinstance(found, c.Search)
    return found


def field(name: str, text: str) -> SearchKey:
    return s.HeaderContains(name, text)


DAY = 8797  # 1-Feb-1994
SEEN, DELETED, DRAFT = s.HasFlags(1), s.HasFlags(8), s.HasFlags(16)

KEYS: list[tuple[bytes, SearchKey]] = [
    # RFC 9051 §6.4.4's examples
    (
        b'FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"',
        Every((s.HasFlags(4), s.ArrivedSince(DAY), Not(field("from", "Smith")))),
    ),
    (b'TEXT "string not in mailbox"', s.TextContains("string not in mailbox")),
    (
        b"UNSEEN UNDELETED 1:2",
        Every((Not(SEEN), Not(DELETED), SeqIn(parse_sequence_set(b"1:2")))),
    ),
    (b"all", s.Everything()),
    (b"ANSWERED", s.HasFlags(2)),
    (b"(SEEN)", SEEN),
    (b"(SEEN (DRAFT DELETED))", Every((SEEN, Every((DRAFT, DELETED))))),
    (b"UNDRAFT UNFLAGGED UNANSWERED", Every((Not(DRAFT), Not(s.HasFlags(4)), Not(s.HasFlags(2))))),
    (b"$", SeqIn(c.SAVED_RESULT)),
    (b"UID $", UidsIn(c.SAVED_RESULT)),
    (b"UID 5,7:*", UidsIn(parse_sequence_set(b"5,7:*"))),
    (b"*", SeqIn(parse_sequence_set(b"*"))),
    (b"NOT NOT SEEN", Not(Not(SEEN))),
    (b"OR SEEN DRAFT", Either((SEEN, DRAFT))),
    (b"OR SEEN OR DRAFT DELETED", Either((SEEN, DRAFT, DELETED))),
    (b"OR OR SEEN DRAFT DELETED ALL", Every((Either((Either((SEEN, DRAFT)), DELETED)), s.Everything()))),
    (b"or (SEEN DRAFT) not DELETED", Either((Every((SEEN, DRAFT)), Not(DELETED)))),
    (b"BCC a CC b TO c", Every((field("bcc", "a"), field("cc", "b"), field("to", "c")))),
    (b'SUBJECT ""', field("subject", "")),
    (b"HEADER Message-ID <x@example.org>", field("message-id", "<x@example.org>")),
    (b'HEADER "X-Thing" ""', field("x-thing", "")),
    (b"BODY fish", s.BodyContains("fish")),
    (b"BEFORE 1-Feb-1994", s.ArrivedBefore(DAY)),
    (b'BEFORE "01-feb-1994"', s.ArrivedBefore(DAY)),
    (b"ON 1-Feb-1994", Every((s.ArrivedSince(DAY), s.ArrivedBefore(DAY + 1)))),
    (b"SENTBEFORE 1-Feb-1994", s.SentBefore(DAY)),
    (b"SENTSINCE 1-Feb-1994", s.SentSince(DAY)),
    (b"SENTON 1-Feb-1994", Every((s.SentSince(DAY), s.SentBefore(DAY + 1)))),
    (b"LARGER 0 SMALLER 9223372036854775807", Every((s.SizeOver(0), s.SizeUnder(2**63 - 1)))),
    (b"KEYWORD $Forwarded UNKEYWORD x", Every((s.HasKeyword("$Forwarded"), Not(s.HasKeyword("x"))))),
    # RFC 3501 §6.4.4, for a server without Recent
    (b"NEW", Not(s.Everything())),
    (b"OLD", s.Everything()),
    (b"RECENT", Not(s.Everything())),
    # RFC 8514 §4.1
    (b"SAVEDBEFORE 1-Feb-1994", s.SavedBefore(DAY)),
    (b"SAVEDSINCE 1-Feb-1994", s.SavedSince(DAY)),
    (b"SAVEDON 1-Feb-1994", Every((s.SavedSince(DAY), s.SavedBefore(DAY + 1)))),
    (b"SAVEDATESUPPORTED", s.Everything()),
    # RFC 7162 §3.1.5's examples
    (b'MODSEQ "/flags/\\\\draft" all 620162338', s.ModSeqFrom(620162338)),
    (b"OR NOT MODSEQ 720162338 LARGER 50000", Either((Not(s.ModSeqFrom(720162338)), s.SizeOver(50000)))),
]


@pytest.mark.parametrize(("wire", "key"), KEYS, ids=[wire.decode() for wire, _ in KEYS])
def test_keys(wire: bytes, key: SearchKey) -> None:
    found = search(wire)
    assert found.key == key
    assert found.program.uses_mod_seq == (b"MODSEQ" in wire)
    assert (found.returning, found.program.charset) == (None, None)


def test_return_options() -> None:
    found = search(b"RETURN (MIN COUNT) ALL")
    assert found.returning == Returning(frozenset({"MIN", "COUNT"}))
    assert search(b"return () charset utf-8 ALL") == c.Search(
        b"a", False, Returning(), Program("utf-8", s.Everything())
    )
    assert search(b"RETURN (SAVE ALL MAX) SEEN").returning == Returning(frozenset({"SAVE", "ALL", "MAX"}))
    by_uid = c.parse_command(CommandFrame((b"a UID SEARCH RETURN (MAX) SEEN",)), OPTIONS)
    assert isinstance(by_uid, c.Search)
    assert by_uid.by_uid
    assert by_uid.name == "UID SEARCH"


@pytest.mark.parametrize(
    ("charset", "octets", "text"),
    [
        (b"US-ASCII", b"x", "x"),
        (b"UTF-8", "é".encode(), "é"),
        (b"iso-8859-1", b"\xe9", "é"),
        (b'"ISO-8859-15"', b"\xa4", "€"),
        (b"windows-1252", b"\x80", "€"),
        (b"KOI8-R", b"\xc1", "а"),
        (b"GB18030", "漢字".encode("gb18030"), "漢字"),
        (b"Shift_JIS", "漢字".encode("shift_jis"), "漢字"),
        (b"ISO-2022-JP", "漢字".encode("iso2022_jp"), "漢字"),
    ],
)
def test_charsets(charset: bytes, octets: bytes, text: str) -> None:
    start = b"CHARSET " + charset + b" SUBJECT {%d+}" % len(octets)
    assert search(start, octets, b"").key == field("subject", text)


def test_text_without_charset_is_utf8() -> None:
    assert search('BODY "é"'.encode()).key == s.BodyContains("é")
    with pytest.raises(c.BadCommand, match="character set"):
        search(b'BODY "\xe9"')
    with pytest.raises(c.BadCommand, match="character set"):
        search(b'CHARSET US-ASCII BODY "\xe9"')


@pytest.mark.parametrize(
    "charset", [b"X-UNKNOWN", b"base64", b"idna", b"unicode_escape", b"os.path", b"x" * 500]
)
def test_unknown_charset_is_answered_no_badcharset(charset: bytes) -> None:
    refusal = search(b"CHARSET " + charset + b" ALL").program.refusal
    assert refusal is not None
    assert refusal.status == "NO"
    assert refusal.code is not None
    assert refusal.code.startswith(b"BADCHARSET (UTF-8")


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (b"", "SEARCH needs"),
        (b"()", "SEARCH needs"),
        (b"(SEEN", "SEARCH needs"),
        (b"SEEN)", "SEARCH needs"),
        (b"COLOR red", "SEARCH needs"),
        (b"BEFORE", "BEFORE needs a value"),
        (b"FROM", "FROM needs a value"),
        (b"NOT", "NOT needs a value"),
        (b"BEFORE yesterday", "1-Feb-1994"),
        (b"BEFORE 30-Feb-1994", "no such day"),
        (b"BEFORE 1-Foo-1994", "A month is"),
        (b"OR SEEN", "SEARCH needs"),
        (b"0", "message set"),
        (b"LARGER x", "SEARCH needs"),
        (b"LARGER 9223372036854775808", "SEARCH needs"),
        (b"KEYWORD \\Seen", "SEARCH needs"),
        (b'KEYWORD "a b"', "KEYWORD needs"),
        (b"RETURN (COLOR) ALL", "SEARCH returns"),
        (b"RETURN (MIN)", "SEARCH needs"),
        (b"CHARSET UTF-8", "SEARCH needs"),
        (b"NOT " * 60 + b"SEEN", "nested too deeply"),
        (b"(" * 60 + b"SEEN" + b")" * 60, "nested too deeply"),
        (b"OR " * 60 + b"SEEN" + b" SEEN" * 60, "nested too deeply"),
        (b" ".join([b"SEEN"] * 501), "at most 500"),
        (b"OR SEEN " * 300 + b"SEEN", "at most 500"),
    ],
)
def test_refused(wire: bytes, message: str) -> None:
    with pytest.raises(c.BadCommand, match=message):
        search(wire)


def test_long_or_chains_are_not_deep() -> None:
    key = search(b"OR FROM x " * 200 + b"SEEN").key
    assert isinstance(key, Either)
    assert len(key.keys) == 201


def test_resolve() -> None:
    def seq_to_uids(numbers: c.Numbers) -> NumberSet:
        return NumberSet(((10, 19),)) if isinstance(numbers, SequenceSet) else NumberSet(((1, 1),))

    def uid_to_uids(numbers: c.Numbers) -> NumberSet:
        return numbers.resolve(99) if isinstance(numbers, SequenceSet) else NumberSet(((2, 2),))

    key = search(b"1:5 OR UID 7:* NOT $ (SEEN UID $)").key
    assert resolve_key(key, Surroundings(seq_to_uids, uid_to_uids, Instant(0))) == s.AllOf(
        (
            s.UidIn(NumberSet(((10, 19),))),
            s.AnyOf((s.UidIn(NumberSet(((7, 99),))), s.Negated(s.UidIn(NumberSet(((1, 1),)))))),
            s.AllOf((SEEN, s.UidIn(NumberSet(((2, 2),))))),
        )
    )
