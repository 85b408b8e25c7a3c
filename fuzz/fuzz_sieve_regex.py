"""Regular expressions of Sieve scripts, over any text.

Oracle: a pattern is read or refused in words; both ways of looking agree; spans lie inside the text; what a search
costs is bounded by the length of the text times the size of the program.
Run: python fuzz/fuzz_sieve_regex.py -max_total_time=20
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import run

from postino.sieve.regular.letters import SAME_LETTERS
from postino.sieve.regular.machine import Expression
from postino.sieve.regular.reading import BadPattern


def test_one_input(octets: bytes) -> None:
    """Check one pattern, which ends at the first NUL, over the text behind it."""
    pattern, _, text = octets[:600].decode("utf-8", "replace").partition("\0")
    for comparator in SAME_LETTERS:
        try:
            expression = Expression(pattern, comparator)
        except BadPattern as bad:
            assert str(bad)  # noqa: PT017
            continue
        steps: list[int] = []
        spans = expression.find(text, steps.append)
        assert expression.is_in(text, steps.append) is (spans is not None)
        most = (len(text) + 2) * (expression.size + 2)
        assert sum(steps) <= most * (3 + expression.groups)
        for start, end in spans or ():
            assert start == end == -1 or 0 <= start <= end <= len(text)
        if spans is not None:
            first, last = spans[0]
            assert all(first <= start <= end <= last for start, end in spans if start >= 0)


if __name__ == "__main__":
    run(test_one_input, "sieve_regex")
