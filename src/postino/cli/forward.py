"""`postino account forward`: send an account's mail on to addresses elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from postino.cli.options import data_options, open_data, require_account

if TYPE_CHECKING:
    from postino.store.forwards import Forwarding


@click.command(epilog="Example: postino account forward ann@example.org --to ann@example.net --no-keep")
@click.argument("address")
@click.option("--to", "targets", multiple=True, metavar="ADDRESS", help="Where it goes; may be given again.")
@click.option(
    "--keep/--no-keep",
    default=None,
    help="Whether the account gets it too, as it does unless told otherwise.",
)
@click.option("--off", is_flag=True, help="Forward it no longer.")
@data_options
def forward(
    address: str,
    targets: tuple[str, ...],
    keep: bool | None,
    off: bool,
    data: Path | None,
    config: Path | None,
) -> None:
    """Send an account's mail on to addresses elsewhere, or show where it goes.

    Junk is not forwarded, and stays in the account. Mail for an address of this server is sent on with an
    alias (postino alias add) instead.
    """
    from postino.core.address import parse_address
    from postino.store.forwards import Forwarding, forwarding_of, set_forwarding

    if off and (targets or keep is not None):
        raise click.UsageError("Give --off alone, or --to with an address")
    parsed = tuple(parse_address(target) for target in targets)
    with open_data(data, config) as store:
        found = store.read_now(lambda tx: require_account(tx, address))
        before = store.read_now(lambda tx: forwarding_of(tx, found.id))
        if keep is not None and not parsed and not before.targets:
            raise click.UsageError("Say where the mail goes with --to ADDRESS")
        if keep is None:
            keep = True if parsed or off else before.keeps
        after = Forwarding(() if off else parsed or before.targets, keep)
        if after != before:
            store.write_now(lambda tx: set_forwarding(tx, found.id, after.targets, keeps=after.keeps))
    click.echo(f"Mail for {found.login} {shown_forwarding(after)}")


def shown_forwarding(forwarding: "Forwarding") -> str:
    """What happens to an account's mail."""
    if not forwarding.targets:
        return "stays here"
    also = ", and stays here too" if forwarding.keeps else " and does not stay here"
    return f"goes to {', '.join(map(str, forwarding.targets))}{also}"
