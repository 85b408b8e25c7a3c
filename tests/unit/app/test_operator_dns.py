"""The DNS records a domain wants, and what is said where the published ones differ."""

from dataclasses import replace

import dns.zone
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.app.operator_dns.check import check_domain
from postino.app.operator_dns.findings import Finding, Level, Outside, exit_status
from postino.app.operator_dns.records import DkimKey, DnsFacts, Topic, wanted_records, zone_file
from postino.core.errors import TemporarilyUnavailable
from postino.mailauth.dkim.key_record import print_key_record
from postino.servers.web.offer import MailService, Offer, Security
from tests.support.fake_dns import FakeResolver

# Real addresses, for those of documentation are none that the world could reach.
V4, V6 = "45.33.32.156", "2600:3c01::25"
HASH = "ab" * 32
LONG = "v=DKIM1; k=rsa; p=" + "MIIB" * 98
ED25519 = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
OFFER = Offer(
    "mail.example.org",
    (
        MailService("imaps", "imap", 993, Security.TLS),
        MailService("submissions", "smtp", 465, Security.TLS),
        MailService("submission", "smtp", 2587, Security.STARTTLS),
    ),
    managesieve_port=4190,
    sts_mode="enforce",
    sts_mx=("mail.example.org",),
)
FACTS = DnsFacts(
    domain="example.org",
    offer=OFFER,
    addresses=(V4, V6),
    dkim=(DkimKey("a", ED25519, is_in_use=True),),
    certificate_sha256=HASH,
    is_self_signed=False,
    issuer="Let's Encrypt",
    serves_https=True,
)
REVERSE = {V4: "156.32.33.45.in-addr.arpa.", V6: "5.2.0.0." + "0.0.0.0." * 5 + "1.0.c.3.0.0.6.2.ip6.arpa."}


def published(facts: DnsFacts = FACTS) -> str:
    """The printed zone file, as the world answers it once it is published."""
    read = dns.zone.from_text(zone_file(facts), origin=".", relativize=False, check_origin=False)
    lines = [
        f"{name} !secure {data.to_text()}".replace("!secure ", f"!secure {data.rdtype.name} ")
        for name, _, data in read.iterate_rdatas()
    ]
    lines += [f"{REVERSE[address]} PTR {facts.hostname}." for address in facts.addresses]
    return "\n".join(lines) + "\n"


async def check(
    zone: str,
    facts: DnsFacts = FACTS,
    *,
    policy: bytes | Exception = OFFER.policy,
    answers: bool | None = True,
) -> list[Finding]:
    async def fetch(domain: str) -> bytes:
        assert domain == facts.domain
        if isinstance(policy, Exception):
            raise policy
        return policy

    async def probe(address: str) -> bool | None:
        return answers

    return await check_domain(facts, Outside(FakeResolver(zone), fetch, probe))


def bad(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(f.level.name, f.name, f.sentence) for f in findings if f.level > Level.ADVICE]


async def test_what_is_printed_and_published_is_found_to_be_right() -> None:
    findings = await check(published())
    assert bad(findings) == []
    assert exit_status(findings) == 0
    fine = {finding.topic for finding in findings if finding.level is Level.OK}
    assert fine == set(Topic) - {Topic.TLSA}


def test_every_record_has_a_reason_and_what_is_not_offered_is_said() -> None:
    records = wanted_records(FACTS)
    assert {record.topic for record in records} == set(Topic)
    assert all(record.why for record in records)
    services = {r.name.removesuffix(".example.org"): r.value for r in records if r.kind == "SRV"}
    assert services == {
        "_imaps._tcp": "0 1 993 mail.example.org.",
        "_submissions._tcp": "0 1 465 mail.example.org.",
        "_submission._tcp": "10 1 2587 mail.example.org.",
        "_imap._tcp": "0 0 0 .",
        "_pop3s._tcp": "0 0 0 .",
        "_pop3._tcp": "0 0 0 .",
        "_sieve._tcp": "0 1 4190 mail.example.org.",
        "_autodiscover._tcp": "0 0 443 mail.example.org.",
    }
    spf = next(r for r in records if r.topic is Topic.SPF)
    assert spf.value == f"v=spf1 mx ip4:{V4} ip6:{V6} ~all"


def test_a_long_key_is_cut_into_strings_and_reads_as_one() -> None:
    facts = replace(FACTS, dkim=(DkimKey("r", LONG, is_in_use=True),))
    read = dns.zone.from_text(zone_file(facts), origin=".", relativize=False, check_origin=False)
    (data,) = read.get_rdataset("r._domainkey.example.org.", "TXT") or ()
    assert b"".join(data.strings).decode() == LONG


def test_what_would_do_harm_now_is_a_comment() -> None:
    facts = replace(FACTS, serves_https=False, is_self_signed=True, issuer="", addresses=(), dkim=())
    text = zone_file(facts)
    for start in (
        "_mta-sts",
        "mta-sts",
        "autoconfig",
        "autodiscover",
        "_25._tcp",
        "mail.example.org. 3600 IN CAA",
    ):
        assert f"\n; {start}" in text
        assert f"\n{start}" not in text
    assert "postino dkim" in text
    # Still a zone file.
    dns.zone.from_text(text, origin=".", relativize=False, check_origin=False)


def without(zone: str, *starts: str) -> str:
    return "\n".join(line for line in zone.splitlines() if not line.startswith(starts))


SPF_LINES = ("example.org. !secure TXT",)
DMARC_LINE = "_dmarc.example.org."
DKIM_LINE = "a._domainkey.example.org."
STS_LINE = "_mta-sts.example.org."


@pytest.mark.parametrize(
    ("removed", "added", "level", "name", "sentence"),
    [
        # Where mail goes
        (("example.org. !secure MX",), "", "PROBLEM", "example.org", "The domain has no MX record; publish: MX 10 mail.example.org."),
        (("example.org. !secure MX",), "example.org. MX 0 .", "PROBLEM", "example.org", "Its MX says that it takes no mail (RFC 7505); publish: MX 10 mail.example.org."),
        (("example.org. !secure MX",), f"example.org. MX 5 old.example.net.\nold.example.net. A {V4}", "PROBLEM", "example.org", "Mail goes to old.example.net, not here; publish: MX 10 mail.example.org."),
        ((), "example.org. MX 20 alias.example.net.\nalias.example.net. CNAME mail.example.org.", "PROBLEM", "example.org", "The MX names alias.example.net, which is an alias (CNAME); name what it stands for"),
        (("example.org. !secure MX",), "example.org. !servfail MX", "UNKNOWN", "example.org", "; ask again later, or name others in outbound.resolvers"),
        # Addresses
        (("mail.example.org. !secure A",), "", "PROBLEM", "mail.example.org", "It has no address; publish an A record, and AAAA where there is IPv6"),
        (("mail.example.org. !secure A ",), "mail.example.org. A 10.0.0.1", "PROBLEM", "mail.example.org", "10.0.0.1 cannot be reached from elsewhere; publish a public address"),
        (("mail.example.org. !secure AAAA",), "", "WARNING", "mail.example.org", f"{V6} is this server's too and not published; publish it"),
        ((REVERSE[V4],), "", "PROBLEM", V4, "It has no PTR record, so large receivers refuse; let whoever gave you the address set it to mail.example.org."),
        ((REVERSE[V4],), f"{REVERSE[V4]} PTR static.provider.example.", "WARNING", V4, "Its PTR record says static.provider.example; let whoever gave you the address set it to mail.example.org."),
        # SPF
        (SPF_LINES, "", "PROBLEM", "example.org", f'There is no SPF record; publish TXT "v=spf1 mx ip4:{V4} ip6:{V6} ~all"'),
        ((), 'example.org. TXT "v=spf1 -all"', "PROBLEM", "example.org", "There are 2 SPF records, which counts as none; keep one"),
        (SPF_LINES, 'example.org. TXT "v=spf1 mx +all"', "PROBLEM", "example.org", "The SPF record ends in +all: anybody may send under this name; write ~all"),
        (SPF_LINES, 'example.org. TXT "v=spf1 all"', "PROBLEM", "example.org", "The SPF record ends in +all: anybody may send under this name; write ~all"),
        (SPF_LINES, 'example.org. TXT "v=spf1 mx"', "WARNING", "example.org", "The SPF record does not say what of other senders; end it with ~all"),
        (SPF_LINES, 'example.org. TXT "v=spf1 mx ptr ~all"', "WARNING", "example.org", "The SPF record uses ptr, which receivers may ignore; write a, mx or ip4:"),
        (SPF_LINES, f'example.org. TXT "v=spf1 ip4:{V4}/31 -all"', "PROBLEM", "example.org", f"The SPF record does not let {V6} send, which this server has; add mx or ip4: and ip6:"),
        (SPF_LINES, 'example.org. TXT "v=spf1 mx foo:bar ~all"', "PROBLEM", "example.org", "The SPF record is wrong: 'foo:bar' is no term of SPF; mend it"),
        (SPF_LINES, 'example.org. TXT "v=spf1 mx include:none.example ~all"', "PROBLEM", "example.org", "The SPF record is wrong: include leads to none.example, which has no SPF record; mend it"),
        (SPF_LINES, 'example.org. TXT "v=spf1 mx include:l.example ~all"\nl.example. TXT "v=spf1 include:l.example ~all"', "PROBLEM", "example.org", "The SPF record is wrong: it goes round in circles at l.example; mend it"),
        (SPF_LINES, 'example.org. TXT "v=spf1 mx ' + " ".join(f"a:h{n}.example" for n in range(10)) + ' ~all"', "PROBLEM", "example.org", "The SPF record leads to 11 questions, and receivers stop after 10; take includes out, or write addresses (ip4:, ip6:) instead"),
        # DKIM
        ((DKIM_LINE,), "", "PROBLEM", "a._domainkey.example.org", "It is missing; publish what `postino dns example.org` prints"),
        ((DKIM_LINE,), 'a._domainkey.example.org. TXT "v=DKIM1; k=ed25519; p="', "PROBLEM", "a._domainkey.example.org", "It is revoked (p= is empty); publish what `postino dns example.org` prints"),
        ((DKIM_LINE,), f'a._domainkey.example.org. TXT "{ED25519.replace("11qY", "22qY")}"', "PROBLEM", "a._domainkey.example.org", "It is another key than the one we sign with; publish what `postino dns example.org` prints"),
        ((DKIM_LINE,), 'a._domainkey.example.org. TXT "v=DKIM1; k"', "PROBLEM", "a._domainkey.example.org", "It is no key"),
        ((), 'a._domainkey.example.org. TXT "x"', "PROBLEM", "a._domainkey.example.org", "There are several TXT records, of which receivers take any; keep the key's"),
        ((DKIM_LINE,), f'a._domainkey.example.org. TXT "{ED25519}; t=y"', "WARNING", "a._domainkey.example.org", "It says t=y, testing, so its signatures count for nothing; take that out"),
        # DMARC
        ((DMARC_LINE,), "", "PROBLEM", "_dmarc.example.org", 'There is no DMARC record; publish TXT "v=DMARC1; p=quarantine; rua=mailto:postmaster@example.org"'),
        ((), '_dmarc.example.org. TXT "v=DMARC1; p=none"', "PROBLEM", "_dmarc.example.org", "There are several DMARC records, which counts as none; keep one"),
        ((DMARC_LINE,), '_dmarc.example.org. TXT "v=DMARC1; p=all"', "PROBLEM", "_dmarc.example.org", "The DMARC record has no p= that receivers know; write p=quarantine"),
        ((DMARC_LINE,), '_dmarc.example.org. TXT "v=DMARC1; p=reject"', "WARNING", "_dmarc.example.org", "Nobody is told of forgeries (no rua=); add rua=mailto:postmaster@example.org"),
        ((DMARC_LINE,), '_dmarc.example.org. TXT "v=DMARC1; p=reject; rua=mailto:x@reports.example"', "WARNING", "example.org._report._dmarc.reports.example", 'reports.example does not say that it takes reports for example.org; it must publish TXT "v=DMARC1"'),
        # TLS
        ((STS_LINE,), '_mta-sts.example.org. TXT "v=STSv1; id=old"', "WARNING", "_mta-sts.example.org", f'The policy has changed and the id has not, so others keep the old one; publish TXT "v=STSv1; id={OFFER.policy_id}"'),
        ((STS_LINE,), '_mta-sts.example.org. TXT "v=STSv1; id=no good"', "PROBLEM", "_mta-sts.example.org", f'It cannot be read; publish TXT "v=STSv1; id={OFFER.policy_id}"'),
        (("_smtp._tls.example.org.",), '_smtp._tls.example.org. TXT "v=TLSRPTv1;"', "WARNING", "_smtp._tls.example.org", 'It cannot be read; publish TXT "v=TLSRPTv1; rua=mailto:postmaster@example.org"'),
        ((), f"_25._tcp.mail.example.org. !secure TLSA 3 1 1 {'cd' * 32}", "PROBLEM", "_25._tcp.mail.example.org", f"No TLSA record is of the key this server shows, so who checks DANE does not send; publish TLSA 3 1 1 {HASH} and take the others out"),
        ((), f"_25._tcp.mail.example.org. TLSA 3 1 1 {HASH}", "WARNING", "_25._tcp.mail.example.org", "DNSSEC was not seen to hold for it, so it counts for nothing; sign the zone, or name a validating resolver on loopback in outbound.resolvers"),
        (("example.org. !secure MX",), f"example.org. MX 10 mail.example.org.\n_25._tcp.mail.example.org. !secure TLSA 3 1 1 {HASH}", "WARNING", "_25._tcp.mail.example.org", "example.org is not signed by DNSSEC, so DANE does not hold; sign its zone"),
        # Mail programs, certificates
        (("_imaps._tcp",), "_imaps._tcp.example.org. SRV 0 1 993 old.example.net.", "WARNING", "_imaps._tcp.example.org", "It sends mail programs to old.example.net:993; publish: SRV 0 1 993 mail.example.org."),
        (("_pop3._tcp",), "_pop3._tcp.example.org. SRV 0 1 110 mail.example.org.", "WARNING", "_pop3._tcp.example.org", "It sends mail programs to mail.example.org:110; publish: SRV 0 0 0 ."),
        (("autoconfig",), f"autoconfig.example.org. A {V4[:-1]}7", "WARNING", "autoconfig.example.org", "It leads elsewhere; publish: CNAME mail.example.org."),
        (("mail.example.org. !secure CAA",), 'example.org. CAA 0 issue "sectigo.com"', "WARNING", "example.org", "It forbids Let's Encrypt, who issued the certificate, to renew it; add: CAA 0 issue \"letsencrypt.org\""),
    ],
)  # fmt: skip
async def test_a_difference_is_explained(
    removed: tuple[str, ...], added: str, level: str, name: str, sentence: str
) -> None:
    findings = bad(await check(without(published(), *removed) + "\n" + added))
    assert [one for one in findings if one[:2] == (level, name) and sentence in one[2]], findings


@pytest.mark.parametrize(
    ("removed", "name", "sentence"),
    [
        ((STS_LINE,), "_mta-sts.example.org", "Nothing asks others for TLS; publish what `postino dns example.org` prints"),
        (("_smtp._tls",), "_smtp._tls.example.org", "Nobody reports how TLS fares; publish TXT"),
        (("_imaps._tcp",), "_imaps._tcp.example.org", "Mail programs cannot find the service; publish: SRV 0 1 993 mail.example.org."),
        (("autoconfig",), "autoconfig.example.org", "It is missing; publish: CNAME mail.example.org."),
        (("mail.example.org. !secure CAA",), "mail.example.org", 'Any authority may issue for it; publish: CAA 0 issue "letsencrypt.org"'),
        ((), "_25._tcp.mail.example.org", f"The zones are signed, so DANE is possible: publish TLSA 3 1 1 {HASH}"),
    ],
)  # fmt: skip
async def test_what_may_be_left_out_is_advice(removed: tuple[str, ...], name: str, sentence: str) -> None:
    findings = await check(without(published(), *removed))
    assert [
        f for f in findings if f.level is Level.ADVICE and f.name == name and f.sentence.startswith(sentence)
    ]
    assert exit_status(findings) == 0


async def test_a_tlsa_record_of_our_key_is_fine() -> None:
    findings = await check(published() + f"_25._tcp.mail.example.org. !secure TLSA 3 1 1 {HASH}\n")
    assert [f.level for f in findings if f.topic is Topic.TLSA] == [Level.OK]


@pytest.mark.parametrize(
    ("policy", "level", "sentence"),
    [
        (TemporarilyUnavailable("no route"), Level.PROBLEM, "The policy cannot be had: no route; publish mta-sts.example.org as CNAME"),
        (b"nonsense", Level.PROBLEM, "The policy cannot be used: "),
        (OFFER.policy.replace(b"mail.", b"post."), Level.PROBLEM, "It does not allow mail.example.org, an MX of the domain; add it to web.mta_sts_mx"),
        (OFFER.policy.replace(b"604800", b"86400"), Level.WARNING, "Another policy than this server's is served; let mta-sts.example.org lead here"),
    ],
)  # fmt: skip
async def test_the_policy_is_looked_at(policy: bytes | Exception, level: Level, sentence: str) -> None:
    findings = await check(published(), policy=policy)
    assert [f for f in findings if f.level is level and f.sentence.startswith(sentence)], findings


async def test_the_mode_of_a_policy_is_told() -> None:
    testing = replace(FACTS, offer=replace(OFFER, sts_mode="testing"))
    findings = await check(published(testing), testing, policy=testing.offer.policy)
    assert ("ADVICE", 'Its mode is testing; set web.mta_sts to "enforce" once reports look right') in [
        (f.level.name, f.sentence) for f in findings
    ]
    none = replace(FACTS, offer=replace(OFFER, sts_mode="none"))
    findings = await check(published(none), none, policy=none.offer.policy)
    assert "Its mode is none, so it asks nothing of others" in [f.sentence for f in findings]
    selfish = replace(FACTS, is_self_signed=True)
    findings = await check(published(), selfish)
    assert "The certificate is self-signed, which the policy forbids; set tls.certificate" in [
        f.sentence for f in findings
    ]


@pytest.mark.parametrize(("answers", "levels"), [(True, [Level.OK]), (False, [Level.WARNING]), (None, [])])
async def test_port_25_is_only_called_wrong_where_it_can_be_told(
    answers: bool | None, levels: list[Level]
) -> None:
    facts = replace(FACTS, addresses=(V4,))
    findings = await check(published(facts), facts, answers=answers)
    assert [f.level for f in findings if f.name == V4 and "port 25" in f.sentence] == levels


_PUBLISH = "publish what `postino dns example.org` prints"


async def test_a_key_that_is_not_in_use_yet_and_short_or_missing_keys() -> None:
    waiting = DkimKey("b", ED25519, is_in_use=False, is_waiting=True)
    beside = replace(FACTS, dkim=(*FACTS.dkim, waiting))
    findings = await check(published(), beside)
    assert [f.level for f in findings if f.topic is Topic.DKIM] == [Level.OK, Level.WARNING]
    alone = replace(FACTS, dkim=(waiting,))
    found = [f for f in await check(published(), alone) if f.topic is Topic.DKIM]
    assert [(f.level, f.sentence) for f in found] == [
        (Level.PROBLEM, f"It is missing; {_PUBLISH}, and no mail is signed with this key before"),
    ]
    assert "; Mail is signed with this key as soon as the record is found" in zone_file(alone)
    findings = await check(published(alone), alone)
    assert "The key is known, and will soon be in use" in [f.sentence for f in findings]
    retired = replace(FACTS, dkim=(DkimKey("r", ED25519, is_in_use=False),))
    assert "; Not used to sign now: keep it published" in zone_file(retired)
    record = print_key_record(rsa.generate_private_key(65_537, 1024).public_key())
    short = replace(FACTS, dkim=(DkimKey("s", record, is_in_use=True),))
    findings = await check(published(short), short)
    assert [f.sentence for f in findings if f.topic is Topic.DKIM] == [
        "The key has 1024 bits, too few; make another with postino dkim rotate"
    ]
    none = replace(FACTS, dkim=())
    findings = await check(published(), none)
    assert [f.level for f in findings if f.topic is Topic.DKIM] == [Level.PROBLEM]


async def test_with_a_smarthost_our_address_need_not_be_in_spf() -> None:
    facts = replace(FACTS, relays=("smtp.example.net:587",))
    zone = without(published(), *SPF_LINES) + '\nexample.org. TXT "v=spf1 ip4:9.9.9.9 -all"\n'
    assert [f.level for f in await check(zone, facts) if f.topic is Topic.SPF] == [Level.OK]
    assert "Mail leaves by smtp.example.net:587" in " ".join(zone_file(facts).replace("\n; ", " ").split())


async def test_spf_is_followed_like_a_receiver_does() -> None:
    zone = without(published(), *SPF_LINES) + (
        '\nexample.org. TXT "v=spf1 redirect=_spf.example.net"\n'
        '_spf.example.net. TXT "v=spf1 include:a.example.net mx:example.org/24//64 -all"\n'
        'a.example.net. TXT "v=spf1 ?all"\n'
    )
    assert [f.level for f in await check(zone) if f.topic is Topic.SPF] == [Level.OK]
    macro = without(published(), *SPF_LINES) + '\nexample.org. TXT "v=spf1 exists:%{i}.x.example -all"\n'
    assert [f.level for f in await check(macro) if f.topic is Topic.SPF] == [Level.OK]


async def test_answers_that_do_not_come_are_said_once_and_make_status_3() -> None:
    findings = await check(published() + "_dmarc.example.org. !timeout\n")
    assert [(f.level, f.topic) for f in findings if f.level > Level.ADVICE] == [(Level.UNKNOWN, Topic.DMARC)]
    assert exit_status(findings) == 3


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["v=spf1", "v=DMARC1;", "v=STSv1;", "v=TLSRPTv1;", "v=DKIM1;", "include:example.org", "redirect=mail.example.org",
             "a/33", "mx//200", "ip4:x", "ip6:::/0", "exists:%{i}", "ptr", "+all", "p=", "p=none;", "rua=mailto:a@b.example",
             "rua=,!", "id=1;", "k=rsa;", "p=AAAA", "=", ";", "%", "\u00fc"]
        ),
        max_size=6,
    ),
    st.sampled_from(["example.org.", "mail.example.org.", "_dmarc.example.org.", "_mta-sts.example.org.", "_smtp._tls.example.org.", "a._domainkey.example.org."]),
)  # fmt: skip
async def test_whatever_is_published_makes_findings(words: list[str], name: str) -> None:
    findings = await check(
        without(published(), f"{name} !secure TXT") + f'\n{name} TXT "{" ".join(words)}"\n'
    )
    assert {finding.topic for finding in findings} >= {Topic.MX, Topic.SPF, Topic.DKIM, Topic.DMARC}
