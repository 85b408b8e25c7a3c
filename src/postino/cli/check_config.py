"""`postino check-config`: is the settings file right?"""

from pathlib import Path

import click

from postino.cli.options import data_options


@click.command(epilog="Example: postino check-config --config /etc/postino/postino.toml")
@data_options
def check_config(data: Path | None, config: Path | None) -> None:
    """Check a settings file, and the certificates and passwords it names, without starting anything."""
    from postino.app.settings_file import find_settings
    from postino.app.wiring import certificate_files, open_routes
    from postino.net.tls import CertificateStore

    found = find_settings(data, config, required=True)
    default, more = certificate_files(found)
    if found.settings.tls.certificate or default.certificate.exists():
        CertificateStore(default, more)
    else:
        CertificateStore(None, more)
    open_routes(found)
    click.echo(f"{found.file}: the settings are right")
    click.echo(f"  {'name':<13}{found.hostname}")
    click.echo(f"  {'data':<13}{found.data}")
    for service, addresses in found.listen().items():
        if addresses:
            click.echo(f"  {service:<13}{', '.join(map(str, addresses))}")
