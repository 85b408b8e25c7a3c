"""Tell the operator that an account has reached a limit on sending: a warning in the log, and one mail a day.

A hijacked account shows itself this way first, and its owner will not say so.
Invariants: at most one mail for each account and day, whatever it does.
Not here: the mail itself (operator_note.py), the limits (store/sending.py), the reply to the client
    (servers/smtp/).
"""

from structlog.typing import FilteringBoundLogger

from postino.core.errors import PostinoError
from postino.core.ids import AccountId
from postino.delivery.accept import Delivery
from postino.delivery.operator_note import deliver_note, operators
from postino.store.sending import note_told
from postino.store.tx import Tx


async def tell_of_limit(
    delivery: Delivery, account_id: AccountId, sentence: str, log: FilteringBoundLogger
) -> None:
    """Note that `sentence` was said to the account. Never raises: the client gets its answer anyway."""
    log.warning("sending.limit", reason=sentence)
    now = delivery.clock.now()
    try:
        login = delivery.senders.sender(account_id).login
        receivers = operators(delivery)

        def write(tx: Tx) -> None:
            if note_told(tx, account_id, now):
                subject = f"{login} has reached a limit on sending"
                deliver_note(tx, delivery, receivers, subject, _text(login, sentence), now)

        await delivery.store.write(write)
    except PostinoError as error:
        log.warning("sending.limit-untold", error=str(error))


def _text(login: str, sentence: str) -> str:
    return (
        f"{login} was told:\n\n  {sentence}.\n\n"
        "If this is usual for the account, allow it more:\n\n"
        f"  postino account limit {login} --messages 5000 --recipients 1000\n\n"
        "If it is not, somebody else may have its password. Give it another, and look at what waits:\n\n"
        f"  postino account password {login} --generate\n"
        f"  postino queue list\n\n"
        "There is one such message a day for each account.\n"
    )
