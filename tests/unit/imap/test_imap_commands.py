"""The grammar of commands: RFC examples by section, then what clients really send, then refusals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.flags import flag_set
from postino.core.numset import parse_sequence_set
from postino.imap import commands as c
from postino.imap.framer import CommandFrame

OPTIONS = c.ParseOptions()
UTF8 = c.ParseOptions(utf8=True)


def seqs(text: str) -> c.Numbers:
    return parse_sequence_set(text.encode())


def parse(*parts: bytes, options: c.ParseOptions = OPTIONS) -> c.Command:
    return c.parse_command(CommandFrame(parts), options)


ALL_FLAGS = flag_set(["\\Seen", "\\Deleted", "\\Answered", "\\Flagged", "\\Draft"])

WIRE: list[tuple[bytes, c.Command]] = [
    # RFC 9051 §6.1
    (b"abcd CAPABILITY", c.Capability(b"abcd")),
    (b"a002 NOOP", c.Noop(b"a002")),
    (b"A023 LOGOUT", c.Logout(b"A023")),
    # RFC 9051 §6.2
    (b"a002 STARTTLS", c.Starttls(b"a002")),
    (b"A001 AUTHENTICATE GSSAPI", c.Authenticate(b"A001", "GSSAPI", None)),
    (
        b"A01 AUTHENTICATE PLAIN dGVzdAB0ZXN0AHRlc3Q=",
        c.Authenticate(b"A01", "PLAIN", b"test\0test\0test"),
    ),
    (b"a AUTHENTICATE external =", c.Authenticate(b"a", "EXTERNAL", b"")),
    (b"a001 LOGIN SMITH SESAME", c.Login(b"a001", "SMITH", "SESAME")),
    (rb'a LOGIN "a\"b" "c\\d"', c.Login(b"a", 'a"b', "c\\d")),
    ('a LOGIN "jürgen" "geheß"'.encode(), c.Login(b"a", "jürgen", "geheß")),
    (b'a LOGIN ann ""', c.Login(b"a", "ann", "")),
    (b"a LOGIN a]b x+y", c.Login(b"a", "a]b", "x+y")),
    # RFC 9051 §6.3.1, RFC 5161 §3.1
    (b"a2 ENABLE CONDSTORE X-GOOD-IDEA", c.Enable(b"a2", ("CONDSTORE", "X-GOOD-IDEA"))),
    (b"t1 enable imap4rev2", c.Enable(b"t1", ("IMAP4REV2",))),
    # RFC 2971 §3.1
    (
        b'a023 ID ("name" "sodr" "version" "19.34" "vendor" "Pink Floyd Music Limited")',
        c.Id(b"a023", (("name", "sodr"), ("version", "19.34"), ("vendor", "Pink Floyd Music Limited"))),
    ),
    (b"a042 ID NIL", c.Id(b"a042", None)),
    (b"a ID ()", c.Id(b"a", ())),
    (b'a ID ("os" NIL)', c.Id(b"a", (("os", None),))),
    # RFC 9051 §6.3.2, §6.3.3; RFC 7162 §3.1.8, §3.2.5
    (b"A142 SELECT INBOX", c.Select(b"A142", "INBOX", read_only=False)),
    (b"A932 EXAMINE blurdybloop", c.Select(b"A932", "blurdybloop", read_only=True)),
    (
        b"A142 SELECT inbox (CONDSTORE)",
        c.Select(b"A142", "INBOX", read_only=False, condstore=True, given="inbox"),
    ),
    (b"a SELECT INBOX ()", c.Select(b"a", "INBOX", read_only=False)),
    (
        b"A02 SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211,214:541))",
        c.Select(
            b"A02",
            "INBOX",
            read_only=False,
            qresync=c.QresyncParam(67890007, 20050715194045000, parse_sequence_set(b"41,43:211,214:541")),
        ),
    ),
    (
        b"B04 SELECT INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541))",
        c.Select(
            b"B04",
            "INBOX",
            read_only=False,
            qresync=c.QresyncParam(67890007, 90060115194045000, parse_sequence_set(b"41:211,214:541")),
        ),
    ),
    (
        b"A03 SELECT INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541 (1:2 41,43)) CONDSTORE)",
        c.Select(
            b"A03",
            "INBOX",
            read_only=False,
            condstore=True,
            qresync=c.QresyncParam(
                67890007,
                90060115194045000,
                parse_sequence_set(b"41:211,214:541"),
                (parse_sequence_set(b"1:2"), parse_sequence_set(b"41,43")),
            ),
        ),
    ),
    (
        b"a SELECT b (QRESYNC (1 2 (3 4)))",
        c.Select(
            b"a",
            "b",
            read_only=False,
            qresync=c.QresyncParam(1, 2, None, (parse_sequence_set(b"3"), parse_sequence_set(b"4"))),
        ),
    ),
    (b"a SELECT b (QRESYNC (1 2))", c.Select(b"a", "b", read_only=False, qresync=c.QresyncParam(1, 2))),
    # RFC 9051 §6.3.4-8, RFC 6154 §3
    (b"A003 CREATE owatagusiam/", c.Create(b"A003", "owatagusiam")),
    (b"A004 CREATE owatagusiam/blurdybloop", c.Create(b"A004", "owatagusiam/blurdybloop")),
    (rb"t1 CREATE MySpecial (USE (\Drafts \sent))", c.Create(b"t1", "MySpecial", ("\\Drafts", "\\Sent"))),
    (b"A685 DELETE foo", c.Delete(b"A685", "foo")),
    (b"A683 RENAME blurdybloop sarasoop", c.Rename(b"A683", "blurdybloop", "sarasoop")),
    (b"Z433 RENAME INBOX old-mail", c.Rename(b"Z433", "INBOX", "old-mail")),
    (b"A002 SUBSCRIBE #news.comp.mail.mime", c.Subscribe(b"A002", "#news.comp.mail.mime")),
    (b"A002 UNSUBSCRIBE #news.comp.mail.mime", c.Unsubscribe(b"A002", "#news.comp.mail.mime")),
    # RFC 9051 §6.3.9, RFC 5258 §5, RFC 5819 §5, RFC 6154 §5
    (b'A101 LIST "" ""', c.List(b"A101", "", ("",))),
    (b'A103 LIST /usr/staff/jones ""', c.List(b"A103", "/usr/staff/jones", ("",))),
    (b"A202 LIST ~/Mail/ %", c.List(b"A202", "~/Mail/", ("%",))),
    (b'A LIST () "" *', c.List(b"A", "", ("*",), extended=True)),
    (
        b'A05 LIST (REMOTE SUBSCRIBED) "" "*"',
        c.List(b"A05", "", ("*",), frozenset({"REMOTE", "SUBSCRIBED"}), extended=True),
    ),
    (
        b'A03 LIST () "" "%" RETURN (CHILDREN)',
        c.List(b"A03", "", ("%",), returning=frozenset({"CHILDREN"}), extended=True),
    ),
    (
        b'BBB LIST "" ("INBOX" "Drafts" "Sent/%")',
        c.List(b"BBB", "", ("INBOX", "Drafts", "Sent/%"), extended=True),
    ),
    (
        b'C04 list (subscribed recursivematch) "" "%" return (children)',
        c.List(
            b"C04",
            "",
            ("%",),
            frozenset({"SUBSCRIBED", "RECURSIVEMATCH"}),
            frozenset({"CHILDREN"}),
            extended=True,
        ),
    ),
    (
        b'A01 LIST "" % RETURN (STATUS (MESSAGES UNSEEN))',
        c.List(b"A01", "", ("%",), status_items=("MESSAGES", "UNSEEN"), extended=True),
    ),
    (
        b'A LIST (SPECIAL-USE) "" "*" RETURN (SPECIAL-USE STATUS (SIZE) SUBSCRIBED)',
        c.List(
            b"A",
            "",
            ("*",),
            frozenset({"SPECIAL-USE"}),
            frozenset({"SPECIAL-USE", "SUBSCRIBED"}),
            ("SIZE",),
            extended=True,
        ),
    ),
    # RFC 3501 §6.3.9
    (b'A002 LSUB "#news." "comp.mail.*"', c.Lsub(b"A002", "#news.", "comp.mail.*")),
    (b'A LSUB "" inbox', c.Lsub(b"A", "", "INBOX")),
    # RFC 9051 §6.3.10-13
    (b"A001 NAMESPACE", c.Namespace(b"A001")),
    (
        b"A042 STATUS blurdybloop (UIDNEXT MESSAGES)",
        c.Status(b"A042", "blurdybloop", ("UIDNEXT", "MESSAGES")),
    ),
    (
        b'a STATUS "a b" (size deleted highestmodseq mailboxid recent size)',
        c.Status(b"a", "a b", ("SIZE", "DELETED", "HIGHESTMODSEQ", "MAILBOXID", "RECENT")),
    ),
    (b"A004 IDLE", c.Idle(b"A004")),
    # RFC 9051 §6.4.1-3, RFC 3501 §6.4.1
    (b"A341 CLOSE", c.Close(b"A341")),
    (b"A342 UNSELECT", c.Unselect(b"A342")),
    (b"A202 EXPUNGE", c.Expunge(b"A202")),
    (b"FXXZ CHECK", c.Check(b"FXXZ")),
    # RFC 9051 §6.4.6, RFC 7162 §3.1.3
    (
        rb"A003 STORE 2:4 +FLAGS (\Deleted)",
        c.Store(
            b"A003",
            seqs("2:4"),
            by_uid=False,
            mode=c.FlagMode.ADD,
            silent=False,
            flags=flag_set(["\\Deleted"]),
        ),
    ),
    (
        rb"a103 UID STORE 6,4,8 (UNCHANGEDSINCE 12121230045) +FLAGS.SILENT (\Deleted)",
        c.Store(
            b"a103",
            seqs("6,4,8"),
            by_uid=True,
            mode=c.FlagMode.ADD,
            silent=True,
            flags=flag_set(["\\Deleted"]),
            unchanged_since=12121230045,
        ),
    ),
    (
        rb"a store $ -flags.silent $Junk \seen",
        c.Store(
            b"a",
            c.SAVED_RESULT,
            by_uid=False,
            mode=c.FlagMode.REMOVE,
            silent=True,
            flags=flag_set(["$Junk", "\\Seen"]),
        ),
    ),
    (
        rb"a STORE 1 FLAGS (\Seen \Recent)",
        c.Store(b"a", seqs("1"), by_uid=False, mode=c.FlagMode.SET, silent=False, flags=flag_set(["\\Seen"])),
    ),
    (
        b"a STORE 1 FLAGS ()",
        c.Store(b"a", seqs("1"), by_uid=False, mode=c.FlagMode.SET, silent=False, flags=flag_set()),
    ),
    # RFC 9051 §6.4.7-9
    (b"A003 COPY 2:4 MEETING", c.Copy(b"A003", seqs("2:4"), by_uid=False, mailbox="MEETING")),
    (b"a UID MOVE 42:69 foo", c.Move(b"a", seqs("42:69"), by_uid=True, mailbox="foo")),
    (b"a MOVE * inbox/x", c.Move(b"a", seqs("*"), by_uid=False, mailbox="INBOX/x")),
    (b"A003 UID EXPUNGE 3000:3002", c.UidExpunge(b"A003", seqs("3000:3002"))),
    (b"A uid expunge $", c.UidExpunge(b"A", c.SAVED_RESULT)),
]


@pytest.mark.parametrize(("wire", "command"), WIRE, ids=[wire[:60].decode("latin-1") for wire, _ in WIRE])
def test_parse(wire: bytes, command: c.Command) -> None:
    assert parse(wire) == command
    assert parse(wire + b" ") == command, "a space before the line end does no harm"


def test_names_are_for_metrics() -> None:
    assert parse(b"a UID FETCH 1 FLAGS").name == "UID FETCH"
    assert {parse(wire).name for wire, _ in WIRE} >= {"NOOP", "UID STORE", "EXAMINE", "UID EXPUNGE", "ID"}


def test_secrets_are_not_shown() -> None:
    assert "SESAME" not in repr(parse(b"a LOGIN SMITH SESAME"))
    assert "test" not in repr(parse(b"a AUTHENTICATE PLAIN dGVzdAB0ZXN0AHRlc3Q="))


def test_literals_stand_for_strings() -> None:
    assert parse(b"a LOGIN {3}", b'a"\r', b" {2+}", b"pw", b"") == c.Login(b"a", 'a"\r', "pw")
    assert parse(b"a CREATE {4+}", b'&-\\"', b" (USE (\\Junk))") == c.Create(b"a", '&\\"', ("\\Junk",))


def test_mailbox_names_are_utf8_after_enable() -> None:
    assert parse('a SELECT "Entwürfe&-"'.encode(), options=UTF8) == c.Select(b"a", "Entwürfe&-", False)
    assert parse(b"a SELECT Entw&APw-rfe&-") == c.Select(b"a", "Entwürfe&", False)


REFUSED: list[tuple[bytes, bytes | None, str]] = [
    (b"", None, "starts with a tag"),
    (b" NOOP", None, "starts with a tag"),
    (b"* NOOP", None, "starts with a tag"),
    (b"+ NOOP", None, "starts with a tag"),
    (b"a+b NOOP", None, "starts with a tag"),
    (b'"a" NOOP', None, "starts with a tag"),
    (b"a" * 129 + b" NOOP", None, "starts with a tag"),
    (b"a1", b"a1", "a tag and a command's name"),
    (b"a1 ", b"a1", "a tag and a command's name"),
    (b"a1  NOOP", b"a1", "a tag and a command's name"),
    (b"a1 UID", b"a1", "not known"),
    (b"a1 UID NOOP", b"a1", "UID goes before"),
    (b"a1 UID EXPUNGE", b"a1", "UID EXPUNGE needs"),
    (b"a1 XYZZY", b"a1", "not known"),
    (b"a1 NOOP\x00", b"a1", "a tag and a command's name"),
    (b"a1 NOOP x", b"a1", "NOOP takes no arguments"),
    (b"a1 LOGIN", b"a1", "LOGIN needs"),
    (b"a1 LOGIN ann", b"a1", "LOGIN needs"),
    (b"a1 LOGIN ann  pw", b"a1", "LOGIN needs"),
    (b"a1 LOGIN ann pw x", b"a1", "LOGIN needs"),
    (b"a1 LOGIN ann \xff", b"a1", "LOGIN needs"),
    (b'a1 LOGIN ann "\xff"', b"a1", "password must be UTF-8"),
    (b'a1 LOGIN "DOMAIN\\ann" pw', b"a1", "quoted string"),
    (b'a1 LOGIN "ann pw', b"a1", "quoted string"),
    (b'a1 LOGIN "a\nb" pw', b"a1", "quoted string"),
    (b"a1 LOGIN ann {3}", b"a1", "LOGIN needs"),
    (b"a1 LOGIN {3}x pw", b"a1", "LOGIN needs"),
    (b"a1 AUTHENTICATE", b"a1", "AUTHENTICATE needs"),
    (b"a1 AUTHENTICATE PLAIN !", b"a1", "AUTHENTICATE needs"),
    (b"a1 AUTHENTICATE PLAIN abc", b"a1", "not base64"),
    (b"a1 AUTHENTICATE PLAIN ab==cd==", b"a1", "AUTHENTICATE needs"),
    (b"a1 ENABLE", b"a1", "ENABLE needs"),
    (b"a1 ENABLE (X)", b"a1", "ENABLE needs"),
    (b"a1 ID", b"a1", "ID needs"),
    (b'a1 ID ("name")', b"a1", "ID needs"),
    (b'a1 ID ("name" "x"', b"a1", "ID needs"),
    (b'a1 ID ("a" "x" "A" "y")', b"a1", "only once"),
    (b'a1 ID ("a" "' + b"x" * 1025 + b'")', b"a1", "at most 30 fields"),
    (b"a1 ID (" + b" ".join(b'"%d" NIL' % n for n in range(31)) + b")", b"a1", "at most 30 fields"),
    (b"a1 SELECT", b"a1", "SELECT needs"),
    (b"a1 EXAMINE", b"a1", "EXAMINE needs"),
    (b"a1 SELECT INBOX (X)", b"a1", "CONDSTORE and QRESYNC"),
    (b"a1 SELECT INBOX (CONDSTORE", b"a1", "SELECT needs"),
    (b"a1 SELECT INBOX (QRESYNC (0 1))", b"a1", "QRESYNC needs"),
    (b"a1 SELECT INBOX (QRESYNC (1 0))", b"a1", "QRESYNC needs"),
    (b"a1 SELECT INBOX (QRESYNC (1 1 1:*))", b"a1", "cannot hold *"),
    (b"a1 SELECT INBOX (QRESYNC (1 1 1 (1:2 7)))", b"a1", "equally many"),
    (b"a1 SELECT INBOX (QRESYNC (1 1 ))", b"a1", "QRESYNC needs"),
    (b"a1 SELECT B&AOk", b"a1", "modified UTF-7"),
    (b"a1 SELECT R&D", b"a1", "modified UTF-7"),
    ('a1 SELECT "é"'.encode(), b"a1", "modified UTF-7"),
    (b"a1 SELECT &AAA-x", b"a1", "control characters"),
    (b'a1 SELECT "a\tb"', b"a1", ""),
    (b"a1 SELECT " + b"x" * 4001, b"a1", "too long"),
    (b"a1 CREATE x (USE Sent)", b"a1", "USE"),
    (b"a1 CREATE x (COLOR (red))", b"a1", "USE"),
    (b"a1 CREATE x (USE (\\All))", b"a1", "A mailbox can be for"),
    (b"a1 RENAME x", b"a1", "RENAME needs"),
    (b"a1 LIST", b"a1", "LIST needs"),
    (b'a1 LIST ""', b"a1", "LIST needs"),
    (b'a1 LIST (RECURSIVEMATCH) "" *', b"a1", "RECURSIVEMATCH"),
    (b'a1 LIST (REMOTE RECURSIVEMATCH) "" *', b"a1", "RECURSIVEMATCH"),
    (b'a1 LIST (X-NEW) "" *', b"a1", "selects by"),
    (b'a1 LIST "" * RETURN (X-NEW)', b"a1", "LIST returns"),
    (b'a1 LIST "" * RETURN CHILDREN', b"a1", "LIST returns"),
    (b'a1 LIST "" * RETURN (STATUS (COLOR))', b"a1", "STATUS knows"),
    (b'a1 LIST "" ()', b"a1", "LIST needs"),
    (b'a1 LIST "" (' + b" ".join([b"x"] * 101) + b")", b"a1", "at most 100"),
    (b"a1 STATUS INBOX", b"a1", "STATUS needs"),
    (b"a1 STATUS INBOX ()", b"a1", "STATUS needs"),
    (b"a1 STATUS INBOX (COLOR)", b"a1", "STATUS knows"),
    (b"a1 STORE 1", b"a1", "STORE needs"),
    (b"a1 STORE 0 FLAGS ()", b"a1", "message set"),
    (b"a1 STORE 1:4294967296 FLAGS ()", b"a1", "32 bits"),
    (b"a1 STORE 1 FLAGS", b"a1", "STORE needs"),
    (b"a1 STORE 1 FLAGS (", b"a1", "Flags are a list"),
    (b"a1 STORE 1 FLAGS (\\Foo)", b"a1", "A flag is"),
    (b"a1 STORE 1 FLAGS (a\\b)", b"a1", "A flag is"),
    (b"a1 STORE 1 FLAGS (a  b)", b"a1", "A flag is"),
    (b"a1 STORE 1 FLAGS (" + b"k" * 256 + b")", b"a1", "255 characters"),
    (b"a1 STORE 1 FLAGS (" + b" ".join(b"k%d" % n for n in range(101)) + b")", b"a1", "100 keywords"),
    (b"a1 STORE 1 *FLAGS ()", b"a1", "STORE needs"),
    (b"a1 STORE 1 (UNCHANGEDSINCE -1) FLAGS ()", b"a1", "STORE needs"),
    (b"a1 COPY 1", b"a1", "COPY needs"),
    (b"a1 MOVE x y", b"a1", "MOVE needs"),
    (b"a1 APPEND INBOX", b"a1", "APPEND needs"),
    (b"a1 COPY " + b"1,3" * 10_001 + b" x", b"a1", "at most 10000"),
]


@pytest.mark.parametrize(
    ("wire", "tag", "message"), REFUSED, ids=[wire[:60].decode("latin-1") for wire, _, _ in REFUSED]
)
def test_refusal_is_one_clear_sentence(wire: bytes, tag: bytes | None, message: str) -> None:
    with pytest.raises(c.BadCommand) as caught:
        parse(wire)
    assert caught.value.tag == tag
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not caught.value.fatal


def test_keyword_limit_holds_for_remembered_lists_too() -> None:
    wire = b"a1 STORE 1 FLAGS (k1 k2 k3)"
    parse(wire)
    with pytest.raises(c.BadCommand, match="at most 2 keywords"):
        parse(wire, options=c.ParseOptions(keywords=2))


# Any octets

TOKENS = st.sampled_from(
    b"a1|UID|FETCH|SEARCH|STORE|LIST|SELECT|ID|APPEND|LOGIN|AUTHENTICATE|STATUS|CREATE|FLAGS|+FLAGS|(|)|[|]|<0.1>|"
    b'BODY[|HEADER.FIELDS|1:*|$|"|"x"|\\|\\Seen|{3}|{3+}|NIL|*|%|OR|NOT|RETURN|CHARSET|UTF-8|&AOk-|1-Jan-2020|'
    b"CONDSTORE|QRESYNC|USE|\xff|\x00|4294967296|MODSEQ".split(b"|")
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.one_of(TOKENS, st.binary(max_size=4)), max_size=9).map(b" ".join), max_size=4),
    st.booleans(),
)
def test_any_frame_gives_a_command_or_a_refusal(parts: list[bytes], utf8: bool) -> None:
    frame = CommandFrame((b"a1 " + b"".join(parts[:1]), *parts[1:]))
    options = c.ParseOptions(utf8=utf8)
    try:
        found = c.parse_command(frame, options)
    except c.BadCommand:
        return
    assert found.tag == b"a1"
