"""`postino check-config`: is the settings file right?"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from postino.cli.options import data_options

if TYPE_CHECKING:
    from postino.outbound.settings import OutboundSettings, RouteSettings


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
    for way in _ways_out(found.settings.outbound):
        click.echo(f"  {'mail out':<13}{way}")


def _ways_out(settings: "OutboundSettings") -> list[str]:
    """Where mail for other domains goes, a line for each route in the order in which they are asked."""
    if not settings.enabled:
        return ["refused: outbound.enabled is false"]
    ways = [_way(route) for route in settings.routes]
    if all(route.domains or route.senders for route in settings.routes):
        ways.append("everything else by MX" if ways else "by MX")
    return ways


def _way(route: "RouteSettings") -> str:
    what = f"for {', '.join(route.domains)}" if route.domains else ""
    if route.senders:
        what = f"{what} from {', '.join(route.senders)}".strip()
    if not route.host:
        return f"{what or 'everything'} by MX"
    login = f", as {route.login}" if route.login else ""
    return f"{what or 'everything'} to {route.host} ({route.protocol.upper()}, TLS {route.tls}{login})"
