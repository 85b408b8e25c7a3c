"""`postino account`: add, list, show, change and remove accounts, also while the server runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from postino.cli.forward import forward, shown_forwarding
from postino.cli.options import (
    data_options,
    make_credentials,
    make_sha1_keys,
    now,
    obtain_password,
    open_data,
    password_options,
    require_account,
    show_table,
    shown_alias,
)

if TYPE_CHECKING:
    from postino.outbound.settings import OutboundSettings
    from postino.store.accounts import AccountRow
    from postino.store.quota import QuotaRoot
    from postino.store.sending import SendingLimits
    from postino.store.tx import Tx


@click.group(epilog="Example: postino account add ann@example.org")
def account() -> None:
    """Add, list, change and remove accounts. The server may run meanwhile."""


@account.command(epilog="Example: postino account add ann@example.org --quota 5GB --generate")
@click.argument("address")
@click.option("--quota", metavar="SIZE", help="Most mail it may hold, such as 5GB; 0 is without limit.")
@password_options
@data_options
def add(
    address: str,
    quota: str | None,
    password_stdin: bool,
    generate: bool,
    data: Path | None,
    config: Path | None,
) -> None:
    """Add an account. Its domain must be there (postino domain add)."""
    from postino.app.units import parse_size
    from postino.cli.options import find_configuration
    from postino.core.address import parse_address
    from postino.core.errors import StoreError
    from postino.store.accounts import create_account, is_local_domain, set_scram_sha1

    parsed = parse_address(address)
    settings = find_configuration(data, config).settings
    octets = parse_size(quota) if quota is not None else settings.store.default_quota
    with open_data(data, config) as store:
        # Asked for before the password, which nobody wants to type in vain.
        if not store.read_now(lambda tx: is_local_domain(tx, parsed.domain)):
            raise StoreError(
                f"There is no domain {parsed.domain}; add it first with `postino domain add {parsed.domain}`"
            )
        password, made = obtain_password(address, password_stdin=password_stdin, generate=generate)
        kept = make_credentials(password)
        sha1 = make_sha1_keys(password, wanted=settings.login.scram_sha1)
        moment = now()

        def create(tx: "Tx") -> None:
            set_scram_sha1(tx, create_account(tx, parsed, *kept, octets, moment), sha1)

        store.write_now(create)
    click.echo(f"Added {parsed.key}")
    if made:
        click.echo(f"Password: {password}")


@account.command("list", epilog="Example: postino account list --data /var/lib/postino")
@data_options
def list_(data: Path | None, config: Path | None) -> None:
    """List the accounts with what they hold."""
    from postino.app.units import show_size
    from postino.store.accounts import list_accounts

    with open_data(data, config) as store:
        accounts = store.read_now(list_accounts)
    rows = [
        [
            found.login,
            str(found.used_messages),
            show_size(found.used_octets),
            show_size(found.quota_octets) if found.quota_octets else "no limit",
        ]
        for found in accounts
    ]
    show_table(["account", "messages", "used", "quota"], rows, empty="There are no accounts yet.")


@account.command(epilog="Example: postino account show ann@example.org")
@click.argument("address")
@data_options
def show(address: str, data: Path | None, config: Path | None) -> None:
    """Show an account: what it holds, its addresses, how it sends, its mailboxes."""
    from datetime import UTC, datetime

    from postino.app.units import show_size
    from postino.cli.options import find_configuration
    from postino.store.accounts import list_aliases
    from postino.store.forwards import forwarding_of
    from postino.store.mailboxes import list_mailboxes
    from postino.store.sending import sender, sent_today

    outbound, moment = find_configuration(data, config).settings.outbound, now()
    with open_data(data, config) as store:
        found = store.read_now(lambda tx: require_account(tx, address))
        mailboxes = store.read_now(lambda tx: list_mailboxes(tx, found.id))
        aliases = store.read_now(list_aliases)
        forwarding = store.read_now(lambda tx: forwarding_of(tx, found.id))
        sending = store.read_now(lambda tx: sender(tx, found.id))
        used = store.read_now(lambda tx: sent_today(tx, found.id, moment))
    limits = sending.limits(_sending_limits(outbound))
    addresses = [shown_alias(a.address) for a in aliases if found.login in a.logins]
    click.echo(f"account    {found.login}")
    click.echo(f"since      {datetime.fromtimestamp(found.created_at, UTC):%Y-%m-%d}")
    limited = found.quota_octets or found.quota_messages or found.quota_mailboxes
    quota = f" of {_shown_quota(found)}" if limited else ", no limit"
    many = "1 message" if found.used_messages == 1 else f"{found.used_messages} messages"
    click.echo(f"holds      {many}, {show_size(found.used_octets)}{quota}")
    if found.is_admin:
        click.echo("role       administrator")
    if addresses:
        click.echo(f"aliases    {', '.join(addresses)}")
    if forwarding.targets:
        click.echo(f"mail       {shown_forwarding(forwarding)}")
    if sending.identities:
        click.echo(f"sends as   {', '.join(sorted(map(str, sending.identities)))}")
    messages, people = _of(used[0], limits.daily_messages), _of(used[1], limits.daily_recipients)
    click.echo(f"sent today {messages} messages, to {people} new people")
    if sending.save_sent:
        click.echo("sent mail  is filed by the server")
    if sending.undo_seconds:
        click.echo(f"undo       {sending.undo_seconds} seconds")
    rows = [[m.name, str(m.messages), str(m.unseen), show_size(m.octets)] for m in mailboxes]
    show_table(["mailbox", "messages", "unseen", "size"], rows, empty="It has no mailboxes.")


@account.command(
    epilog="Example: echo 'new password' | postino account password ann@example.org --password-stdin"
)
@click.argument("address")
@password_options
@data_options
def password(
    address: str, password_stdin: bool, generate: bool, data: Path | None, config: Path | None
) -> None:
    """Change an account's password."""
    from postino.cli.options import find_configuration
    from postino.store.accounts import set_password, set_scram_sha1

    with open_data(data, config) as store:
        found = store.read_now(lambda tx: require_account(tx, address))
        chosen, made = obtain_password(address, password_stdin=password_stdin, generate=generate)
        kept = make_credentials(chosen)
        sha1 = make_sha1_keys(chosen, wanted=find_configuration(data, config).settings.login.scram_sha1)

        def change(tx: "Tx") -> None:
            set_password(tx, found.id, *kept)
            set_scram_sha1(tx, found.id, sha1)

        store.write_now(change)
    click.echo(f"Changed the password of {found.login}")
    if made:
        click.echo(f"Password: {chosen}")


@account.command(epilog="Example: postino account quota ann@example.org 5GB --messages 100000")
@click.argument("address")
@click.argument("size", required=False)
@click.option("--messages", type=click.IntRange(min=0), metavar="N", help="Most messages it may hold.")
@click.option("--mailboxes", type=click.IntRange(min=0), metavar="N", help="Most mailboxes it may have.")
@data_options
def quota(
    address: str,
    size: str | None,
    messages: int | None,
    mailboxes: int | None,
    data: Path | None,
    config: Path | None,
) -> None:
    """Set the most mail an account may hold, such as 5GB; 0 is without limit."""
    from postino.app.units import parse_size
    from postino.store.quota import quota_root, set_quotas

    if size is None and messages is None and mailboxes is None:
        raise click.UsageError("Say how much, such as 5GB, or --messages or --mailboxes with a number")
    octets = parse_size(size) if size is not None else None
    with open_data(data, config) as store:
        found = store.read_now(lambda tx: require_account(tx, address))

        def change(tx: "Tx") -> "QuotaRoot":
            set_quotas(
                tx,
                found.id,
                octets=found.quota_octets if octets is None else octets,
                messages=found.quota_messages if messages is None else messages,
                mailboxes=found.quota_mailboxes if mailboxes is None else mailboxes,
            )
            return quota_root(tx, found.id)

        root = store.write_now(change)
    click.echo(f"{found.login} may hold {_shown_quota(root)}")


def _shown_quota(root: "QuotaRoot | AccountRow") -> str:
    from postino.app.units import show_size

    limits = [show_size(root.quota_octets)] if root.quota_octets else []
    for number, what in ((root.quota_messages, "messages"), (root.quota_mailboxes, "mailboxes")):
        if number:
            limits.append(f"{number} {what}")
    return ", ".join(limits) or "mail without limit"


@account.command(epilog="Example: postino account admin ann@example.org")
@click.argument("address")
@click.option("--off", is_flag=True, help="No longer.")
@data_options
def admin(address: str, off: bool, data: Path | None, config: Path | None) -> None:
    """Let an account set quotas and the server's annotations by IMAP."""
    from postino.store.accounts import set_admin

    with open_data(data, config) as store:
        found = store.read_now(lambda tx: require_account(tx, address))
        store.write_now(lambda tx: set_admin(tx, found.id, not off))
    click.echo(f"{found.login} is {'no longer ' if off else ''}an administrator")


@account.group(epilog="Example: postino account identity list ann@example.org")
def identity() -> None:
    """Let an account send as addresses whose mail it does not receive."""


@identity.command(
    "add", epilog="Example: postino account identity add ann@example.org sales@example.org @shop.example"
)
@click.argument("address")
@click.argument("identities", nargs=-1, required=True, metavar="IDENTITY...")
@data_options
def add_(address: str, identities: tuple[str, ...], data: Path | None, config: Path | None) -> None:
    """Let it send as these addresses too; @example.org is every one of a domain."""
    from postino.store.identities import add_identity, parse_identity

    wanted = [parse_identity(text) for text in identities]
    with open_data(data, config) as store:
        found = store.read_now(lambda tx: require_account(tx, address))

        def change(tx: "Tx") -> None:
            for each in wanted:
                add_identity(tx, found.id, each)

        store.write_now(change)
    click.echo(f"{found.login} may send as {', '.join(map(str, wanted))}")


@identity.command(
    "remove", epilog="Example: postino account identity remove ann@example.org sales@example.org"
)
@click.argument("address")
@click.argument("identities", nargs=-1, required=True, metavar="IDENTITY...")
@data_options
def remove_(address: str, identities: tuple[str, ...], data: Path | None, config: Path | None) -> None:
    """Let it no longer send as these addresses."""
    from postino.store.identities import parse_identity, remove_identity

    wanted = [parse_identity(text) for text in identities]
    with open_data(data, config) as store:
        found = store.read_now(lambda tx: require_account(tx, address))

        def change(tx: "Tx") -> None:
            for each in wanted:
                remove_identity(tx, found.id, each)

        store.write_now(change)
    click.echo(f"{found.login} may no longer send as {', '.join(map(str, wanted))}")


@identity.command("list", epilog="Example: postino account identity list ann@example.org")
@click.argument("address")
@data_options
def list_identities(address: str, data: Path | None, config: Path | None) -> None:
    """Show what was granted; an account may also send as its own address and its aliases."""
    from postino.store.identities import identities_of

    with open_data(data, config) as store:
        found = store.read_now(lambda tx: require_account(tx, address))
        granted = store.read_now(lambda tx: identities_of(tx, found.id))
    show_table(["identity"], [[str(each)] for each in granted], empty="Nothing was granted.")


@account.command(epilog="Example: postino account limit ann@example.org --messages 5000 --recipients 0")
@click.argument("address")
@click.option(
    "--messages", type=click.IntRange(min=0), metavar="N", help="Most messages a day; 0 is no limit."
)
@click.option(
    "--recipients",
    type=click.IntRange(min=0),
    metavar="N",
    help="Most people a day it never wrote to before; 0 is no limit.",
)
@click.option("--default", is_flag=True, help="As the settings say (outbound.daily_messages and others).")
@data_options
def limit(
    address: str,
    messages: int | None,
    recipients: int | None,
    default: bool,
    data: Path | None,
    config: Path | None,
) -> None:
    """Show or set how much an account may send."""
    from postino.cli.options import find_configuration
    from postino.store.sending import DEFAULT, sender, sent_today, set_limits

    if default and not (messages is None and recipients is None):
        raise click.UsageError("Give either --default or numbers")
    outbound = find_configuration(data, config).settings.outbound
    moment = now()
    with open_data(data, config) as store:
        found = store.read_now(lambda tx: require_account(tx, address))
        before = store.read_now(lambda tx: sender(tx, found.id))
        if default or messages is not None or recipients is not None:
            daily_messages = before.daily_messages if messages is None else messages
            daily_recipients = before.daily_recipients if recipients is None else recipients
            store.write_now(
                lambda tx: set_limits(
                    tx,
                    found.id,
                    daily_messages=DEFAULT if default else daily_messages,
                    daily_recipients=DEFAULT if default else daily_recipients,
                )
            )
        limits = store.read_now(lambda tx: sender(tx, found.id)).limits(_sending_limits(outbound))
        used = store.read_now(lambda tx: sent_today(tx, found.id, moment))
    rows = [
        ["messages a day", str(limits.daily_messages or "no limit"), str(used[0])],
        ["new people a day", str(limits.daily_recipients or "no limit"), str(used[1])],
        ["messages a minute", str(limits.burst_messages or "no limit"), ""],
    ]
    show_table(["limit", "most", "today"], rows, empty="")


def _of(count: int, most: int) -> str:
    return f"{count} of {most}" if most else str(count)


def _sending_limits(outbound: "OutboundSettings") -> "SendingLimits":
    from postino.store.sending import SendingLimits

    return SendingLimits(outbound.daily_messages, outbound.daily_recipients, outbound.burst_messages)


@account.command(epilog="Example: postino account sent ann@example.org on")
@click.argument("address")
@click.argument("state", type=click.Choice(["on", "off"]))
@data_options
def sent(address: str, state: str, data: Path | None, config: Path | None) -> None:
    """Have the server file a copy of what an account sends in its Sent mailbox.

    A mail program that files its own copy may go on doing so: there will be one, the program's.
    """
    from postino.store.sending import set_save_sent

    with open_data(data, config) as store:
        found = store.read_now(lambda tx: require_account(tx, address))
        store.write_now(lambda tx: set_save_sent(tx, found.id, state == "on"))
    saves = "is filed" if state == "on" else "is no longer filed"
    click.echo(f"What {found.login} sends {saves} in its Sent mailbox by the server")


@account.command(epilog="Example: postino account undo ann@example.org 10")
@click.argument("address")
@click.argument("seconds", type=click.IntRange(min=0, max=86_400))
@data_options
def undo(address: str, seconds: int, data: Path | None, config: Path | None) -> None:
    """Hold what an account sends for so many seconds, in which it can be taken back; 0 for none.

    `postino queue recall` takes a message back.
    """
    from postino.store.sending import set_undo_seconds

    with open_data(data, config) as store:
        found = store.read_now(lambda tx: require_account(tx, address))
        store.write_now(lambda tx: set_undo_seconds(tx, found.id, seconds))
    if seconds:
        click.echo(f"What {found.login} sends waits {seconds} seconds, and can be taken back meanwhile")
    else:
        click.echo(f"What {found.login} sends goes at once")


account.add_command(forward)


@account.command(epilog="Example: postino account remove ann@example.org --yes")
@click.argument("address")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_options
def remove(address: str, yes: bool, data: Path | None, config: Path | None) -> None:
    """Remove an account with all its mail, for good."""
    from postino.app.units import show_size
    from postino.core.ids import BlobId
    from postino.store.accounts import remove_account

    with open_data(data, config) as store:
        found = store.read_now(lambda tx: require_account(tx, address))
        if not yes:
            click.confirm(
                f"Remove {found.login} with its {found.used_messages} messages "
                f"({show_size(found.used_octets)})? This cannot be undone",
                abort=True,
            )
        for blob_id in store.write_now(lambda tx: remove_account(tx, found.id)):
            store.blobs.delete(BlobId(blob_id))
        store.texts.remove(found.id)
    click.echo(f"Removed {found.login}")
