"""`postino sieve put`, `get`, `list`, `activate`, `deactivate` and `delete`: scripts that are in force.

Not here: checking and trying them (sieve.py), the table (store/scripts.py), users' own way (managesieve/).
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from postino.cli.options import data_options, find_configuration, now, open_data, require_account, show_table
from postino.core.harmless import harmless_lines

if TYPE_CHECKING:
    from postino.core.ids import AccountId
    from postino.store.scripts import ScriptRow
    from postino.store.tx import Tx

F = TypeVar("F", bound=Callable[..., Any])
# As store.scripts.ScriptPlace, whose import would slow down every command.
_PLACES: Final = ("before", "after", "before-outgoing", "after-outgoing", "imap", "global")
_WHEN: Final = {
    "before": "before accounts' scripts, on what comes in",
    "after": "after accounts' scripts, on what comes in",
    "before-outgoing": "before accounts' scripts, on what they send",
    "after-outgoing": "after accounts' scripts, on what they send",
    "imap": "on what happens in mailboxes",
    "global": "when a script includes it",
}


def _site_options(command: F) -> F:
    """Add --domain and --server."""
    command = click.option("--server", is_flag=True, help="The server's scripts, instead of an account's.")(
        command
    )
    return click.option("--domain", metavar="DOMAIN", help="A domain's scripts, instead of an account's.")(
        command
    )


class _Owner(NamedTuple):
    """Whose scripts are meant, as typed."""

    account: str
    domain: str
    """When there is no account: a domain, or nothing for the server."""

    @property
    def shown(self) -> str:
        return self.account or self.domain or "the server"

    def account_id(self, tx: "Tx") -> "AccountId":
        """Raises NoSuchAccount."""
        return require_account(tx, self.account).id


def _owner(
    words: Sequence[str], domain: str | None, server: bool, what: Sequence[str]
) -> tuple[_Owner, Sequence[str]]:
    """Whose scripts, and the words that are left: one for each of `what`."""
    from postino.core.address import parse_domain

    if domain is not None and server:
        raise click.UsageError("Say --domain or --server, not both")
    is_site = domain is not None or server
    wanted = [] if is_site else ["ACCOUNT"]
    wanted += what
    if len(words) != len(wanted):
        needed = " and ".join(wanted) if wanted else "no further word"
        whose = "With --domain or --server this" if is_site else "This"
        raise click.UsageError(f"{whose} takes {needed}; see --help for an example")
    if is_site:
        return _Owner("", parse_domain(domain) if domain is not None else ""), words
    return _Owner(words[0], ""), words[1:]


@click.command(epilog="Example: postino sieve put ann@example.org rules.sieve --name main --activate")
@click.argument("words", nargs=-1, metavar="[ACCOUNT] FILE")
@_site_options
@click.option("--name", help="What it is called; default: the file's name, without .sieve.")
@click.option(
    "--activate", "active", is_flag=True, help="Let it filter what comes in for ACCOUNT from now on."
)
@click.option("--place", type=click.Choice(_PLACES), help="When a script of a domain or of the server runs.")
@data_options
def put(
    words: tuple[str, ...],
    domain: str | None,
    server: bool,
    name: str | None,
    active: bool,
    place: str | None,
    data: Path | None,
    config: Path | None,
) -> None:
    """Keep a script for an account, a domain or the server, in place of one of that name.

    An account's script called outgoing runs on what the account sends; no other needs to be active for that.
    """
    from postino.cli.sieve import compile_source, read_file, shown_file
    from postino.store.scripts import (
        OUTGOING_NAME,
        ScriptPlace,
        put_script,
        put_site_script,
        script_name,
        set_active,
    )

    owner, (file,) = _owner(words, domain, server, ["FILE"])
    if owner.account and place is not None:
        raise click.UsageError(
            "--place goes with --domain or --server; an account's is put in force by --activate"
        )
    if not owner.account and place is None:
        raise click.UsageError(
            f"A script of a domain or of the server runs by its place: say --place {'|'.join(_PLACES)}"
        )
    if not owner.account and active:
        raise click.UsageError(
            "--activate goes with ACCOUNT; a script of a domain or of the server needs none"
        )
    if name is None:
        if file == "-":
            raise click.UsageError("Say --name: what comes on standard input has none")
        name = Path(file).name.removesuffix(".sieve")
    name = script_name(name)
    settings = find_configuration(data, config).settings.sieve
    source = read_file(file)
    compiled = compile_source(source, shown_file(file), settings, name=name).stored
    moment = now()
    with open_data(data, config) as store:

        def keep(tx: "Tx") -> None:
            if not owner.account:
                where = ScriptPlace(place or "")
                put_site_script(tx, owner.domain, where, name, source, compiled, now=moment)
                return
            account_id = owner.account_id(tx)
            put_script(tx, account_id, name, source, compiled, now=moment, limits=settings.script_limits)
            if active:
                set_active(tx, account_id, name)

        store.write_now(keep)
    click.echo(f"Put {name} for {owner.shown}")
    if place is not None:
        click.echo(f"It runs {_WHEN[place]}")
    elif active:
        click.echo("It filters what comes in from now on")
    elif name == OUTGOING_NAME:
        click.echo("It runs on what the account sends")


@click.command(epilog="Example: postino sieve get ann@example.org main > main.sieve")
@click.argument("words", nargs=-1, metavar="[ACCOUNT] NAME")
@_site_options
@data_options
def get(
    words: tuple[str, ...], domain: str | None, server: bool, data: Path | None, config: Path | None
) -> None:
    """Write a script to standard output, as it was put."""
    from postino.store.scripts import get_script, get_site_script

    owner, (name,) = _owner(words, domain, server, ["NAME"])

    def look(tx: "Tx") -> bytes:
        if owner.account:
            return get_script(tx, owner.account_id(tx), name)
        return get_site_script(tx, owner.domain, name)

    with open_data(data, config) as store:
        source = store.read_now(look)
    if sys.stdout.isatty():
        # SECURITY: a script is its owner's text, and the terminal another's.
        text = source.decode("utf-8", "replace").replace("\r\n", "\n").expandtabs()
        click.echo(harmless_lines(text), nl=False)
        return
    click.echo(source, nl=False)


@click.command("list", epilog="Example: postino sieve list ann@example.org")
@click.argument("words", nargs=-1, metavar="[ACCOUNT]")
@_site_options
@data_options
def list_(
    words: tuple[str, ...], domain: str | None, server: bool, data: Path | None, config: Path | None
) -> None:
    """List the scripts of an account, a domain or the server; of all domains and the server without one."""
    from postino.core.errors import StoreError
    from postino.store.addresses import domain_id
    from postino.store.scripts import list_scripts, list_site_scripts

    if not words and domain is None and not server:
        with open_data(data, config) as store:
            everything = store.read_now(list_site_scripts)
        show_table(
            ["of", "script", "runs", "octets", "changed"],
            [[of or "the server", *_shown(row)] for of, row in everything],
            empty="Neither the server nor a domain has scripts; name an account to see its own.",
        )
        return
    owner, _ = _owner(words, domain, server, [])

    def look(tx: "Tx") -> "list[ScriptRow]":
        if owner.account:
            return list_scripts(tx, owner.account_id(tx))
        if owner.domain and domain_id(tx, owner.domain) is None:
            raise StoreError(
                f"There is no domain {owner.domain}; `postino domain list` shows those there are"
            )
        return [row for _, row in list_site_scripts(tx, owner.domain)]

    with open_data(data, config) as store:
        rows = store.read_now(look)
    show_table(
        ["script", "runs", "octets", "changed"],
        [_shown(row) for row in rows],
        empty=f"There are no scripts of {owner.shown}.",
    )


def _shown(row: "ScriptRow") -> list[str]:
    from datetime import UTC, datetime

    from postino.store.scripts import OUTGOING_NAME

    runs = row.place
    if not runs and row.name == OUTGOING_NAME:
        runs = OUTGOING_NAME
    changed = datetime.fromtimestamp(row.changed_at, UTC)
    return [row.name, runs or "-", str(row.octets), f"{changed:%Y-%m-%d %H:%M}"]


@click.command(epilog="Example: postino sieve activate ann@example.org main")
@click.argument("account")
@click.argument("name")
@data_options
def activate(account: str, name: str, data: Path | None, config: Path | None) -> None:
    """Let a script filter what comes in for ACCOUNT, instead of any other."""
    from postino.store.scripts import set_active

    if not name:
        raise click.UsageError("Say which script; `postino sieve deactivate` is for none")
    with open_data(data, config) as store:
        store.write_now(lambda tx: set_active(tx, require_account(tx, account).id, name))
    click.echo(f"{name} filters what comes in for {account} from now on")


@click.command(epilog="Example: postino sieve deactivate ann@example.org")
@click.argument("account")
@data_options
def deactivate(account: str, data: Path | None, config: Path | None) -> None:
    """Let no script of its own filter what comes in for ACCOUNT; its scripts stay."""
    from postino.store.scripts import set_active

    with open_data(data, config) as store:
        store.write_now(lambda tx: set_active(tx, require_account(tx, account).id, ""))
    click.echo(f"No script of its own filters what comes in for {account}")


@click.command(epilog="Example: postino sieve delete ann@example.org old")
@click.argument("words", nargs=-1, metavar="[ACCOUNT] NAME")
@_site_options
@data_options
def delete(
    words: tuple[str, ...], domain: str | None, server: bool, data: Path | None, config: Path | None
) -> None:
    """Delete a script. An account's active one must be deactivated first."""
    from postino.store.scripts import delete_script, delete_site_script

    owner, (name,) = _owner(words, domain, server, ["NAME"])

    def remove(tx: "Tx") -> None:
        if owner.account:
            delete_script(tx, owner.account_id(tx), name)
        else:
            delete_site_script(tx, owner.domain, name)

    with open_data(data, config) as store:
        store.write_now(remove)
    click.echo(f"Deleted {name} of {owner.shown}")
