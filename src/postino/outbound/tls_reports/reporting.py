"""Send yesterday's TLS reports to the domains that ask for them.

RFC: 8460 §3 (who wants them), §4.1 (by day), §5.2 (gzip), §5.3 (mail), §5.4 (POST), §5.5 (tries),
    6522 §3 (multipart/report), 3834 §5 (Auto-Submitted), 8689 §3 (TLS-Required).
Exposure: addresses and URLs come from other domains' DNS; never one inside this network.
Invariants: a domain's counts go when its report is in the queue or was taken, or when they are RETRY_DAYS
    old; one worker reports.
Not here: counting (tls_counts.py), the record and the JSON (mailauth/tlsrpt.py), signing (signing.py).
"""

import asyncio
import base64
import gzip
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from structlog.typing import FilteringBoundLogger

from postino.core.address import domain_key
from postino.core.errors import DnsFailure, PostinoError
from postino.core.ids import AccountId, Instant
from postino.core.ports import Clock, Resolver
from postino.mailauth.tlsrpt import DAY_SECONDS, PolicyResult, Report, ReportAddresses, parse_record
from postino.mime.dates import format_date
from postino.net.https_client import HttpsAnswer, HttpsFailure, HttpsRequest, ask_https
from postino.outbound.targeting.hosts import is_public
from postino.outbound.tls_reports.counts import read_failure
from postino.smtp.envelope import Notify
from postino.store.content import InlineBody
from postino.store.queue.enqueue import enqueue
from postino.store.queue.values import NewQueued, NewRecipient, QueueKind
from postino.store.store import Store
from postino.store.tls_results import (
    StoredResult,
    days_to_report,
    domains_of,
    forget_before,
    forget_results,
    results_of,
)
from postino.store.tx import Tx

RETRY_DAYS: Final = 2
"""RFC 8460 §5.5 asks for a day of tries."""
_DOMAINS_AT_ONCE: Final = 20
_MOST_RESULTS: Final = 2_000
_POST_SECONDS: Final = 30.0
_ANSWER_OCTETS: Final = 64 * 1024
_LIFETIME_SECONDS: Final = DAY_SECONDS

Post = Callable[[HttpsRequest], Awaitable[HttpsAnswer]]


@dataclass(frozen=True, slots=True)
class Submitter:
    """Who reports."""

    organization: str
    contact: str
    """A mail address here, whose domain signs: `postmaster@example.org`."""


class TlsReporting:
    """Made where one worker does what is done once for all."""

    def __init__(
        self,
        resolver: Resolver,
        store: Store,
        *,
        clock: Clock,
        log: FilteringBoundLogger,
        submitter: Submitter,
        post: Post | None = None,
        private: bool = False,
    ) -> None:
        """`private` lets reports be posted to addresses inside this network."""
        self._resolver = resolver
        self._store = store
        self._clock = clock
        self._log = log
        self._submitter = submitter
        self._post = post or self._post_https
        self._private = private

    async def send_reports(self) -> int:
        """Send what is due, of every day that is over; gives how many reports went out."""
        today = self._clock.now() // DAY_SECONDS
        sent = 0
        await self._store.write(lambda tx: forget_before(tx, today - RETRY_DAYS), durable=False)
        for day in await self._store.read(lambda tx: days_to_report(tx, before=today)):
            last = ""
            while domains := await self._domains(day, last):
                last = domains[-1]
                results = await asyncio.gather(*(self._report_safely(day, domain) for domain in domains))
                sent += sum(results)
        return sent

    async def _domains(self, day: int, after: str) -> list[str]:
        return await self._store.read(lambda tx: domains_of(tx, day, after=after, most=_DOMAINS_AT_ONCE))

    async def _report_safely(self, day: int, domain: str) -> bool:
        """A fault with one domain's report keeps no other's."""
        try:
            return await self._report(day, domain)
        except Exception as error:
            self._log.error("tls.report.fault", domain=domain, exc_info=error)
            return False

    async def _report(self, day: int, domain: str) -> bool:
        """Report one domain's day; whether a report went out."""
        try:
            record = await self._resolver.txt(f"_smtp._tls.{domain}")
        except DnsFailure:
            # Perhaps the next time.
            return False
        addresses = parse_record(record.records)
        if addresses is None:
            await self._store.write(lambda tx: forget_results(tx, day, [domain]), durable=False)
            return False
        rows = await self._store.read(lambda tx: results_of(tx, day, domain, most=_MOST_RESULTS))
        if not rows:
            return False
        submitter = self._submitter
        report = Report(
            submitter.organization, submitter.contact, domain, day, secrets.token_hex(6), _results(rows)
        )
        packed = await asyncio.get_running_loop().run_in_executor(None, _pack, report)
        try:
            await self._send(report, packed, addresses)
        except PostinoError as error:
            self._log.warning("tls.report.failed", domain=domain, reason=str(error))
            return False
        self._log.info("tls.report", domain=domain, day=day, policies=len(report.results))
        return True

    async def _send(self, report: Report, packed: bytes, addresses: ReportAddresses) -> None:
        """Hand it over, and forget the counts with the same commit where it is mail."""
        if not addresses.mail:
            await self._post_to_one(packed, addresses.https)
            await self._store.write(lambda tx: forget_results(tx, report.day, [report.domain]))
            return
        now = self._clock.now()
        new = _message(report, packed, addresses.mail, now)
        day, domain = report.day, report.domain

        def both(tx: Tx) -> None:
            enqueue(tx, new, now=now)
            forget_results(tx, day, [domain])

        await self._store.write(both)

    async def _post_to_one(self, packed: bytes, urls: Sequence[str]) -> None:
        """Post it to the first that takes it. Raises HttpsFailure."""
        failure = HttpsFailure("no address for reports")
        for url in urls:
            request = HttpsRequest(url, "POST", packed, "application/tlsrpt+gzip", most_octets=_ANSWER_OCTETS)
            try:
                answer = await self._post(request)
            except HttpsFailure as error:
                failure = error
                continue
            if 200 <= answer.status < 300:
                return
            failure = HttpsFailure(f"{url} answers {answer.status}")
        raise failure

    async def _post_https(self, request: HttpsRequest) -> HttpsAnswer:
        return await ask_https(request, timeout_seconds=_POST_SECONDS, lookup=self._addresses)

    async def _addresses(self, host: str) -> Sequence[str]:
        answer = await self._resolver.addresses(host)
        return [address for address in answer.records if self._private or is_public(address)]


def _results(rows: Sequence[StoredResult]) -> tuple[PolicyResult, ...]:
    found = []
    for policy, group in groupby(rows, key=lambda row: row.policy):
        counts = list(group)
        successes = sum(row.sessions for row in counts if not row.failure)
        failures = tuple(read_failure(row.failure, row.sessions) for row in counts if row.failure)
        found.append(PolicyResult(policy, successes, failures))
    return tuple(found)


def _pack(report: Report) -> bytes:
    return gzip.compress(report.octets, mtime=0)


def _message(report: Report, packed: bytes, addresses: Sequence[str], now: Instant) -> NewQueued:
    boundary = f"=_tlsrpt_{secrets.token_hex(12)}"
    header = "\r\n".join(
        (
            f"From: TLS reports <{report.contact}>",
            "To: " + ",\r\n ".join(f"<{address}>" for address in addresses),
            f"Subject: Report Domain: {report.domain}",
            f" Submitter: {report.submitter}",
            f" Report-ID: <{report.report_id}>",
            f"Date: {format_date(now)}",
            f"Message-ID: <{report.report_id}>",
            f"TLS-Report-Domain: {report.domain}",
            f"TLS-Report-Submitter: {report.submitter}",
            # RFC 8460 §5.3: a report is never held up by what it tells of.
            "TLS-Required: No",
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
            'Content-Type: multipart/report; report-type="tlsrpt";',
            f' boundary="{boundary}"',
            "",
            "",
        )
    ).encode()
    start = format_date(Instant(report.day * DAY_SECONDS))[:16]
    lines = (
        f"--{boundary}",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        f"This is the TLS report of {report.submitter} about its mail to",
        f"{report.domain} on {start} (UTC), as your _smtp._tls record asks for.",
        "The attachment has the counts, as RFC 8460 describes them.",
        "",
        f"--{boundary}",
        "Content-Type: application/tlsrpt+gzip",
        "Content-Transfer-Encoding: base64",
        "Content-Disposition: attachment;",
        f' filename="{report.file_name}"',
        "",
        base64.encodebytes(packed).decode("ascii").rstrip("\n").replace("\n", "\r\n"),
        f"--{boundary}--",
        "",
    )
    body = "\r\n".join(lines).encode()
    return NewQueued(
        kind=QueueKind.REPORT,
        account_id=AccountId(0),
        reverse_path="",
        recipients=[_recipient(address) for address in addresses],
        header=header,
        body=InlineBody(body),
        size=len(header) + len(body),
        message_id=secrets.token_hex(8),
        release_at=now,
        expires_at=Instant(now + _LIFETIME_SECONDS),
    )


def _recipient(address: str) -> NewRecipient:
    domain = domain_key(address.rpartition("@")[2])
    return NewRecipient(address=address, domain=domain, notify=Notify.NEVER)
