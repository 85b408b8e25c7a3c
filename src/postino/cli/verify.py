"""`postino verify`: is the stored mail consistent?"""

from pathlib import Path

import click

from postino.cli.options import data_options, open_data


@click.command(epilog="Example: postino verify --data /var/lib/postino")
@data_options
def verify(data: Path | None, config: Path | None) -> None:
    """Check every counter, reference, UID and size of the stored mail against the mail itself.

    The server may run meanwhile. Nothing is changed. The status is 1 when something is wrong.
    """
    import asyncio

    from postino.store.verify import verify as verify_store

    with open_data(data, config) as store:
        findings = asyncio.run(store.read(lambda tx: verify_store(tx, store.blobs)))
    for finding in findings:
        click.echo(str(finding))
    if findings:
        raise click.ClickException(
            f"{len(findings)} contradictions found; keep a copy of the data directory before anything else"
        )
    click.echo("The stored mail is consistent.")
