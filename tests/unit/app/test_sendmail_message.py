"""What programs write to sendmail, and the message that comes of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.app.sendmail_message import BadMessage, Message, Writer, make_message
from postino.core.ids import Instant

WRITER = Writer("www-data", "mail.example.org", Instant(1_767_225_600), "unique")
DATE = b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n"
FROM = b"From: <www-data@mail.example.org>\r\n"
ID = b"Message-ID: <unique@mail.example.org>\r\n"


def make(raw: bytes, *recipients: str, **given: object) -> Message:
    options: dict[str, object] = {
        "writer": WRITER, "sender": None, "full_name": "", "from_header": False, "ignore_dots": True,
    }  # fmt: skip
    return make_message(raw, recipients=recipients, **{**options, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "octets"),
    [
        (b"Subject: hi\n\nHello.\n", DATE + FROM + ID + b"Subject: hi\r\n\r\nHello.\r\n"),
        (b"Subject: hi\r\n\r\nHello.", DATE + FROM + ID + b"Subject: hi\r\n\r\nHello.\r\n"),
        # PHP: a header with CR LF, a body with LF; and sendmail wrappers that make CR CR LF.
        (b"Subject: hi\r\r\nTo: a@b.example\r\n\nHello.\n", DATE + FROM + ID + b"Subject: hi\r\nTo: a@b.example\r\n\r\nHello.\r\n"),
        (b"From ann Thu Jan  1 00:00:00 2026\nSubject: hi\n\nFrom here\n", DATE + FROM + ID + b"Subject: hi\r\n\r\nFrom here\r\n"),
        (b"no header\nat all\n", DATE + FROM + ID + b"\r\nno header\r\nat all\r\n"),
        (b"Subject: hi\nno field\nBcc: x\n", DATE + FROM + ID + b"Subject: hi\r\n\r\nno field\r\nBcc: x\r\n"),
        (b"", DATE + FROM + ID + b"\r\n"),
        (b"Subject: a\n", DATE + FROM + ID + b"Subject: a\r\n\r\n"),
        (b"Date: d\nFrom: f@g.example\nMessage-ID: <m@n>\n\nx\n", b"Date: d\r\nFrom: f@g.example\r\nMessage-ID: <m@n>\r\n\r\nx\r\n"),
        (b"DATE : d\nfrom: f@g.example\nMessage-Id: <m@n>\nBcc: secret@example.net,\n other@example.net\nReturn-Path: <x>\nSubject: s\n\nBcc: stays\n", b"DATE:" + b" d\r\nfrom: f@g.example\r\nMessage-Id: <m@n>\r\nSubject: s\r\n\r\nBcc: stays\r\n"),
        # A CR that ends no line begins no field either.
        (b"Subject: hi\rBcc: evil@example.net\n\na\rb\n", DATE + FROM + ID + b"Subject: hi Bcc: evil@example.net\r\n\r\na b\r\n"),
    ],
)  # fmt: skip
def test_a_message_is_made_whole(raw: bytes, octets: bytes) -> None:
    assert make(raw, "bob@example.net").octets == octets


def test_cron_writes_to_users_of_the_machine() -> None:
    made = make(
        b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> test\n\nout\n",
        sender="root",
        from_header=True,
    )
    assert made.sender == "root@mail.example.org"
    assert made.recipients == ("root@mail.example.org",)
    assert b"From: root@mail.example.org (Cron Daemon)\r\nTo: root@mail.example.org\r\n" in made.octets


@pytest.mark.parametrize(
    ("field", "qualified"),
    [
        (b"root", b"root@h.example"),
        (b"Ann <ann>, bob@example.net, carl", b"Ann <ann@h.example>, bob@example.net, carl@h.example"),
        (b'"Root, at (home)" <root>', b'"Root, at (home)" <root@h.example>'),
        (b"friends: ann, bob@x.example;", b"friends: ann@h.example, bob@x.example;"),
        (b"undisclosed-recipients:;", b"undisclosed-recipients:;"),
        (b"(ann) root (a, (b) c)", b"(ann) root@h.example (a, (b) c)"),
        (b"Ann Example <ann@example.org>", b"Ann Example <ann@example.org>"),
        (b"<>", b"<>"),
        (b"", b""),
    ],
)
def test_addresses_in_the_header_get_a_domain(field: bytes, qualified: bytes) -> None:
    writer = Writer("u", "h.example", WRITER.now, "x")
    made = make(b"To: " + field + b"\n\n", "bob@example.net", writer=writer)
    assert b"\r\nTo: " + qualified + b"\r\n" in made.octets


@pytest.mark.parametrize(
    ("raw", "arguments", "recipients"),
    [
        (b"To: Ann <ann@example.org>, bob\nCc: c@d.example\nBcc: e@f.example\n\n", (), ("ann@example.org", "bob@mail.example.org", "c@d.example", "e@f.example")),
        (b"To: ann@example.org\n\n", ("bob@example.net", "ANN@example.org"), ("bob@example.net", "ANN@example.org", "ann@example.org")),
        (b"To: ann@example.org\n\n", ("ann@example.org",), ("ann@example.org",)),
        # RFC 5322 §3.6.6: what was sent on goes to those it was sent on to.
        (b"Resent-To: new@example.net\nTo: old@example.net\n\n", (), ("new@example.net",)),
        (b"Resent-Bcc: new@example.net\nResent-From: x@y.example\nTo: old@example.net\n\n", (), ("new@example.net",)),
        (b"To: friends: a@b.example, c@d.example;\n\n", (), ("a@b.example", "c@d.example")),
        (b'To: "odd one"@example.net, x@[192.0.2.1]\n\n', (), ('"odd one"@example.net', "x@[192.0.2.1]")),
        (b"\n", ("a@b.example, Carl <c@d.example>",), ("a@b.example", "c@d.example")),
    ],
)  # fmt: skip
def test_who_gets_it(raw: bytes, arguments: tuple[str, ...], recipients: tuple[str, ...]) -> None:
    assert make(raw, *arguments, from_header=True).recipients == recipients


@pytest.mark.parametrize(
    ("raw", "arguments", "sentence"),
    [
        (b"Subject: x\n\n", (), "The message names no recipient in To, Cc or Bcc"),
        (b"To: undisclosed-recipients:;\n\n", (), "The message names no recipient in To, Cc or Bcc"),
        (b"\n", ("ann@a..example",), "'a..example' is not a domain name; write one such as example.org"),
    ],
)
def test_without_an_address_nothing_is_sent(raw: bytes, arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(BadMessage) as caught:
        make(raw, *arguments, from_header=True)
    assert str(caught.value) == sentence


def test_a_dot_ends_the_message_unless_it_is_told_not_to() -> None:
    raw = b"Subject: x\n\na\n.\nb\n"
    assert make(raw, "a@b.example").octets.endswith(b"\r\n\r\na\r\n.\r\nb\r\n")
    assert make(raw, "a@b.example", ignore_dots=False).octets.endswith(b"\r\n\r\na\r\n")


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("Cron Daemon", b"From: Cron Daemon <www-data@mail.example.org>\r\n"),
        ('Ann "Q" Example, Dr.', b'From: "Ann \\"Q\\" Example, Dr." <www-data@mail.example.org>\r\n'),
        ("Jürgen", b"From: =?utf-8?b?SsO8cmdlbg==?= <www-data@mail.example.org>\r\n"),
        ("a\nBcc: evil@example.net", b'From: "a Bcc: evil@example.net" <www-data@mail.example.org>\r\n'),
    ],
)
def test_a_full_name_stands_in_a_from_that_was_missing(name: str, field: bytes) -> None:
    assert field in make(b"\n", "a@b.example", full_name=name).octets


def test_a_long_name_is_folded() -> None:
    octets = make(b"\n", "a@b.example", full_name="ü" * 50).octets
    assert max(map(len, octets.split(b"\r\n"))) < 78
    assert octets.count(b"=?utf-8?b?") == 3


def test_the_sender_may_be_nobody_and_still_there_is_an_author() -> None:
    made = make(b"\n", "a@b.example", sender="")
    assert made.sender == ""
    assert FROM in made.octets


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_octets_give_whole_lines(raw: bytes) -> None:
    octets = make(raw, "a@b.example").octets
    assert octets.endswith(b"\r\n")
    assert octets.count(b"\n") == octets.count(b"\r") == octets.count(b"\r\n")
    assert b"\0" not in octets
    header = octets.partition(b"\r\n\r\n")[0]
    assert b"\nbcc:" not in header.lower()
