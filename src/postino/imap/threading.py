"""Put messages into threads: by subject, or by what they say they follow.

RFC: 5256 §3 (ORDEREDSUBJECT, REFERENCES) and §2.2 (ties), draft-ietf-morg-inthread (REFS).
Exposure: ids and subjects are the senders'; time is about linear whatever they claim, and nothing recurses.
Invariants: every message given is in exactly one thread, once; siblings go upwards by date, then by place.
Not here: reading ids and subjects (mime/sort_keys.py, mime/base_subject.py), the answer's spelling
    (responses/thread.py).
"""

from collections.abc import Sequence
from enum import Enum
from itertools import repeat
from typing import NamedTuple


class ThreadAlgorithm(Enum):
    """What THREAD can be asked for; announced as THREAD=name."""

    ORDEREDSUBJECT = "ORDEREDSUBJECT"
    REFERENCES = "REFERENCES"
    REFS = "REFS"
    """As REFERENCES, but subjects join nothing and the thread with the newest message comes last."""


class Threads(NamedTuple):
    """Messages are numbered from 0, in the order they were given."""

    roots: list[list[int]]
    """One list a thread: its first message, or several siblings whose parent is not here."""
    children: dict[int, list[int]]
    """The answers to each message that has some."""


class Correspondence(NamedTuple):
    """What the algorithms look at, one entry a message in mailbox order."""

    ids: Sequence[str]
    """Message IDs, normalized; '' for none."""
    references: Sequence[str]
    """Ids parted by spaces, the eldest first."""
    dates: Sequence[int]
    """Sent dates; internal dates for REFS."""
    subjects: Sequence[str]
    """Base subjects as sort keys; not looked at by REFS."""
    replies: Sequence[int]
    """Whether the subject shows a reply or forward; looked at by REFERENCES alone."""


def make_threads(algorithm: ThreadAlgorithm, messages: Correspondence) -> Threads:
    """The threads of these messages, in the order THREAD answers with."""
    # Sorting is stable, so that of two messages with one date the first in the mailbox comes first.
    order = sorted(range(len(messages.dates)), key=messages.dates.__getitem__)
    if algorithm is ThreadAlgorithm.ORDEREDSUBJECT:
        return _by_subject(messages.subjects, order)
    threads = _by_references(messages.ids, messages.references, order)
    if algorithm is ThreadAlgorithm.REFS:
        _newest_last(threads, order)
    else:
        _merge_subjects(threads, messages.subjects, messages.replies, order)
    return threads


def _by_subject(subjects: Sequence[str], order: list[int]) -> Threads:
    first_of: dict[str, int] = {}
    children: dict[int, list[int]] = {}
    for at in order:
        first = first_of.setdefault(subjects[at], at)
        if first != at:
            children.setdefault(first, []).append(at)
    return Threads([[first] for first in first_of.values()], children)


def _by_references(ids: Sequence[str], references: Sequence[str], order: list[int]) -> Threads:
    """Steps 1 to 4 of REFERENCES: link, gather, prune, sort."""
    count = len(ids)
    parents = _link(ids, references)
    roots: list[list[int]] = []
    children: dict[int, list[int]] = {}
    strangers: dict[int, list[int]] = {}
    # Going by date, every list below is made in its right order.
    for at in order:
        parent = parents[at]
        if parent >= count:
            parent, stranger = _past_strangers(parents, parent, count)
            if parent < 0:
                siblings = strangers.get(stranger)
                if siblings is None:
                    strangers[stranger] = siblings = []
                    roots.append(siblings)
                siblings.append(at)
                continue
        if parent < 0:
            roots.append([at])
        elif (answers := children.get(parent)) is not None:
            answers.append(at)
        else:
            children[parent] = [at]
    return Threads(roots, children)


def _link(ids: Sequence[str], references: Sequence[str]) -> list[int]:
    """Step 1: each node's parent, -1 for none. Nodes from len(ids) on are messages that are not here."""
    node_of: dict[str, int] = {}
    # Of several messages with one id the first has it.
    for at, own in enumerate(ids):
        if own:
            node_of.setdefault(own, at)
    parents = list(repeat(-1, len(ids)))
    answered = bytearray(len(ids))
    """Nodes that were made a parent once: only those can be somebody's ancestor."""
    for at, refs in enumerate(references):
        last = -1
        if refs:
            for ref in refs.split(" "):
                node = node_of.get(ref)
                if node is None:
                    node_of[ref] = node = len(parents)
                    parents.append(-1)
                    answered.append(0)
                if (
                    last >= 0
                    and parents[node] < 0
                    and not (node == last or (answered[node] and _is_above(parents, node, last)))
                ):
                    parents[node] = last
                    answered[last] = 1
                last = node
        parents[at] = -1
        if last >= 0 and not (at == last or (answered[at] and _is_above(parents, at, last))):
            parents[at] = last
            answered[last] = 1
    return parents


def _is_above(parents: list[int], node: int, below: int) -> bool:
    while below >= 0:
        if below == node:
            return True
        below = parents[below]
    return False


def _past_strangers(parents: list[int], node: int, count: int) -> tuple[int, int]:
    """Step 3: the nearest ancestor that is here, or -1; and then the eldest one that is not."""
    path: list[int] = []
    while node >= count and parents[node] >= 0:
        path.append(node)
        node = parents[node]
    # The next message of this thread need not go the whole way again.
    for passed in path:
        parents[passed] = node
    return (node, -1) if node < count else (-1, node)


def _merge_subjects(
    threads: Threads, subjects: Sequence[str], replies: Sequence[int], order: list[int]
) -> None:
    """Steps 5 and 6: join threads of one base subject, and sort again what that moved."""
    roots, children = threads
    table: dict[str, list[int]] = {}
    merging = False
    for root in roots:
        subject = subjects[root[0]]
        if not subject:
            continue
        known = table.setdefault(subject, root)
        if known is root:
            continue
        merging = True
        if len(known) == 1 and (len(root) > 1 or (replies[known[0]] and not replies[root[0]])):
            table[subject] = root
    if not merging:
        return
    grown: list[list[int]] = []
    for root in roots:
        known = table.get(subjects[root[0]], root)
        if known is root:
            continue
        if len(known) == 1 and replies[root[0]] and not replies[known[0]]:
            answers = children.setdefault(known[0], [])
            answers.append(root[0])
            grown.append(answers)
        else:
            # The siblings' parent is not here; when it was, two messages get one that is not.
            known += root
            grown.append(known)
        root.clear()
    place = [0] * len(order)
    for number, at in enumerate(order):
        place[at] = number
    for siblings in grown:
        siblings.sort(key=place.__getitem__)
    roots[:] = sorted(filter(None, roots), key=lambda root: place[root[0]])


def _newest_last(threads: Threads, order: list[int]) -> None:
    roots, children = threads
    place = [0] * len(order)
    for number, at in enumerate(order):
        place[at] = number
    newest: dict[int, int] = {}
    for root in roots:
        waiting = root[:]
        latest = 0
        while waiting:
            at = waiting.pop()
            latest = max(latest, place[at])
            waiting += children.get(at, ())
        newest[root[0]] = latest
    roots.sort(key=lambda root: newest[root[0]])
