"""What THREAD answers.

RFC: 5256 §4 (THREAD response) and §5 (thread-list).
Invariants: no recursion, however deep a thread is; a list that nests has at least two lists in it.
"""

from collections.abc import Sequence
from typing import Final

from postino.imap.threading import Threads

_OPEN: Final = -1
_CLOSE: Final = -2


def thread_response(threads: Threads, numbers: Sequence[int]) -> bytes:
    """`* THREAD (2)(3 6 (4 23)(44 7 96))`; `numbers` gives what each message is called."""
    roots, children = threads
    if not roots:
        return b"* THREAD\r\n"
    names = list(map(str, numbers))
    pieces = ["* THREAD "]
    for root in roots:
        if len(root) == 1 and root[0] not in children:
            # PERF: half of most mailboxes are letters nobody answered.
            pieces += ("(", names[root[0]], ")")
            continue
        waiting = [_CLOSE, *reversed(root)] if len(root) == 1 else [_CLOSE, *_siblings(root)]
        pieces.append("(")
        while waiting:
            at = waiting.pop()
            if at == _OPEN:
                pieces.append("(")
            elif at == _CLOSE:
                pieces.append(")")
            else:
                pieces.append(names[at])
                answers = children.get(at)
                if answers is not None:
                    pieces.append(" ")
                    waiting += answers if len(answers) == 1 else _siblings(answers)
    pieces.append("\r\n")
    return "".join(pieces).encode("ascii")


def _siblings(messages: list[int]) -> list[int]:
    """Each in a list of its own, the last first."""
    nested: list[int] = []
    for at in reversed(messages):
        nested += (_CLOSE, at, _OPEN)
    return nested
