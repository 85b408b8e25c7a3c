"""What FUZZY takes for alike, and how well it fits.

A text is taken apart into words. A message fits if it has each of them, in any order, also as a piece of a
longer word; a word nobody has stands for those that differ from it by one letter.
RFC: 6203 §3 (FUZZY), §4 (relevancy: 1 to 100).
Exposure: words come from clients and from messages; their number and length are limited.
Invariants: every message that a key fits exactly, it fits fuzzily, too.
Not here: which messages are looked at (search.py).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from postino.core.search import (
    AllOf,
    AnyOf,
    BodyContains,
    Criterion,
    Fuzzy,
    HeaderContains,
    Negated,
    TextContains,
)
from postino.mime.text import fold
from postino.store.text_index.document import NAMED, Document, Field, octets_of
from postino.store.text_index.lookup import Loose, Wanted, numbers_in
from postino.store.text_index.segment import Piece, Segment, rows_with

TextCriterion = HeaderContains | BodyContains | TextContains
Part = Wanted | Loose

_MOST_WORDS: Final = 16
_MOST_LIKE: Final = 32
_SHORTEST_LIKE: Final = 4
_LONGEST_LIKE: Final = 64
# Letters are what is not ASCII punctuation or space, nor of the block of dashes and quotation marks.
_LETTER: Final = rb"(?:[a-z0-9]|[\xc2-\xe1\xe3-\xf4][\x80-\xbf]+|\xe2(?!\x80)[\x80-\xbf]{2})"
_WORD: Final = re.compile(_LETTER + rb"++")
_WEIGHTS: Final = {
    Field.SUBJECT: 3.0,
    Field.FROM: 2.0,
    Field.TO: 1.5,
    Field.CC: 1.5,
    Field.BCC: 1.5,
    Field.HEADER: 1.0,
    Field.BODY: 1.0,
}
_WHOLE: Final = 1.0
_START: Final = 0.7
_INSIDE: Final = 0.4
_LIKE: Final = 0.5
PHRASE: Final = 1.5
"""What a message gains when it has the text as it was written."""


def words_of(text: str) -> list[str]:
    """The words of what is looked for, folded."""
    found = dict.fromkeys(_WORD.findall(octets_of(fold(text))))
    return [word.decode("utf-8", "surrogatepass") for word in found][:_MOST_WORDS]


def spread(key: Criterion) -> Criterion:
    """FUZZY of a group of keys as a group of FUZZY keys; what it means for no text is the key itself."""
    match key:
        case AllOf(keys):
            return AllOf(tuple(map(spread, keys)))
        case AnyOf(keys):
            return AnyOf(tuple(map(spread, keys)))
        case Fuzzy(inner):
            return spread(inner)
        case HeaderContains() | BodyContains() | TextContains():
            return Fuzzy(key) if words_of(key.text) else key
        case _:
            # Also NOT: what is only like the text need not be left out.
            return key


def fuzzy_keys(criterion: Criterion) -> Iterator[TextCriterion]:
    """The keys whose fit is counted: each text under a FUZZY that no NOT is around."""
    match criterion:
        case AllOf(keys) | AnyOf(keys):
            for key in keys:
                yield from fuzzy_keys(key)
        case Fuzzy(key):
            match spread(key):
                case Fuzzy(HeaderContains() | BodyContains() | TextContains() as text):
                    yield text
                case AllOf() | AnyOf() as group:
                    yield from fuzzy_keys(group)
                case _:
                    return
        case Negated():
            return
        case _:
            return


def fields_of(key: TextCriterion) -> tuple[Field, ...]:
    """The texts a key speaks of, those that count more first."""
    match key:
        case HeaderContains(name):
            return (NAMED.get(name, Field.HEADER),)
        case BodyContains():
            return (Field.BODY,)
        case TextContains():
            return (Field.SUBJECT, Field.FROM, Field.TO, Field.CC, Field.HEADER, Field.BODY)


# Words that are alike


def words_like(word: str, parts: Iterable[Part], fields: Sequence[Field]) -> list[str]:
    """Words of these documents that differ from `word` by one letter, the most frequent first."""
    if not _SHORTEST_LIKE <= len(word) <= _LONGEST_LIKE:
        return []
    # One change leaves one half as it is.
    middle = len(word) // 2
    halves = [octets_of(word[:middle]), octets_of(word[middle:])]
    searched = {Field.BODY if field is Field.BODY else Field.HEADER for field in fields}
    found: Counter[str] = Counter()
    judged: dict[bytes, list[str]] = {}
    for part in parts:
        for field in searched:
            for spelled, count in _spelled(part, field, halves):
                alike = judged.get(spelled)
                if alike is None:
                    alike = judged[spelled] = [
                        other
                        for other in _decoded_words(spelled)
                        if abs(len(other) - len(word)) <= 1 and differ_by_one(word, other)
                    ]
                for other in alike:
                    found[other] += count
    return [other for other, _ in found.most_common(_MOST_LIKE)]


def _spelled(part: Part, field: Field, halves: list[bytes]) -> Iterator[tuple[bytes, int]]:
    """Words as they stand in documents, with punctuation, that contain one of the halves; and how often."""
    if isinstance(part, Loose):
        for spelled in set(part.document[field].split()):
            if halves[0] in spelled or halves[1] in spelled:
                yield spelled, 1
        return
    vocabulary = part.segment.vocabulary(field)
    words: dict[bytes, int] = {}
    for half in halves:
        words.update(vocabulary.words(half))
    for spelled, bits in words.items():
        count = (bits & part.bits).bit_count()
        if count:
            yield spelled, count


def _decoded_words(spelled: bytes) -> list[str]:
    return [word.decode("utf-8", "surrogatepass") for word in _WORD.findall(spelled)]


def differ_by_one(one: str, other: str) -> bool:
    """Whether one letter more, fewer, else or exchanged with its neighbour makes one of the other."""
    if len(one) > len(other):
        one, other = other, one
    longer = len(other) - len(one)
    if longer > 1 or one == other:
        return False
    at = 0
    while at < len(one) and one[at] == other[at]:
        at += 1
    if longer:
        return one[at:] == other[at + 1 :]
    if one[at + 1 :] == other[at + 1 :]:
        return True
    return one[at : at + 2] == other[at : at + 2][::-1] and one[at + 2 :] == other[at + 2 :]


# How well


class Fit:
    """Says how well a word fits a text."""

    def __init__(self, word: str, *, is_like: bool = False) -> None:
        self.octets = octets_of(word)
        escaped = re.escape(self.octets)
        self._whole = re.compile(rb"(?<![a-z0-9\x80-\xf4])%b(?![a-z0-9\x80-\xf4])" % escaped)
        self._start = re.compile(rb"(?<![a-z0-9\x80-\xf4])%b" % escaped)
        self._factor = _LIKE if is_like else 1.0

    def of(self, text: bytes) -> float:
        """0 when the word is not there; more when it begins a word, most when it is one."""
        if self.octets not in text:
            return 0.0
        if self._whole.search(text):
            return _WHOLE * self._factor
        return (_START if self._start.search(text) else _INSIDE) * self._factor

    def of_part(self, part: Part, fields: Sequence[Field]) -> Iterator[tuple[int, float]]:
        """(content id, how well) of each document that has the word, its best field counting."""
        if isinstance(part, Loose):
            best = max(self.of(part.document[field]) * _WEIGHTS[field] for field in fields)
            if best:
                yield part.content_id, best
            return
        best_of: dict[int, float] = {}
        for field in fields:
            for fits, bits in self._in_segment(part.segment, field):
                score = fits * _WEIGHTS[field]
                for number in numbers_in(bits & part.bits):
                    if score > best_of.get(number, 0.0):
                        best_of[number] = score
        for number, score in best_of.items():
            yield part.segment.ids[number], score

    def _in_segment(self, segment: Segment, field: Field) -> Iterator[tuple[float, int]]:
        bits_of: dict[float, int] = {}
        if field in {Field.HEADER, Field.BODY}:
            for spelled, bits in segment.vocabulary(field).words(self.octets).items():
                fits = self.of(spelled)
                bits_of[fits] = bits_of.get(fits, 0) | bits
        else:
            rows = segment.piece(Piece(field))
            for number, at in rows_with(rows, self.octets):
                fits = self.of(rows[max(0, at - 4) : at + len(self.octets) + 4])
                bits_of[fits] = bits_of.get(fits, 0) | 1 << number
        yield from bits_of.items()


def fits_of_parts(
    fits: Sequence[Sequence[Fit]], fields: Sequence[Field], parts: Iterable[Part]
) -> dict[int, float]:
    """How well each content fits: for each word the best of what stands for it, then their mean."""
    scores: dict[int, float] = {}
    for part in parts:
        for alike in fits:
            best: dict[int, float] = {}
            for fit in alike:
                for content_id, score in fit.of_part(part, fields):
                    best[content_id] = max(score, best.get(content_id, 0.0))
            for content_id, score in best.items():
                scores[content_id] = scores.get(content_id, 0.0) + score / len(fits)
    return scores


def as_relevancies(scores: Sequence[float]) -> list[int]:
    """Scores as numbers from 1 to 100, the best being 100."""
    best = max(scores, default=0.0)
    if best <= 0.0:
        return [100] * len(scores)
    return [max(1, round(100 * score / best)) for score in scores]


def document_parts(documents: Iterable[tuple[int, Document]]) -> Iterator[Loose]:
    """Documents that no index has, as parts."""
    for content_id, document in documents:
        yield Loose(content_id, document)
