"""Where a foreverypart loop is, as a path, which holds also while the message is edited.

RFC: 5703 §3.
Invariants: a loop goes forward through the parts in their order, so it ends.
Not here: the commands (extensions/foreverypart.py), editing (editing.py).
"""

from collections.abc import Iterator

import msgspec

from postino.mime.part import Part

Path = tuple[int, ...]
"""The number of the child at each level; the message itself has ()."""


class Loop(msgspec.Struct):
    """One loop that runs."""

    base: Path
    """Whose parts it goes through; all of them lie under it."""
    path: Path
    """The part it is at."""
    is_replaced: bool = False
    """That part was replaced: what it has become is not gone through."""


def part_at(root: Part, path: Path) -> Part | None:
    """The part of a path, while there is one."""
    part = root
    for number in path:
        if number >= len(part.parts):
            return None
        part = part.parts[number]
    return part


def enclosing_parts(root: Part, path: Path) -> Iterator[Part]:
    """The parts around one, from the message inwards."""
    part = root
    for number in path:
        yield part
        part = part.parts[number]


def next_path(root: Part, loop: Loop) -> Path | None:
    """Where the loop goes from where it is; None at the end."""
    path = loop.path
    part = part_at(root, path)
    if part is not None and part.parts and not loop.is_replaced:
        return (*path, 0)
    while len(path) > len(loop.base):
        parent, number = path[:-1], path[-1] + 1
        around = part_at(root, parent)
        if around is not None and number < len(around.parts):
            return (*parent, number)
        path = parent
    return None
