"""`postino demo`: a whole server on this machine, shown at work."""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from postino.cli.options import new_password

if TYPE_CHECKING:
    from postino.app.demo import Demo, DemoAccount
    from postino.app.supervisor import Supervisor

HIGHEST_BASE_PORT = 65_535 - 4190
DEFAULT_ADDRESSES = ("ann@example.org", "bob@example.org")


@click.command(
    epilog="Example: postino demo --data /tmp/mail --account me@example.org:secret --base-port 20000"
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep everything here, and start again from it; default: a temporary directory.",
)
@click.option(
    "--base-port",
    type=click.IntRange(0, HIGHEST_BASE_PORT),
    default=10_000,
    show_default=True,
    help="SMTP is on this + 25, IMAP on this + 143 and so on.",
)
@click.option(
    "--account",
    "accounts",
    multiple=True,
    metavar="ADDRESS:PASSWORD",
    help="An account to make; may be given several times. Default: ann and bob @example.org.",
)
@click.option("--no-samples", is_flag=True, help="Begin with empty mailboxes.")
@click.option(
    "--workers", type=click.IntRange(0, 256), default=1, show_default=True, help="Processes that serve."
)
@click.option(
    "--relay",
    default="",
    metavar="HOST:PORT",
    help="Send mail for other servers there, all of it; without, such mail is refused.",
)
@click.option("--verbose", is_flag=True, help="Show the server's log.")
def demo(
    data: Path | None,
    base_port: int,
    accounts: tuple[str, ...],
    no_samples: bool,
    workers: int,
    relay: str,
    verbose: bool,
) -> None:
    """Run a complete mail server on this machine, for a try.

    It listens on loopback only, with a self-signed certificate, two accounts and a few messages; sends one
    message by SMTP and reads it back by IMAP and POP3 before your eyes; prints what to type into a mail
    program; and serves until Ctrl-C.

    It sends nothing to the world: mail for other servers is refused, or all goes to the one server that
    --relay names, for example to a sink (smtp-sink -c :2525 1000).
    """
    from postino.app.demo import Demo, parse_demo_account
    from postino.app.supervisor import Supervisor
    from postino.core.errors import PostinoError
    from postino.net.sockets import CannotListen

    directory = data if data is not None else Path(tempfile.mkdtemp(prefix="postino-demo-"))
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        chosen = _choose_accounts(directory, [parse_demo_account(text) for text in accounts])
        wanted = Demo(
            directory.absolute(),
            base_port,
            workers,
            chosen,
            not no_samples,
            "info" if verbose else "warning",
            relay,
        )
        configuration = wanted.configuration()
        try:
            status = Supervisor(
                configuration,
                prepare=lambda: _prepare(wanted),
                on_ready=lambda supervisor: _show(supervisor, wanted, kept=data is not None),
            ).run()
        except CannotListen as error:
            reason = str(error).partition(";")[0]
            raise PostinoError(
                f"{reason}; choose other ports, for example with --base-port {_other_base(base_port)}"
            ) from error
        click.echo("\nStopped." + (f" The mail is in {data}." if data is not None else ""))
    finally:
        if data is None:
            shutil.rmtree(directory, ignore_errors=True)
    raise SystemExit(status)


def _choose_accounts(directory: Path, given: "list[DemoAccount]") -> "tuple[DemoAccount, ...]":
    """Those made here before, then those asked for; ann and bob where there would be none."""
    from postino.app.demo import DemoAccount, remembered_accounts

    chosen = {account.address: account for account in remembered_accounts(directory)}
    for account in given:
        before = chosen.setdefault(account.address, account)
        if before.password != account.password:
            click.echo(f"{account.address} is there already and keeps its password", err=True)
    if not chosen:
        chosen = {address: DemoAccount(address, new_password()) for address in DEFAULT_ADDRESSES}
    return tuple(chosen.values())


def _prepare(wanted: "Demo") -> None:
    from postino.app.demo import remember_accounts

    wanted.prepare()
    remember_accounts(wanted.data, wanted.accounts)


def _other_base(base_port: int) -> int:
    return base_port + 10_000 if base_port + 10_000 <= HIGHEST_BASE_PORT else 20_000


def _show(supervisor: "Supervisor", wanted: "Demo", *, kept: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from postino.app.paths import DataPaths
    from postino.cli.demo_tour import take_tour

    console = Console(highlight=False)
    console.print("[b]Postino[/] serves mail on this machine.\n")
    recipient = wanted.accounts[0]
    sender = wanted.accounts[1] if len(wanted.accounts) > 1 else recipient
    cafile = DataPaths(wanted.data).self_signed_certificate
    take_tour(console, supervisor.ports, cafile, sender, recipient)

    ports = supervisor.ports
    table = Table("for a mail program", "server", "port", "security", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_row("incoming, IMAP", "localhost", str(ports["imaps"]), f"TLS (or {ports['imap']}, STARTTLS)")
    table.add_row("incoming, POP3", "localhost", str(ports["pop3s"]), f"TLS (or {ports['pop3']}, STARTTLS)")
    table.add_row(
        "outgoing, SMTP", "localhost", str(ports["submissions"]), f"TLS (or {ports['submission']}, STARTTLS)"
    )
    table.add_row("filters, ManageSieve", "localhost", str(ports["managesieve"]), "STARTTLS")
    table.add_row("mail from other servers", "localhost", str(ports["smtp"]), "STARTTLS, no login")
    console.print()
    console.print(table)
    logins = Table("login", "password", box=box.SIMPLE_HEAD, pad_edge=False)
    for account in wanted.accounts:
        logins.add_row(escape(account.address), escape(account.password))
    console.print(logins)
    if wanted.relay:
        console.print(f"Mail for other servers goes to [b]{escape(wanted.relay)}[/], whoever it is for.")
    else:
        console.print("Mail for other servers is refused; [b]--relay HOST:PORT[/] sends it all to that host.")
    console.print(f"The certificate is self-signed: accept it, or trust {cafile}", soft_wrap=True)
    if not kept:
        console.print("The mail is gone when you stop; [b]--data DIR[/] keeps it.")
    console.print("\nServing. Ctrl-C stops.")
