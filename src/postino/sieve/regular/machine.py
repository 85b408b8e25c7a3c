"""Look for an expression in a text, being at all places of its program at once.

RFC: draft-ietf-sieve-regex-01 §2 (POSIX: leftmost, then longest; ${1} and on are the groups).
Exposure: texts come from strangers' messages.
Invariants: time is linear in the text for each step of the program, and `spend` is told of it; memory is
    bounded, whatever was looked for.
Not here: reading expressions (reading.py), making programs (program.py).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from postino.sieve.regular.letters import is_word
from postino.sieve.regular.program import Kind, program_of
from postino.sieve.regular.reading import Where, read

Spend = Callable[[int], None]
Spans = list[tuple[int, int]]
"""Of the whole match, then of each group; (-1, -1) for a group that took no part."""

_MOST_WAYS: Final = 1000
"""From one letter to the next, that an expression remembers; those with many places count more."""
_OTHER: Final = 0
_WORD: Final = 1
_EDGE: Final = 2
"""What is beside a place: a letter of a word, another letter, an end of the text."""


def _holds(where: Where, before: int, after: int) -> bool:
    match where:
        case Where.START:
            return before == _EDGE
        case Where.END:
            return after == _EDGE
        case Where.EDGE:
            return (before == _WORD) is not (after == _WORD)
        case Where.NO_EDGE:
            return (before == _WORD) is (after == _WORD)
        case Where.WORD_START:
            return before != _WORD and after == _WORD
        case Where.WORD_END:
            return before == _WORD and after != _WORD


class _State:
    """Where in the program one can be at once, behind a letter of a kind."""

    __slots__ = ("at_end", "before", "places", "ways")

    def __init__(self, places: tuple[int, ...], before: int) -> None:
        self.places = places
        self.before = before
        self.ways: dict[str, _State | None] = {}
        """By letter; None: found."""
        self.at_end: bool | None = None


class Expression:
    """A compiled expression."""

    def __init__(self, pattern: str, comparator: str) -> None:
        """Raises BadPattern."""
        node, self.groups = read(pattern, comparator)
        self._steps = program_of(node)
        self._minds_words = any(step.where not in {None, Where.START, Where.END} for step in self._steps)
        self._start = _State((0,), _EDGE)
        self._states: dict[tuple[tuple[int, ...], int], _State] = {}
        self._ways = 0

    @property
    def size(self) -> int:
        """Steps of its program."""
        return len(self._steps)

    def is_in(self, text: str, spend: Spend) -> bool:
        """Whether it matches anywhere."""
        spend(1 + (len(text) >> 4))
        state = self._start
        for letter in text:
            try:
                following = state.ways[letter]
            except KeyError:
                following = self._way(state, letter, spend)
            if following is None:
                return True
            state = following
        if state.at_end is None:
            _, state.at_end = self._closed(state, _EDGE, spend)
        return state.at_end

    def _kind(self, letter: str) -> int:
        return _WORD if self._minds_words and is_word(letter) else _OTHER

    def _closed(self, state: _State, after: int, spend: Spend) -> tuple[list[int], bool]:
        """The places at which a letter is awaited, and whether the end is among those reached."""
        steps = self._steps
        waiting = list(state.places)
        seen = set(waiting)
        letters: list[int] = []
        while waiting:
            place = waiting.pop()
            step = steps[place]
            match step.kind:
                case Kind.LETTER:
                    letters.append(place)
                    continue
                case Kind.DONE:
                    return letters, True
                case Kind.AT:
                    assert step.where is not None
                    if not _holds(step.where, state.before, after):
                        continue
                case Kind.FORK:
                    if step.other not in seen:
                        seen.add(step.other)
                        waiting.append(step.other)
                case Kind.SAVE:
                    pass
            if step.next not in seen:
                seen.add(step.next)
                waiting.append(step.next)
        spend(1 + len(seen))
        return letters, False

    def _way(self, state: _State, letter: str, spend: Spend) -> _State | None:
        kind = self._kind(letter)
        places, is_done = self._closed(state, kind, spend)
        following: _State | None = None
        if not is_done:
            steps = self._steps
            reached = {0}
            for place in places:
                letters = steps[place].letters
                assert letters is not None
                if letters.has(letter):
                    reached.add(steps[place].next)
            key = (tuple(sorted(reached)), kind)
            following = self._states.get(key)
            if following is None:
                following = self._states[key] = _State(*key)
        self._ways += 1 + (len(places) >> 4)
        if self._ways > _MOST_WAYS:
            self._ways = 0
            self._states = {}
            self._start.ways.clear()
        else:
            state.ways[letter] = following
        return following

    def find(self, text: str, spend: Spend) -> Spans | None:
        """The leftmost match, the longest of those; with what its groups took."""
        found: tuple[int, ...] | None = None
        threads: list[tuple[int, tuple[int, ...]]] = []
        nothing = (-1,) * (2 * self.groups + 2)
        before = _EDGE
        for at in range(len(text) + 1):
            letter = text[at] if at < len(text) else ""
            after = self._kind(letter) if letter else _EDGE
            if found is None:
                threads.append((0, nothing))
            elif not threads:
                break
            awaiting, done = self._advanced(threads, at, before, after, spend)
            if done is not None and (found is None or done[0] <= found[0]):
                found = done
            threads = []
            for place, saved in awaiting:
                step = self._steps[place]
                assert step.letters is not None
                # What began behind a match that was found cannot be the leftmost any more.
                if letter and step.letters.has(letter) and (found is None or saved[0] <= found[0]):
                    threads.append((step.next, saved))
            before = after
        if found is None:
            return None
        return list(zip(found[::2], found[1::2], strict=True))

    def _advanced(
        self, threads: list[tuple[int, tuple[int, ...]]], at: int, before: int, after: int, spend: Spend
    ) -> tuple[list[tuple[int, tuple[int, ...]]], tuple[int, ...] | None]:
        """Threads that await a letter, the preferred first, and what the first one that is done saved."""
        steps = self._steps
        waiting = threads[::-1]
        seen: set[int] = set()
        awaiting: list[tuple[int, tuple[int, ...]]] = []
        done: tuple[int, ...] | None = None
        while waiting:
            place, saved = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            step = steps[place]
            match step.kind:
                case Kind.LETTER:
                    awaiting.append((place, saved))
                case Kind.DONE:
                    done = saved
                case Kind.AT:
                    assert step.where is not None
                    if _holds(step.where, before, after):
                        waiting.append((step.next, saved))
                case Kind.FORK:
                    waiting.append((step.other, saved))
                    waiting.append((step.next, saved))
                case Kind.SAVE:
                    waiting.append((step.next, (*saved[: step.other], at, *saved[step.other + 1 :])))
        spend(1 + len(seen) * (1 + (self.groups >> 3)))
        return awaiting, done


expression = lru_cache(maxsize=64)(Expression)
"""(pattern, comparator) -> the expression, shared by scripts; one takes up to 0.8 MB. Raises BadPattern."""
