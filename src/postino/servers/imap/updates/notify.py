r"""NOTIFY: have events told at any time, or none at all.

RFC: 5465 §3.1.
Not here: telling them (notifier.py).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from postino.imap.commands import Notify
from postino.imap.notify_filter import NotifyFilter
from postino.imap.responses.status import NOTIFICATION_OVERFLOW
from postino.servers.imap.completion import Completion, no, ok
from postino.servers.imap.updates.notifier import Notifier
from postino.servers.imap.updates.watched import first_status, no_access_response

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession


async def run_notify(session: "ImapSession", command: Notify) -> Completion:
    """Watch the mailboxes named, and say how they are now when asked."""
    notifier = session.notifier if session.notifier is not None else Notifier(session)
    wanted = NotifyFilter(command.groups)
    if session.selected is not None:
        # An implied NOOP: what was held back is told, as until now or from now on.
        await session.selected.sync()
        if command.groups:
            await session.tell_news(may_expunge=True)
    if not await notifier.watch(wanted):
        return no(
            "You can see more mailboxes than can be watched; watch fewer by name", NOTIFICATION_OVERFLOW
        )
    session.notifier = notifier
    await notifier.say_all(_start(session, notifier, with_status=command.status))
    return ok("You will be told" if command.groups else "You will not be told anything")


def _start(session: "ImapSession", notifier: Notifier, *, with_status: bool) -> Iterator[bytes]:
    selected, utf8 = session.selected, session.options.utf8
    selected_key = (selected.account_id, selected.id) if selected is not None else None
    for key, reached in notifier.watched.mailboxes.items():
        events = notifier.wanted.events(
            reached.name, subscribed=reached.mailbox.subscribed, is_selected=key == selected_key
        )
        if events and not reached.may_read:
            yield no_access_response(reached.name, utf8=utf8)
        elif with_status:
            yield first_status(reached, events, utf8=utf8)
