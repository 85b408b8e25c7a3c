"""`postino serve`: run the server."""

from pathlib import Path

import click

from postino.cli.options import data_options


@click.command(epilog="Example: postino serve --data /var/lib/postino")
@data_options
@click.option("--workers", type=click.IntRange(0, 256), help="Processes that serve, instead of the setting.")
def serve(data: Path | None, config: Path | None, workers: int | None) -> None:
    """Run the server until it gets SIGTERM or Ctrl-C.

    SIGHUP makes it read its settings and certificates again.
    """
    import msgspec

    from postino.app.settings_file import Configuration, find_settings
    from postino.app.supervisor import Supervisor

    found = find_settings(data, config, required=True)
    if workers is not None:
        server = msgspec.structs.replace(found.settings.server, workers=workers)
        settings = msgspec.structs.replace(found.settings, server=server)
        found = Configuration(settings, found.base, found.file, found.given | {"server.workers"})
    raise SystemExit(Supervisor(found).run())
