"""TLS report records and reports: the examples of RFC 8460."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.ports import TlsaRecord
from postino.mailauth.tlsrpt import (
    MOST_ADDRESSES,
    Failure,
    PolicyResult,
    Report,
    ReportAddresses,
    dane_policy,
    no_policy,
    parse_record,
    sts_policy,
)

RECORDS: list[tuple[tuple[str, ...], ReportAddresses | None]] = [
    # §3.1.1, §3.1.2
    (("v=TLSRPTv1;rua=mailto:reports@example.com",), ReportAddresses(("reports@example.com",))),
    (
        ("v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt",),
        ReportAddresses((), ("https://reporting.example.com/v1/tlsrpt",)),
    ),
    (
        ("v=TLSRPTv1; rua=mailto:a@b.example , https://c.example/x;",),
        ReportAddresses(("a@b.example",), ("https://c.example/x",)),
    ),
    (
        ("v=TLSRPTv1; more=1; rua=mailto:a%2Bc@d.example; rua=mailto:z@z.example",),
        ReportAddresses(("a+c@d.example",)),
    ),
    (("v=TLSRPTv1; rua=mailto:a%2Cb@d.example",), None),
    (("v=TLSRPTv1; rua=mailto:a%21b@d.example?subject=x",), ReportAddresses(("a!b@d.example",))),
    (("v=TLSRPTv1; rua=mailto:a@xn--bcher-kva.example",), ReportAddresses(("a@xn--bcher-kva.example",))),
    (("v=TLSRPTv1; rua=mailto:a@b%C3%BCcher.example",), ReportAddresses(("a@xn--bcher-kva.example",))),
    (("other", "v=TLSRPTv1; rua=mailto:a@b.example"), ReportAddresses(("a@b.example",))),
    (("v=TLSRPTv1; rua=ftp://x.example/, mailto:a@b.example",), ReportAddresses(("a@b.example",))),
    ((), None),
    (("v=TLSRPTv1",), None),
    (("v=TLSRPTv1;",), None),
    (("v=TLSRPTv2; rua=mailto:a@b.example",), None),
    (("rua=mailto:a@b.example; v=TLSRPTv1",), None),
    (("v=TLSRPTv1; rua=",), None),
    (("v=TLSRPTv1; RUA=mailto:a@b.example",), None),
    (("v=TLSRPTv1; nonsense; rua=mailto:a@b.example",), None),
    (("v=TLSRPTv1; rua=http://b.example/",), None),
    (("v=TLSRPTv1; rua=https://",), None),
    (("v=TLSRPTv1; rua=https://u:p@b.example/",), None),
    (("v=TLSRPTv1; rua=https://b.example:x/",), None),
    (("v=TLSRPTv1; rua=mailto:",), None),
    (("v=TLSRPTv1; rua=mailto:nobody",), None),
    (("v=TLSRPTv1; rua=mailto:a%0D%0ABcc:x@b.example",), None),
    (("v=TLSRPTv1; rua=mailto:%22a%0D%0Ab%22@b.example",), None),
    (("v=TLSRPTv1; rua=mailto:a@b.example%0D%0AX:y",), None),
    (("v=TLSRPTv1; rua=mailto:a@[192.0.2.1]",), None),
    (("v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1; rua=mailto:c@b.example"), None),
]


@pytest.mark.parametrize(("texts", "expected"), RECORDS)
def test_records(texts: tuple[str, ...], expected: ReportAddresses | None) -> None:
    assert parse_record(texts) == expected


def test_addresses_are_bounded() -> None:
    found = parse_record(["v=TLSRPTv1; rua=" + ",".join(f"mailto:a{n}@b.example" for n in range(50))])
    assert found is not None
    assert len(found.mail) == MOST_ADDRESSES


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=100), st.text("mailto:hps/@.%0DA!,", max_size=60))
def test_any_text_is_addresses_or_none(more: str, rua: str) -> None:
    for text in (f"v=TLSRPTv1;{more}", f"v=TLSRPTv1; rua={rua}", f"v=TLSRPTv1; rua=mailto:{rua}"):
        found = parse_record([text])
        if found is not None:
            for address in found.mail:
                assert address.isascii()
                assert address.isprintable()
                assert " " not in address
            assert all(url.lower().startswith("https:") for url in found.https)


def test_a_report() -> None:
    # After RFC 8460 Appendix B.
    policy = "version: STSv1\r\nmode: testing\r\nmx: *.mail.company-y.example\r\nmax_age: 86400\r\n"
    failures = (
        Failure(
            "certificate-expired",
            100,
            host="mx1.mail.company-y.example",
            local_address="2001:db8:abcd:0012::1",
        ),
        Failure(
            "starttls-not-supported",
            200,
            host="mx2.mail.company-y.example",
            local_address="2001:db8:abcd:0013::1",
            remote_address="203.0.113.56",
        ),
        Failure(
            "validation-failure",
            3,
            "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
            "mx-backup.mail.company-y.example",
            "mx-backup",
            "203.0.113.58",
            "198.51.100.62",
        ),
    )
    sts = PolicyResult(sts_policy("company-y.example", policy, ["*.mail.company-y.example"]), 5326, failures)
    report = Report(
        "Company-X", "sts-reporting@company-x.example", "company-y.example", 16_891, "5065427c", (sts,)
    )
    assert json.loads(report.octets) == {
        "organization-name": "Company-X",
        "date-range": {"start-datetime": "2016-03-31T00:00:00Z", "end-datetime": "2016-03-31T23:59:59Z"},
        "contact-info": "sts-reporting@company-x.example",
        "report-id": "1459382400.5065427c@company-x.example",
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-string": [
                        "version: STSv1",
                        "mode: testing",
                        "mx: *.mail.company-y.example",
                        "max_age: 86400",
                    ],
                    "policy-domain": "company-y.example",
                    "mx-host": ["*.mail.company-y.example"],
                },
                "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
                "failure-details": [
                    {
                        "result-type": "certificate-expired",
                        "sending-mta-ip": "2001:db8:abcd:0012::1",
                        "receiving-mx-hostname": "mx1.mail.company-y.example",
                        "failed-session-count": 100,
                    },
                    {
                        "result-type": "starttls-not-supported",
                        "sending-mta-ip": "2001:db8:abcd:0013::1",
                        "receiving-mx-hostname": "mx2.mail.company-y.example",
                        "receiving-ip": "203.0.113.56",
                        "failed-session-count": 200,
                    },
                    {
                        "result-type": "validation-failure",
                        "sending-mta-ip": "198.51.100.62",
                        "receiving-ip": "203.0.113.58",
                        "receiving-mx-hostname": "mx-backup.mail.company-y.example",
                        "receiving-mx-helo": "mx-backup",
                        "failed-session-count": 3,
                        "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
                    },
                ],
            }
        ],
    }
    # §5.1
    assert report.file_name == "company-x.example!company-y.example!1459382400!1459468799!5065427c.json.gz"


def test_policies_as_reports_name_them() -> None:
    assert json.loads(no_policy("bücher.example")) == {
        "policy-type": "no-policy-found",
        "policy-domain": "xn--bcher-kva.example",
    }
    # §4.5
    record = TlsaRecord(
        3, 0, 1, bytes.fromhex("1F850A337E6DB9C609C522D136A475638CC43E1ED424F8EEC8513D747D1D085D")
    )
    assert json.loads(dane_policy("example.com", "mx.example.com", [record])) == {
        "policy-type": "tlsa",
        "policy-string": ["3 0 1 1f850a337e6db9c609c522d136a475638cc43e1ed424f8eec8513d747d1d085d"],
        "policy-domain": "example.com",
        "mx-host": ["mx.example.com"],
    }
