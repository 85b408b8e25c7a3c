"""How much of one account's mail may wait in the queue.

Held and deferred mail counts for no quota, and may wait for weeks: without this an account, or whoever writes
to one whose mail is sent on to a server that does not answer, would fill the disk.
Invariants: what is small is not counted, for the number of messages is limited (store/sending.py); a message
    is looked at in the transaction that takes it.
Not here: quotas of mailboxes (store/quota.py).
"""

from typing import Final

from postino.core.errors import OverSendingLimit
from postino.core.ids import AccountId
from postino.store.tx import Tx

SMALL_OCTETS: Final = 65_536
"""As in the index queue_message_large."""
_MIB: Final = 1 << 20


def require_room(tx: Tx, account_id: AccountId, octets: int, most: int) -> None:
    """Raise OverSendingLimit when a message of `octets` would make more than `most` wait."""
    if octets <= SMALL_OCTETS:
        return
    row = tx.one(
        f"SELECT coalesce(sum(size), 0) FROM queue_message WHERE account_id=? AND size>{SMALL_OCTETS}",
        (account_id,),
    )
    assert row is not None
    if row[0] + octets > most:
        raise OverSendingLimit(
            f"Mail of this account that waits to be sent takes {row[0] // _MIB} MiB, and may take "
            f"{most // _MIB} MiB; try again when some of it has gone"
        )
