"""MAIL and RCPT for far servers: parameters where offered, addresses as they can be said, one line always."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.smtp.client.commands import CannotBeSaid, hello_line, mail_line, path_octets, rcpt_line, xtext
from postino.smtp.client.extensions import NO_EXTENSIONS, Extensions
from postino.smtp.commands import MailCommand, RcptCommand, parse_command
from postino.smtp.envelope import (
    NO_MAIL_OPTIONS,
    NO_RCPT_OPTIONS,
    BodyType,
    ByMode,
    MailOptions,
    Notify,
    RcptOptions,
    Return,
)

ALL = Extensions(
    has_size=True,
    pipelining=True,
    eight_bit_mime=True,
    smtputf8=True,
    chunking=True,
    binary_mime=True,
    dsn=True,
    require_tls=True,
    mt_priority=True,
    deliver_by=True,
)


def mail(options: MailOptions = NO_MAIL_OPTIONS, offered: Extensions = ALL, **more: Any) -> bytes:
    given = {"size": 4711, "body": BodyType.SEVEN_BIT, "smtputf8": False, **more}
    return mail_line("ann@example.org", options, offered, **given)


@pytest.mark.parametrize(
    ("address", "utf8", "expected"),
    [
        ("", False, b"<>"),
        ("ann@example.org", False, b"<ann@example.org>"),
        ("Ann.B+shop@EXAMPLE.org", False, b"<Ann.B+shop@EXAMPLE.org>"),
        ("o'hara@example.org", False, b"<o'hara@example.org>"),
        ('"a b"@example.org', False, b'<"a b"@example.org>'),
        (r'"a\"b\\c"@example.org', False, rb'<"a\"b\\c"@example.org>'),
        ('"plain"@example.org', False, b"<plain@example.org>"),
        ('"@"@example.org', False, b'<"@"@example.org>'),
        ("jo..e.@example.jp", False, b'<"jo..e."@example.jp>'),
        ("ann@[192.0.2.1]", False, b"<ann@[192.0.2.1]>"),
        ("ann@[IPv6:2001:db8::1]", False, b"<ann@[ipv6:2001:db8::1]>"),
        # RFC 5890: the domain as A-labels where SMTPUTF8 is not offered, and where it is not needed.
        ("ann@bücher.example", False, b"<ann@xn--bcher-kva.example>"),
        ("ann@bücher.example", True, b"<ann@xn--bcher-kva.example>"),
        ("jörg@bücher.example", True, "<jörg@bücher.example>".encode()),
    ],
)
def test_addresses(address: str, utf8: bool, expected: bytes) -> None:
    assert path_octets(address, smtputf8=utf8) == expected


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("jörg@example.org", "5.6.7"),
        ("ann", "5.1.3"),
        ("ann@", "5.1.3"),
        ("@example.org", "5.1.3"),
        ("ann@example.org>", "5.1.3"),
        ("<ann@example.org>", "5.1.3"),
        ("ann@exa mple.org", "5.1.3"),
        ("a b@example.org", "5.1.3"),
        ("ann@example.org\r\nDATA", "5.1.3"),
        ("ann\n@example.org", "5.1.3"),
        ('"ann\r\nDATA"@example.org', "5.1.3"),
        ('"ann\0"@example.org', "5.1.3"),
        ("ann@example.org SIZE=1", "5.1.3"),
        ("ann@example.org> SIZE=1", "5.1.3"),
        ("ann@" + "x" * 300 + ".example", "5.1.3"),
    ],
)
def test_addresses_that_cannot_be_said(address: str, status: str) -> None:
    for utf8 in {False, status == "5.1.3"}:
        with pytest.raises(CannotBeSaid) as caught:
            path_octets(address, smtputf8=utf8)
        assert caught.value.status == status


@pytest.mark.parametrize(
    ("options", "more", "expected"),
    [
        (NO_MAIL_OPTIONS, {}, b"SIZE=4711"),
        (NO_MAIL_OPTIONS, {"body": BodyType.EIGHT_BIT_MIME}, b"SIZE=4711 BODY=8BITMIME"),
        (
            NO_MAIL_OPTIONS,
            {"smtputf8": True, "body": BodyType.EIGHT_BIT_MIME},
            b"SIZE=4711 BODY=8BITMIME SMTPUTF8",
        ),
        # RFC 3461 §10: examples
        (MailOptions(ret=Return.HEADERS, envid="QQ314159"), {}, b"SIZE=4711 RET=HDRS ENVID=QQ314159"),
        (MailOptions(envid="a+b=c d"), {}, b"SIZE=4711 ENVID=a+2Bb+3Dc+20d"),
        (MailOptions(envid="x" * 101), {}, b"SIZE=4711"),
        (MailOptions(require_tls=True), {}, b"SIZE=4711 REQUIRETLS"),
        # RFC 8689 §5: no report may carry it further in the clear.
        (MailOptions(require_tls=True, ret=Return.FULL), {}, b"SIZE=4711 RET=HDRS REQUIRETLS"),
        (MailOptions(priority=-3), {}, b"SIZE=4711 MT-PRIORITY=-3"),
        (MailOptions(by_mode=ByMode.RETURN, by_trace=True), {"by_seconds": 120}, b"SIZE=4711 BY=120;RT"),
        (MailOptions(by_mode=ByMode.NOTIFY), {"by_seconds": -60}, b"SIZE=4711 BY=-60;N"),
        (MailOptions(by_mode=ByMode.NOTIFY), {"by_seconds": -(10**12)}, b"SIZE=4711 BY=-999999999;N"),
    ],
)
def test_mail_says_what_is_asked_for(options: MailOptions, more: dict[str, Any], expected: bytes) -> None:
    assert mail(options, **more) == b"MAIL FROM:<ann@example.org> " + expected + b"\r\n"


def test_mail_says_nothing_that_is_not_offered() -> None:
    options = MailOptions(
        ret=Return.FULL, envid="x", require_tls=True, priority=5, by_mode=ByMode.NOTIFY, by_trace=True
    )
    assert mail(options, NO_EXTENSIONS) == b"MAIL FROM:<ann@example.org>\r\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (NO_RCPT_OPTIONS, b""),
        (RcptOptions(notify=Notify.NEVER), b" NOTIFY=NEVER"),
        (RcptOptions(notify=Notify.SUCCESS | Notify.DELAY), b" NOTIFY=SUCCESS,DELAY"),
        (RcptOptions(original="rfc822;Dana@Ivory.EDU"), b" ORCPT=rfc822;Dana@Ivory.EDU"),
        (RcptOptions(original="rfc822;a+b@example.org"), b" ORCPT=rfc822;a+2Bb@example.org"),
        (RcptOptions(original="rfc822;a b\r\n@x"), b" ORCPT=rfc822;a+20b??@x"),
        # RFC 6533 §3: beyond ASCII only in the form that travels without SMTPUTF8.
        (RcptOptions(original="rfc822;jörg@x"), rb" ORCPT=utf-8;j\x{F6}rg@x"),
        (RcptOptions(original="utf-8;a\\b@x"), rb" ORCPT=utf-8;a\x{5C}b@x"),
        (RcptOptions(original="rfc822;" + "x" * 500), b""),
        (RcptOptions(original="no address"), b""),
        (RcptOptions(original="bad type;x"), b""),
    ],
)
def test_rcpt(options: RcptOptions, expected: bytes) -> None:
    said = rcpt_line("bob@example.net", options, ALL, smtputf8=False)
    assert said == b"RCPT TO:<bob@example.net>" + expected + b"\r\n"
    assert (
        rcpt_line("bob@example.net", options, NO_EXTENSIONS, smtputf8=False)
        == b"RCPT TO:<bob@example.net>\r\n"
    )


def test_hello() -> None:
    assert hello_line("EHLO", "mail.example.org") == b"EHLO mail.example.org\r\n"
    assert hello_line("LHLO", "bücher.example") == b"LHLO xn--bcher-kva.example\r\n"
    assert hello_line("HELO", "[192.0.2.1]") == b"HELO [192.0.2.1]\r\n"


def test_xtext_of_the_rfc() -> None:
    # RFC 3461 §4
    assert xtext("+=! ~\t") == b"+2B+3D!+20~+09"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80), st.booleans())
def test_whatever_an_address_holds_one_line_is_said(address: str, utf8: bool) -> None:
    for text in (address, f'"{address}"@example.org', f"{address}@example.org"):
        try:
            line = rcpt_line(text, RcptOptions(original=f"rfc822;{address}"), ALL, smtputf8=utf8)
        except CannotBeSaid:
            continue
        assert line.endswith(b"\r\n")
        assert not {0, 10, 13} & set(line[:-2])
        if text:
            # Our own server, which is strict, reads the same address back.
            command = parse_command(line[:-2].partition(b" ORCPT=")[0])
            assert isinstance(command, RcptCommand)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.integers(-9, 9), st.sampled_from(Return), st.booleans())
def test_our_own_server_understands_our_mail(envid: str, priority: int, ret: Return, utf8: bool) -> None:
    options = MailOptions(envid=envid, priority=priority, ret=ret)
    line = mail(options, smtputf8=utf8, body=BodyType.EIGHT_BIT_MIME)
    assert not {0, 10, 13} & set(line[:-2])
    command = parse_command(line[:-2])
    assert isinstance(command, MailCommand)
    assert command.size == 4711
    assert (command.options.ret, command.options.priority, command.options.smtputf8) == (ret, priority, utf8)
