"""A FETCH compiled once answers in bulk as it would message by message."""

import pytest

from postino.core.flags import flag_set
from postino.imap.commands import FetchAtt, FetchItem
from postino.imap.fetch_item import BodySection, Section, SectionText
from postino.imap.fetch_plan import Batch, Need, compile_fetch

SEEN, WORK = flag_set(["\\Seen"]), flag_set(["\\Flagged", "$Work"])
WHOLE = BodySection(Section((), SectionText.NONE, ()), None, peek=True)
TEXT = BodySection(Section((), SectionText.TEXT, ()), None, peek=True)
SUBJECT = BodySection(Section((), SectionText.HEADER_FIELDS, (b"Subject",)), None, peek=True)


def batch() -> Batch:
    return Batch(
        [2, 3],
        [12, 30],
        [SEEN, WORK],
        [7, 8],
        {
            Need.SIZE: [10, 20],
            Need.ENVELOPE: [b"(NIL)", b'("100%d" %b)'],
            Need.FIELDS: [b"Subject: %s\r\n", b""],
            Need.HEADER: [b"A: b\r\n\r\n", b"\r\n"],
            Need.BODY: [b"text %d\r\n", b""],
        },
    )


@pytest.mark.parametrize(
    ("items", "answer"),
    [
        (
            (FetchAtt.FLAGS,),
            b"* 2 FETCH (FLAGS (\\Seen))\r\n* 3 FETCH (FLAGS (\\Flagged $Work))\r\n",
        ),
        (
            (FetchAtt.UID, FetchAtt.FLAGS, FetchAtt.MOD_SEQ),
            (
                b"* 2 FETCH (UID 12 FLAGS (\\Seen) MODSEQ (7))\r\n"
                b"* 3 FETCH (UID 30 FLAGS (\\Flagged $Work) MODSEQ (8))\r\n"
            ),
        ),
        ((FetchAtt.UID,), b"* 2 FETCH (UID 12)\r\n* 3 FETCH (UID 30)\r\n"),
        (
            (FetchAtt.RFC822_SIZE, FetchAtt.ENVELOPE, FetchAtt.FLAGS),
            (
                b"* 2 FETCH (FLAGS (\\Seen) RFC822.SIZE 10 ENVELOPE (NIL))\r\n"
                b'* 3 FETCH (FLAGS (\\Flagged $Work) RFC822.SIZE 20 ENVELOPE ("100%d" %b))\r\n'
            ),
        ),
        (
            (SUBJECT,),
            (
                b"* 2 FETCH (BODY[HEADER.FIELDS (Subject)] {15}\r\nSubject: %s\r\n\r\n)\r\n"
                b"* 3 FETCH (BODY[HEADER.FIELDS (Subject)] {2}\r\n\r\n)\r\n"
            ),
        ),
    ],
)
def test_lists(items: tuple[FetchItem, ...], answer: bytes) -> None:
    plan = compile_fetch(items)
    assert not plan.apart
    made = batch()
    if plan.stored is not None:
        made.stored = plan.stored.answers(made.columns)
    assert plan.responses(made) == answer == b"".join(plan.heads(made))


@pytest.mark.parametrize("items", [(FetchAtt.FLAGS,), (FetchAtt.UID,), (FetchAtt.FLAGS, FetchAtt.UID)])
def test_no_messages_give_nothing(items: tuple[FetchItem, ...]) -> None:
    assert compile_fetch(items).responses(Batch([])) == b""


@pytest.mark.parametrize(
    ("item", "answer"),
    [
        (
            WHOLE,
            (
                b"* 2 FETCH (UID 12 BODY[] {17}\r\nA: b\r\n\r\ntext %d\r\n)\r\n"
                b"* 3 FETCH (UID 30 BODY[] {2}\r\n\r\n)\r\n"
            ),
        ),
        (
            TEXT,
            b"* 2 FETCH (UID 12 BODY[TEXT] {9}\r\ntext %d\r\n)\r\n* 3 FETCH (UID 30 BODY[TEXT] {0}\r\n)\r\n",
        ),
    ],
)
def test_whole_messages_come_in_pieces(item: BodySection, answer: bytes) -> None:
    plan = compile_fetch((FetchAtt.UID, item))
    made = batch()
    pieces = plan.whole_responses(made)
    assert b"".join(pieces) == answer
    assert any(piece is made.columns[Need.BODY][0] for piece in pieces)


@pytest.mark.parametrize("item", [WHOLE, TEXT])
def test_one_whole_message_is_told_like_several(item: BodySection) -> None:
    plan = compile_fetch((FetchAtt.UID, item, FetchAtt.FLAGS))
    assert plan.is_one_whole
    several = batch()
    one_by_one = [
        plan.whole_response(Batch([number], [uid], [flags], [0]), header, body)
        for number, uid, flags, header, body in zip(
            several.numbers,
            several.uids,
            several.flags,
            several.columns[Need.HEADER],
            several.columns[Need.BODY],
            strict=True,
        )
    ]
    assert b"".join(map(b"".join, one_by_one)) == b"".join(plan.whole_responses(several))
    assert not compile_fetch((FetchAtt.ENVELOPE, item)).is_one_whole
    assert not compile_fetch((item, BodySection(Section((1,)), None, peek=True))).is_one_whole


def test_one_list_of_items_has_one_name_whatever_else_is_asked() -> None:
    first = compile_fetch((FetchAtt.UID, FetchAtt.ENVELOPE)).stored
    second = compile_fetch((FetchAtt.ENVELOPE, FetchAtt.FLAGS)).stored
    other = compile_fetch((FetchAtt.ENVELOPE, FetchAtt.RFC822_SIZE)).stored
    assert first is not None
    assert second is not None
    assert other is not None
    assert first.template == second.template != other.template
