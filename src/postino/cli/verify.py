"""`postino verify`: is the stored mail consistent?"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from postino.cli.options import data_options, open_data

if TYPE_CHECKING:
    from postino.store.verify import Finding


@click.command(epilog="Example: postino verify --data /var/lib/postino")
@data_options
def verify(data: Path | None, config: Path | None) -> None:
    """Check every counter, reference, UID and size of the stored mail against the mail itself.

    The server may run meanwhile. Nothing is changed. The status is 1 when something is wrong.
    """
    import asyncio

    from postino.core.errors import DatabaseDamaged
    from postino.store.verify import verify_in_pieces

    try:
        with open_data(data, config) as store:

            def look() -> "list[Finding]":
                return asyncio.run(store.read_in_pieces(lambda run: verify_in_pieces(run, store.blobs)))

            findings = look()
            if findings:
                # What a running server changed between two checks is not found a second time.
                again = set(look())
                findings = [finding for finding in findings if finding in again]
    except DatabaseDamaged as error:
        raise click.ClickException(
            f"{str(error).partition(';')[0]}, so badly that it cannot be looked into; keep a copy of the "
            "data directory, then put a backup in its place"
        ) from error
    for finding in findings:
        click.echo(str(finding))
    if findings:
        found = "1 contradiction" if len(findings) == 1 else f"{len(findings)} contradictions"
        raise click.ClickException(f"{found} found; keep a copy of the data directory before anything else")
    click.echo("The stored mail is consistent.")
