"""Whether the DNS lets others insist on TLS with us: MTA-STS, TLSRPT and DANE.

RFC: 8461 §3 (MTA-STS), 8460 §3 (TLSRPT), 7672 §3.1 (TLSA).
Exposure: reads records and the domain's policy, under the limits of resolver and fetcher.
Not here: the other records (check.py).
"""

import asyncio

from postino.app.operator_dns.findings import Checker, FetchPolicy, Level
from postino.app.operator_dns.records import Topic
from postino.core.errors import PostinoError
from postino.mailauth import mta_sts, tlsrpt


async def sts(check: Checker) -> None:
    """The MTA-STS record, and the policy it promises."""
    facts = check.facts
    name = f"_mta-sts.{facts.domain}"
    texts = [text for text in (await check.resolver.txt(name)).records if text.startswith("v=STSv1")]

    def note(level: Level, sentence: str) -> None:
        check.note(level, Topic.MTA_STS, name, sentence)

    if not texts:
        how = "" if facts.serves_https else "set listen.https, then "
        note(
            Level.ADVICE,
            f"Nothing asks others for TLS; {how}publish what `postino dns {facts.domain}` prints",
        )
        return
    policy_id = mta_sts.parse_record(texts)
    if policy_id is None:
        note(Level.PROBLEM, f'It cannot be read; publish TXT "v=STSv1; id={facts.offer.policy_id}"')
        return
    if facts.serves_https and policy_id != facts.offer.policy_id:
        note(
            Level.WARNING,
            "The policy has changed and the id has not, so others keep the old one; publish "
            f'TXT "v=STSv1; id={facts.offer.policy_id}"',
        )
    if check.outside.fetch_policy is not None:
        await _policy(check, check.outside.fetch_policy)
    if check.is_silent(Topic.MTA_STS):
        note(Level.OK, "As it should be")


async def _policy(check: Checker, fetch: FetchPolicy) -> None:
    facts = check.facts
    host = f"mta-sts.{facts.domain}"

    def note(level: Level, sentence: str) -> None:
        check.note(level, Topic.MTA_STS, host, sentence)

    try:
        policy = mta_sts.parse_policy(await fetch(facts.domain))
    except mta_sts.BadPolicy as error:
        note(Level.PROBLEM, f"The policy cannot be used: {error}; mend what is served there")
        return
    except PostinoError as error:
        note(
            Level.PROBLEM,
            f"The policy cannot be had: {error}; publish {host} as CNAME {facts.hostname}., set "
            f"listen.https, and have a certificate for {host}",
        )
        return
    if facts.serves_https and policy != mta_sts.parse_policy(facts.offer.policy):
        note(Level.WARNING, f"Another policy than this server's is served; let {host} lead here")
    if policy.mode is mta_sts.Mode.NONE:
        note(Level.ADVICE, "Its mode is none, so it asks nothing of others")
        return
    hosts = [record.host for record in (await check.resolver.mx(facts.domain)).records if record.host]
    left = [mx for mx in hosts if not policy.allows(mx)]
    if left:
        worse = Level.PROBLEM if policy.mode is mta_sts.Mode.ENFORCE else Level.WARNING
        note(worse, f"It does not allow {', '.join(left)}, an MX of the domain; add it to web.mta_sts_mx")
    if facts.serves_https and facts.is_self_signed:
        note(Level.PROBLEM, "The certificate is self-signed, which the policy forbids; set tls.certificate")
    elif policy.mode is mta_sts.Mode.TESTING:
        note(Level.ADVICE, 'Its mode is testing; set web.mta_sts to "enforce" once reports look right')


async def reports(check: Checker) -> None:
    """The TLSRPT record."""
    (wanted,) = check.wanted(Topic.TLSRPT)
    texts = (await check.resolver.txt(wanted.name)).records
    if not any(text.startswith("v=TLSRPTv1") for text in texts):
        level, sentence = Level.ADVICE, f'Nobody reports how TLS fares; publish TXT "{wanted.value}"'
    elif tlsrpt.parse_record(texts) is None:
        level, sentence = Level.WARNING, f'It cannot be read; publish TXT "{wanted.value}"'
    else:
        level, sentence = Level.OK, "Others report how TLS fares"
    check.note(level, Topic.TLSRPT, wanted.name, sentence)


async def dane(check: Checker) -> None:
    """TLSA records, where there are some or could be."""
    facts = check.facts
    name = f"_25._tcp.{facts.hostname}"
    answer = await check.resolver.tlsa(name)
    mx, addresses = await asyncio.gather(
        check.resolver.mx(facts.domain), check.resolver.addresses(facts.hostname)
    )

    def note(level: Level, sentence: str) -> None:
        check.note(level, Topic.TLSA, name, sentence)

    if not answer.records:
        if mx.secure and addresses.secure and facts.certificate_sha256:
            note(
                Level.ADVICE,
                "The zones are signed, so DANE is possible: publish TLSA 3 1 1 "
                f"{facts.certificate_sha256}, and the next key's before the key changes",
            )
        return
    key = bytes.fromhex(facts.certificate_sha256)
    exact = [(r.usage, r.selector, r.matching_type) == (3, 1, 1) for r in answer.records]
    if key and all(exact) and key not in {record.data for record in answer.records}:
        note(
            Level.PROBLEM,
            "No TLSA record is of the key this server shows, so who checks DANE does not send; publish "
            f"TLSA 3 1 1 {facts.certificate_sha256} and take the others out",
        )
    elif not answer.secure:
        note(
            Level.WARNING,
            "DNSSEC was not seen to hold for it, so it counts for nothing; sign the zone, or name a "
            "validating resolver on loopback in outbound.resolvers",
        )
    elif not mx.secure:
        note(Level.WARNING, f"{facts.domain} is not signed by DNSSEC, so DANE does not hold; sign its zone")
    elif key and all(exact):
        note(Level.OK, "A TLSA record is of the key this server shows")
    else:
        note(Level.ADVICE, "There are other TLSA records than 3 1 1, which are not looked into here")
