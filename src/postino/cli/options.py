"""What several commands share: where the data is, the open store, asking for a password, tables.

Not here: the commands.
"""

import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from postino.core.errors import SettingsError
from postino.core.harmless import harmless, printable

if TYPE_CHECKING:
    from postino.app.settings_file import Configuration
    from postino.core.address import Address
    from postino.core.ids import Instant
    from postino.store.accounts import AccountRow
    from postino.store.store import Store
    from postino.store.tx import Tx

F = TypeVar("F", bound=Callable[..., Any])
# Whether it may be read is said in a sentence of ours.
_PATH: Final = click.Path(path_type=Path, readable=False)
# No letters that are read for one another.
_LETTERS: Final = "abcdefghijkmnpqrstuvwxyz23456789"


def data_options(command: F) -> F:
    """Add --data and --config."""
    command = click.option(
        "--config",
        type=_PATH,
        envvar="POSTINO_CONFIG",
        metavar="FILE",
        help="Settings file; default: postino.toml in the data directory.",
    )(command)
    return click.option(
        "--data",
        type=_PATH,
        envvar="POSTINO_DATA",
        metavar="DIR",
        help="Data directory; default: $POSTINO_DATA, else /var/lib/postino.",
    )(command)


def password_options(command: F) -> F:
    """Add --password-stdin and --generate."""
    command = click.option(
        "--generate", is_flag=True, help="Make a password and show it, instead of asking for one."
    )(command)
    return click.option(
        "--password-stdin", is_flag=True, help="Read the password from standard input, one line."
    )(command)


def find_configuration(data: Path | None, config: Path | None) -> "Configuration":
    """The settings of the data directory meant. Raises SettingsError."""
    from postino.app.settings_file import find_settings

    return find_settings(data, config, required=False)


@contextmanager
def open_data(data: Path | None, config: Path | None) -> "Iterator[Store]":
    """The store of a data directory, as its owner, beside a running server or without one."""
    import postino.directory.credentials
    import postino.store.accounts
    import postino.store.sweep
    import postino.store.verify  # noqa: F401 - after the change of user it may be too late
    from postino.app.paths import DataPaths
    from postino.app.privileges import become_owner
    from postino.app.wiring import open_data as open_store
    from postino.net.bus import publish_from_outside
    from postino.store.store import DATABASE_NAME

    configuration = find_configuration(data, config)
    if not (configuration.data / DATABASE_NAME).exists():
        raise SettingsError(
            f"There is no mail in {configuration.data} yet; name the right directory with --data DIR, or set "
            f"one up with: postino init DOMAIN --data {configuration.data}"
        )
    become_owner(configuration.data)
    store = open_store(configuration, first=False)
    run = DataPaths(configuration.data).run
    store.on_commit = lambda changes: publish_from_outside(run, changes)
    try:
        yield store
    finally:
        store.close_now()


def now() -> "Instant":
    """The present."""
    from postino.app.clock import SystemClock

    return SystemClock().now()


def require_account(tx: "Tx", address: str) -> "AccountRow":
    """The account of an address, as typed. Raises NoSuchAccount."""
    from postino.core.address import parse_address
    from postino.core.errors import NoSuchAccount
    from postino.store.accounts import account_by_login

    found = account_by_login(tx, parse_address(address).key)
    if found is None:
        raise NoSuchAccount(f"There is no account {address}; `postino account list` shows those there are")
    return found


def shown_alias(address: "Address") -> str:
    """An alias as it is typed: the catch-all is @example.org."""
    return str(address) if address.local_part else f"@{address.domain}"


def new_password() -> str:
    """A password nobody has to think up: 80 bits, easy to type."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(16))
    return "-".join(letters[at : at + 4] for at in range(0, 16, 4))


def obtain_password(login: str, *, password_stdin: bool, generate: bool) -> tuple[str, bool]:
    """The password wanted for `login`, and whether we made it up (and so must show it).

    Raises UnusablePassword for one that is guessed at once: with it anybody sends mail in this server's name.
    """
    from postino.directory.passwords import require_strong

    if generate:
        return new_password(), True
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt="Password again")
    else:
        raise click.UsageError(
            "There is no terminal to ask for a password; use --password-stdin or --generate"
        )
    if not password:
        raise click.UsageError("The password is empty; give one, or let one be made with --generate")
    require_strong(password, login)
    return password, False


def make_credentials(password: str) -> tuple[str, str]:
    """What is kept of a password: (hash, SCRAM keys). Raises PostinoError for one that cannot be used."""
    from postino.core.errors import PostinoError
    from postino.directory.credentials import hash_password, make_scram

    try:
        return hash_password(password), make_scram(password)
    except PostinoError:
        raise
    except ValueError as error:
        raise PostinoError(f"This password cannot be used: {error}; choose another") from error


def make_sha1_keys(password: str, *, wanted: bool) -> str:
    """SCRAM-SHA-1 keys of a password, empty unless the settings want them (login.scram_sha1)."""
    from postino.directory.credentials import make_scram
    from postino.sasl.exchange import ScramHash

    return make_scram(password, ScramHash.SHA_1) if wanted else ""


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """A table on a terminal; lines with tabs, without a header, for programs."""
    if not sys.stdout.isatty():
        for row in rows:
            # SECURITY: what others wrote adds no row and no column, and does nothing to a pager's terminal.
            click.echo("\t".join(map(harmless, row)))
        return
    if not rows:
        click.echo(empty)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=box.SIMPLE_HEAD, highlight=False)
    for row in rows:
        # SECURITY: what others wrote is no markup, and turns no text around.
        table.add_row(*map(printable, row))
    Console(markup=False, emoji=False).print(table)
