"""`postino queue`: look at the mail that waits to go elsewhere; its other commands are in files beside this.

Not here: changing it (queue_changes.py), destinations and suppressed addresses (queue_destinations.py).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from postino.cli.options import data_options, now, open_data, show_table
from postino.cli.queue_changes import drop, hold, recall, release, retry
from postino.cli.queue_choice import (
    choice_options,
    read_choice,
    shown_span,
    shown_state,
    shown_time,
)
from postino.cli.queue_destinations import pause, reroute, resume, suppress
from postino.core.harmless import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postino.core.ids import Instant
    from postino.store.blobs import BlobStore
    from postino.store.queue.operate import Listed
    from postino.store.queue.values import Octets, QueuedRecipient
    from postino.store.tx import Tx


@click.group(epilog="Example: postino queue list --domain example.net")
def queue() -> None:
    """Look at the mail that waits to go elsewhere, and decide about it. The server may run meanwhile.

    ID is a message's number as `list` shows it, 12; one recipient of it, 12.3; or its name in the log.
    """


@queue.command("list", epilog="Example: postino queue list --domain example.net --json")
@choice_options
@click.option("--state", type=click.Choice(["waiting", "held", "paused"]), help="Only those.")
@click.option("--most", type=click.IntRange(min=1), default=200, show_default=True, help="Messages to list.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one object for each message.")
def list_(
    ids: tuple[str, ...],
    domain: str | None,
    recipient: str | None,
    sender: str | None,
    account: str | None,
    state: str | None,
    most: int,
    as_json: bool,
    data: Path | None,
    config: Path | None,
) -> None:
    """List waiting messages, a line for each recipient, the oldest message first."""
    from dataclasses import replace

    from postino.store.queue.operate import chosen_messages, list_queue
    from postino.store.queue.values import RecipientState

    states = {"waiting": RecipientState.WAITING, "held": RecipientState.HELD, "paused": RecipientState.PARKED}
    moment = now()

    def read(tx: "Tx") -> "tuple[list[Listed], bool]":
        choice = read_choice(tx, ids, domain, recipient, sender, account)
        if state is not None:
            choice = replace(choice, state=states[state])
        found = chosen_messages(tx, choice, most=most + 1)
        return list_queue(tx, found[:most], choice, moment), len(found) > most

    with open_data(data, config) as store:
        listed, more = store.read_now(read)
    if as_json:
        click.echo(json.dumps([_as_json(one, moment) for one in listed], indent=2, ensure_ascii=False))
        return
    rows = [
        [
            f"{one.message.queue_id}.{each.number}",
            shown_span(moment - one.message.created_at),
            one.message.reverse_path or "<>",
            each.address,
            shown_state(each, is_sending=each.number in one.sending, now=moment),
            printable(each.last_reply),
        ]
        for one in listed
        for each in one.message.recipients
    ]
    show_table(["id", "age", "from", "to", "state", "last reply"], rows, empty="No mail waits.")
    if more:
        click.echo(f"There is more; --most {most * 10} shows it, `postino queue stats` counts it.", err=True)


@queue.command(epilog="Example: postino queue show 12")
@click.argument("message_id", metavar="ID")
@click.option("--content", is_flag=True, help="Print the message itself, not signed yet, and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@data_options
def show(message_id: str, content: bool, as_json: bool, data: Path | None, config: Path | None) -> None:
    """Show everything about a waiting message: its recipients, what was tried, what was answered."""
    from postino.app.units import show_size
    from postino.store.queue.operate import chosen_messages, list_queue
    from postino.store.queue.rows import NotInQueue, read_octets

    moment = now()

    def read(tx: "Tx") -> "Listed":
        choice = read_choice(tx, (message_id,))
        found = list_queue(tx, chosen_messages(tx, choice, most=1), choice, moment)
        if not found:
            raise NotInQueue(
                f"{message_id} is not in the queue: it was sent, given up or dropped; see the log"
            )
        return found[0]

    with open_data(data, config) as store:
        one = store.read_now(read)
        message = one.message
        if content:
            octets = store.read_now(lambda tx: read_octets(tx, message.queue_id))
            click.echo(octets.header, nl=False)
            for piece in _pieces(octets, store.blobs):
                click.echo(piece, nl=False)
            return
    if as_json:
        click.echo(json.dumps(_as_json(one, moment), indent=2, ensure_ascii=False))
        return
    left = len(message.recipients)
    lines = {
        "message": f"{message.queue_id} ({message.kind.name.lower()}), {message.message_id} in the log",
        "from": printable(message.reverse_path) or "<>",
        "accepted": f"{shown_time(message.created_at)}, {shown_span(moment - message.created_at)} ago",
        "given up": f"{shown_time(message.expires_at)}, in {shown_span(message.expires_at - moment)}",
        "size": show_size(message.size),
        "recipients": f"{left} of {one.accepted_recipients} shown below; the others are done or not chosen"
        if left < one.accepted_recipients
        else str(left),
    }
    for name, text in lines.items():
        click.echo(f"{name:<11}{text}")
    for each in message.recipients:
        click.echo("")
        for name, text in _recipient_lines(each, is_sending=each.number in one.sending, moment=moment):
            click.echo(f"{name:<11}{text}")


def _recipient_lines(
    each: "QueuedRecipient", *, is_sending: bool, moment: "Instant"
) -> list[tuple[str, str]]:
    lines = [
        (
            str(each.number),
            f"{printable(each.address)}: {shown_state(each, is_sending=is_sending, now=moment)}",
        ),
        ("attempts", str(each.attempts)),
    ]
    if each.attempts:
        where = f" by {printable(each.last_remote)}" if each.last_remote else ""
        lines.append(("last", f"{shown_time(each.last_at)}{where}"))
    if each.last_reply:
        # Of the last attempt, or of other mail's since, for which this waits too.
        lines.append(("answer", f"{each.last_status} {printable(each.last_reply)}"))
    return lines


def _pieces(octets: "Octets", blobs: "BlobStore") -> "Iterator[bytes]":
    from postino.store.content import InlineBody

    body = octets.body
    if isinstance(body, InlineBody):
        yield body.octets
        return
    at, left = body.offset, octets.body_size
    while left:
        piece = blobs.read(body.blob_id, at, min(left, 1 << 20))
        yield piece
        at += len(piece)
        left -= len(piece)


def _as_json(one: "Listed", moment: "Instant") -> dict[str, Any]:
    message = one.message
    return {
        "id": message.queue_id,
        "kind": message.kind.name.lower(),
        "name": message.message_id,
        "account_id": message.account_id or None,
        "from": message.reverse_path,
        "size": message.size,
        "accepted_at": message.created_at,
        "expires_at": message.expires_at,
        "accepted_recipients": one.accepted_recipients,
        "recipients": [
            {
                "number": each.number,
                "to": each.address,
                "domain": each.domain,
                "state": "sending" if each.number in one.sending else each.state.name.lower(),
                "next_at": each.next_at,
                "is_due": each.next_at <= moment,
                "attempts": each.attempts,
                "first_failed_at": each.first_failed_at or None,
                "last_at": each.last_at or None,
                "last_status": each.last_status,
                "last_reply": each.last_reply,
                "last_remote": each.last_remote,
            }
            for each in message.recipients
        ],
    }


@queue.command(epilog="Example: postino queue stats")
@click.option("--most", type=click.IntRange(min=1), default=20, show_default=True, help="Domains to list.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@data_options
def stats(most: int, as_json: bool, data: Path | None, config: Path | None) -> None:
    """Count what waits, in all and by domain; list what was decided about domains."""
    from dataclasses import asdict

    from postino.store.queue.destinations import list_destinations
    from postino.store.queue.stats import domain_stats, queue_stats

    moment = now()
    with open_data(data, config) as store:
        total, domains, decided = store.read_now(
            lambda tx: (queue_stats(tx, moment), domain_stats(tx, most), list_destinations(tx))
        )
    if as_json:
        found = {
            "total": asdict(total) | {"recipients": total.recipients},
            "domains": [asdict(each) for each in domains],
            "destinations": [asdict(each) for each in decided],
        }
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    click.echo(f"messages    {total.messages}")
    click.echo(f"recipients  {total.recipients}")
    click.echo(f"  due       {total.due}")
    click.echo(f"  later     {total.later}")
    click.echo(f"  held      {total.held}")
    click.echo(f"  paused    {total.parked}")
    if total.oldest_at is not None:
        click.echo(f"oldest      {shown_span(moment - total.oldest_at)}")
    rows = [
        [
            each.domain,
            str(each.waiting),
            str(each.held),
            str(each.parked),
            shown_span(moment - each.oldest_at),
        ]
        for each in domains
    ]
    show_table(["domain", "waiting", "held", "paused", "oldest"], rows, empty="No mail waits.")
    for place in decided:
        if place.paused_at:
            why = f": {printable(place.reason)}" if place.reason else ""
            since = shown_span(moment - place.paused_at)
            click.echo(f"{place.domain} is paused since {since}{why}")
        if place.route:
            way = "its mail exchangers" if place.route == "mx" else place.route
            click.echo(f"{place.domain} goes to {way}")


for _command in (hold, release, retry, drop, recall, pause, resume, reroute, suppress):
    queue.add_command(_command)
