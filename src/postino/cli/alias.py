"""`postino alias`: further addresses of accounts, lists of addresses here and elsewhere, and catch-alls."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from postino.cli.options import data_options, open_data, require_account, show_table, shown_alias

if TYPE_CHECKING:
    from postino.core.address import Address
    from postino.core.ids import AccountId
    from postino.store.tx import Tx


@click.group(epilog="Example: postino alias add info@example.org ann@example.org bob@example.org")
def alias() -> None:
    """Add, list and remove further addresses of accounts. The server may run meanwhile."""


@alias.command(epilog="Example: postino alias add team@example.org ann@example.org bob@example.net")
@click.argument("address")
@click.argument("members", nargs=-1, required=True, metavar="MEMBER...")
@data_options
def add(address: str, members: tuple[str, ...], data: Path | None, config: Path | None) -> None:
    """Let mail for ADDRESS reach one or several accounts, and addresses elsewhere.

    @example.org is the catch-all: it gets mail for every name of the domain that nobody else has.
    """
    from postino.store.accounts import add_alias

    parsed = _alias_address(address)
    with open_data(data, config) as store:
        store.write_now(lambda tx: add_alias(tx, parsed, *_members(tx, members)))
    click.echo(f"{shown_alias(parsed)} now reaches {', '.join(members)}")


@alias.command("list", epilog="Example: postino alias list")
@data_options
def list_(data: Path | None, config: Path | None) -> None:
    """List the aliases."""
    from postino.store.accounts import list_aliases

    with open_data(data, config) as store:
        found = store.read_now(list_aliases)
    rows = [[shown_alias(a.address), ", ".join((*a.logins, *a.targets))] for a in found]
    show_table(["alias", "reaches"], rows, empty="There are no aliases yet.")


@alias.command(epilog="Example: postino alias remove info@example.org bob@example.org")
@click.argument("address")
@click.argument("members", nargs=-1, metavar="[MEMBER]...")
@data_options
def remove(address: str, members: tuple[str, ...], data: Path | None, config: Path | None) -> None:
    """Remove an alias, or only these members from it."""
    from postino.store.accounts import remove_alias

    parsed = _alias_address(address)
    with open_data(data, config) as store:
        store.write_now(lambda tx: remove_alias(tx, parsed, *(_members(tx, members) if members else ())))
    click.echo(f"{shown_alias(parsed)} no longer reaches {', '.join(members) or 'anybody'}")


def _members(tx: "Tx", members: tuple[str, ...]) -> "tuple[list[AccountId], list[Address]]":
    """The accounts among them, and the addresses elsewhere."""
    from postino.core.address import parse_address
    from postino.store.accounts import is_local_domain

    accounts, targets = [], []
    for member in members:
        parsed = parse_address(member)
        if is_local_domain(tx, parsed.domain):
            accounts.append(require_account(tx, member).id)
        else:
            targets.append(parsed)
    return accounts, targets


def _alias_address(text: str) -> "Address":
    from postino.core.address import parse_address, parse_domain
    from postino.store.addresses import catch_all

    if text.startswith("@"):
        return catch_all(parse_domain(text[1:]))
    return parse_address(text)
