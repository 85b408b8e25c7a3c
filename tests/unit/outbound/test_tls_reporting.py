"""TLS outcomes counted, and reported to those who ask: RFC 8460."""

import email
import email.policy
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postino.core.ids import Instant
from postino.mailauth.tlsrpt import no_policy
from postino.net.https_client import HttpsAnswer, HttpsFailure, HttpsRequest
from postino.outbound.client.tls_outcome import TlsOutcome
from postino.outbound.settings import OutboundSettings
from postino.outbound.targeting.finding import Targeting
from postino.outbound.targeting.hosts import Ourselves
from postino.outbound.tls_reports import counts as tls_counts
from postino.outbound.tls_reports.counts import TlsCounts
from postino.outbound.tls_reports.reporting import RETRY_DAYS, Submitter, TlsReporting
from postino.store.queue.lease import lease_token, read_octets, take_due
from postino.store.queue.values import QueueKind
from postino.store.store import Store, open_store
from postino.store.tls_results import days_to_report
from postino.store.verify import verify
from tests.support.fake_dns import FakeResolver
from tests.support.memory_network import FixedClock, RecordingLog

DAY = 86_400
START = 1_767_225_600  # 2026-01-01T00:00:00Z
GOOD = TlsOutcome("example.net", no_policy("example.net"), "mx.example.net", remote_address="192.0.2.1")
EXPIRED = TlsOutcome(
    "example.net",
    no_policy("example.net"),
    "mx.example.net",
    "certificate-expired",
    "certificate has expired",
    "192.0.2.1",
    "192.0.2.25",
    "mx",
)


class Reports:
    def __init__(self, store: Store, zone: str) -> None:
        self.store = store
        self.clock = FixedClock(START + 10)
        self.counts = TlsCounts(store, self.clock)
        self.resolver = FakeResolver(zone)
        self.posted: list[HttpsRequest] = []
        self.answer: HttpsAnswer | HttpsFailure = HttpsAnswer(201, "", b"")
        self.log = RecordingLog()
        log: Any = self.log
        self.reporting = TlsReporting(
            self.resolver,
            store,
            clock=self.clock,
            log=log,
            submitter=Submitter("Example", "postmaster@us.example"),
            post=self.post,
        )

    async def post(self, request: HttpsRequest) -> HttpsAnswer:
        self.posted.append(request)
        if isinstance(self.answer, HttpsFailure):
            raise self.answer
        return self.answer

    async def next_day(self) -> int:
        await self.counts.write()
        self.clock.instant += DAY
        return await self.reporting.send_reports()

    async def days_left(self) -> list[int]:
        return await self.store.read(lambda tx: days_to_report(tx, before=2**31))

    async def queued(self) -> list[Any]:
        now = Instant(self.clock.instant)
        token = lease_token(0, "test")
        return await self.store.write(
            lambda tx: [
                (message, read_octets(tx, message.queue_id))
                for message in take_due(tx, token, now=now, until=Instant(now + 60), most=100)
            ]
        )


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = open_store(tmp_path, first=True)
    yield opened
    assert await opened.read(lambda tx: verify(tx, opened.blobs)) == []
    await opened.close()


BY_MAIL = '_smtp._tls.example.net. TXT "v=TLSRPTv1; rua=mailto:tls@reports.example,mailto:b@c.example"'
BY_POST = '_smtp._tls.example.net. TXT "v=TLSRPTv1; rua=https://a.example/r,https://b.example/r"'


async def test_mail_that_went_without_a_policy_is_not_told_of(store: Store) -> None:
    # Mail with "TLS-Required: No" to a domain that has one.
    reports = Reports(store, BY_MAIL)
    reports.counts.note(TlsOutcome("example.net", "", ""))
    reports.counts.note(TlsOutcome("example.net", "", "mx.example.net", failure="starttls-not-supported"))
    assert await reports.next_day() == 0


async def test_a_fault_with_one_report_keeps_no_other(store: Store) -> None:
    reports = Reports(store, BY_MAIL + "\n" + BY_POST.replace("example.net", "bad.example"))
    reports.counts.note(TlsOutcome("bad.example", "no JSON", ""))
    reports.counts.note(GOOD)
    assert await reports.next_day() == 1
    assert [event.fields["domain"] for event in reports.log.events if event.event == "tls.report.fault"] == [
        "bad.example"
    ]


async def test_a_report_by_mail(store: Store) -> None:
    reports = Reports(store, BY_MAIL)
    for outcome in (GOOD, EXPIRED, GOOD, EXPIRED, GOOD):
        reports.counts.note(outcome)
    assert await reports.next_day() == 1
    assert await reports.days_left() == []
    [(message, octets)] = await reports.queued()
    assert message.kind is QueueKind.REPORT
    assert message.reverse_path == ""
    assert {recipient.address for recipient in message.recipients} == {"tls@reports.example", "b@c.example"}
    whole = octets.header + octets.body.octets
    assert len(whole) == message.size
    assert all(len(line) <= 998 for line in whole.split(b"\r\n"))
    assert b"\n" not in whole.replace(b"\r\n", b"")
    parsed = email.message_from_bytes(whole, policy=email.policy.default)
    assert parsed["From"].addresses[0].addr_spec == "postmaster@us.example"
    assert parsed["TLS-Report-Domain"] == "example.net"
    assert parsed["TLS-Required"] == "No"
    assert parsed["TLS-Report-Submitter"] == "us.example"
    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "tlsrpt"
    text, attached = parsed.iter_parts()
    assert "example.net" in text.get_content()
    assert attached.get_content_type() == "application/tlsrpt+gzip"
    start = START // DAY * DAY
    name = attached.get_filename()
    assert name is not None
    assert name.startswith(f"us.example!example.net!{start}!{start + DAY - 1}!")
    assert name.endswith(".json.gz")
    report = json.loads(gzip.decompress(attached.get_content()))
    assert report["date-range"]["start-datetime"] == "2026-01-01T00:00:00Z"
    assert report["report-id"] in parsed["Subject"]
    [result] = report["policies"]
    assert result["policy"] == {"policy-type": "no-policy-found", "policy-domain": "example.net"}
    assert result["summary"] == {"total-successful-session-count": 3, "total-failure-session-count": 2}
    assert result["failure-details"] == [
        {
            "result-type": "certificate-expired",
            "sending-mta-ip": "192.0.2.25",
            "receiving-mx-hostname": "mx.example.net",
            "receiving-mx-helo": "mx",
            "receiving-ip": "192.0.2.1",
            "failure-reason-code": "certificate has expired",
            "failed-session-count": 2,
        }
    ]


async def test_counts_of_workers_and_minutes_add_up(store: Store) -> None:
    reports = Reports(store, BY_POST)
    other = TlsCounts(store, reports.clock)
    for _ in range(3):
        reports.counts.note(GOOD)
        other.note(GOOD)
        await reports.counts.write()
        await other.write()
    assert await reports.next_day() == 1
    report = json.loads(gzip.decompress(reports.posted[0].body))
    assert report["policies"][0]["summary"]["total-successful-session-count"] == 6


async def test_a_report_by_post(store: Store) -> None:
    reports = Reports(store, BY_POST)
    reports.counts.note(GOOD)
    assert await reports.next_day() == 1
    [request] = reports.posted
    assert (request.url, request.method) == ("https://a.example/r", "POST")
    assert request.content_type == "application/tlsrpt+gzip"
    assert await reports.days_left() == []
    assert await reports.queued() == []


@pytest.mark.parametrize("answer", [HttpsFailure("cannot be reached"), HttpsAnswer(500, "", b"")])
async def test_a_post_that_fails_is_tried_again_and_given_up(store: Store, answer: Any) -> None:
    reports = Reports(store, BY_POST)
    reports.counts.note(GOOD)
    reports.answer = answer
    assert await reports.next_day() == 0
    assert [request.url for request in reports.posted] == ["https://a.example/r", "https://b.example/r"]
    assert [event.event for event in reports.log.events] == ["tls.report.failed"]
    assert len(await reports.days_left()) == 1
    reports.clock.instant += RETRY_DAYS * DAY
    assert await reports.reporting.send_reports() == 0
    assert await reports.days_left() == []


async def test_a_day_is_reported_when_it_is_over_and_once(store: Store) -> None:
    reports = Reports(store, BY_MAIL)
    reports.counts.note(GOOD)
    await reports.counts.write()
    assert await reports.reporting.send_reports() == 0
    assert await reports.next_day() == 1
    assert await reports.reporting.send_reports() == 0
    assert len(await reports.queued()) == 1


async def test_who_asks_for_nothing_gets_nothing(store: Store) -> None:
    reports = Reports(store, '_smtp._tls.example.net. TXT "v=spf1 -all"')
    reports.counts.note(GOOD)
    assert await reports.next_day() == 0
    assert await reports.days_left() == []


async def test_a_record_that_cannot_be_read_now_is_read_later(store: Store) -> None:
    reports = Reports(store, "_smtp._tls.example.net. !servfail")
    reports.counts.note(GOOD)
    assert await reports.next_day() == 0
    reports.resolver.zone.remove("_smtp._tls.example.net")
    reports.resolver.zone.add(BY_MAIL)
    assert await reports.reporting.send_reports() == 1


async def test_many_domains(store: Store) -> None:
    reports = Reports(store, "")
    for number in range(50):
        name = f"d{number}.example"
        reports.counts.note(TlsOutcome(name, no_policy(name), "mx"))
        if number % 2:
            reports.resolver.zone.add(f'_smtp._tls.{name}. TXT "v=TLSRPTv1;rua=mailto:r@{name}"')
    assert await reports.next_day() == 25
    assert await reports.days_left() == []
    assert len(await reports.queued()) == 25


async def test_counting_is_bounded_and_nobodys_sessions_are_not_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_counts, "MOST_COUNTS", 3)
    reports = Reports(store, BY_POST)
    reports.counts.note(TlsOutcome("", "", "relay.example"))
    reports.counts.note(TlsOutcome("example.net", "x" * 10_000, "mx"))
    for number in range(10):
        reports.counts.note(
            TlsOutcome(
                "example.net", no_policy("example.net"), f"mx{number}", "validation-failure", "r" * 999
            )
        )
    await reports.next_day()
    report = json.loads(gzip.decompress(reports.posted[0].body))
    details = report["policies"][0]["failure-details"]
    assert len(details) == 3
    assert all(len(detail["failure-reason-code"]) == 200 for detail in details)


@pytest.mark.parametrize(("wanted", "days"), [(True, [START // DAY]), (False, [])])
async def test_counts_are_written_at_the_end_where_reports_are_wanted(
    store: Store, wanted: bool, days: list[int]
) -> None:
    log: Any = RecordingLog()
    targeting = Targeting(
        OutboundSettings(tls_reports=wanted),
        store,
        clock=FixedClock(START),
        log=log,
        hostname="mail.us.example",
        ourselves=Ourselves(),
        submitter=lambda: None,
    )
    targeting.note(GOOD)
    await targeting.close()
    assert await store.read(lambda tx: days_to_report(tx, before=2**31)) == days
