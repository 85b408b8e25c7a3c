"""Tell the operator that an account has reached a limit on sending: a warning in the log, and one mail a day.

A hijacked account shows itself this way first, and its owner will not say so.
RFC: 3834 §5 (Auto-Submitted).
Invariants: at most one mail for each account and day, whatever it does.
Not here: the limits (store/sending.py), the reply to the client (servers/smtp/).
"""

import secrets

from structlog.typing import FilteringBoundLogger

from postino.core.address import Address
from postino.core.errors import PostinoError
from postino.core.ids import AccountId, Instant
from postino.delivery.accept import Delivery
from postino.delivery.facts import derive_facts
from postino.mime.dates import format_date
from postino.smtp.received import delivered_to_field, return_path_field
from postino.store.accounts import ResolvedRecipient, oldest_account
from postino.store.content import InlineBody, NewEmail
from postino.store.messages import deliver
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
        found = delivery.recipients.resolve(Address("postmaster", ""), "", delivery.hostname)
        accounts = list(found.accounts) if found is not None else []

        def write(tx: Tx) -> None:
            if not note_told(tx, account_id, now):
                return
            receivers = accounts or oldest_account(tx).accounts
            emails = [(one.account_id, None, _note(delivery, one, login, sentence, now)) for one in receivers]
            deliver(tx, emails, now, over_quota=True)

        await delivery.store.write(write)
    except PostinoError as error:
        log.warning("sending.limit-untold", error=str(error))


def _note(
    delivery: Delivery, receiver: ResolvedRecipient, login: str, sentence: str, now: Instant
) -> NewEmail:
    hostname = delivery.hostname
    header = (
        return_path_field(None)
        + delivered_to_field(receiver.login)
        + (
            f"Date: {format_date(now)}\r\nFrom: Postino <postmaster@{hostname}>\r\n"
            f"To: <{receiver.login}>\r\nSubject: {login} has reached a limit on sending\r\n"
            f"Message-ID: <{secrets.token_hex(12)}@{hostname}>\r\nAuto-Submitted: auto-generated\r\n"
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Transfer-Encoding: 8bit\r\n\r\n"
        ).encode()
    )
    body = (
        f"{login} was told:\r\n\r\n  {sentence}.\r\n\r\n"
        "If this is usual for the account, allow it more:\r\n\r\n"
        f"  postino account limit {login} --messages 5000 --recipients 1000\r\n\r\n"
        "If it is not, somebody else may have its password. Give it another, and look at what waits:\r\n\r\n"
        f"  postino account password {login} --generate\r\n"
        f"  postino queue list\r\n\r\n"
        "There is one such message a day for each account.\r\n"
    ).encode()
    facts = derive_facts(header, body, delivery.limits)
    return NewEmail(header, InlineBody(body), facts, now)
