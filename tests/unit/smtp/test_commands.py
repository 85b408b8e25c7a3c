"""The grammar of commands: lines of the RFCs, of real clients, and of neither."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.core.address import Address
from postino.core.ids import Instant
from postino.smtp import replies
from postino.smtp.commands import (
    AuthCommand,
    BdatCommand,
    Command,
    Greeting,
    HelloCommand,
    MailCommand,
    RcptCommand,
    SimpleCommand,
    VrfyCommand,
    parse_command,
)
from postino.smtp.envelope import BodyType, ByMode, MailOptions, Notify, RcptOptions, Return
from postino.smtp.parameters import Hold, read_mail_parameters, read_rcpt_parameters
from postino.smtp.reply import BadCommand, Reply

GOOD: list[tuple[str, Command]] = [
    # RFC 5321 §4.1.1.1, appendix D
    ("EHLO bar.com", HelloCommand(Greeting.EHLO, "bar.com")),
    ("ehlo [192.0.2.1]", HelloCommand(Greeting.EHLO, "[192.0.2.1]")),
    ("HELO windows_pc", HelloCommand(Greeting.HELO, "windows_pc")),
    ("LHLO foo.edu", HelloCommand(Greeting.LHLO, "foo.edu")),
    ("MAIL FROM:<Smith@bar.com>", MailCommand(Address("Smith", "bar.com"))),
    ("mail from:<smith@BAR.com>", MailCommand(Address("smith", "bar.com"))),
    ("RCPT TO:<Jones@foo.com>", RcptCommand(Address("Jones", "foo.com"))),
    # §4.1.1.2, §4.5.5: the null reverse-path
    ("MAIL FROM:<>", MailCommand(None)),
    ("MAIL FROM:<> SIZE=5", MailCommand(None, 5)),
    # §4.1.1.3, appendix C: source routes are forgotten
    ("RCPT TO:<@hosta.int,@jkl.org:userc@d.bar.org>", RcptCommand(Address("userc", "d.bar.org"))),
    # §4.5.1
    ("RCPT TO:<Postmaster>", RcptCommand(Address("postmaster", ""))),
    ("RCPT TO:<postmaster@foo.com>", RcptCommand(Address("postmaster", "foo.com"))),
    # §4.1.2: quoted strings and pairs
    ('RCPT TO:<"joe smith"@foo.com>', RcptCommand(Address("joe smith", "foo.com"))),
    ('RCPT TO:<"a\\"b\\\\c"@foo.com>', RcptCommand(Address('a"b\\c', "foo.com"))),
    ('RCPT TO:<"a>b"@foo.com>', RcptCommand(Address("a>b", "foo.com"))),
    ('RCPT TO:<"a> b"@foo.com>', RcptCommand(Address("a> b", "foo.com"))),
    ('RCPT TO:<"a@b"@foo.com>', RcptCommand(Address("a@b", "foo.com"))),
    ("RCPT TO:<a!#$%&'*+-/=?^_`{|}~b@foo.com>", RcptCommand(Address("a!#$%&'*+-/=?^_`{|}~b", "foo.com"))),
    # §4.1.3
    ("RCPT TO:<joe@[192.0.2.1]>", RcptCommand(Address("joe", "[192.0.2.1]"))),
    ("RCPT TO:<joe@[IPv6:2001:DB8::1]>", RcptCommand(Address("joe", "[ipv6:2001:db8::1]"))),
    ("RCPT TO:<joe@[x400:thing]>", RcptCommand(Address("joe", "[x400:thing]"))),
    # A final dot names the same domain
    ("RCPT TO:<joe@foo.com.>", RcptCommand(Address("joe", "foo.com"))),
    # Spaces many clients send
    ("MAIL FROM: <a@b.c>", MailCommand(Address("a", "b.c"))),
    ("MAIL FROM:<a@b.c> ", MailCommand(Address("a", "b.c"))),
    ("RCPT TO: <a@b.c>  ", RcptCommand(Address("a", "b.c"))),
    # Dots in odd places, as given out by Japanese carriers
    ("RCPT TO:<jo..e.@example.jp>", RcptCommand(Address("jo..e.", "example.jp"))),
    # RFC 1870 §6.1, RFC 6152 §3, RFC 3030 §4.1
    (
        "MAIL FROM:<ned@thor.innosoft.com> SIZE=500000",
        MailCommand(Address("ned", "thor.innosoft.com"), 500_000),
    ),
    (
        "MAIL FROM:<ned@ymir.claremont.edu> BODY=8BITMIME",
        MailCommand(Address("ned", "ymir.claremont.edu"), options=MailOptions(body=BodyType.EIGHT_BIT_MIME)),
    ),
    (
        "MAIL FROM:<ned@ymir.claremont.edu> BODY=BINARYMIME",
        MailCommand(Address("ned", "ymir.claremont.edu"), options=MailOptions(body=BodyType.BINARY_MIME)),
    ),
    ("mail from:<a@b.c> body=7bit size=1", MailCommand(Address("a", "b.c"), 1)),
    ("BDAT 86 LAST", BdatCommand(86, True)),
    ("bdat 100000", BdatCommand(100_000, False)),
    ("BDAT 0 last", BdatCommand(0, True)),
    # RFC 6531 §3.3
    (
        "MAIL FROM:<ü@exämple.org> SMTPUTF8",
        MailCommand(Address("ü", "exämple.org"), options=MailOptions(smtputf8=True)),
    ),
    ("RCPT TO:<дядя@пример.рф>", RcptCommand(Address("дядя", "пример.рф"))),
    # RFC 4954 §5
    ("MAIL FROM:<e=mc2@example.com> AUTH=e+3Dmc2@example.com", MailCommand(Address("e=mc2", "example.com"))),
    ("MAIL FROM:<a@b.c> AUTH=<>", MailCommand(Address("a", "b.c"))),
    # RFC 3461 §10.1, §10.3 (examples), §4.1 (any case)
    (
        "MAIL FROM:<Alice@Example.ORG> RET=HDRS ENVID=QQ314159",
        MailCommand(
            Address("Alice", "example.org"), options=MailOptions(ret=Return.HEADERS, envid="QQ314159")
        ),
    ),
    (
        "RCPT TO:<Bob@Example.COM> NOTIFY=SUCCESS ORCPT=rfc822;Bob@Example.COM",
        RcptCommand(
            Address("Bob", "example.com"),
            RcptOptions(notify=Notify.SUCCESS, original="rfc822;Bob@Example.COM"),
        ),
    ),
    (
        "RCPT TO:<Dana@Ivory.EDU> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Dana@Ivory.EDU",
        RcptCommand(
            Address("Dana", "ivory.edu"),
            RcptOptions(notify=Notify.SUCCESS | Notify.FAILURE, original="rfc822;Dana@Ivory.EDU"),
        ),
    ),
    ("RCPT TO:<a@b.c> notify=never", RcptCommand(Address("a", "b.c"), RcptOptions(notify=Notify.NEVER))),
    ("RCPT TO:<a@b.c> NOTIFY=delay", RcptCommand(Address("a", "b.c"), RcptOptions(notify=Notify.DELAY))),
    # §4: xtext
    (
        "MAIL FROM:<a@b.c> ENVID=a+2Bb+3Dc+20d",
        MailCommand(Address("a", "b.c"), options=MailOptions(envid="a+b=c d")),
    ),
    (
        "RCPT TO:<+@b.c> ORCPT=rfc822;+2B@b.c",
        RcptCommand(Address("+", "b.c"), RcptOptions(original="rfc822;+@b.c")),
    ),
    # RFC 6533 §3
    (
        "RCPT TO:<a@b.c> ORCPT=utf-8;\\x{FC}\\x{2B}@b.c",
        RcptCommand(Address("a", "b.c"), RcptOptions(original="utf-8;ü+@b.c")),
    ),
    (
        "RCPT TO:<ü@b.c> ORCPT=utf-8;ü@b.c",
        RcptCommand(Address("ü", "b.c"), RcptOptions(original="utf-8;ü@b.c")),
    ),
    # RFC 8689 §2
    ("MAIL FROM:<a@b.c> REQUIRETLS", MailCommand(Address("a", "b.c"), options=MailOptions(require_tls=True))),
    # RFC 6710 §8, RFC 2852 §6
    (
        "MAIL FROM:<eljefe@example.com> BY=125;R ENVID=QQ314159 MT-PRIORITY=3",
        MailCommand(
            Address("eljefe", "example.com"),
            options=MailOptions(by_mode=ByMode.RETURN, envid="QQ314159", priority=3),
            by_seconds=125,
        ),
    ),
    ("MAIL FROM:<a@b.c> MT-PRIORITY=-9", MailCommand(Address("a", "b.c"), options=MailOptions(priority=-9))),
    (
        "MAIL FROM:<eljefe@bigbiz.com> BY=120;R",
        MailCommand(
            Address("eljefe", "bigbiz.com"), options=MailOptions(by_mode=ByMode.RETURN), by_seconds=120
        ),
    ),
    (
        "MAIL FROM:<a@b.c> BY=-5;nt",
        MailCommand(
            Address("a", "b.c"), options=MailOptions(by_mode=ByMode.NOTIFY, by_trace=True), by_seconds=-5
        ),
    ),
    # RFC 4865 §3
    (
        "MAIL FROM:<a@b.c> HOLDFOR=86400",
        MailCommand(
            Address("a", "b.c"), options=MailOptions(hold="for;86400"), hold=Hold(86400, text="for;86400")
        ),
    ),
    (
        "MAIL FROM:<a@b.c> HOLDUNTIL=2026-01-01T00:00:01Z",
        MailCommand(
            Address("a", "b.c"),
            options=MailOptions(hold="until;2026-01-01T00:00:01Z"),
            hold=Hold(until=Instant(1_767_225_601), text="until;2026-01-01T00:00:01Z"),
        ),
    ),
    # RFC 4954 §4.1
    ("AUTH PLAIN dGVzdAB0ZXN0ADEyMzQ=", AuthCommand("PLAIN", b"test\0test\x001234")),
    ("AUTH plain", AuthCommand("PLAIN", None)),
    ("AUTH EXTERNAL =", AuthCommand("EXTERNAL", b"")),
    ("AUTH SCRAM-SHA-256-PLUS", AuthCommand("SCRAM-SHA-256-PLUS", None)),
    ("STARTTLS", SimpleCommand.STARTTLS),
    ("DATA", SimpleCommand.DATA),
    ("data ", SimpleCommand.DATA),
    ("RSET", SimpleCommand.RSET),
    ("QUIT", SimpleCommand.QUIT),
    ("NOOP", SimpleCommand.NOOP),
    ("NOOP whatever", SimpleCommand.NOOP),
    ("HELP", SimpleCommand.HELP),
    ("HELP MAIL", SimpleCommand.HELP),
    ("EXPN list", SimpleCommand.EXPN),
    ("VRFY Smith", VrfyCommand("Smith")),
]


@pytest.mark.parametrize(("line", "command"), GOOD, ids=[line for line, _ in GOOD])
def test_good_lines(line: str, command: Command) -> None:
    assert parse_command(line.encode()) == command


def bad(name: str) -> Reply:
    """The refusal that says what the parameter's value must be."""
    return replies.BAD_VALUES[name]


BAD: list[tuple[bytes, Reply]] = [
    (b"", replies.UNKNOWN_COMMAND),
    (b" EHLO x", replies.UNKNOWN_COMMAND),
    (b"WIZ", replies.UNKNOWN_COMMAND),
    (b"GET / HTTP/1.1", replies.UNKNOWN_COMMAND),
    (b"MAILFROM:<a@b>", replies.UNKNOWN_COMMAND),
    (b"\xff\xfe", replies.UNKNOWN_COMMAND),
    (b"EHLO", replies.BAD_HELO),
    (b"EHLO ", replies.BAD_HELO),
    (b"EHLO a b", replies.BAD_HELO),
    (b"EHLO \xff", replies.BAD_HELO),
    (b"MAIL", replies.BAD_MAIL),
    (b"MAIL FROM:", replies.BAD_MAIL),
    (b"MAIL FROM:a@b.c", replies.BAD_MAIL),
    (b"MAIL FROM:<a@b.c", replies.BAD_MAIL),
    (b"MAIL FROM:<a@b.c>SIZE=1", replies.BAD_MAIL),
    (b"MAIL FROM:<<a@b.c>>", replies.BAD_MAIL),
    (b"MAIL FROM:<\xff@b.c>", replies.BAD_MAIL),
    (b"MAIL TO:<a@b.c>", replies.BAD_MAIL),
    (b"MAIL FROM:<a>", replies.BAD_SENDER),
    (b"MAIL FROM:<@b.c>", replies.BAD_SENDER),
    (b"MAIL FROM:<a@>", replies.BAD_SENDER),
    (b"MAIL FROM:<a@b c>", replies.BAD_SENDER),
    (b"MAIL FROM:<a@-b.c>", replies.BAD_SENDER),
    (b"MAIL FROM:<a@b-.c>", replies.BAD_SENDER),
    (b"MAIL FROM:<a@b..c>", replies.BAD_SENDER),
    (b"MAIL FROM:<a b@b.c>", replies.BAD_SENDER),
    (b"MAIL FROM:<a@[1.2.3]>", replies.BAD_SENDER),
    (b"MAIL FROM:<a@[1.2.3.256]>", replies.BAD_SENDER),
    (b"MAIL FROM:<a@[IPv6:fe80::1%eth0]>", replies.BAD_SENDER),
    (b"MAIL FROM:<a@" + b"b" * 256 + b">", replies.BAD_SENDER),
    (b"MAIL FROM:<Postmaster>", replies.BAD_SENDER),
    ("MAIL FROM:<\x85a@b.c> SMTPUTF8".encode(), replies.BAD_SENDER),
    ("MAIL FROM:<ü@b.c>".encode(), replies.SMTPUTF8_NEEDED),
    ("MAIL FROM:<ü@b.c> SIZE=1".encode(), replies.SMTPUTF8_NEEDED),
    (b"MAIL FROM:<a@b.c> SIZE=x", bad("SIZE")),
    (b"MAIL FROM:<a@b.c> SIZE", bad("SIZE")),
    (b"MAIL FROM:<a@b.c> SIZE=" + b"1" * 21, bad("SIZE")),
    (b"MAIL FROM:<a@b.c> SIZE=1 SIZE=1", replies.BAD_PARAMETER),
    (b"MAIL FROM:<a@b.c> BODY=9BIT", bad("BODY")),
    (b"MAIL FROM:<a@b.c> RET=ALL", bad("RET")),
    (b"MAIL FROM:<a@b.c> RET=", replies.BAD_PARAMETER),
    (b"MAIL FROM:<a@b.c> RET=FULL ret=FULL", replies.BAD_PARAMETER),
    (b"MAIL FROM:<a@b.c> ENVID", bad("ENVID")),
    (b"MAIL FROM:<a@b.c> ENVID=a+", bad("ENVID")),
    (b"MAIL FROM:<a@b.c> ENVID=a+2b", bad("ENVID")),
    (b"MAIL FROM:<a@b.c> ENVID=a+00", bad("ENVID")),
    (b"MAIL FROM:<a@b.c> ENVID=a+0Ab", bad("ENVID")),
    (b"MAIL FROM:<a@b.c> ENVID=a+FC", bad("ENVID")),
    ("MAIL FROM:<a@b.c> SMTPUTF8 ENVID=ü".encode(), bad("ENVID")),
    (b"MAIL FROM:<a@b.c> ENVID=" + b"a" * 101, bad("ENVID")),
    (b"MAIL FROM:<a@b.c> REQUIRETLS=yes", bad("REQUIRETLS")),
    (b"MAIL FROM:<a@b.c> MT-PRIORITY=10", bad("MT-PRIORITY")),
    (b"MAIL FROM:<a@b.c> MT-PRIORITY=-0", bad("MT-PRIORITY")),
    (b"MAIL FROM:<a@b.c> MT-PRIORITY=+1", bad("MT-PRIORITY")),
    (b"MAIL FROM:<a@b.c> MT-PRIORITY", bad("MT-PRIORITY")),
    (b"MAIL FROM:<a@b.c> BY", bad("BY")),
    (b"MAIL FROM:<a@b.c> BY=1", bad("BY")),
    (b"MAIL FROM:<a@b.c> BY=0;R", bad("BY")),
    (b"MAIL FROM:<a@b.c> BY=-1;R", bad("BY")),
    (b"MAIL FROM:<a@b.c> BY=1;X", bad("BY")),
    (b"MAIL FROM:<a@b.c> BY=1;RTT", bad("BY")),
    (b"MAIL FROM:<a@b.c> BY=1234567890;N", bad("BY")),
    (b"MAIL FROM:<a@b.c> HOLDFOR=0", bad("HOLDFOR")),
    (b"MAIL FROM:<a@b.c> HOLDFOR=-5", bad("HOLDFOR")),
    (b"MAIL FROM:<a@b.c> HOLDFOR=1234567890", bad("HOLDFOR")),
    (b"MAIL FROM:<a@b.c> HOLDUNTIL=tomorrow", bad("HOLDUNTIL")),
    (b"MAIL FROM:<a@b.c> HOLDUNTIL=2026-02-30T00:00:00Z", bad("HOLDUNTIL")),
    (b"MAIL FROM:<a@b.c> HOLDUNTIL=2026-02-01T25:00:00Z", bad("HOLDUNTIL")),
    (b"MAIL FROM:<a@b.c> HOLDUNTIL=2026-02-01T00:00:00+02:00", bad("HOLDUNTIL")),
    (b"MAIL FROM:<a@b.c> HOLDFOR=5 HOLDUNTIL=2026-02-01T00:00:00Z", bad("HOLDUNTIL")),
    (b"MAIL FROM:<a@b.c> NOTIFY=NEVER", replies.UNKNOWN_PARAMETER),
    (b"RCPT TO:<a@b.c> NOTIFY", bad("NOTIFY")),
    (b"RCPT TO:<a@b.c> NOTIFY=NEVER,DELAY", bad("NOTIFY")),
    (b"RCPT TO:<a@b.c> NOTIFY=SUCCESS,", bad("NOTIFY")),
    (b"RCPT TO:<a@b.c> NOTIFY=WHENEVER", bad("NOTIFY")),
    (b"RCPT TO:<a@b.c> NOTIFY=DELAY NOTIFY=DELAY", replies.BAD_PARAMETER),
    (b"RCPT TO:<a@b.c> ORCPT=a@b.c", bad("ORCPT")),
    (b"RCPT TO:<a@b.c> ORCPT=;a@b.c", bad("ORCPT")),
    (b"RCPT TO:<a@b.c> ORCPT=rfc822;", bad("ORCPT")),
    (b"RCPT TO:<a@b.c> ORCPT=rfc822;+C3+BC@b.c", bad("ORCPT")),
    (b"RCPT TO:<a@b.c> ORCPT=utf-8;\\x{D800}@b.c", bad("ORCPT")),
    (b"RCPT TO:<a@b.c> ORCPT=utf-8;\\x{FFFFFF}@b.c", bad("ORCPT")),
    (b"RCPT TO:<a@b.c> ORCPT=utf-8;\\x{0A}@b.c", bad("ORCPT")),
    (b"RCPT TO:<a@b.c> ORCPT=rfc822;" + b"a" * 500, bad("ORCPT")),
    (b"RCPT TO:<a@b.c> RET=FULL", replies.UNKNOWN_PARAMETER),
    (b"MAIL FROM:<a@b.c> BODY", bad("BODY")),
    (b"MAIL FROM:<a@b.c> SMTPUTF8=yes", bad("SMTPUTF8")),
    (b"MAIL FROM:<a@b.c> AUTH", bad("AUTH")),
    (b"MAIL FROM:<a@b.c> AUTH=a+zz", bad("AUTH")),
    (b"MAIL FROM:<a@b.c> =1", replies.BAD_PARAMETER),
    (b"MAIL FROM:<a@b.c> FUTURE=1", replies.UNKNOWN_PARAMETER),
    (b"RCPT TO:", replies.BAD_RCPT),
    (b"RCPT TO:<>", replies.BAD_RECIPIENT),
    (b"RCPT TO:<a@b@c>", replies.BAD_RECIPIENT),
    (b'RCPT TO:<"a@b.c>', replies.BAD_RCPT),
    (b"DATA now", replies.NO_ARGUMENT_ALLOWED),
    (b"RSET x", replies.NO_ARGUMENT_ALLOWED),
    (b"QUIT x", replies.NO_ARGUMENT_ALLOWED),
    (b"STARTTLS x", replies.NO_ARGUMENT_ALLOWED),
    (b"AUTH", replies.BAD_AUTH),
    (b"AUTH PLAIN a b", replies.BAD_AUTH),
    (b"AUTH PL@IN", replies.BAD_AUTH),
    (b"AUTH PLAIN %%%", replies.BAD_BASE64),
    (b"AUTH PLAIN abc", replies.BAD_BASE64),
    (b"VRFY", replies.BAD_VRFY),
]


@pytest.mark.parametrize(("line", "reply"), BAD)
def test_bad_lines(line: bytes, reply: Reply) -> None:
    with pytest.raises(BadCommand) as caught:
        parse_command(line)
    assert caught.value.reply is reply
    assert not caught.value.fatal


@pytest.mark.parametrize(
    "line",
    [
        b"BDAT",
        b"BDAT ",
        b"BDAT x",
        b"BDAT -1",
        b"BDAT 5 FIRST",
        b"BDAT 5LAST",
        b"BDAT \xff",
        b"BDAT " + b"1" * 21,
    ],
)
def test_a_bdat_that_cannot_be_read_ends_the_session(line: bytes) -> None:
    with pytest.raises(BadCommand) as caught:
        parse_command(line)
    assert caught.value.fatal


@given(
    st.one_of(
        st.binary(max_size=60),
        st.tuples(
            st.sampled_from([b"MAIL FROM:", b"RCPT TO:", b"AUTH ", b"EHLO ", b"BDAT ", b"VRFY "]),
            st.text(alphabet='<>@"\\.,:[]= aB1é+-\0\x85\u2028', max_size=30).map(str.encode),
        ).map(b"".join),
    )
)
def test_any_line_gives_a_command_or_a_refusal(line: bytes) -> None:
    with contextlib.suppress(BadCommand):
        parse_command(line)


_PARAMETER_WORDS = st.sampled_from(
    [
        "SIZE",
        "BODY",
        "SMTPUTF8",
        "RET",
        "ENVID",
        "NOTIFY",
        "ORCPT",
        "REQUIRETLS",
        "MT-PRIORITY",
        "BY",
        "HOLDFOR",
        "HOLDUNTIL",
        "AUTH",
        "X",
    ]
)
_PARAMETER_VALUES = st.one_of(
    st.text(alphabet="0159-+;:,.RNTZ=rfc8utxSUCENVR{}\\ü", max_size=25),
    st.sampled_from(
        [
            "HDRS",
            "FULL",
            "NEVER",
            "SUCCESS,DELAY",
            "2026-01-01T00:00:00Z",
            "1;N",
            "-1;R",
            "rfc822;a+2Bb",
            "utf-8;\\x{FC}",
        ]
    ),
)


@given(st.lists(st.tuples(_PARAMETER_WORDS, st.none() | _PARAMETER_VALUES), max_size=4))
def test_any_parameters_give_a_command_or_a_refusal(parameters: list[tuple[str, str | None]]) -> None:
    text = "".join(f" {name}" if value is None else f" {name}={value}" for name, value in parameters)
    for line in (f"MAIL FROM:<a@b.c>{text}", f"RCPT TO:<a@b.c>{text}"):
        with contextlib.suppress(BadCommand):
            parse_command(line.encode())


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30))
def test_xtext_is_decoded_to_what_was_encoded(text: str) -> None:
    encoded = "".join(f"+{ord(ch):02X}" if ch in "+= " else ch for ch in text)
    assert read_mail_parameters(f" ENVID={encoded}").options.envid == text
    assert read_rcpt_parameters(f" ORCPT=x400;{encoded}").original == f"x400;{text}"


@given(st.from_regex(r"[a-z \"\\.@+]{1,20}", fullmatch=True), st.sampled_from(["example.org", "[192.0.2.1]"]))
def test_an_address_written_out_is_read_back(local_part: str, domain: str) -> None:
    address = Address(local_part, domain)
    assert parse_command(f"RCPT TO:<{address}>".encode()) == RcptCommand(address)


@pytest.mark.parametrize(
    "filling", ["a.", "a-", "-", "@a,", "<", ">", '"', "\\", "<>", " =", '"<', "a@", '\\"']
)
def test_hostile_lines_take_linear_time(filling: str) -> None:
    # With backtracking these would run for minutes, and the test's time-out would end them.
    for start in ("MAIL FROM:<", 'RCPT TO:<"', "MAIL FROM:<a@b> ", "EHLO "):
        with pytest.raises(BadCommand):
            parse_command((start + filling * 20_000 + "\x01").encode())
