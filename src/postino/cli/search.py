"""`postino search`: what the search indexes hold, and making them anew.

Not here: the indexes (store/text_index/), keeping them up to date (app/indexing.py).
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from postino.cli.options import data_options, find_configuration, now, open_data, require_account, show_table

if TYPE_CHECKING:
    from postino.store.accounts import AccountRow
    from postino.store.store import Store


@click.group(epilog="Example: postino search status")
def search() -> None:
    """Show and rebuild the search indexes. The server may run meanwhile.

    Searches find everything without them, too, only more slowly.
    """


@search.command(epilog="Example: postino search status ann@example.org")
@click.argument("address", required=False)
@data_options
def status(address: str | None, data: Path | None, config: Path | None) -> None:
    """Show how much of each account's mail is indexed."""
    from postino.app.units import show_size

    rows: list[list[str]] = []
    with open_data(data, config) as store:
        for account in _accounts(store, address):
            contents, waiting, extent = _look(store, account)
            rows.append(
                [
                    account.login,
                    str(contents - waiting),
                    str(waiting),
                    show_size(extent[0]) if extent else "-",
                    show_size(extent[1]) if extent else "-",
                ]
            )
    show_table(["Account", "Indexed", "Waiting", "Text", "Index"], rows, empty="There are no accounts yet.")


@search.command(epilog="Example: postino search rebuild ann@example.org")
@click.argument("address", required=False)
@click.option("--all", "every", is_flag=True, help="Of every account.")
@data_options
def rebuild(address: str | None, every: bool, data: Path | None, config: Path | None) -> None:
    """Make an account's search index anew."""
    from postino.store.text_index.indexer import AccountIndexing

    if (address is None) == (not every):
        raise click.UsageError("Name an account, or take --all")
    limits = find_configuration(data, config).settings.limits
    with open_data(data, config) as store:
        for account in _accounts(store, address):
            store.texts.remove(account.id)
            visit = AccountIndexing(store.texts, account.id, store.blobs, limits, now())
            while visit.step(store.read_now):
                pass
            count = visit.documents
            click.echo(f"{account.login}: {count} {'message' if count == 1 else 'messages'} indexed")


def _accounts(store: "Store", address: str | None) -> "list[AccountRow]":
    from postino.store.accounts import list_accounts

    if address is None:
        return store.read_now(list_accounts)
    return [store.read_now(lambda tx: require_account(tx, address))]


def _look(store: "Store", account: "AccountRow") -> tuple[int, int, tuple[int, int] | None]:
    """(messages kept, those of them not indexed, octets of text and of the index or None)."""
    from postino.store.text_index.file import IndexBusy, IndexDamaged
    from postino.store.text_index.folder import is_of_this_store

    extent = None
    done = 0
    try:
        with store.texts.reading(account.id) as index:
            if index is not None and is_of_this_store(store.read_now, account.id, index):
                with index.snapshot():
                    done = index.done
                    found = index.extent()
                extent = (found.text_octets, found.file_octets)
    except (IndexBusy, IndexDamaged):
        done = 0
    counted = store.read_now(
        lambda tx: tx.one(
            "SELECT count(*), coalesce(sum(id>?), 0) FROM content WHERE account_id=?", (done, account.id)
        )
    )
    assert counted is not None
    return counted[0], counted[1], extent
