"""How a body is written, once for all rows of one transaction that hold it.

A message for several accounts, or for an account and the queue, has one body: it lies in shared_body, and
each of its rows names it.

Invariants: a shared body is named after the first row that needed it, whose number is given once.
Not here: codecs (store/bodies.py), when a shared body goes (store/accounts.drop_unnamed).
"""

from collections.abc import Iterable

from postino.store.bodies import Codec, pack
from postino.store.content import Body, InlineBody, SealedBlob
from postino.store.tx import Tx

StoredBody = tuple[int, bytes | None, str | None, int]
"""The columns codec, body, blob_id and blob_offset."""


def stored_body(body: Body) -> StoredBody:
    """The columns of a body that one row alone holds."""
    if isinstance(body, SealedBlob):
        return Codec.BLOB, None, body.blob_id, body.offset
    codec, octets = pack(body.octets)
    return codec, octets, None, 0


class SharedBodies:
    """The bodies one transaction will write, each as often as rows hold it. Made within the transaction."""

    __slots__ = ("_stored", "_uses")

    def __init__(self, bodies: Iterable[Body]) -> None:
        uses: dict[int, int] = {}
        for body in bodies:
            key = _key(body)
            uses[key] = uses.get(key, 0) + 1
        self._uses = uses
        self._stored: dict[int, StoredBody] = {}

    def put(self, tx: Tx, body: Body, name: str) -> StoredBody:
        """The columns for the next row that holds `body`; the first of several names it."""
        key = _key(body)
        stored = self._stored.get(key)
        if stored is None:
            stored = stored_body(body)
            if self._uses.get(key, 0) > 1 and stored[1] is not None:
                tx.run("INSERT INTO shared_body (id, codec, body) VALUES (?, ?, ?)", (name, *stored[:2]))
                stored = (Codec.SHARED, None, name, 0)
            self._stored[key] = stored
        return stored


def _key(body: Body) -> int:
    # One message for many is one bytes object; comparing octets would cost more than it finds.
    return id(body.octets) if isinstance(body, InlineBody) else id(body)
