"""Every DNS record a domain of ours wants, each with its reason, as a zone file.

RFC: 5321 §5.1 (MX), 7208 §3 and §10.1 (SPF), 6376 §3.6 (DKIM), 7489 §6 (DMARC), 8461 §3.1 (MTA-STS), 8460 §3
    (TLSRPT), 7672 §3.1 (TLSA), 6186 §3, 8314 §5.1 and 5804 §1.8 (SRV), 8659 §4 (CAA), 1035 §5.1 (zone files).
Invariants: a pure function of the facts; what does not depend on us alone, or would do harm before something
    else is done, is printed as a comment.
Not here: the facts (facts.py), comparing with what resolvers answer (check.py).
"""

import textwrap
from dataclasses import dataclass
from enum import Enum
from typing import Final

from postino.mailauth.dkim.key_record import zone_line
from postino.servers.web.offer import Offer

TTL: Final = 3600
_WIDTH: Final = 98
_CAA_NAMES: Final = {
    "let's encrypt": "letsencrypt.org",
    "zerossl": "sectigo.com",
    "sectigo limited": "sectigo.com",
    "google trust services": "pki.goog",
    "digicert inc": "digicert.com",
    "buypass as-983163327": "buypass.com",
    "globalsign nv-sa": "globalsign.com",
    "actalis s.p.a.": "actalis.it",
}
_SRV: Final = (
    # service label, service of [listen], priority: clients take the lowest they can (RFC 6186 §3.3).
    ("_submissions._tcp", "submissions", 0),
    ("_submission._tcp", "submission", 10),
    ("_imaps._tcp", "imaps", 0),
    ("_imap._tcp", "imap", 10),
    ("_pop3s._tcp", "pop3s", 20),
    ("_pop3._tcp", "pop3", 30),
    ("_sieve._tcp", "managesieve", 0),
)
_WHY_MAIL: Final = "Where mail programs read and send mail."
_WHY: Final = {"managesieve": "Where programs edit the filters of their users (ManageSieve)."}


class Topic(Enum):
    """What a record is for."""

    MX = "where mail goes"
    ADDRESS = "addresses of this server"
    SPF = "who may send (SPF)"
    DKIM = "signatures (DKIM)"
    DMARC = "what to do with forgeries (DMARC)"
    MTA_STS = "only with TLS (MTA-STS)"
    TLSRPT = "reports about TLS (TLSRPT)"
    TLSA = "TLS proved by DNSSEC (DANE)"
    SRV = "how mail programs find services"
    AUTOCONFIG = "how mail programs set themselves up"
    CAA = "who may issue certificates"


@dataclass(frozen=True, slots=True)
class DkimKey:
    """One key, as the DNS must know it."""

    selector: str
    record: str
    is_in_use: bool
    """Signs now."""
    is_waiting: bool = False
    """Signs as soon as its record is found; else it has retired."""


@dataclass(frozen=True, slots=True)
class DnsFacts:
    """What the records are made of. Names are A-labels without a final dot."""

    domain: str
    offer: Offer
    addresses: tuple[str, ...] = ()
    """Of this server, public ones; empty when they cannot be told."""
    dkim: tuple[DkimKey, ...] = ()
    certificate_sha256: str = ""
    """Of the public key of the certificate shown, hexadecimal; empty when there is none."""
    is_self_signed: bool = True
    issuer: str = ""
    """The organization that issued the certificate."""
    serves_https: bool = False
    relays: tuple[str, ...] = ()
    """Hosts that all mail leaves by, instead of by this server."""

    @property
    def hostname(self) -> str:
        """This server's name."""
        return self.offer.hostname

    @property
    def make_keys(self) -> str:
        """The command that makes DKIM keys."""
        return f"postino dkim add {self.domain}"


@dataclass(frozen=True, slots=True)
class Record:
    """One record wanted. `value` is in zone file form, but a TXT's is its text."""

    topic: Topic
    name: str
    kind: str
    value: str
    why: str
    is_hint: bool = False
    """Printed as a comment."""

    def zone_text(self) -> str:
        """Its lines in a zone file."""
        if self.kind == "TXT":
            line = zone_line(self.name, self.value).replace(" IN ", f" {TTL} IN ", 1)
        else:
            line = f"{self.name}. {TTL} IN {self.kind} {self.value}"
        if self.is_hint:
            return "\n".join(f"; {part}" for part in line.splitlines())
        return line


def wanted_records(facts: DnsFacts) -> list[Record]:
    """All of them, by topic."""
    return [
        *_mail(facts),
        *_addresses(facts),
        *_senders(facts),
        *_dkim(facts),
        *_dmarc(facts),
        *_transport(facts),
        *_tlsa(facts),
        *_services(facts),
        *_setup(facts),
        *_caa(facts),
    ]


def zone_file(facts: DnsFacts) -> str:
    """The records with their reasons, ready to be pasted into a zone."""
    lines = [
        f"; DNS records for mail of {facts.domain} on {facts.hostname}, by `postino dns {facts.domain}`.",
        f"; When they are published: postino dns --check {facts.domain}",
    ]
    topic: Topic | None = None
    why = ""
    for record in wanted_records(facts):
        if record.topic is not topic:
            topic, why = record.topic, ""
            lines += ["", f"; --- {topic.value}"]
        if record.why != why:
            why = record.why
            lines += [f"; {line}" for line in textwrap.wrap(why, _WIDTH)]
        lines.append(record.zone_text())
    if not facts.dkim:
        lines += [
            "",
            f"; --- {Topic.DKIM.value}",
            f"; There is no key yet; make some with: {facts.make_keys}",
        ]
    lines += ["", *_reverse(facts)]
    return "\n".join(lines) + "\n"


def _mail(facts: DnsFacts) -> list[Record]:
    why = "Mail for the domain comes to this server."
    return [Record(Topic.MX, facts.domain, "MX", f"10 {facts.hostname}.", why)]


def _addresses(facts: DnsFacts) -> list[Record]:
    why = "The server's name must lead to it. An MX must not name an alias (CNAME)."
    records = [
        Record(Topic.ADDRESS, facts.hostname, "AAAA" if ":" in address else "A", address, why)
        for address in facts.addresses
    ]
    if not records:
        why += " Put this server's public address here; it could not be told."
        records.append(Record(Topic.ADDRESS, facts.hostname, "A", "192.0.2.1", why, is_hint=True))
    return records


def _reverse(facts: DnsFacts) -> list[str]:
    """PTR records, which are set where the address comes from, not in the domain's zone."""
    shown = ", ".join(facts.addresses) or "this server's address"
    why = (
        f"Not in this zone: whoever gave you {shown} must let its PTR record say {facts.hostname} (hosting "
        "providers call it reverse DNS). Large receivers refuse mail from addresses without."
    )
    return [f"; {line}" for line in textwrap.wrap(why, _WIDTH)]


def _senders(facts: DnsFacts) -> list[Record]:
    why = (
        "Mail of the domain comes from its mail exchangers; other sources are doubtful (~all), not "
        "forbidden, for forwarded mail comes from elsewhere and proves itself by its signature."
    )
    terms = ["mx"]
    if facts.relays:
        why += f" Mail leaves by {', '.join(facts.relays)}: add what its operator says, often an include:."
    if facts.addresses:
        # Found without a question, and still right when the mail exchangers are others.
        terms += [f"ip6:{address}" if ":" in address else f"ip4:{address}" for address in facts.addresses]
    spf = f"v=spf1 {' '.join(terms)} ~all"
    records = [Record(Topic.SPF, facts.domain, "TXT", spf, why)]
    if facts.hostname != facts.domain:
        why = "Reports have no sender; the name said in EHLO stands for it."
        records.append(Record(Topic.SPF, facts.hostname, "TXT", "v=spf1 a -all", why))
    return records


def _dkim(facts: DnsFacts) -> list[Record]:
    records = []
    for key in facts.dkim:
        name = f"{key.selector}._domainkey.{facts.domain}"
        why = "The key that signatures of mail are checked with."
        if key.is_waiting:
            why = "Mail is signed with this key as soon as the record is found, for which the server looks."
        elif not key.is_in_use:
            why = "Not used to sign now: keep it published until `postino dkim list` has it no more."
        records.append(Record(Topic.DKIM, name, "TXT", key.record, why))
    return records


def _dmarc(facts: DnsFacts) -> list[Record]:
    why = (
        "What is neither signed nor sent by us goes to Junk, and others report once a day what they got. "
        "Begin with p=none where other systems send under this domain, too; end with p=reject."
    )
    value = f"v=DMARC1; p=quarantine; rua=mailto:postmaster@{facts.domain}"
    return [Record(Topic.DMARC, f"_dmarc.{facts.domain}", "TXT", value, why)]


def _transport(facts: DnsFacts) -> list[Record]:
    off = not facts.serves_https
    why = (
        f"Who sends to us shall use TLS with a certificate for {facts.hostname}; the id changes with the "
        f"policy (mode {facts.offer.sts_mode}), which is served at mta-sts.{facts.domain} and needs a "
        "certificate for that name ([[tls.more]])."
    )
    if off:
        why += " Not before the policy is served: set listen.https, or let another web server have it."
    elif facts.is_self_signed:
        why += " Not before the certificate is one that others believe."
    hint = off or facts.is_self_signed
    return [
        Record(
            Topic.MTA_STS,
            f"_mta-sts.{facts.domain}",
            "TXT",
            f"v=STSv1; id={facts.offer.policy_id}",
            why,
            is_hint=hint,
        ),
        Record(Topic.MTA_STS, f"mta-sts.{facts.domain}", "CNAME", f"{facts.hostname}.", why, is_hint=hint),
        Record(
            Topic.TLSRPT,
            f"_smtp._tls.{facts.domain}",
            "TXT",
            f"v=TLSRPTv1; rua=mailto:postmaster@{facts.domain}",
            "Others report once a day how TLS with this server fared.",
        ),
    ]


def _tlsa(facts: DnsFacts) -> list[Record]:
    if not facts.certificate_sha256:
        return []
    why = (
        f"Proves the server's key to those who check DNSSEC. Only where the zone of {facts.hostname} is "
        "signed, and only if you publish the next key's record before the key changes (keep the key when the "
        "certificate is renewed); else such senders refuse to send."
    )
    value = f"3 1 1 {facts.certificate_sha256}"
    return [Record(Topic.TLSA, f"_25._tcp.{facts.hostname}", "TLSA", value, why, is_hint=True)]


def _services(facts: DnsFacts) -> list[Record]:
    ports = {service.name: service.port for service in facts.offer.services}
    ports["managesieve"] = facts.offer.managesieve_port
    records = []
    for label, name, priority in _SRV:
        port = ports.get(name)
        if port:
            value, why = f"{priority} 1 {port} {facts.hostname}.", _WHY.get(name, _WHY_MAIL)
        else:
            value, why = "0 0 0 .", "Not offered, which is better said than left open."
        records.append(Record(Topic.SRV, f"{label}.{facts.domain}", "SRV", value, why))
    return sorted(records, key=lambda record: record.value == "0 0 0 .")


def _setup(facts: DnsFacts) -> list[Record]:
    why = "Thunderbird and others ask here for their settings, Outlook at autodiscover."
    if not facts.serves_https:
        why += " Of use once listen.https is set."
    hint = not facts.serves_https
    target = f"{facts.hostname}."
    autodiscover = f"_autodiscover._tcp.{facts.domain}"
    return [
        Record(Topic.AUTOCONFIG, f"autoconfig.{facts.domain}", "CNAME", target, why, is_hint=hint),
        Record(Topic.AUTOCONFIG, f"autodiscover.{facts.domain}", "CNAME", target, why, is_hint=hint),
        Record(Topic.AUTOCONFIG, autodiscover, "SRV", f"0 0 443 {target}", why, is_hint=hint),
    ]


def caa_name(issuer: str) -> str:
    """The name that stands for an organization in CAA records; empty for one we do not know."""
    return _CAA_NAMES.get(issuer.lower(), "")


def _caa(facts: DnsFacts) -> list[Record]:
    authority = caa_name(facts.issuer)
    why = "Only this authority may issue certificates for the server's name."
    if not authority:
        why += " Name the one you use."
    value = f'0 issue "{authority or "letsencrypt.org"}"'
    return [Record(Topic.CAA, facts.hostname, "CAA", value, why, is_hint=not authority)]
