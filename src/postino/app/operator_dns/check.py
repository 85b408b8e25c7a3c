"""Compare the DNS records a domain wants with what resolvers answer, and say of each difference what to do.

RFC: 5321 §5.1 and 2181 §10.3 (MX), 7505 (null MX), 6186 §3 (SRV), 8659 §3 (CAA).
Exposure: reads what the DNS and a web server of the domain say, under the limits of resolver and fetcher.
Invariants: a question without an answer makes a finding of its own and never stops the others; nothing that
    cannot be told is called wrong.
Not here: what is wanted (records.py), SPF, DKIM and DMARC (senders.py), TLS (transport.py), showing it
    (cli/dns.py).
"""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable

from postino.app.operator_dns import senders, transport
from postino.app.operator_dns.findings import Checker, Finding, Level, Outside
from postino.app.operator_dns.records import DnsFacts, Topic, caa_name
from postino.core.address import ascii_domain
from postino.core.errors import DnsFailure

_Part = Callable[[Checker], Awaitable[None]]


async def check_domain(facts: DnsFacts, outside: Outside) -> list[Finding]:
    """Every finding, by topic."""
    check = Checker(facts, outside)
    domain, hostname = facts.domain, facts.hostname
    parts: tuple[tuple[Topic, str, _Part], ...] = (
        (Topic.MX, domain, mail),
        (Topic.ADDRESS, hostname, addresses),
        (Topic.SPF, domain, senders.spf),
        (Topic.DKIM, domain, senders.signatures),
        (Topic.DMARC, f"_dmarc.{domain}", senders.dmarc),
        (Topic.MTA_STS, f"_mta-sts.{domain}", transport.sts),
        (Topic.TLSRPT, f"_smtp._tls.{domain}", transport.reports),
        (Topic.TLSA, f"_25._tcp.{hostname}", transport.dane),
        (Topic.SRV, domain, services),
        (Topic.AUTOCONFIG, domain, setup),
        (Topic.CAA, hostname, authorities),
    )

    async def run(topic: Topic, name: str, part: _Part) -> None:
        try:
            await part(check)
        except DnsFailure as error:
            sentence = f"{error}; ask again later, or name others in outbound.resolvers"
            check.note(Level.UNKNOWN, topic, name, sentence)

    await asyncio.gather(*(run(*part) for part in parts))
    order = list(Topic)
    return sorted(check.findings, key=lambda finding: order.index(finding.topic))


async def mail(check: Checker) -> None:
    """MX records."""
    domain, hostname = check.facts.domain, check.facts.hostname
    answer = await check.resolver.mx(domain)
    hosts = [ascii_domain(record.host).removesuffix(".") for record in answer.records]

    def note(level: Level, sentence: str) -> None:
        check.note(level, Topic.MX, domain, sentence)

    if not hosts:
        what = "has no MX record" if answer.name_exists else "does not exist in the DNS"
        note(Level.PROBLEM, f"The domain {what}; publish: MX 10 {hostname}.")
        return
    if "" in hosts:
        note(Level.PROBLEM, f"Its MX says that it takes no mail (RFC 7505); publish: MX 10 {hostname}.")
        return
    if hostname not in hosts:
        note(Level.PROBLEM, f"Mail goes to {', '.join(hosts)}, not here; publish: MX 10 {hostname}.")
    else:
        note(Level.OK, f"Mail comes to {hostname}")
        others = [host for host in hosts if host != hostname]
        if others:
            note(
                Level.ADVICE,
                f"Mail also goes to {', '.join(others)}; right only if they hand it on to this server",
            )
    for host in hosts:
        if (await check.resolver.records(host, "CNAME")).records:
            note(Level.PROBLEM, f"The MX names {host}, which is an alias (CNAME); name what it stands for")


async def addresses(check: Checker) -> None:
    """The server's own addresses, their names, and port 25."""
    hostname = check.facts.hostname
    found = (await check.resolver.addresses(hostname)).records

    def note(level: Level, sentence: str, name: str = hostname) -> None:
        check.note(level, Topic.ADDRESS, name, sentence)

    if not found:
        note(Level.PROBLEM, "It has no address; publish an A record, and AAAA where there is IPv6")
        return
    inner = [address for address in found if not ipaddress.ip_address(address).is_global]
    if inner:
        note(
            Level.PROBLEM,
            f"{', '.join(inner)} cannot be reached from elsewhere; publish a public address",
        )
    else:
        note(Level.OK, f"It is {', '.join(found)}")
    missing = [address for address in check.facts.addresses if address not in found]
    if missing:
        note(Level.WARNING, f"{', '.join(missing)} is this server's too and not published; publish it")
    for address in dict.fromkeys((*found, *check.facts.addresses)):
        if address not in inner:
            await _reverse(check, address)
    for address in found:
        await _reachable(check, address)


async def _reverse(check: Checker, address: str) -> None:
    hostname = check.facts.hostname
    names = [ascii_domain(name).removesuffix(".") for name in (await check.resolver.names(address)).records]
    ask = f"let whoever gave you the address set it to {hostname}."
    if not names:
        check.note(
            Level.PROBLEM,
            Topic.ADDRESS,
            address,
            f"It has no PTR record, so large receivers refuse; {ask}",
        )
    elif hostname in names:
        check.note(Level.OK, Topic.ADDRESS, address, f"Its PTR record says {hostname}")
    else:
        check.note(Level.WARNING, Topic.ADDRESS, address, f"Its PTR record says {', '.join(names)}; {ask}")


async def _reachable(check: Checker, address: str) -> None:
    if check.outside.probe is None:
        return
    answered = await check.outside.probe(address)
    if answered:
        check.note(Level.OK, Topic.ADDRESS, address, "A mail server answers on port 25")
    elif answered is not None:
        sentence = "What answers on port 25 is no mail server; look what listens there"
        check.note(Level.WARNING, Topic.ADDRESS, address, sentence)


async def services(check: Checker) -> None:
    """SRV records."""
    for wanted in check.wanted(Topic.SRV):
        answer = await check.resolver.records(wanted.name, "SRV")
        found = {_srv(text) for text in answer.records}
        if not found:
            if wanted.value != "0 0 0 .":
                check.note(
                    Level.ADVICE,
                    Topic.SRV,
                    wanted.name,
                    f"Mail programs cannot find the service; publish: SRV {wanted.value}",
                )
        elif _srv(wanted.value) not in found:
            what = ", ".join(f"{host or 'nowhere'}:{port}" for port, host in sorted(found))
            check.note(
                Level.WARNING,
                Topic.SRV,
                wanted.name,
                f"It sends mail programs to {what}; publish: SRV {wanted.value}",
            )
        else:
            check.note(Level.OK, Topic.SRV, wanted.name, "As it should be")


async def setup(check: Checker) -> None:
    """Where mail programs ask for their settings; of importance only where we answer."""
    for wanted in check.wanted(Topic.AUTOCONFIG):
        if wanted.kind != "CNAME" or wanted.is_hint:
            continue
        answer = await check.resolver.addresses(wanted.name)
        ours = (await check.resolver.addresses(check.facts.hostname)).records
        if not answer.records:
            level, sentence = Level.ADVICE, f"It is missing; publish: CNAME {wanted.value}"
        elif set(answer.records).isdisjoint(ours):
            level, sentence = Level.WARNING, f"It leads elsewhere; publish: CNAME {wanted.value}"
        else:
            level, sentence = Level.OK, "It leads here"
        check.note(level, Topic.AUTOCONFIG, wanted.name, sentence)


async def authorities(check: Checker) -> None:
    """CAA records."""
    facts = check.facts
    issuer = caa_name(facts.issuer)
    labels = facts.hostname.split(".")
    # RFC 8659 §3: the nearest name that has any.
    for at in range(len(labels) - 1):
        name = ".".join(labels[at:])
        records = (await check.resolver.records(name, "CAA")).records
        if records:
            break
    else:
        if issuer:
            sentence = f'Any authority may issue for it; publish: CAA 0 issue "{issuer}"'
            check.note(Level.ADVICE, Topic.CAA, facts.hostname, sentence)
        return
    allowed = {
        value.strip('"').partition(";")[0].strip()
        for _, tag, value in (text.split(None, 2) for text in records if text.count(" ") >= 2)
        if tag.lower() == "issue"
    }
    if issuer and allowed and issuer not in allowed:
        check.note(
            Level.WARNING,
            Topic.CAA,
            name,
            f"It forbids {facts.issuer}, who issued the certificate, to renew it; add: CAA 0 issue "
            f'"{issuer}"',
        )
    else:
        check.note(Level.OK, Topic.CAA, name, f"Only {', '.join(sorted(allowed)) or 'nobody'} may issue")


def _srv(text: str) -> tuple[int, str]:
    """Port and host of an SRV record; priorities are a matter of taste."""
    words = text.split()
    if len(words) != 4 or not words[2].isdigit():
        return 0, text
    return int(words[2]), ascii_domain(words[3]).removesuffix(".")
