"""`postino dns`: which DNS records a domain wants, and whether they are there."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from postino.cli.options import data_options, now, show_table

if TYPE_CHECKING:
    from postino.app.operator_dns.findings import Finding
    from postino.app.operator_dns.records import DnsFacts
    from postino.app.settings_file import Configuration


@click.command(epilog="Example: postino dns --check example.org")
@click.argument("domains", nargs=-1, metavar="[DOMAIN]...")
@click.option("--check", is_flag=True, help="Compare with what resolvers answer, and say what to do.")
@click.option("--dns-only", is_flag=True, help="With --check, connect to no web or mail server.")
@click.option("--json", "as_json", is_flag=True, help="What --check found, as JSON.")
@click.option("--quiet", is_flag=True, help="With --check, leave out what is as it should be.")
@data_options
def dns(
    domains: tuple[str, ...],
    check: bool,
    dns_only: bool,
    as_json: bool,
    quiet: bool,
    data: Path | None,
    config: Path | None,
) -> None:
    """Print every DNS record a domain wants, as a zone file with reasons. Without DOMAIN: of all domains.

    With --check the records that are published are compared with them, and each difference is explained.
    The exit status is then that of monitoring plug-ins: 0 all is well, 1 a warning, 2 a problem, 3 some
    questions had no answer. Before the first mail is sent none should be 2.
    """
    from postino.app.operator_dns.findings import exit_status
    from postino.app.operator_dns.records import zone_file
    from postino.cli.options import find_configuration

    configuration = find_configuration(data, config)
    facts = _facts(configuration, domains, data, config)
    if as_json and not check:
        raise click.UsageError("--json is for what --check finds; add --check")
    if not check:
        click.echo("\n".join(map(zone_file, facts)), nl=False)
        return
    found = asyncio.run(_check(configuration, facts, dns_only=dns_only))
    if as_json:
        _show_json(found)
    else:
        _show(found, quiet=quiet)
    raise SystemExit(exit_status([finding for _, findings in found for finding in findings]))


def _facts(
    configuration: "Configuration", domains: tuple[str, ...], data: Path | None, config: Path | None
) -> "list[DnsFacts]":
    from postino.app.operator_dns.facts import dkim_keys, gather_facts
    from postino.app.wiring import certificate_files
    from postino.cli.options import open_data
    from postino.core.address import parse_domain
    from postino.core.errors import SettingsError
    from postino.store.accounts import list_domains

    certificate = certificate_files(configuration)[0].certificate
    with open_data(data, config) as store:
        names = [parse_domain(name) for name in domains]
        names = names or store.read_now(lambda tx: [row.name for row in list_domains(tx)])
        if not names:
            raise SettingsError("There is no domain yet; add one with: postino domain add DOMAIN")
        keys = store.read_now(lambda tx: [dkim_keys(tx, name, now()) for name in names])
        # Still as the store's owner, who may read the certificate, too.
        return [
            gather_facts(configuration, name, found, certificate)
            for name, found in zip(names, keys, strict=True)
        ]


async def _check(
    configuration: "Configuration", facts: "list[DnsFacts]", *, dns_only: bool
) -> "list[tuple[str, list[Finding]]]":
    from postino.app.operator_dns.asking import outside_world
    from postino.app.operator_dns.check import check_domain

    outside, resolver = outside_world(configuration.settings.outbound, dns_only=dns_only)
    try:
        return [(one.domain, await check_domain(one, outside)) for one in facts]
    finally:
        resolver.close()


def _show(found: "list[tuple[str, list[Finding]]]", *, quiet: bool) -> None:
    from postino.app.operator_dns.findings import Level

    rows = [
        (finding.level.name.lower(), domain, finding.name, finding.sentence)
        for domain, findings in found
        for finding in findings
        if not (quiet and finding.level is Level.OK)
    ]
    if len(found) == 1:
        show_table(("", "record", ""), [(row[0], *row[2:]) for row in rows], empty="All is well.")
    else:
        show_table(("", "domain", "record", ""), rows, empty="All is well.")


def _show_json(found: "list[tuple[str, list[Finding]]]") -> None:
    import msgspec

    listed = [
        {
            "domain": domain,
            "level": finding.level.name.lower(),
            "topic": finding.topic.name.lower().replace("_", "-"),
            "name": finding.name,
            "sentence": finding.sentence,
        }
        for domain, findings in found
        for finding in findings
    ]
    click.echo(msgspec.json.format(msgspec.json.encode(listed), indent=2).decode())
