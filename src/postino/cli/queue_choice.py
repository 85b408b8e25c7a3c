"""What the queue's commands share: which mail is meant, how times and states are shown.

Not here: the commands (cli/queue.py, queue_changes.py, queue_destinations.py).
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from postino.cli.options import data_options, require_account

if TYPE_CHECKING:
    from postino.core.ids import Instant
    from postino.store.queue.choice import Choice
    from postino.store.queue.values import QueuedRecipient
    from postino.store.tx import Tx

F = TypeVar("F", bound=Callable[..., Any])
_PICK: Final = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,6}))?")
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"))


def choice_options(command: F) -> F:
    """Add IDS and the options that say which mail is meant, and --data and --config."""
    for decorator in (
        data_options,
        click.option("--account", metavar="ADDRESS", help="Only what this account submitted or forwards."),
        click.option("--from", "sender", metavar="ADDRESS", help="Only from this sender; @DOMAIN, or <>."),
        click.option("--to", "recipient", metavar="ADDRESS", help="Only to this recipient."),
        click.option("--domain", metavar="DOMAIN", help="Only to recipients of this domain."),
        click.argument("ids", nargs=-1, metavar="[ID]..."),
    ):
        command = decorator(command)
    return command


def everything_option(command: F) -> F:
    """Add --all."""
    return click.option("--all", "everything", is_flag=True, help="Everything in the queue.")(command)


def read_choice(
    tx: "Tx",
    ids: tuple[str, ...],
    domain: str | None = None,
    recipient: str | None = None,
    sender: str | None = None,
    account: str | None = None,
) -> "Choice":
    """What was typed, as the store takes it. Raises BadAddress, NoSuchAccount."""
    from postino.core.address import parse_domain
    from postino.store.queue.choice import Choice
    from postino.store.queue.values import QueueId

    picks = []
    names = []
    for text in ids:
        found = _PICK.fullmatch(text)
        if found:
            picks.append((QueueId(int(found[1])), int(found[2] or 0)))
        else:
            names.append(text)
    return Choice(
        picks=tuple(picks),
        names=tuple(names),
        domain=parse_domain(domain) if domain else "",
        recipient=recipient or "",
        sender=None if sender is None else "" if sender == "<>" else sender,
        account_id=require_account(tx, account).id if account else None,
    )


def shown_span(seconds: int) -> str:
    """`3 min`, `2 h`, `5 d`: about."""
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{max(0, seconds)} s"


def shown_state(recipient: "QueuedRecipient", *, is_sending: bool, now: "Instant") -> str:
    """What happens to a recipient next."""
    from postino.store.queue.values import RecipientState

    if is_sending:
        return "being sent"
    match recipient.state:
        case RecipientState.HELD:
            return "held"
        case RecipientState.PARKED:
            return "domain is paused"
        case RecipientState.WAITING:
            if recipient.next_at <= now:
                return "due"
            what = "retry" if recipient.last_reply else "goes"
            return f"{what} in {shown_span(recipient.next_at - now)}"


def shown_time(instant: int) -> str:
    """`2026-01-31 12:00:00 UTC`."""
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%d %H:%M:%S} UTC"
