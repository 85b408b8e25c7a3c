"""Remove the files of messages that were taken in and then not stored after all.

Without that they would lie there until the sweep finds them a day later, and whoever is refused again and
again would fill the disk.
Invariants: what any row names stays, so that it is safe to ask for whatever may have been stored.
Not here: files that a crash left (sweep.py).
"""

from collections.abc import Iterable

from postino.core.ids import BlobId
from postino.store.accounts import drop_unnamed
from postino.store.bodies import Codec
from postino.store.content import Body, SealedBlob
from postino.store.store import Store


def forget_unstored(store: Store, bodies: Iterable[Body]) -> None:
    """Remove those that are files and that nothing names. None may be on its way into the store."""
    files = [(Codec.BLOB, body.blob_id) for body in bodies if isinstance(body, SealedBlob)]
    if files:
        for blob_id in store.read_now(lambda tx: drop_unnamed(tx, files)):
            store.blobs.delete(BlobId(blob_id))
