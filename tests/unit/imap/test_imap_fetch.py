"""FETCH items and sections (RFC 9051 §6.4.5), on the way in and as labels on the way out."""

import pytest

from postino.imap import commands as c
from postino.imap import fetch_grammar
from postino.imap.fetch_item import BinarySection, BinarySize, BodySection, FetchAtt, Section, SectionText
from postino.imap.framer import CommandFrame

OPTIONS = c.ParseOptions()


def fetch(wire: bytes, *more: bytes) -> c.Fetch:
    found = c.parse_command(CommandFrame((b"a FETCH 1 " + wire, *more)), OPTIONS)
    assert isinstance(found, c.Fetch)
    return found


def body(
    part: tuple[int, ...] = (),
    text: SectionText = SectionText.NONE,
    fields: tuple[bytes, ...] = (),
    *,
    partial: tuple[int, int] | None = None,
    peek: bool = False,
) -> BodySection:
    return BodySection(Section(part, text, fields), partial, peek)


FAST = (FetchAtt.FLAGS, FetchAtt.INTERNAL_DATE, FetchAtt.RFC822_SIZE)
ITEMS: list[tuple[bytes, tuple[c.FetchItem, ...]]] = [
    (b"FAST", FAST),
    (b"ALL", (*FAST, FetchAtt.ENVELOPE)),
    (b"full", (*FAST, FetchAtt.ENVELOPE, FetchAtt.BODY)),
    (b"FLAGS", (FetchAtt.FLAGS,)),
    (b"(UID)", (FetchAtt.UID,)),
    (
        b"(uid modseq savedate emailid threadid bodystructure)",
        (
            FetchAtt.UID,
            FetchAtt.MOD_SEQ,
            FetchAtt.SAVE_DATE,
            FetchAtt.EMAIL_ID,
            FetchAtt.THREAD_ID,
            FetchAtt.BODY_STRUCTURE,
        ),
    ),
    (
        b"(FLAGS BODY[HEADER.FIELDS (DATE FROM)])",
        (FetchAtt.FLAGS, body((), SectionText.HEADER_FIELDS, (b"DATE", b"FROM"))),
    ),
    (b"BODY[]", (body(),)),
    (b"BODY.PEEK[]<0.2048>", (body(partial=(0, 2048), peek=True),)),
    (b"body[text]", (body((), SectionText.TEXT),)),
    (b"BODY[HEADER]", (body((), SectionText.HEADER),)),
    # RFC 9051 §6.4.5.1's part specifiers
    (b"BODY[1]", (body((1,)),)),
    (b"BODY[3.HEADER]", (body((3,), SectionText.HEADER),)),
    (b"BODY[4.2.2.1]", (body((4, 2, 2, 1)),)),
    (b"BODY[4.1.MIME]", (body((4, 1), SectionText.MIME),)),
    (b"BODY[4.2.TEXT]", (body((4, 2), SectionText.TEXT),)),
    (
        b'BODY.PEEK[2.HEADER.FIELDS.NOT ("a)(" X-b)]',
        (body((2,), SectionText.HEADER_FIELDS_NOT, (b"a)(", b"X-b"), peek=True),),
    ),
    (b"BINARY[1.2]<3.4>", (BinarySection((1, 2), (3, 4), peek=False),)),
    (b"BINARY.PEEK[]", (BinarySection((), None, peek=True),)),
    (b"BINARY.SIZE[7]", (BinarySize((7,)),)),
    # RFC 3501 §6.4.5
    (b"RFC822", (BodySection(Section(), None, peek=False, legacy_name=b"RFC822"),)),
    (
        b"(RFC822.HEADER RFC822.SIZE)",
        (
            BodySection(Section((), SectionText.HEADER), None, peek=True, legacy_name=b"RFC822.HEADER"),
            FetchAtt.RFC822_SIZE,
        ),
    ),
    (b"(FLAGS flags FLAGS)", (FetchAtt.FLAGS,)),
]


@pytest.mark.parametrize(("wire", "items"), ITEMS, ids=[wire.decode() for wire, _ in ITEMS])
def test_items(wire: bytes, items: tuple[c.FetchItem, ...]) -> None:
    fetch_grammar._remembered.clear()
    assert fetch(wire).items == items
    assert fetch(wire).items == items, "the second time from memory"
    assert fetch(wire + b" (CHANGEDSINCE 12345)") == c.Fetch(
        b"a", c.parse_command(CommandFrame((b"a FETCH 1 UID",)), OPTIONS).numbers, False, items, 12345
    )


def test_field_names_may_be_literals() -> None:
    found = fetch(b"(BODY[HEADER.FIELDS ({4}", b"Date", b" From)] UID)")
    assert found.items == (body((), SectionText.HEADER_FIELDS, (b"Date", b"From")), FetchAtt.UID)
    found = fetch(b"(BODY[HEADER.FIELDS ({4}", b"Cc()", b" From)] UID)")
    assert found.items == (body((), SectionText.HEADER_FIELDS, (b"Cc()", b"From")), FetchAtt.UID)


def test_changed_since_and_vanished() -> None:
    wire = b"s100 UID FETCH 300:500 (FLAGS) (CHANGEDSINCE 12345 VANISHED)"
    found = c.parse_command(CommandFrame((wire,)), OPTIONS)
    assert isinstance(found, c.Fetch)
    assert (found.changed_since, found.vanished, found.by_uid) == (12345, True, True)


LABELS = [
    (b"BODY[]", b"BODY[]"),
    (b"body.peek[text]<10.5>", b"BODY[TEXT]<10>"),
    (b"BODY[1.2.mime]", b"BODY[1.2.MIME]"),
    (b"BODY.PEEK[HEADER.FIELDS (date From)]", b"BODY[HEADER.FIELDS (date From)]"),
    (b'BODY[2.HEADER.FIELDS.NOT ("x y" "NIL")]', b'BODY[2.HEADER.FIELDS.NOT ("x y" "NIL")]'),
    (b"RFC822.TEXT", b"RFC822.TEXT"),
    (b"BINARY.PEEK[1.2]<0.9>", b"BINARY[1.2]<0>"),
    (b"BINARY.SIZE[3]", b"BINARY.SIZE[3]"),
]


@pytest.mark.parametrize(("wire", "label"), LABELS)
def test_label_is_what_the_client_asked_for(wire: bytes, label: bytes) -> None:
    item = fetch(wire).items[0]
    assert not isinstance(item, FetchAtt)
    assert item.label() == label


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"()",
        b"(FLAGS UID",
        b"(FLAGS  UID)",
        b"(FLAGS UID) x",
        b"(ALL)",
        b"FLAGS UID",
        b"COLOR",
        b"BODY[",
        b"BODY[0]",
        b"BODY[1.]",
        b"BODY[.1]",
        b"BODY[01]",
        b"BODY[MIME]",
        b"BODY[HEADER.FIELDS]",
        b"BODY[HEADER.FIELDS ()]",
        b"BODY[HEADER.FIELDS (a]",
        b"BODY[]<0>",
        b"BODY[]<0.0>",
        b"BODY[]<1.99999999999999999999>",
        b"BODY[]<-1.5>",
        b"BODY[1" + b".1" * 200 + b"]",
        b"FLAGS[]",
        b"BINARY[TEXT]",
        b"(FLAGS) (CHANGEDSINCE 0)",
        b"(FLAGS) (CHANGEDSINCE 1 VANISHED)",
        b"(FLAGS) (VANISHED)",
        b"(FLAGS) ()",
        b"(" + b" ".join(b"BODY[%d]" % n for n in range(1, 502)) + b")",
    ],
)
def test_refused(wire: bytes) -> None:
    for _ in range(2):
        with pytest.raises(c.BadCommand) as caught:
            fetch(wire)
        assert caught.value.tag == b"a"


def test_memory_is_bounded() -> None:
    fetch_grammar._remembered.clear()
    for number in range(1, 2500):
        fetch(b"BODY[%d]" % number)
    assert len(fetch_grammar._remembered) <= 2048
    fetch(b"BODY[HEADER.FIELDS (" + b" ".join(b"x%d" % n for n in range(500)) + b")]")
    assert max(map(len, fetch_grammar._remembered)) <= 512
