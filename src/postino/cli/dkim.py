"""`postino dkim`: the keys that sign our domains' mail."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from postino.cli.options import data_options, find_configuration, now, open_data, show_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postino.app.settings_file import Configuration
    from postino.core.ids import Instant
    from postino.mailauth.dkim.private_key import KeyAlgorithm
    from postino.store.dkim_keys import DkimKey

_ALGORITHMS: Final = ("rsa", "ed25519")
_algorithm_option = click.option(
    "--algorithm", type=click.Choice(_ALGORITHMS), help="Only a key of this algorithm; default: one of each."
)


@click.group(epilog="Example: postino dkim publish example.org")
def dkim() -> None:
    """Show, make, use and retire the keys that sign mail (DKIM). The server may run meanwhile.

    Each domain gets an RSA and an Ed25519 key when it is added. A key waits until its record is found in the
    DNS, then signs; when another takes its place it is retired, and its record must stay until no mail
    it signed is on its way any more.
    """


@dkim.command("list", epilog="Example: postino dkim list example.org --check")
@click.argument("domain", required=False)
@click.option("--check", is_flag=True, help="Ask the DNS for each record, too.")
@data_options
def list_(domain: str | None, check: bool, data: Path | None, config: Path | None) -> None:
    """List the keys: which signs, which waits for its record, which record may go."""
    from postino.store.dkim_keys import list_keys

    name = _domain(domain) if domain else None
    with open_data(data, config) as store:
        keys = store.read_now(lambda tx: list_keys(tx, name))
    moment = now()
    rows = [
        [key.domain, key.selector, key.algorithm.value, key.state(moment).value, _since(key, moment)]
        for key in keys
    ]
    columns = ["domain", "selector", "algorithm", "state", "since"]
    if check:
        columns.append("record")
        for row, found in zip(rows, asyncio.run(_look(find_configuration(data, config), keys)), strict=True):
            row.append({True: "in the DNS", False: "not in the DNS", None: "the DNS does not answer"}[found])
    show_table(columns, rows, empty="There are no keys; make some with: postino dkim add DOMAIN")


async def _look(configuration: "Configuration", keys: "Sequence[DkimKey]") -> "list[bool | None]":
    from postino.net.dns.resolver import DnsResolver
    from postino.net.dns.servers import ServerList
    from postino.outbound.signing.key_schedule import is_published

    resolver = DnsResolver(ServerList(configuration.settings.outbound.resolvers))
    try:
        return list(await asyncio.gather(*(is_published(resolver, key) for key in keys)))
    finally:
        resolver.close()


def _since(key: "DkimKey", moment: "Instant") -> str:
    from datetime import UTC, datetime

    from postino.store.dkim_keys import KeyState

    instants = {
        KeyState.WAITING: key.created_at,
        KeyState.IN_USE: key.use_at,
        KeyState.RETIRED: key.retire_at,
        KeyState.REMOVABLE: key.remove_at,
    }
    return datetime.fromtimestamp(instants[key.state(moment)], UTC).strftime("%Y-%m-%d")


@dkim.command(epilog="Example: postino dkim add example.org --key old-server.private --selector mail2024")
@click.argument("domain")
@_algorithm_option
@click.option("--selector", default="", help="The key's name; default: the day and the algorithm.")
@click.option(
    "--key",
    "key_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A private key to use, PEM or DER, instead of making one.",
)
@data_options
def add(
    domain: str,
    algorithm: str | None,
    selector: str,
    key_file: Path | None,
    data: Path | None,
    config: Path | None,
) -> None:
    """Make new keys for DOMAIN, or take one from a file, and show their records.

    They sign when the DNS has the records.
    """
    from postino.mailauth.dkim.private_key import algorithm_of, make_key, pack_key, read_key
    from postino.store.dkim_keys import add_key

    name = _domain(domain)
    if selector:
        _require_selector(selector)
    if key_file is not None:
        privates = [read_key(key_file.read_bytes())]
        if algorithm not in (None, algorithm_of(privates[0]).value):
            raise click.UsageError(f"The key in {key_file} is not {algorithm}")
    else:
        wanted = _algorithms(algorithm)
        if selector and len(wanted) > 1:
            raise click.UsageError("A selector names one key; say which with --algorithm rsa or ed25519")
        privates = [make_key(one) for one in wanted]
    moment = now()
    with open_data(data, config) as store:
        keys = store.write_now(
            lambda tx: [
                add_key(tx, name, algorithm_of(one), pack_key(one), moment, selector) for one in privates
            ]
        )
    _show_records(keys)


@dkim.command(epilog="Example: postino dkim publish example.org >> example.org.zone")
@click.argument("domain")
@click.argument("selector", required=False)
@data_options
def publish(domain: str, selector: str | None, data: Path | None, config: Path | None) -> None:
    """Show the records DOMAIN's keys need in the DNS, as a zone file has them."""
    from postino.store.dkim_keys import KeyState, list_keys, require_key

    name = _domain(domain)
    moment = now()
    with open_data(data, config) as store:
        if selector:
            keys = [store.read_now(lambda tx: require_key(tx, name, selector))]
        else:
            keys = store.read_now(lambda tx: list_keys(tx, name))
            keys = [key for key in keys if key.state(moment) is not KeyState.REMOVABLE]
    if not keys:
        raise click.ClickException(f"{name} has no keys; make some with: postino dkim add {name}")
    _show_records(keys)


@dkim.command(epilog="Example: postino dkim use example.org 20260101-rsa")
@click.argument("domain")
@click.argument("selector")
@data_options
def use(domain: str, selector: str, data: Path | None, config: Path | None) -> None:
    """Let a key sign from now on, whether its record is in the DNS or not.

    The key of the same algorithm that signs now is retired.
    """
    from postino.outbound.signing.key_schedule import keep_seconds
    from postino.store.dkim_keys import require_key, use_key

    name = _domain(domain)
    moment = now()
    keep = keep_seconds(find_configuration(data, config).settings.outbound)
    with open_data(data, config) as store:
        replaced = store.write_now(lambda tx: use_key(tx, require_key(tx, name, selector), moment, keep))
    click.echo(f"{selector} signs mail of {name}")
    for key in replaced:
        click.echo(f"{key.selector} signs no more; {_stays(keep)}")


@dkim.command(epilog="Example: postino dkim rotate example.org --algorithm rsa")
@click.argument("domain")
@_algorithm_option
@data_options
def rotate(domain: str, algorithm: str | None, data: Path | None, config: Path | None) -> None:
    """Make keys that shall replace those in use, and show their records.

    Nothing changes until the records are in the DNS: an hour later the new keys sign, and the old are
    retired.
    """
    from postino.mailauth.dkim.private_key import make_key, pack_key
    from postino.store.dkim_keys import DkimKey, KeyState, add_key, list_keys, note_told
    from postino.store.tx import Tx

    name = _domain(domain)
    wanted = _algorithms(algorithm)
    privates = {one: pack_key(make_key(one)) for one in wanted}
    moment = now()

    def make(tx: Tx) -> list[DkimKey]:
        keys = [add_key(tx, name, one, private, moment) for one, private in privates.items()]
        for key in keys:
            # The operator reads it here; no mail need say so.
            note_told(tx, key, moment)
        return keys

    with open_data(data, config) as store:
        waiting = [
            key
            for key in store.read_now(lambda tx: list_keys(tx, name))
            if key.algorithm in wanted and key.state(moment) is KeyState.WAITING
        ]
        if waiting:
            raise click.ClickException(
                f"{waiting[0].selector} waits already to take over; publish its record, shown by "
                f"`postino dkim publish {name} {waiting[0].selector}`, or remove the key first"
            )
        keys = store.write_now(make)
    _show_records(keys)


@dkim.command(epilog="Example: postino dkim retire example.org 20250101-rsa")
@click.argument("domain")
@click.argument("selector")
@data_options
def retire(domain: str, selector: str, data: Path | None, config: Path | None) -> None:
    """Let a key sign no more. Its record must stay while mail it signed may be on its way."""
    from postino.outbound.signing.key_schedule import keep_seconds
    from postino.store.dkim_keys import require_key, retire_key

    name = _domain(domain)
    moment = now()
    keep = keep_seconds(find_configuration(data, config).settings.outbound)
    with open_data(data, config) as store:
        store.write_now(lambda tx: retire_key(tx, require_key(tx, name, selector), moment, keep))
    click.echo(f"{selector} signs no more; {_stays(keep)}")


@dkim.command(epilog="Example: postino dkim remove example.org 20250101-rsa")
@click.argument("domain")
@click.argument("selector")
@click.option("--force", is_flag=True, help="Even when mail it signed may still be on its way.")
@data_options
def remove(domain: str, selector: str, force: bool, data: Path | None, config: Path | None) -> None:
    """Forget a key for good. Take its record out of the DNS, too."""
    from postino.core.errors import NotPermitted
    from postino.store.dkim_keys import KeyState, remove_key, require_key
    from postino.store.tx import Tx

    name = _domain(domain)
    moment = now()

    def write(tx: Tx) -> str:
        key = require_key(tx, name, selector)
        state = key.state(moment)
        if state in {KeyState.IN_USE, KeyState.RETIRED} and not force:
            raise NotPermitted(
                f"{selector} is {state.value}, and mail it signed may be on its way; retire it first with "
                "`postino dkim retire` and wait until it is removable, or remove it with --force"
            )
        remove_key(tx, key)
        return key.record_name

    with open_data(data, config) as store:
        record = store.write_now(write)
    click.echo(f"Removed {selector}; the record {record} is of no use any more")


def _domain(text: str) -> str:
    from postino.core.address import parse_domain

    return parse_domain(text)


def _algorithms(algorithm: str | None) -> "list[KeyAlgorithm]":
    from postino.mailauth.dkim.private_key import KeyAlgorithm

    return [KeyAlgorithm(algorithm)] if algorithm else list(KeyAlgorithm)


def _require_selector(selector: str) -> None:
    from postino.core.errors import ProtocolViolation
    from postino.mailauth.dkim.signature import parse_selector

    try:
        if parse_selector(selector) == selector:
            return
    except ProtocolViolation:
        pass
    raise click.UsageError(f"{selector!r} is no selector; use lower-case letters, digits, dashes and dots")


def _show_records(keys: "Sequence[DkimKey]") -> None:
    from postino.mailauth.dkim.key_record import zone_line

    for key in keys:
        click.echo(zone_line(key.record_name, key.record))


def _stays(keep_seconds: int) -> str:
    return f"its record must stay {keep_seconds // 86_400} days more"
