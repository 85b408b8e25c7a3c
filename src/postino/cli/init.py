"""`postino init`: set a server up for a domain."""

import os
import sys
from pathlib import Path

import click

from postino.cli.options import make_credentials, now, obtain_password, password_options


@click.command(epilog="Example: postino init example.org --data /var/lib/postino --account ann@example.org")
@click.argument("domain")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    envvar="POSTINO_DATA",
    default=Path("/var/lib/postino"),
    show_default=True,
    metavar="DIR",
    help="Data directory to make.",
)
@click.option("--hostname", help="The server's own name; default: mail.DOMAIN.")
@click.option("--account", help="The first account; default: postmaster@DOMAIN.", metavar="ADDRESS")
@click.option("--user", help="User to become when started as root; default: postino.")
@password_options
def init(
    domain: str,
    data: Path,
    hostname: str | None,
    account: str | None,
    user: str | None,
    password_stdin: bool,
    generate: bool,
) -> None:
    """Set up a server for DOMAIN.

    Writes a settings file with every setting explained, makes the database with the domain and a first
    account, and a self-signed certificate that serves until you set a real one.
    """
    from postino.app.setup import NewServer, set_up
    from postino.core.address import parse_address, parse_domain

    name = parse_domain(domain)
    first = parse_address(account or f"postmaster@{name}")
    wanted = NewServer(data.absolute(), name, hostname or f"mail.{name}", first, user or "")
    wanted.require_free()
    # Set up by a script, nobody is there to be asked.
    generate = generate or not (password_stdin or sys.stdin.isatty())
    password, made = obtain_password(str(first), password_stdin=password_stdin, generate=generate)
    service_user = set_up(wanted, *make_credentials(password), now())
    click.echo(f"Set up {name} in {wanted.data}")
    click.echo(f"  settings     {wanted.settings_file}")
    click.echo(f"  account      {first.key}" + (f"   password  {password}" if made else ""))
    click.echo("  certificate  self-signed; set a real one under [tls]")
    if os.geteuid() == 0 and not service_user:
        click.echo('  user         none yet, and root it will not be: make one ("useradd --system postino")')
        click.echo("               and set server.user to it")
    click.echo(f"DNS records to publish: postino dns {name} --data {wanted.data}")
    click.echo(f"Start it with: postino serve --data {wanted.data}")
