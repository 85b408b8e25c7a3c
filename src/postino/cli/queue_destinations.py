"""`postino queue pause|resume|reroute|suppress`: decide about domains and addresses.

Not here: messages (queue_changes.py), routes that the settings name (docs/settings.md).
"""

import json
from pathlib import Path

import click

from postino.cli.options import data_options, now, open_data, show_table
from postino.cli.queue_choice import shown_span
from postino.core.harmless import printable


def _recipients(count: int) -> str:
    return "1 recipient" if count == 1 else f"{count} recipients"


@click.command(epilog="Example: postino queue pause example.net --reason 'their server is moving'")
@click.argument("domain")
@click.option("--reason", default="", metavar="TEXT", help="Why, for whoever asks later.")
@data_options
def pause(domain: str, reason: str, data: Path | None, config: Path | None) -> None:
    """Send nothing to a domain until it is resumed; its mail waits, also what comes later, and does not
    expire.
    """
    from postino.core.address import parse_domain
    from postino.store.queue import destinations

    name, moment = parse_domain(domain), now()
    with open_data(data, config) as store:
        parked = store.write_now(lambda tx: destinations.pause(tx, name, reason, moment))
    click.echo(f"Paused {name}: {_recipients(parked)} waiting. `postino queue resume {name}` ends it")


@click.command(epilog="Example: postino queue resume example.net")
@click.argument("domain")
@data_options
def resume(domain: str, data: Path | None, config: Path | None) -> None:
    """Send to a paused domain again, what waits at once."""
    from postino.core.address import parse_domain
    from postino.core.errors import StoreError
    from postino.store.queue import destinations

    name, moment = parse_domain(domain), now()
    with open_data(data, config) as store:
        resumed = store.write_now(lambda tx: destinations.resume(tx, name, moment))
    if resumed is None:
        raise StoreError(f"{name} is not paused; `postino queue stats` shows which domains are")
    click.echo(f"Resumed {name}: {_recipients(resumed)} due now")


@click.command(epilog="Example: postino queue reroute --domain example.net --to mx.example.com:25")
@click.option("--domain", required=True, metavar="DOMAIN", help="Whose mail.")
@click.option("--to", "route", metavar="HOST[:PORT]", help="Where to send it; unix:PATH, or mx for its own.")
@click.option("--undo", is_flag=True, help="Send it where it went before.")
@data_options
def reroute(domain: str, route: str | None, undo: bool, data: Path | None, config: Path | None) -> None:
    """Send a domain's mail to another server, what waits at once and what comes later, until --undo.

    It goes before the routes of the settings. With --to mx it goes to the domain's own mail exchangers,
    whatever the settings say.
    """
    from postino.core.address import parse_domain
    from postino.core.errors import StoreError
    from postino.outbound.targeting.routes import check_override
    from postino.store.queue import destinations

    if undo == (route is not None):
        raise click.UsageError("Say where its mail shall go with --to HOST:PORT, or --undo")
    name, moment = parse_domain(domain), now()
    with open_data(data, config) as store:
        if route is None:
            moved = store.write_now(lambda tx: destinations.end_reroute(tx, name, moment))
            if moved is None:
                raise StoreError(f"{name} is not rerouted; `postino queue stats` shows which domains are")
            click.echo(f"{name} goes where it went before: {_recipients(moved)} waiting")
            return
        check_override("" if route == destinations.BY_MX else route)
        moved = store.write_now(lambda tx: destinations.reroute(tx, name, route, moment))
    where = "its mail exchangers" if route == destinations.BY_MX else route
    click.echo(f"{name} goes to {where}: {_recipients(moved)} waiting. --undo ends it")


@click.group(epilog="Example: postino queue suppress list")
def suppress() -> None:
    """Addresses nothing is sent to: those that keep failing, and those you name."""


@suppress.command("list", epilog="Example: postino queue suppress list --json")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@data_options
def list_(as_json: bool, data: Path | None, config: Path | None) -> None:
    """List the addresses that failed last time for good, and those that were named."""
    from dataclasses import asdict

    from postino.cli.options import find_configuration
    from postino.store.queue.suppression import list_suppressed

    moment = now()
    after = find_configuration(data, config).settings.outbound.suppress_after
    with open_data(data, config) as store:
        found = store.read_now(list_suppressed)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=2, ensure_ascii=False))
        return
    rows = [
        [
            each.address,
            "yes" if each.by_operator or 0 < after <= each.failures else "no",
            "named" if each.by_operator else f"{each.failures} failures",
            shown_span(moment - each.changed_at),
            printable(each.reason),
        ]
        for each in found
    ]
    show_table(["address", "refused", "why", "since", "reason"], rows, empty="Nothing is suppressed.")


@suppress.command(epilog="Example: postino queue suppress add ann@example.net --reason 'asked us to'")
@click.argument("address")
@click.option("--reason", default="named by the operator", metavar="TEXT", help="Why.")
@data_options
def add(address: str, reason: str, data: Path | None, config: Path | None) -> None:
    """Refuse mail to an address from now on. What waits for it already is sent."""
    from postino.core.address import parse_address
    from postino.store.queue.suppression import suppress as suppress_address

    parsed, moment = parse_address(address), now()
    with open_data(data, config) as store:
        store.write_now(lambda tx: suppress_address(tx, str(parsed), reason, moment))
    click.echo(f"Mail to {parsed} is refused from now on")


@suppress.command(epilog="Example: postino queue suppress remove ann@example.net")
@click.argument("address")
@data_options
def remove(address: str, data: Path | None, config: Path | None) -> None:
    """Take mail to an address again, and forget that it failed."""
    from postino.core.address import parse_address
    from postino.core.errors import StoreError
    from postino.store.queue.suppression import unsuppress

    parsed = parse_address(address)
    with open_data(data, config) as store:
        if not store.write_now(lambda tx: unsuppress(tx, str(parsed))):
            raise StoreError(f"{parsed} is not suppressed; `postino queue suppress list` shows what is")
    click.echo(f"Mail to {parsed} is taken again")
