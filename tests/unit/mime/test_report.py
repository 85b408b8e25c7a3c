"""The form of reports: what the standard library reads out of them, whatever went in."""

import email
import email.policy
from email.message import Message

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.ids import Instant
from postino.mime.delivery_status import (
    Action,
    MessageStatus,
    RecipientStatus,
    delivery_status,
    needs_utf8,
    plain_text,
)
from postino.mime.report import About, Heading, Report, Returned, write_report

NOW = Instant(1_767_225_600)
HEADING = Heading(
    sender="MAILER-DAEMON@example.org",
    recipient="ann@example.org",
    subject="Not delivered: Lunch",
    message_id="abc123@mail.example.org",
    date=NOW,
)
HEADER = b"From: ann@example.org\r\nSubject: Lunch\r\nMessage-ID: <m1@example.org>\r\n\r\n"


def report(
    *told: RecipientStatus,
    about: About | None = None,
    words: str = "It failed.\n",
    may_8bit: bool = False,
    message: MessageStatus | None = None,
) -> Report:
    status = delivery_status(message or MessageStatus("mail.example.org", NOW), told, utf8=needs_utf8(told))
    return write_report(HEADING, words, status, about or About(HEADER), may_8bit=may_8bit)


def parsed(made: Report) -> Message:
    octets = made.header + made.body
    assert made.is_8bit or octets.isascii()
    for line in octets.split(b"\r\n"):
        assert len(line) <= 998
        assert b"\r" not in line
        assert b"\n" not in line
        assert b"\x00" not in line
    message = email.message_from_bytes(octets)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert len(message.get_payload()) == 3
    assert not message.defects
    return message


def groups(made: Report) -> list[Message]:
    return parsed(made).get_payload(1).get_payload()


FAILED = RecipientStatus("bob@example.net", Action.FAILED, "5.1.1")


def test_fields_of_a_simple_report() -> None:
    """As the first example of RFC 3464 Appendix E.1."""
    told = RecipientStatus(
        "louisl@larry.slip.umd.edu",
        Action.FAILED,
        "4.0.0",
        original="rfc822;louisl@larry.slip.umd.edu",
        remote="larry.slip.umd.edu",
        reply="426 connection timed out",
        last_attempt=NOW,
    )
    about, one = groups(report(told, message=MessageStatus("cs.utk.edu", NOW)))
    assert about.items() == [
        ("Reporting-MTA", "dns; cs.utk.edu"),
        ("Arrival-Date", "Thu, 01 Jan 2026 00:00:00 +0000"),
    ]
    assert one.items() == [
        ("Original-Recipient", "rfc822; louisl@larry.slip.umd.edu"),
        ("Final-Recipient", "rfc822; louisl@larry.slip.umd.edu"),
        ("Action", "failed"),
        ("Status", "4.0.0"),
        ("Remote-MTA", "dns; larry.slip.umd.edu"),
        ("Diagnostic-Code", "smtp; 426 connection timed out"),
        ("Last-Attempt-Date", "Thu, 01 Jan 2026 00:00:00 +0000"),
    ]


def test_several_recipients_each_have_a_group() -> None:
    """As RFC 3464 Appendix E.2, a report for several recipients of one delivery attempt."""
    actions = [Action.FAILED, Action.DELIVERED, Action.DELAYED, Action.RELAYED, Action.EXPANDED]
    told = [
        RecipientStatus(f"p{number}@example.net", action, "2.0.0", will_retry_until=NOW)
        for number, action in enumerate(actions)
    ]
    about, *each = groups(
        report(
            *told,
            message=MessageStatus(
                "mail.example.org", NOW, envelope_id="QQ314159", deliver_by=NOW, hold="for;60"
            ),
        )
    )
    assert about["Original-Envelope-Id"] == "QQ314159"
    assert about["Deliver-By-Date"] == "Thu, 01 Jan 2026 00:00:00 +0000"
    # RFC 4865 §5.1.2
    assert about["Future-Release-Request"] == "for;60"
    assert [group["Action"] for group in each] == ["failed", "delivered", "delayed", "relayed", "expanded"]
    # RFC 3464 §2.3.9: in no other report than a delayed one.
    assert [bool(group["Will-Retry-Until"]) for group in each] == [False, False, True, False, False]


def test_our_own_sentence_is_not_said_to_be_smtp() -> None:
    told = RecipientStatus("b@example.net", Action.FAILED, "4.4.1", reply="No answer from mx.example.net")
    (_, one) = groups(report(told))
    assert one["Diagnostic-Code"] == "X-Postino; No answer from mx.example.net"
    assert one["Remote-MTA"] is None


def test_remote_is_named_without_its_address() -> None:
    told = RecipientStatus("b@example.net", Action.FAILED, "5.0.0", remote="mx.example.net (192.0.2.1)")
    (_, one) = groups(report(told))
    assert one["Remote-MTA"] == "dns; mx.example.net"


@pytest.mark.parametrize(
    ("address", "original", "final_field", "original_field"),
    [
        ("jörg@example.net", "", "utf-8; jörg@example.net", None),
        (
            "jörg@example.net",
            r"utf-8;j\x{F6}rg@example.net",
            "utf-8; jörg@example.net",
            "utf-8; jörg@example.net",
        ),
        ("b@example.net", r"utf-8;\x{2B}\x{D800}@x", "rfc822; b@example.net", r"utf-8; +\x{D800}@x"),
    ],
)
def test_addresses_beyond_ascii(
    address: str, original: str, final_field: str, original_field: str | None
) -> None:
    """RFC 6533 §4.1: the form with UTF-8, addresses with embedded characters written out."""
    told = RecipientStatus(address, Action.FAILED, "5.1.1", original=original)
    made = report(told, may_8bit=True)
    part = parsed(made).get_payload(1)
    kind = "message/delivery-status" if address.isascii() else "message/global-delivery-status"
    assert part.get_content_type() == kind
    text = made.body.decode()
    assert f"Final-Recipient: {final_field}\r\n" in text
    if original_field is not None:
        assert f"Original-Recipient: {original_field}\r\n" in text
    # To a sender without SMTPUTF8 it goes in seven bits (RFC 6533 §4.5).
    assert report(told).body.isascii()
    assert not report(told).is_8bit


@pytest.mark.parametrize(
    ("about", "kind", "encoding"),
    [
        (About(HEADER), "text/rfc822-headers", None),
        (About(HEADER, b"hi\r\n", Returned.WHOLE), "message/rfc822", None),
        (About(HEADER, b"gr\xfc\xdfe\r\n", Returned.WHOLE), "message/rfc822", "8bit"),
        (About("Subject: é\r\n\r\n".encode(), b"", Returned.HEADER, True), "message/global-headers", "quoted-printable"),
        (About("Subject: é\r\n\r\n".encode(), b"", Returned.HEADER), "text/rfc822-headers", "quoted-printable"),
        (About(b"Subject: \xff\r\n\r\n", b"", Returned.HEADER, True), "text/rfc822-headers", "quoted-printable"),
        (About("Subject: é\r\n\r\n".encode(), b"hi\r\n", Returned.WHOLE, True), "message/global", "base64"),
        (About(HEADER, b"a\rb\r\n", Returned.WHOLE), "text/rfc822-headers", None),
        (About(HEADER, b"a\x00b\r\n", Returned.WHOLE), "text/rfc822-headers", None),
        (About(HEADER, b"a" * 999, Returned.WHOLE), "text/rfc822-headers", None),
        (About(b"X: " + b"a" * 2000 + b"\r\n\r\n"), "text/rfc822-headers", "quoted-printable"),
        (About(b"Subject: no end"), "text/rfc822-headers", None),
    ],
)  # fmt: skip
def test_what_is_given_back(about: About, kind: str, encoding: str | None) -> None:
    part = parsed(report(FAILED, about=about)).get_payload(2)
    assert (part.get_content_type(), part["Content-Transfer-Encoding"]) == (kind, encoding)
    octets = (part.get_payload(0) if kind.endswith("rfc822") else part).as_bytes()
    if kind == "message/rfc822":
        assert octets == (about.header + about.body).replace(b"\r\n", b"\n")


def test_a_large_header_is_given_back_in_part() -> None:
    header = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 500) for number in range(1000)) + b"\r\n"
    made = report(FAILED, about=About(header))
    assert len(made.body) < 70_000
    assert b"X-0: " in made.body
    assert made.body.count(b"y" * 500) == made.body.count(b"\r\nX-")


def test_a_report_belongs_to_the_thread_of_its_message() -> None:
    header = b"References: <r1@x> <r2@x>\r\nMessage-ID:\r\n <m1@example.org>\r\nIn-Reply-To: <r2@x>\r\n\r\n"
    message = parsed(report(FAILED, about=About(header)))
    assert message["In-Reply-To"] == "<m1@example.org>"
    assert message["References"].split() == ["<r1@x>", "<r2@x>", "<m1@example.org>"]
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Message-ID"] == "<abc123@mail.example.org>"
    many = b"References: " + b" ".join(b"<%d@x>" % number for number in range(500)) + b"\r\n\r\n"
    assert len(parsed(report(FAILED, about=About(many)))["References"].split()) <= 20


def test_a_message_that_holds_the_boundary_is_given_back_whole() -> None:
    boundary = email.message_from_bytes(report(FAILED).header).get_boundary()
    body = f"--{boundary}\r\n--{boundary}--\r\n".encode()
    part = parsed(report(FAILED, about=About(HEADER, body, Returned.WHOLE))).get_payload(2)
    assert part.get_payload(0).get_payload().encode() == body


any_text = st.text(st.characters(), max_size=1500) | st.binary(max_size=1500).map(
    lambda octets: octets.decode("latin-1")
)


@settings(max_examples=150, deadline=None)
@given(address=any_text, original=any_text, reply=any_text, remote=any_text, envid=any_text, subject=any_text)
def test_any_text_gives_a_well_formed_report(
    address: str, original: str, reply: str, remote: str, envid: str, subject: str
) -> None:
    told = RecipientStatus(address, Action.FAILED, "5.0.0", original=original, remote=remote, reply=reply)
    message = MessageStatus("mail.example.org", NOW, envelope_id=envid)
    for may_8bit in (False, True):
        made = report(told, message=message, may_8bit=may_8bit, words=subject + "\n")
        parsed(made)
        assert len(made.body) < 40_000
    status = delivery_status(message, [told], utf8=False)
    assert status.isascii()
    lines = status.split(b"\r\n")
    assert len(lines) < 120
    assert sum(line.startswith(b"Action:") for line in lines) == 1


@settings(max_examples=150, deadline=None)
@given(header=st.binary(max_size=400), body=st.binary(max_size=400), utf8=st.booleans(), bits=st.booleans())
def test_any_message_can_be_given_back(header: bytes, body: bytes, utf8: bool, bits: bool) -> None:
    about = About(header, body, Returned.WHOLE, is_utf8=utf8)
    octets = (lambda made: made.header + made.body)(report(FAILED, about=about, may_8bit=bits))
    for line in octets.split(b"\r\n"):
        assert len(line) <= 998
        assert b"\n" not in line
        assert b"\r" not in line
        assert b"\x00" not in line
    assert email.message_from_bytes(octets).get_content_type() == "multipart/report"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\r\nb\tc", "a b c"),
        ("\x00 \x7f", ""),
        ("x" * 900, "x" * 797 + "..."),
        ("é" * 500, "é" * 398 + "..."),
    ],
)
def test_text_in_one_line(text: str, line: str) -> None:
    assert plain_text(text) == line
