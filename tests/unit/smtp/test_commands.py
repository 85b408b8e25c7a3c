"""The grammar of commands: lines of the RFCs, of real clients, and of neither."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.core.address import Address
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
from postino.smtp.envelope import BodyType
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
        MailCommand(Address("ned", "ymir.claremont.edu"), body=BodyType.EIGHT_BIT_MIME),
    ),
    (
        "MAIL FROM:<ned@ymir.claremont.edu> BODY=BINARYMIME",
        MailCommand(Address("ned", "ymir.claremont.edu"), body=BodyType.BINARY_MIME),
    ),
    ("mail from:<a@b.c> body=7bit size=1", MailCommand(Address("a", "b.c"), 1)),
    ("BDAT 86 LAST", BdatCommand(86, True)),
    ("bdat 100000", BdatCommand(100_000, False)),
    ("BDAT 0 last", BdatCommand(0, True)),
    # RFC 6531 §3.3
    ("MAIL FROM:<ü@exämple.org> SMTPUTF8", MailCommand(Address("ü", "exämple.org"), smtputf8=True)),
    ("RCPT TO:<дядя@пример.рф>", RcptCommand(Address("дядя", "пример.рф"))),
    # RFC 4954 §5
    ("MAIL FROM:<e=mc2@example.com> AUTH=e+3Dmc2@example.com", MailCommand(Address("e=mc2", "example.com"))),
    ("MAIL FROM:<a@b.c> AUTH=<>", MailCommand(Address("a", "b.c"))),
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
    (b"MAIL FROM:<a@b.c> SIZE=x", replies.BAD_PARAMETER),
    (b"MAIL FROM:<a@b.c> SIZE", replies.BAD_PARAMETER),
    (b"MAIL FROM:<a@b.c> SIZE=" + b"1" * 21, replies.BAD_PARAMETER),
    (b"MAIL FROM:<a@b.c> SIZE=1 SIZE=1", replies.BAD_PARAMETER),
    (b"MAIL FROM:<a@b.c> BODY=9BIT", replies.BAD_PARAMETER),
    (b"MAIL FROM:<a@b.c> BODY", replies.BAD_PARAMETER),
    (b"MAIL FROM:<a@b.c> SMTPUTF8=yes", replies.BAD_PARAMETER),
    (b"MAIL FROM:<a@b.c> AUTH", replies.BAD_PARAMETER),
    (b"MAIL FROM:<a@b.c> AUTH=a+zz", replies.BAD_PARAMETER),
    (b"MAIL FROM:<a@b.c> =1", replies.BAD_PARAMETER),
    (b"MAIL FROM:<a@b.c> FUTURE=1", replies.UNKNOWN_PARAMETER),
    (b"RCPT TO:", replies.BAD_RCPT),
    (b"RCPT TO:<>", replies.BAD_RECIPIENT),
    (b"RCPT TO:<a@b@c>", replies.BAD_RECIPIENT),
    (b'RCPT TO:<"a@b.c>', replies.BAD_RCPT),
    (b"RCPT TO:<a@b.c> NOTIFY=NEVER", replies.UNKNOWN_PARAMETER),
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
