"""Whether the DNS lets a domain's mail be believed: SPF, DKIM and DMARC.

RFC: 7208 §3.2 and §4.6.4 (SPF), 6376 §3.6 (DKIM), 8301 §3.2 (sizes of keys), 7489 §6.3 and §7.1 (DMARC).
Exposure: reads TXT records, under the limits of the resolver.
Not here: the other records (check.py), following SPF (spf.py).
"""

from typing import Final

from postino.app.operator_dns.findings import Checker, Level
from postino.app.operator_dns.records import DkimKey, Record, Topic
from postino.app.operator_dns.spf import ALLOWED_QUESTIONS, read_spf, spf_records
from postino.core.address import ascii_domain
from postino.core.errors import PostinoError
from postino.mailauth.dkim.key_record import parse_key_record
from postino.mailauth.dkim.reasons import SignatureRefused
from postino.mailauth.dkim.tags import parse_tags

STRONG_RSA_BITS: Final = 2048


async def spf(check: Checker) -> None:
    """The one SPF record there must be."""
    domain = check.facts.domain
    (wanted,) = check.wanted(Topic.SPF, domain)
    records = spf_records((await check.resolver.txt(domain)).records)

    def note(level: Level, sentence: str) -> None:
        check.note(level, Topic.SPF, domain, sentence)

    if not records:
        note(Level.PROBLEM, f'There is no SPF record; publish TXT "{wanted.value}"')
        return
    if len(records) > 1:
        note(Level.PROBLEM, f"There are {len(records)} SPF records, which counts as none; keep one")
        return
    sending = () if check.facts.relays else await _sending_addresses(check)
    reading = await read_spf(check.resolver, domain, records[0], sending)
    for fault in reading.faults:
        note(Level.PROBLEM, f"The SPF record is wrong: {fault}; mend it")
    if reading.questions > ALLOWED_QUESTIONS:
        note(
            Level.PROBLEM,
            f"The SPF record leads to {reading.questions} questions, and receivers stop after "
            f"{ALLOWED_QUESTIONS}; take includes out, or write addresses (ip4:, ip6:) instead",
        )
    if reading.final == "+all":
        note(Level.PROBLEM, "The SPF record ends in +all: anybody may send under this name; write ~all")
    elif reading.final in {"", "?all"}:
        note(Level.WARNING, "The SPF record does not say what of other senders; end it with ~all")
    if reading.uses_ptr:
        note(Level.WARNING, "The SPF record uses ptr, which receivers may ignore; write a, mx or ip4:")
    outside = [address for address in sending if address not in reading.covered]
    if outside and not reading.has_macros:
        note(
            Level.PROBLEM,
            f"The SPF record does not let {', '.join(outside)} send, which this server has; "
            "add mx or ip4: and ip6:",
        )
    if check.is_silent(Topic.SPF):
        note(Level.OK, f"{records[0]}")


async def _sending_addresses(check: Checker) -> tuple[str, ...]:
    if check.facts.addresses:
        return check.facts.addresses
    return (await check.resolver.addresses(check.facts.hostname)).records


async def signatures(check: Checker) -> None:
    """The record of each DKIM key we have."""
    domain = check.facts.domain
    if not check.facts.dkim:
        check.note(
            Level.PROBLEM,
            Topic.DKIM,
            domain,
            f"The domain has no DKIM key; make some with: {check.facts.make_keys}",
        )
    for key, record in zip(check.facts.dkim, check.wanted(Topic.DKIM), strict=True):
        await _signature(check, record, key, signs_any=any(one.is_in_use for one in check.facts.dkim))


async def _signature(check: Checker, wanted: Record, key: DkimKey, *, signs_any: bool) -> None:
    texts = (await check.resolver.txt(wanted.name)).records
    # While no key is in use, mail goes unsigned.
    worse = Level.WARNING if signs_any and not key.is_in_use else Level.PROBLEM
    publish = f"publish what `postino dns {check.facts.domain}` prints"

    def note(level: Level, sentence: str) -> None:
        check.note(level, Topic.DKIM, wanted.name, sentence)

    if not texts:
        waits = ", and no mail is signed with this key before" if key.is_waiting else ""
        note(worse, f"It is missing; {publish}{waits}")
        return
    if len(texts) > 1:
        note(Level.PROBLEM, "There are several TXT records, of which receivers take any; keep the key's")
        return
    try:
        found = parse_key_record(texts[0])
        ours = parse_key_record(wanted.value)
    except SignatureRefused as error:
        note(worse, f"It is no key ({error}); {publish}")
        return
    if (found.key_type, found.octets) != (ours.key_type, ours.octets):
        what = "is revoked (p= is empty)" if not found.octets else "is another key than the one we sign with"
        note(worse, f"It {what}; {publish}")
        return
    bits = getattr(ours.public_key(), "key_size", 0)
    if ours.key_type == "rsa" and bits < STRONG_RSA_BITS:
        note(Level.WARNING, f"The key has {bits} bits, too few; make another with postino dkim rotate")
    elif found.is_testing:
        note(Level.WARNING, "It says t=y, testing, so its signatures count for nothing; take that out")
    else:
        note(Level.OK, f"The key is known{_state(key)}")


def _state(key: DkimKey) -> str:
    if key.is_in_use:
        return ""
    return ", and will soon be in use" if key.is_waiting else ", and signs no longer"


async def dmarc(check: Checker) -> None:
    """The one DMARC record there must be."""
    (wanted,) = check.wanted(Topic.DMARC)
    texts = (await check.resolver.txt(wanted.name)).records
    records = [text for text in texts if text.replace(" ", "").upper().startswith("V=DMARC1")]

    def note(level: Level, sentence: str) -> None:
        check.note(level, Topic.DMARC, wanted.name, sentence)

    if not records:
        note(Level.PROBLEM, f'There is no DMARC record; publish TXT "{wanted.value}"')
        return
    if len(records) > 1:
        note(Level.PROBLEM, "There are several DMARC records, which counts as none; keep one")
        return
    try:
        tags = parse_tags(records[0])
    except PostinoError:
        tags = {}
    policy = tags.get("p", "").lower()
    if policy not in {"none", "quarantine", "reject"}:
        note(Level.PROBLEM, "The DMARC record has no p= that receivers know; write p=quarantine")
        return
    if policy == "none":
        note(Level.ADVICE, "p=none lets forgeries pass; write p=quarantine once the reports look right")
    if "rua" not in tags:
        note(
            Level.WARNING,
            f"Nobody is told of forgeries (no rua=); add rua=mailto:postmaster@{check.facts.domain}",
        )
    else:
        await _report_permission(check, tags["rua"])
    if check.is_silent(Topic.DMARC):
        note(Level.OK, f"Policy {policy}, with reports")


async def _report_permission(check: Checker, rua: str) -> None:
    """RFC 7489 §7.1: another domain must say that it takes our reports."""
    domain = check.facts.domain
    for uri in rua.split(","):
        target = ascii_domain(uri.strip().partition("!")[0].rpartition("@")[2])
        if not target or domain == target or domain.endswith(f".{target}") or target.endswith(f".{domain}"):
            continue
        name = f"{domain}._report._dmarc.{target}"
        texts = (await check.resolver.txt(name)).records
        if not any(text.startswith("v=DMARC1") for text in texts):
            check.note(
                Level.WARNING,
                Topic.DMARC,
                name,
                f'{target} does not say that it takes reports for {domain}; it must publish TXT "v=DMARC1"',
            )
