"""The search index by itself: segments and files find exactly what looking at each text finds."""

import itertools
from array import array

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.ids import AccountId
from postino.mime.header import header_octets
from postino.mime.index import index_message
from postino.mime.text import body_text, fold, header_text
from postino.store.text_index import segment as segment_module
from postino.store.text_index import vocabulary as vocabulary_module
from postino.store.text_index.document import (
    NAMED,
    Field,
    make_document,
    octets_of,
    pack_document,
    unpack_document,
)
from postino.store.text_index.file import IndexDamaged, IndexFile
from postino.store.text_index.folder import TextIndexes
from postino.store.text_index.lookup import InFields, InHeaderField, find, numbers_in
from postino.store.text_index.needle import needle_of
from postino.store.text_index.segment import Segment, SegmentBuilder
from tests.support.stored import LIMITS

ANN = AccountId(7)
# Few letters, so that needles are found; what folds to more or other letters; every kind of space.
LETTERS = st.sampled_from(
    [*"aabbAB  \n\r\t.:-", "ß", "ẞ", "İ", "ı", "ﬁ", "é", "e\u0301", "Σ", "ς", "漢", "\u00a0", "\x0b", "\x1c"]
)
TEXTS = st.lists(LETTERS, max_size=25).map("".join)


def built(texts: list[tuple[str, str]]) -> Segment:
    """A segment of documents with these headers' lines and bodies, subjects being the first line."""
    builder = SegmentBuilder()
    for number, (header, body) in enumerate(texts):
        lines = [fold(line) for line in header.split("\n")]
        builder.add(
            number + 100,
            (
                octets_of(lines[0]), b"", b"", b"", b"",
                b"\xfe".join(octets_of(line) for line in lines),
                octets_of(fold(body)),
            ),
        )  # fmt: skip
    made = builder.finish()
    pieces = {(piece, chunk): value for piece, chunk, value in made.pieces}
    return Segment(1, array("q", made.ids), made.chunks, lambda _, piece, chunk: pieces[piece, chunk])


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(segment_module, "_CHUNK_OCTETS", 40)
    monkeypatch.setattr(vocabulary_module, "_PIECE_OCTETS", 6)


@settings(max_examples=150, deadline=None)
@given(
    texts=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=20),
    needles=st.lists(TEXTS, min_size=1, max_size=5),
    cut=st.tuples(st.integers(0, 19), st.integers(0, 20), st.integers(0, 8)),
    wanted=st.integers(0, (1 << 20) - 1),
)
def test_a_segment_finds_what_looking_at_each_text_finds(texts, needles, cut, wanted) -> None:
    segment = built(texts)
    wanted &= (1 << len(texts)) - 1
    # A piece of one of the texts is found where it was cut, over words and lines.
    whole = fold(texts[cut[0] % len(texts)][1])
    for needle in (*needles, whole[cut[1] :][: cut[2]]):
        folded = fold(needle)
        for field, text_of in (
            (Field.BODY, lambda header, body: fold(body)),
            (Field.HEADER, lambda header, body: fold(header)),
            (Field.SUBJECT, lambda header, body: fold(header.split("\n")[0])),
        ):
            expected = [
                number for number, both in enumerate(texts)
                if wanted >> number & 1 and folded in text_of(*both)
            ]  # fmt: skip
            found = segment.find(field, needle_of(folded), wanted)
            assert list(numbers_in(found)) == expected, (field, folded)


@settings(max_examples=80, deadline=None)
@given(
    texts=st.lists(
        st.lists(st.tuples(st.sampled_from(["a", "ab", "b-a"]), TEXTS), max_size=4), min_size=1, max_size=8
    ),
    name=st.sampled_from(["a", "ab", "b-a", "b"]),
    needle=TEXTS,
)
def test_a_segment_finds_header_fields_by_name(texts, name, needle) -> None:
    lines = [[(field, value.replace("\n", "")) for field, value in fields] for fields in texts]
    segment = built([("\n".join(f"{field}: {value}" for field, value in fields), "") for fields in lines])
    folded = fold(needle)
    expected = [
        number
        for number, fields in enumerate(lines)
        if any(field == name and folded in fold(value) for field, value in fields)
    ]
    found = segment.find_header(name.encode(), needle_of(folded), (1 << len(texts)) - 1)
    assert list(numbers_in(found)) == expected


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=12))
def test_a_segment_gives_its_documents_back(texts) -> None:
    segment = built(texts)
    documents = list(segment.documents())
    assert [content_id for content_id, _ in documents] == [100 + number for number in range(len(texts))]
    assert [document[Field.BODY] for _, document in documents] == [octets_of(fold(body)) for _, body in texts]
    headers = [document[Field.HEADER].replace(b"\xfe", b"\n") for _, document in documents]
    assert headers == [octets_of(fold(header)) for header, _ in texts]
    for _, document in documents:
        assert unpack_document(pack_document(document)) == document


@settings(max_examples=60, deadline=None)
@given(count=st.integers(2, 200), every=st.integers(1, 40))
def test_frequent_and_rare_words_have_their_documents(count, every) -> None:
    segment = built(
        [("", f"all {'some' if number % every == 0 else 'else'} only{number}x") for number in range(count)]
    )
    everything = (1 << count) - 1
    assert segment.find(Field.BODY, needle_of("all"), everything) == everything
    some = segment.find(Field.BODY, needle_of("some"), everything)
    assert list(numbers_in(some)) == list(range(0, count, every))
    assert segment.find(Field.BODY, needle_of(f"only{count - 1}x"), everything) == 1 << (count - 1)
    assert segment.find(Field.BODY, needle_of("all"), 0b10) & 0b10 == 0b10


HEADERS = st.lists(
    st.sampled_from(
        [b"Subject: =?utf-8?q?Stra=C3=9Fe?= b\r\n", b"Subject: a\r\n", b"SUBJECT:\r\n", b"To: b,\r\n\ta\r\n",
         b"From: \xff\xe9 A\r\n", b"X-Note: =?utf-8?b?Cg==?= a\r\n", b"no field\r\n", b"Cc: =?utf-7?q?+2D0-?=\r\n"]
    ),
    max_size=6,
).map(lambda lines: b"".join(lines) + b"\r\n")  # fmt: skip


@settings(deadline=None)
@given(header=HEADERS, body=st.binary(max_size=30))
def test_a_document_has_the_texts_that_reading_the_message_gives(header, body) -> None:
    octets = header + body
    root = index_message(octets, LIMITS)
    head = octets[: header_octets(octets)]
    document = make_document(head, root, octets, LIMITS)
    assert document[Field.BODY] == octets_of(fold(body_text(root, octets, LIMITS)))
    assert document[Field.HEADER].replace(b"\xfe", b"\n") == octets_of(fold(header_text(head)))
    assert set(NAMED.values()) == set(range(Field.HEADER))


# Files


def document(body: str, subject: str = "") -> tuple[bytes, ...]:
    return (octets_of(subject), b"", b"", b"", b"", octets_of(f"subject: {subject}"), octets_of(body))


def filled(path, *, segments: int, recent: int) -> IndexFile:
    """A file with three documents a segment and some outside; content ids are 10, 20, 30 ..."""
    index = IndexFile(path, create=True)
    ids = itertools.count(10, 10)
    with index.change():
        for _ in range(segments):
            builder = SegmentBuilder()
            for _ in range(3):
                number = next(ids)
                builder.add(number, document(f"body of {number}", f"s{number}"))
            index.add_segment(builder.finish())
        index.add_recent(
            [(number, document(f"body of {number}")) for number in itertools.islice(ids, recent)]
        )
        index.note("done", segments * 30 + recent * 10)
    return index


def test_contents_are_judged_or_given_back_as_unknown(tmp_path) -> None:
    index = filled(tmp_path / "x.sqlite", segments=3, recent=2)
    key = InFields((Field.BODY,), needle_of("body of"))
    with index.snapshot():
        everything = find(index, key, range(10, 120, 10))
        some = find(index, key, [5, 10, 25, 60, 61, 95, 100, 110, 115, 120])
        header = find(index, InHeaderField(b"subject", needle_of("s2")), [10, 20, 30, 40])
    assert everything == (list(range(10, 120, 10)), [])
    assert sorted(some.matching) == [10, 60, 100, 110]
    assert sorted(some.unknown) == [5, 25, 61, 95, 115, 120]
    assert header.matching == [20]
    extent = index.extent()
    assert (extent.documents, extent.recent) == (11, 2)
    index.close()


def test_a_second_indexer_finds_out_before_it_writes(tmp_path) -> None:
    from postino.store.text_index.file import IndexBusy

    path = tmp_path / "x.sqlite"
    index = filled(path, segments=1, recent=0)
    other = IndexFile(path, create=True)
    with other.change(expected_done=30):
        other.note("done", 40)
    with pytest.raises(IndexBusy), index.change(expected_done=30):
        raise AssertionError("nothing may be written")
    index.close()
    other.close()


@pytest.mark.parametrize("segments", [0, 3])
def test_whatever_happens_to_a_file_never_becomes_an_answer(tmp_path, segments) -> None:
    texts = TextIndexes(tmp_path)
    path = texts.path(ANN)
    path.parent.mkdir(parents=True)
    filled(path, segments=segments, recent=2).close()
    good = path.read_bytes()
    key = InFields((Field.BODY, Field.HEADER), needle_of("body of 10"))
    wanted = list(range(10, 130, 10))
    with texts.reading(ANN) as index, index.snapshot():
        right = find(index, key, wanted)
    told = 0
    for at in range(0, len(good), 977):
        texts.close()
        bad = bytearray(good)
        bad[at : at + 40] = b"\xa5" * len(bad[at : at + 40])
        path.write_bytes(bad)
        try:
            with texts.reading(ANN) as index:
                if index is None:
                    told += 1
                    path.parent.mkdir(exist_ok=True)
                    continue
                with index.snapshot():
                    found = find(index, key, wanted)
        except IndexDamaged:
            told += 1
            continue
        # What nobody noticed has not touched what was asked for, or it is missing and will be read.
        assert set(found.matching) <= set(right.matching)
        assert set(right.matching) <= {*found.matching, *found.unknown}
    assert told
    texts.close()


def test_files_of_another_version_and_other_programs_are_replaced(tmp_path) -> None:
    texts = TextIndexes(tmp_path)
    path = texts.path(ANN)
    for spoil in ("PRAGMA user_version=99", "PRAGMA application_id=1"):
        texts.open(ANN).close()
        connection = apsw.Connection(str(path))
        connection.execute(spoil)
        connection.close()
        with texts.reading(ANN) as index:
            assert index is None
        assert not path.exists()
    path.write_bytes(b"no database at all, but long enough for a header" * 20)
    index = texts.open(ANN)
    assert index.done == 0
    index.close()
    assert texts.accounts() == [ANN]
    texts.remove(ANN)
    assert texts.accounts() == []
    assert texts.take_missing() == {ANN}
    texts.close()


def test_an_open_file_is_used_again_and_never_after_it_was_replaced(tmp_path) -> None:
    texts = TextIndexes(tmp_path)
    filled(texts_path(texts), segments=1, recent=0).close()
    with texts.reading(ANN) as first:
        pass
    with texts.reading(ANN) as again:
        assert again is first
    kept = texts.path(ANN)
    kept.rename(kept.with_suffix(".old"))
    filled(kept, segments=2, recent=0).close()
    with texts.reading(ANN) as other:
        assert other is not first
        assert other.extent().documents == 6
    texts.close()


def texts_path(texts: TextIndexes):
    path = texts.path(ANN)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
