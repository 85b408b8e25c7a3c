"""`postino queue hold|release|retry|drop|recall`: decide about waiting messages.

Invariants: changes go in steps, each a write of its own, so that the server is never held up for long.
Not here: looking (cli/queue.py), destinations (queue_destinations.py).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from postino.cli.options import data_options, find_configuration, now, open_data
from postino.cli.queue_choice import choice_options, everything_option, read_choice

if TYPE_CHECKING:
    from postino.app.settings import Settings
    from postino.core.ids import Instant
    from postino.store.queue.choice import Choice
    from postino.store.queue.operate import Notice
    from postino.store.queue.values import QueueId
    from postino.store.store import Store
    from postino.store.tx import Tx

    Change = Callable[[Tx, Sequence[QueueId], Choice], int]


def _chosen(store: "Store", words: "Words", *, everything: bool) -> "tuple[Choice, list[QueueId]]":
    """What is meant; a slip of the keyboard does not mean the whole queue."""
    from postino.store.queue.operate import chosen_messages
    from postino.store.queue.rows import NotInQueue

    choice = store.read_now(lambda tx: read_choice(tx, *words))
    if choice.is_everything and not everything:
        raise click.UsageError("Say which mail, by ID, --domain, --to, --from or --account, or --all of it")
    found = store.read_now(lambda tx: chosen_messages(tx, choice))
    if not found:
        raise NotInQueue("No such mail waits; `postino queue list` shows what does")
    return choice, found


Words = tuple[tuple[str, ...], str | None, str | None, str | None, str | None]


def _change(words: Words, everything: bool, data: Path | None, config: Path | None, change: "Change") -> int:
    from postino.store.queue.operate import STEP

    changed = 0
    with open_data(data, config) as store:
        choice, found = _chosen(store, words, everything=everything)
        for at in range(0, len(found), STEP):
            some = found[at : at + STEP]
            changed += store.write_now(lambda tx, some=some: change(tx, some, choice))  # type: ignore[misc]
    return changed


def _shown(count: int) -> str:
    return "1 recipient" if count == 1 else f"{count} recipients"


@click.command(epilog="Example: postino queue hold 12 13.2")
@choice_options
@everything_option
def hold(
    ids: tuple[str, ...],
    domain: str | None,
    recipient: str | None,
    sender: str | None,
    account: str | None,
    everything: bool,
    data: Path | None,
    config: Path | None,
) -> None:
    """Keep messages where they are until they are released; they do not expire meanwhile."""
    from postino.store.queue import operate

    words = (ids, domain, recipient, sender, account)
    changed = _change(words, everything, data, config, operate.hold)
    click.echo(f"Held: {_shown(changed)}. `postino queue release` lets them go")


@click.command(epilog="Example: postino queue release 12")
@choice_options
@everything_option
def release(
    ids: tuple[str, ...],
    domain: str | None,
    recipient: str | None,
    sender: str | None,
    account: str | None,
    everything: bool,
    data: Path | None,
    config: Path | None,
) -> None:
    """Let messages go that were held."""
    from postino.store.queue import operate

    moment = now()
    words = (ids, domain, recipient, sender, account)
    changed = _change(
        words, everything, data, config, lambda tx, some, choice: operate.release(tx, some, choice, moment)
    )
    click.echo(f"Released: {_shown(changed)}")


@click.command(epilog="Example: postino queue retry --domain example.net")
@choice_options
@everything_option
def retry(
    ids: tuple[str, ...],
    domain: str | None,
    recipient: str | None,
    sender: str | None,
    account: str | None,
    everything: bool,
    data: Path | None,
    config: Path | None,
) -> None:
    """Try messages now instead of when they are due.

    Held ones stay, those of paused domains, and those their sender wants to be sent later.
    """
    from postino.store.queue import operate

    moment = now()
    words = (ids, domain, recipient, sender, account)
    changed = _change(
        words, everything, data, config, lambda tx, some, choice: operate.retry(tx, some, choice, moment)
    )
    click.echo(f"Due now: {_shown(changed)}{'' if changed else '; what is held or paused stays so'}")


@click.command(epilog="Example: postino queue drop 12 --yes")
@choice_options
@everything_option
@click.option("--tell", is_flag=True, help="Send each sender a failure report.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop(
    ids: tuple[str, ...],
    domain: str | None,
    recipient: str | None,
    sender: str | None,
    account: str | None,
    everything: bool,
    tell: bool,
    yes: bool,
    data: Path | None,
    config: Path | None,
) -> None:
    """Remove messages for good, unsent. Nobody is told, unless with --tell.

    What is being sent this very moment may still arrive.
    """
    from postino.store.queue import operate

    moment = now()
    settings = find_configuration(data, config).settings
    recipients = messages = 0
    with open_data(data, config) as store:
        choice, found = _chosen(store, (ids, domain, recipient, sender, account), everything=everything)
        if not yes:
            what = "1 message" if len(found) == 1 else f"{len(found)} messages"
            click.confirm(f"Drop {what}, or their recipients chosen? This cannot be undone", abort=True)
        make_notices = _make_notices(store, settings, choice, moment) if tell else None
        while found:
            some, found = found[: operate.STEP], found[operate.STEP :]
            notices = make_notices(some) if make_notices is not None else None
            dropped = store.write_now(
                lambda tx, some=some, notices=notices: operate.drop(tx, some, choice, moment, notices=notices)  # type: ignore[misc]
            )
            # Files are left to the daily sweep: somebody may be sending from one.
            recipients += dropped.recipients
            messages += dropped.messages
            found += dropped.changed
    told = "; their senders are told" if tell else ""
    click.echo(f"Dropped: {_shown(recipients)}, {messages} of the messages with their last{told}")


def _make_notices(
    store: "Store", settings: "Settings", choice: "Choice", moment: "Instant"
) -> "Callable[[Sequence[QueueId]], dict[QueueId, Notice]]":
    import asyncio

    from postino.app.drop_reports import DropReports
    from postino.store.queue.operate import list_queue

    reports = DropReports(store, settings)

    def make(some: "Sequence[QueueId]") -> "dict[QueueId, Notice]":
        listed = store.read_now(lambda tx: list_queue(tx, some, choice, moment))
        return asyncio.run(reports.notices(one.message for one in listed))

    return make


@click.command(epilog="Example: postino queue recall 12")
@click.argument("message_id", metavar="ID")
@data_options
def recall(message_id: str, data: Path | None, config: Path | None) -> None:
    """Take back a message that nobody has yet: into its sender's drafts, and out of Sent.

    For mail that waits for its time, for its sender's second thoughts (postino account undo), for an
    operator, or for a server that does not answer.
    """
    from postino.delivery.drafts import draft_of
    from postino.store.queue.operate import chosen_messages
    from postino.store.queue.recall import recall as recall_message
    from postino.store.queue.recall import recallable
    from postino.store.queue.rows import NotInQueue, read_octets

    moment = now()
    limits = find_configuration(data, config).settings.limits
    with open_data(data, config) as store:
        found = store.read_now(lambda tx: chosen_messages(tx, read_choice(tx, (message_id,)), most=1))
        if not found:
            raise NotInQueue(f"{message_id} is not in the queue: it was sent, given up or dropped")
        message = store.read_now(lambda tx: recallable(tx, found[0], moment))
        octets = store.read_now(lambda tx: read_octets(tx, message.queue_id))
        addresses = [each.address for each in message.recipients]
        draft = draft_of(octets, addresses, store.blobs, limits, now=moment)
        done = store.write_now(
            lambda tx: recall_message(tx, message, draft, draft.facts.message_id, now=moment)
        )
    sent = ", and is no longer in Sent" if done.removed_from_sent else ""
    click.echo(f"Message {message.queue_id} was not sent; it is in {done.drafts} now{sent}")
