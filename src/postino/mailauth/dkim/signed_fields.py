"""Find the header fields a signature covers, in the order it hashes them.

RFC: 6376 §5.4.2 (several fields of one name), §3.7 (what is hashed).
Exposure: unauthenticated octets; linear in the header and the names.
Not here: which names (sign.py).
"""

from collections.abc import Iterable, Iterator

from postino.mailauth.dkim.canonicalization import Canonicalization, relaxed_field
from postino.mime.header import raw_fields

RawField = tuple[bytes, bytes, bytes]
"""The whole field, its name as spelled, its value as folded."""


class HeaderFields:
    """A header's fields by name."""

    def __init__(self, header: bytes) -> None:
        self._by_name: dict[bytes, list[RawField]] = {}
        for field in raw_fields(header):
            self._by_name.setdefault(field[1].lower(), []).append(field)

    def named(self, name: bytes) -> list[RawField]:
        """The fields called `name` (lower case), from the top."""
        return self._by_name.get(name, [])

    def count(self, name: bytes) -> int:
        """How many there are."""
        return len(self._by_name.get(name, ()))

    def covered(self, names: Iterable[bytes], own: RawField | None = None) -> Iterator[RawField]:
        """The fields that h= means: of each name the last, the next time the one above it.

        `own` is the field of the signature itself, which is never one of them.
        """
        taken: dict[bytes, int] = {}
        for name in names:
            fields = self._by_name.get(name)
            if fields is None:
                continue
            if own is not None and own[1].lower() == name:
                fields = [field for field in fields if field is not own]
            nth = taken[name] = taken.get(name, 0) + 1
            if nth <= len(fields):
                yield fields[-nth]

    def hashed(
        self, names: Iterable[bytes], canonicalization: Canonicalization, own: RawField | None = None
    ) -> bytes:
        """What they give to the hash, each with its line end."""
        if canonicalization is Canonicalization.SIMPLE:
            return b"".join(_whole(field) for field in self.covered(names, own))
        return b"".join([relaxed_field(name, value) + b"\r\n" for _, name, value in self.covered(names, own)])


def hashed_signature(field: RawField, canonicalization: Canonicalization, value: bytes) -> bytes:
    """What a signature's own field gives to the hash; `value` is its value with b= emptied."""
    whole, name, spelled = field
    if canonicalization is Canonicalization.RELAXED:
        return relaxed_field(name, value)
    before = whole[: len(whole) - len(spelled) - whole.endswith(b"\n")]
    return (before + value).removesuffix(b"\r")


def _whole(field: RawField) -> bytes:
    octets = field[0].removesuffix(b"\n").removesuffix(b"\r")
    return octets + b"\r\n"
