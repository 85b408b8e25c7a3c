"""`postino domain`: the domains mail is taken for."""

from pathlib import Path

import click

from postino.cli.options import data_options, now, open_data, show_table


@click.group(epilog="Example: postino domain add example.org")
def domain() -> None:
    """Add, list and remove the domains mail is taken for. The server may run meanwhile."""


@domain.command(epilog="Example: postino domain add example.org")
@click.argument("name")
@data_options
def add(name: str, data: Path | None, config: Path | None) -> None:
    """Take mail for a domain from now on, and make the keys that will sign its mail."""
    from postino.core.address import parse_domain
    from postino.store.accounts import create_domain
    from postino.store.dkim_keys import add_first_keys, make_first_keys
    from postino.store.tx import Tx

    parsed = parse_domain(name)
    moment = now()
    keys = make_first_keys()

    def write(tx: Tx) -> None:
        create_domain(tx, parsed, moment)
        add_first_keys(tx, parsed, keys, moment)

    with open_data(data, config) as store:
        store.write_now(write)
    click.echo(f"Added {parsed}; the DNS records it wants are shown by: postino dns {parsed}")


@domain.command("list", epilog="Example: postino domain list")
@data_options
def list_(data: Path | None, config: Path | None) -> None:
    """List the domains and how many accounts each has."""
    from postino.store.accounts import list_domains

    with open_data(data, config) as store:
        found = store.read_now(list_domains)
    show_table(
        ["domain", "accounts"], [[d.name, str(d.accounts)] for d in found], empty="There are no domains yet."
    )


@domain.command(epilog="Example: postino domain remove example.org")
@click.argument("name")
@data_options
def remove(name: str, data: Path | None, config: Path | None) -> None:
    """Stop taking mail for a domain; it must have no accounts and aliases any more."""
    from postino.core.address import parse_domain
    from postino.store.accounts import remove_domain

    parsed = parse_domain(name)
    with open_data(data, config) as store:
        store.write_now(lambda tx: remove_domain(tx, parsed))
    click.echo(f"Removed {parsed}")
