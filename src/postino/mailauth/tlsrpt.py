"""TLS reports: the record that says where a domain wants them, and the report.

RFC: 8460 §3 (record), §4.4 (the JSON), §4.5 (policies in it), §5.1 (file name).
Exposure: records come from other people's DNS.
Invariants: any text gives addresses or none; a report is I-JSON, domains in it A-labels.
Not here: counting (store/tls_results.py), sending (outbound/tls_reports/reporting.py).
"""

import datetime
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from postino.core.address import BadAddress, ascii_domain, parse_domain
from postino.core.ids import Instant
from postino.core.ports import TlsaRecord

MOST_ADDRESSES: Final = 10
DAY_SECONDS: Final = 86_400
_FIELD: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=([\x21-\x3a\x3c-\x7e \t]+)")
_ADDRESS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[^@\s]+")
_BLANKS: Final = " \t"


@dataclass(frozen=True, slots=True)
class ReportAddresses:
    """Where a domain wants its reports, in its order."""

    mail: tuple[str, ...] = ()
    """Mail addresses, ASCII."""
    https: tuple[str, ...] = ()
    """URLs to POST to."""


def parse_record(texts: Iterable[str]) -> ReportAddresses | None:
    """What the TXT records of `_smtp._tls` say; None when there is no usable record."""
    records = [text for text in texts if re.match(r"v=TLSRPTv1[ \t]*;", text)]
    if len(records) != 1:
        return None
    rua = None
    for part in records[0].split(";")[1:]:
        text = part.strip(_BLANKS)
        if not text:
            continue
        match = _FIELD.fullmatch(text)
        if match is None:
            return None
        if match[1] == "rua" and rua is None:
            rua = match[2]
    if rua is None:
        return None
    mail: list[str] = []
    https: list[str] = []
    for uri in rua.split(",")[:MOST_ADDRESSES]:
        _sort(uri.strip(_BLANKS), mail, https)
    return ReportAddresses(tuple(mail), tuple(https)) if mail or https else None


def _sort(uri: str, mail: list[str], https: list[str]) -> None:
    scheme, _, rest = uri.partition(":")
    if scheme.lower() == "mailto":
        address = unquote(rest.partition("?")[0])
        # SECURITY: it goes into a header and a command: a plain address, or none.
        if _ADDRESS.fullmatch(address):
            local, _, domain = address.rpartition("@")
            try:
                mail.append(f"{local}@{ascii_domain(parse_domain(domain))}")
            except BadAddress:
                return
    elif scheme.lower() == "https":
        try:
            parts = urlsplit(uri)
            # Reading the port is what refuses one that is no number.
            is_good = bool(parts.hostname) and parts.port != 0 and parts.username is None
        except ValueError:
            return
        if is_good:
            https.append(uri)


# Policies, as reports call them


def dane_policy(domain: str, host: str, records: Iterable[TlsaRecord]) -> str:
    """A TLSA policy of one host."""
    texts = [f"{one.usage} {one.selector} {one.matching_type} {one.data.hex()}" for one in records]
    return _policy("tlsa", domain, texts, [host])


def sts_policy(domain: str, text: str, patterns: Sequence[str]) -> str:
    """An MTA-STS policy, its lines as they were fetched."""
    return _policy("sts", domain, text.split("\n"), patterns)


def no_policy(domain: str) -> str:
    """What is told of a domain with neither."""
    return _policy("no-policy-found", domain, (), ())


def _policy(kind: str, domain: str, lines: Iterable[str], hosts: Iterable[str]) -> str:
    policy: dict[str, Any] = {"policy-type": kind}
    texts = [line.strip() for line in lines if line.strip()]
    if texts:
        policy["policy-string"] = texts
    policy["policy-domain"] = ascii_domain(domain)
    named = [ascii_domain(host) for host in hosts]
    if named:
        policy["mx-host"] = named
    return json.dumps(policy, ensure_ascii=False, separators=(",", ":"))


# The report


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of failure under a policy."""

    result_type: str
    sessions: int
    reason: str = ""
    host: str = ""
    hello: str = ""
    remote_address: str = ""
    local_address: str = ""


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """How a day's sessions under one policy fared."""

    policy: str
    """As dane_policy, sts_policy or no_policy give it."""
    successes: int = 0
    failures: tuple[Failure, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Report:
    """One domain's day."""

    organization: str
    contact: str
    """A mail address."""
    domain: str
    day: int
    """Since 1970."""
    unique: str
    """Letters and digits that no other report of ours for this domain and day has."""
    results: tuple[PolicyResult, ...]

    @property
    def submitter(self) -> str:
        """The domain that reports."""
        return ascii_domain(self.contact.rpartition("@")[2])

    @property
    def report_id(self) -> str:
        """As in the report and in its subject."""
        return f"{self.day * DAY_SECONDS}.{self.unique}@{self.submitter}"

    @property
    def file_name(self) -> str:
        """RFC 8460 §5.1, compressed."""
        start = self.day * DAY_SECONDS
        end = start + DAY_SECONDS - 1
        return f"{self.submitter}!{ascii_domain(self.domain)}!{start}!{end}!{self.unique}.json.gz"

    @property
    def octets(self) -> bytes:
        """The JSON, UTF-8."""
        start = self.day * DAY_SECONDS
        whole = {
            "organization-name": self.organization,
            "date-range": {
                "start-datetime": _moment(Instant(start)),
                "end-datetime": _moment(Instant(start + DAY_SECONDS - 1)),
            },
            "contact-info": self.contact,
            "report-id": self.report_id,
            "policies": [_result(one) for one in self.results],
        }
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _moment(instant: Instant) -> str:
    return f"{datetime.datetime.fromtimestamp(instant, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"


def _result(result: PolicyResult) -> Mapping[str, object]:
    failed = sum(failure.sessions for failure in result.failures)
    found: dict[str, object] = {
        "policy": json.loads(result.policy),
        "summary": {
            "total-successful-session-count": result.successes,
            "total-failure-session-count": failed,
        },
    }
    if result.failures:
        found["failure-details"] = [_detail(failure) for failure in result.failures]
    return found


def _detail(failure: Failure) -> Mapping[str, object]:
    optional = {
        "sending-mta-ip": failure.local_address,
        "receiving-mx-hostname": failure.host and ascii_domain(failure.host),
        "receiving-mx-helo": failure.hello,
        "receiving-ip": failure.remote_address,
        "failure-reason-code": failure.reason,
    }
    detail: dict[str, object] = {"result-type": failure.result_type}
    detail |= {name: value for name, value in optional.items() if value}
    detail["failed-session-count"] = failure.sessions
    return detail
