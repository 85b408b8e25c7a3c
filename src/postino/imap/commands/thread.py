"""THREAD and UID THREAD: which messages are like this, and which answers which?

RFC: 5256 §3 (THREAD).
Not here: the algorithms (threading.py), the keys (search_grammar.py).
"""

from dataclasses import dataclass
from typing import Final

from postino.imap.commands.search import Program, search_criteria
from postino.imap.scanner import Scanner
from postino.imap.search_key import SearchKey
from postino.imap.threading import ThreadAlgorithm


@dataclass(frozen=True, slots=True)
class Thread:
    """The searched messages, in threads."""

    tag: bytes
    by_uid: bool
    algorithm: ThreadAlgorithm
    program: Program

    @property
    def key(self) -> SearchKey:
        """What is looked for."""
        return self.program.key

    @property
    def name(self) -> str:
        """The command's name, for metrics."""
        return "UID THREAD" if self.by_uid else "THREAD"


USAGE: Final = (
    "THREAD needs an algorithm, a character set and search keys, such as THREAD REFERENCES UTF-8 ALL"
)
_ALGORITHMS: Final = {each.value.encode("ascii"): each for each in ThreadAlgorithm}


def parse(tag: bytes, scan: Scanner, by_uid: bool) -> Thread:
    """`SP thread-alg SP charset 1*(SP search-key)`."""
    scan.space()
    algorithm = _ALGORITHMS.get(scan.keyword())
    if algorithm is None:
        scan.fail(f"THREAD knows the algorithms {', '.join(each.value for each in ThreadAlgorithm)}")
    scan.space()
    return Thread(tag, by_uid, algorithm, search_criteria(scan))
