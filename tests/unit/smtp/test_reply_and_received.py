"""What the server writes: replies and trace fields, which no client can bend."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.core.address import Address
from postino.core.ids import Instant
from postino.smtp import replies
from postino.smtp.extensions import Offers, hello_reply
from postino.smtp.received import (
    Arrival,
    delivered_to_field,
    protocol_name,
    received_field,
    return_path_field,
)
from postino.smtp.reply import Reply


def test_a_reply_of_one_line() -> None:
    assert Reply(250, "2.1.0", "fine").wire == b"250 2.1.0 fine\r\n"
    assert Reply(354, "", "go on").wire == b"354 go on\r\n"


def test_a_reply_of_several_lines_repeats_its_codes() -> None:
    assert Reply(550, "5.1.1", "no", "such", "box").wire == (
        b"550-5.1.1 no\r\n550-5.1.1 such\r\n550 5.1.1 box\r\n"
    )


@given(st.text(max_size=700))
def test_no_text_can_start_a_line_of_its_own(text: str) -> None:
    wire = Reply(250, "2.0.0", text).wire
    assert wire.count(b"\r") == wire.count(b"\n") == 1
    assert wire.endswith(b"\r\n")
    assert len(wire) <= 512


FIXED = [reply for reply in vars(replies).values() if isinstance(reply, Reply)]


@pytest.mark.parametrize("reply", [*FIXED, *replies.BAD_VALUES.values()], ids=lambda reply: reply.lines[0])
def test_every_fixed_reply_fits_a_line_and_its_class(reply: Reply) -> None:
    assert len(reply.wire) <= 512
    # RFC 2034 §4: all but greetings and continuations carry an enhanced code.
    assert reply.enhanced_code or reply.code == 354


def test_the_hello_reply_names_what_is_offered() -> None:
    wire = hello_reply(
        "mail.example.org", Offers(1000, 5, tls=True, mechanisms=("PLAIN", "LOGIN")), Instant(0)
    ).wire
    assert wire.split(b"\r\n") == [
        b"250-mail.example.org", b"250-PIPELINING", b"250-SIZE 1000", b"250-8BITMIME", b"250-SMTPUTF8",
        b"250-CHUNKING", b"250-BINARYMIME", b"250-ENHANCEDSTATUSCODES", b"250-LIMITS RCPTMAX=5",
        b"250-STARTTLS", b"250 AUTH PLAIN LOGIN", b"",
    ]  # fmt: skip


def test_the_hello_reply_names_what_sending_offers() -> None:
    offers = Offers(
        1000, 5, dsn=True, require_tls=True, priority=True, deliver_by_seconds=60, hold_seconds=86_400
    )
    lines = hello_reply("mail.example.org", offers, Instant(1_767_225_600)).wire.split(b"\r\n")
    assert lines[9:] == [
        b"250-DSN", b"250-REQUIRETLS", b"250-FUTURERELEASE 86400 2026-01-02T00:00:00Z",
        b"250-DELIVERBY 60", b"250 MT-PRIORITY", b"",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lmtp", "extended", "tls", "login", "smtputf8", "expected"),
    [
        (False, False, False, False, False, "SMTP"),
        (False, True, False, False, False, "ESMTP"),
        (False, True, True, False, False, "ESMTPS"),
        (False, True, False, True, False, "ESMTPA"),
        (False, True, True, True, False, "ESMTPSA"),
        (True, True, False, False, False, "LMTP"),
        (True, True, True, True, False, "LMTPSA"),
        (False, True, True, True, True, "UTF8SMTPSA"),
        (True, True, False, False, True, "UTF8LMTP"),
    ],
)
def test_protocol_names(
    lmtp: bool, extended: bool, tls: bool, login: bool, smtputf8: bool, expected: str
) -> None:
    assert protocol_name(lmtp=lmtp, extended=extended, tls=tls, login=login, smtputf8=smtputf8) == expected


DATE = "Thu, 01 Jan 2026 00:00:00 +0000"


def received(arrival: Arrival, for_address: Address | None = None) -> str:
    return received_field(
        arrival, hostname="mail.example.org", message_id="abc-1", for_address=for_address, date=DATE
    ).decode()


def test_received_tells_all_it_may() -> None:
    arrival = Arrival("client.example", "192.0.2.1", "ESMTPS", "TLSv1.3 TLS_AES_256_GCM_SHA384")
    assert received(arrival, Address("ann", "example.org")) == (
        "Received: from client.example ([192.0.2.1])\r\n"
        "\tby mail.example.org with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
        f"\tid abc-1\r\n\tfor <ann@example.org>;\r\n\t{DATE}\r\n"
    )


@pytest.mark.parametrize(
    ("host", "address", "expected"),
    [
        ("[192.0.2.1]", "192.0.2.1", "from [192.0.2.1] ([192.0.2.1])\r\n"),
        ("x.example", "2001:db8::1", "from x.example ([IPv6:2001:db8::1])\r\n"),
        ("x.example", "fe80::1%eth0", "from x.example ([IPv6:fe80::1])\r\n"),
        ("mta", "", "from mta\r\n"),
        ("a(b)c", "192.0.2.1", "from unknown ([192.0.2.1])\r\n"),
        ("ü.example", "192.0.2.1", "from unknown ([192.0.2.1])\r\n"),
        ("[300.1.1.1]", "192.0.2.1", "from unknown ([192.0.2.1])\r\n"),
        ("x" * 300, "192.0.2.1", "from unknown ([192.0.2.1])\r\n"),
    ],
)
def test_received_shows_only_a_host_as_the_client_gave_it(host: str, address: str, expected: str) -> None:
    assert expected in received(Arrival(host, address, "ESMTP"))


@given(st.text(max_size=300), st.text(max_size=100))
def test_no_greeting_or_address_can_add_a_line(host: str, local_part: str) -> None:
    lines = received(Arrival(host, "192.0.2.1", "ESMTP")).split("\r\n")
    assert len(lines) == 5
    assert "\n" not in "".join(lines)


def test_return_path_and_delivered_to() -> None:
    assert return_path_field(None) == b"Return-Path: <>\r\n"
    assert return_path_field(Address("a b", "x.example")) == b'Return-Path: <"a b"@x.example>\r\n'
    assert return_path_field(Address("ü", "x.example")) == "Return-Path: <ü@x.example>\r\n".encode()
    assert delivered_to_field("ann@example.org") == b"Delivered-To: ann@example.org\r\n"
