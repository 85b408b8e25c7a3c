"""What commands tell about what they did to messages, for the scripts of mailboxes.

RFC: 6785 §2.2 (APPEND, COPY and flag changes are events; MOVE is a COPY, REPLACE an APPEND, 8508 §3).
Invariants: nothing is told before it is committed, and of a mailbox without a script nothing at all.
Not here: running the scripts (delivery/filters/events.py).
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from postino.core.flags import FlagSet
from postino.core.ids import AccountId, MailboxId
from postino.core.numset import NumberSet
from postino.delivery.filters.events import Cause, MailboxEvent, flag_names

if TYPE_CHECKING:
    from postino.imap.view import Span
    from postino.servers.imap.session import ImapSession
    from postino.servers.imap.updates.selected import SelectedMailbox


def messages_came(
    session: "ImapSession",
    cause: Cause,
    account_id: AccountId,
    mailbox_id: MailboxId,
    uids: Iterable[int],
    source: "SelectedMailbox | None" = None,
) -> None:
    """These messages are in the mailbox now; `source` is where they were copied or moved from."""
    events = session.context.mailbox_events
    if events is None or not events.concerns(account_id, mailbox_id):
        return
    came = uids if isinstance(uids, NumberSet) else NumberSet.of(uids)
    is_own = source is not None and source.account_id == account_id
    events.happened(
        MailboxEvent(
            cause=cause,
            account_id=account_id,
            mailbox_id=mailbox_id,
            uids=came,
            login=session.login,
            source_id=source.id if source is not None and is_own else None,
        )
    )


def flags_before(session: "ImapSession", spans: "Iterable[Span]") -> dict[int, FlagSet] | None:
    """The flags of these messages before they are changed; None where no script wants to know."""
    events, selected = session.context.mailbox_events, session.selected
    assert selected is not None
    if events is None or not events.concerns(selected.account_id, selected.id):
        return None
    view = selected.view
    return {
        uid: flags for span in spans for uid, flags in zip(view.uids(span), view.flags(span), strict=True)
    }


def flags_changed(session: "ImapSession", before: Mapping[int, FlagSet] | None) -> None:
    """Tell which of the messages have other flags now, those that changed alike together."""
    events, selected = session.context.mailbox_events, session.selected
    if events is None or selected is None or not before:
        return
    view = selected.view
    alike: dict[tuple[str, ...], list[int]] = {}
    for span in view.find(NumberSet.of(before)):
        for uid, after in zip(view.uids(span), view.flags(span), strict=True):
            names = flag_names(after.without(before[uid]).union(before[uid].without(after)))
            if names:
                alike.setdefault(names, []).append(uid)
    for names, uids in alike.items():
        events.happened(
            MailboxEvent(
                cause=Cause.FLAG,
                account_id=selected.account_id,
                mailbox_id=selected.id,
                uids=NumberSet.of(uids),
                login=session.login,
                changed_flags=names,
            )
        )
