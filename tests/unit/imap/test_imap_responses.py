"""What the server says, octet for octet; and dates, capabilities, states."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.flags import flag_set
from postino.core.numset import NumberSet
from postino.imap import capability, commands
from postino.imap.bad_command import BadCommand
from postino.imap.commands import AppendHead, ParseOptions, parse_command
from postino.imap.datetime_text import format_date_time, parse_date, parse_date_time
from postino.imap.framer import CommandFrame
from postino.imap.responses import mailbox, message, server, status
from postino.imap.responses.string import astring, literal, nstring, quote
from postino.imap.search_return import Returning
from postino.imap.states import ALLOWED, State, may_report_expunges, require_state


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("abc", b'"abc"'),
        ("", b'""'),
        ('a"b\\', b'"a\\"b\\\\"'),
        (b"a\r\nb", b"{4}\r\na\r\nb"),
        (b"\xe9", b"{1}\r\n\xe9"),
        ("é", b"{2}\r\n\xc3\xa9"),
        (b"\x00", b"{1}\r\n\x00"),
        ("x" * 1001, b"{1001}\r\n" + b"x" * 1001),
    ],
)
def test_quote(text: bytes | str, wire: bytes) -> None:
    assert quote(text) == wire
    assert nstring(text) == wire


def test_other_strings() -> None:
    assert nstring(None) == b"NIL"
    assert astring("a]b") == b"a]b"
    assert astring("nil") == b'"nil"'
    assert astring("a b") == b'"a b"'
    assert astring("") == b'""'
    assert literal(b"") == b"{0}\r\n"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=50).filter(lambda octets: b"\x00" not in octets))
def test_a_client_reads_any_string_back(octets: bytes) -> None:
    for encode in (quote, astring):
        wire = encode(octets)
        if wire.startswith(b"{"):
            marker, _, rest = wire.partition(b"\r\n")
            frame = CommandFrame((b"a SEARCH CHARSET ISO-8859-1 BODY " + marker, rest, b""))
        else:
            frame = CommandFrame((b"a SEARCH CHARSET ISO-8859-1 BODY " + wire,))
        found = parse_command(frame, ParseOptions())
        assert isinstance(found, commands.Search)
        assert found.key.text.encode("iso-8859-1") == octets  # type: ignore[union-attr]


def test_status_lines() -> None:
    assert status.tagged(b"a1", "OK", "done") == b"a1 OK done\r\n"
    assert status.tagged(b"a1", "NO", "no", b"TRYCREATE") == b"a1 NO [TRYCREATE] no\r\n"
    assert status.tagged(None, "BAD", "") == b"* BAD -\r\n"
    assert status.tagged(b"a1", "NO", "a\r\nb OK é") == b"a1 NO a b OK ?\r\n"
    assert status.untagged_status("BYE", "bye", status.UNAVAILABLE) == b"* BYE [UNAVAILABLE] bye\r\n"
    assert status.continuation() == b"+ Go on\r\n"
    assert status.continuation(b"") == b"+ \r\n"
    assert status.greeting("mx.example.org", ["IMAP4rev2"]) == (
        b"* OK [CAPABILITY IMAP4rev2] mx.example.org Postino is ready\r\n"
    )


def test_codes() -> None:
    uids = NumberSet(((3956, 3958),))
    assert status.append_uid(38505, 3955) == b"APPENDUID 38505 3955"
    assert status.copy_uid(38505, NumberSet.of([304, 319, 320]), uids) == (
        b"COPYUID 38505 304,319:320 3956:3958"
    )
    assert status.modified(NumberSet.of([7, 9])) == b"MODIFIED 7,9"
    assert status.highest_mod_seq(715194045007) == b"HIGHESTMODSEQ 715194045007"
    assert status.mailbox_id("F2212ea87") == b"MAILBOXID (F2212ea87)"
    assert status.unseen(12) == b"UNSEEN 12"


def test_mailbox_data() -> None:
    assert mailbox.list_response("a b", ("\\HasChildren", "\\Sent"), utf8=False) == (
        b'* LIST (\\HasChildren \\Sent) "/" "a b"\r\n'
    )
    assert mailbox.list_response("Foo", (), utf8=False, child_info=("SUBSCRIBED", "SPECIAL-USE")) == (
        b'* LIST () "/" Foo ("CHILDINFO" ("SUBSCRIBED" "SPECIAL-USE"))\r\n'
    )
    assert mailbox.list_response("ü", (), utf8=True, old_name="o", verb=b"LSUB") == (
        '* LSUB () "/" "ü" ("OLDNAME" (o))\r\n'.encode()
    )
    assert mailbox.list_separator_response() == b'* LIST (\\Noselect) "/" ""\r\n'
    assert mailbox.status_response("box", [("MESSAGES", 231), ("MAILBOXID", "(F1)")], utf8=False) == (
        b"* STATUS box (MESSAGES 231 MAILBOXID (F1))\r\n"
    )
    assert mailbox.namespace_response() == b'* NAMESPACE (("" "/")) (("Shared/" "/")) NIL\r\n'
    assert mailbox.flags_response(["\\Seen", "$Junk"]) == b"* FLAGS (\\Seen $Junk)\r\n"
    assert mailbox.permanent_flags(["\\Seen"], may_create=True) == b"PERMANENTFLAGS (\\Seen \\*)"
    assert mailbox.permanent_flags([], may_create=False) == b"PERMANENTFLAGS ()"
    assert mailbox.exists_response(23) == b"* 23 EXISTS\r\n"
    assert mailbox.recent_response() == b"* 0 RECENT\r\n"


def test_message_data() -> None:
    seen = flag_set(["\\Seen"])
    rows = [(1, 10, seen, 100), (2, 12, flag_set(), 101)]
    assert message.expunge_responses([3, 3, 5]) == b"* 3 EXPUNGE\r\n* 3 EXPUNGE\r\n* 5 EXPUNGE\r\n"
    assert message.vanished_response(NumberSet.of([405, 407, 410, 411])) == b"* VANISHED 405,407,410:411\r\n"
    assert message.vanished_response(NumberSet.of([41]), earlier=True) == b"* VANISHED (EARLIER) 41\r\n"
    assert message.vanished_response(NumberSet()) == b""
    assert message.flags_fetch_responses(rows, with_uid=False, with_mod_seq=False) == (
        b"* 1 FETCH (FLAGS (\\Seen))\r\n* 2 FETCH (FLAGS ())\r\n"
    )
    assert message.flags_fetch_responses(rows[:1], with_uid=True, with_mod_seq=False) == (
        b"* 1 FETCH (UID 10 FLAGS (\\Seen))\r\n"
    )
    assert message.flags_fetch_responses(rows[:1], with_uid=False, with_mod_seq=True) == (
        b"* 1 FETCH (FLAGS (\\Seen) MODSEQ (100))\r\n"
    )
    assert message.flags_fetch_responses(rows[:1], with_uid=True, with_mod_seq=True) == (
        b"* 1 FETCH (UID 10 FLAGS (\\Seen) MODSEQ (100))\r\n"
    )


def test_search_data() -> None:
    assert message.search_response([2, 84, 882]) == b"* SEARCH 2 84 882\r\n"
    assert message.search_response([]) == b"* SEARCH\r\n"
    assert message.search_response([2, 5], mod_seq=917162500) == b"* SEARCH 2 5 (MODSEQ 917162500)\r\n"
    assert message.search_response([], mod_seq=1) == b"* SEARCH\r\n"


@pytest.mark.parametrize(
    ("returning", "numbers", "by_uid", "wire"),
    [
        ({"MIN", "COUNT"}, [2, 84, 882], False, b'* ESEARCH (TAG "A282") MIN 2 COUNT 3\r\n'),
        (set(), [2, 10, 11], True, b'* ESEARCH (TAG "A282") UID ALL 2,10:11\r\n'),
        ({"MIN", "MAX"}, [7], False, b'* ESEARCH (TAG "A282") MIN 7 MAX 7\r\n'),
        ({"ALL", "COUNT"}, [], False, b'* ESEARCH (TAG "A282") COUNT 0\r\n'),
        (set(), [], True, b'* ESEARCH (TAG "A282") UID\r\n'),
    ],
)
def test_esearch(returning: set[str], numbers: list[int], by_uid: bool, wire: bytes) -> None:
    assert (
        message.esearch_response(
            message.correlator(b"A282"),
            by_uid=by_uid,
            returning=Returning(frozenset(returning)),
            numbers=numbers,
        )
        == wire
    )


def test_esearch_with_mod_seq() -> None:
    assert (
        message.esearch_response(
            message.correlator(b"a"),
            by_uid=False,
            returning=Returning(frozenset({"ALL"})),
            numbers=[1, 2],
            mod_seq=1236,
        )
        == b'* ESEARCH (TAG "a") ALL 1:2 MODSEQ 1236\r\n'
    )


def test_server_data() -> None:
    assert server.capability_response(["IMAP4rev2", "IDLE"]) == b"* CAPABILITY IMAP4rev2 IDLE\r\n"
    assert server.capability_code(["IMAP4rev2"]) == b"CAPABILITY IMAP4rev2"
    assert server.enabled_response(["CONDSTORE"]) == b"* ENABLED CONDSTORE\r\n"
    assert server.enabled_response([]) == b"* ENABLED\r\n"
    assert server.id_response([("name", "Postino"), ("os", None)]) == b'* ID ("name" "Postino" "os" NIL)\r\n'
    assert server.id_response([]) == b"* ID NIL\r\n"


def test_capabilities_name_what_is_possible() -> None:
    plain = capability.before_login(starttls=True, mechanisms=["SCRAM-SHA-256"], login=False)
    assert "STARTTLS" in plain
    assert "LOGINDISABLED" in plain
    assert "AUTH=SCRAM-SHA-256" in plain
    assert "IDLE" not in plain
    secure = capability.before_login(starttls=False, mechanisms=["PLAIN"], login=True)
    assert {"STARTTLS", "LOGINDISABLED"}.isdisjoint(secure)
    late = capability.after_login(compress=True, append_octets=257890)
    assert {"IMAP4rev2", "IMAP4rev1", "IDLE", "MOVE", "CONDSTORE", "APPENDLIMIT=257890"} <= set(late)
    # RFC 7888 §5: never both.
    assert "LITERAL+" in late
    assert "LITERAL-" not in late
    assert len(set(late)) == len(late)
    assert [capability.spelling(name) for name in ("IMAP4REV2", "condstore", "x-y")] == [
        "IMAP4rev2",
        "CONDSTORE",
        "X-Y",
    ]


# Dates


@pytest.mark.parametrize(
    ("text", "instant", "wire"),
    [
        (b"17-Jul-1996 02:44:25 -0700", 837596665, b'"17-Jul-1996 09:44:25 +0000"'),
        (b" 1-Jan-1970 00:00:00 +0000", 0, b'" 1-Jan-1970 00:00:00 +0000"'),
        (b"1-jan-1970 00:00:00 +0100", -3600, b'"31-Dec-1969 23:00:00 +0000"'),
        (b"29-Feb-2024 23:59:60 +1400", 1709200800, b'"29-Feb-2024 10:00:00 +0000"'),
    ],
)
def test_date_time(text: bytes, instant: int, wire: bytes) -> None:
    assert parse_date_time(text) == instant
    assert format_date_time(instant) == wire


@settings(max_examples=100)
@given(st.integers(-(10**10), 10**11))
def test_dates_come_back(instant: int) -> None:
    assert parse_date_time(format_date_time(instant)[1:-1]) == instant


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"17-Jul-1996",
        b"17-Jul-1996 02:44:25",
        b"17-Jul-96 02:44:25 -0700",
        b"31-Jun-1996 02:44:25 -0700",
        b"17-Jul-0000 02:44:25 -0700",
        b"17-Jul-1996 24:44:25 -0700",
        b"17-Jul-1996 02:60:25 -0700",
        b"17-Jul-1996 02:44:61 -0700",
        b"17-Jul-1996 02:44:25 -2460",
        b"17-Jul-1996 02:44:25 PDT",
        b"00-Jul-1996 02:44:25 -0700",
    ],
)
def test_bad_date_time(text: bytes) -> None:
    with pytest.raises(BadCommand):
        parse_date_time(text)


def test_dates_of_searches() -> None:
    assert parse_date(b"1-Jan-1970") == 0
    assert parse_date(b"31-DEC-1969") == -1
    for text in (b"1-Jan-70", b"32-Jan-1970", b"1-Foo-1970", b"1/1/1970"):
        with pytest.raises(BadCommand):
            parse_date(text)


# States


def command(wire: bytes) -> commands.Command:
    return parse_command(CommandFrame((b"a " + wire,)), ParseOptions())


def test_every_command_has_its_states() -> None:
    assert set(ALLOWED) == {*commands.Command.__args__, *commands.AnyHead.__args__}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("wire", "state", "reason"),
    [
        (b"SELECT INBOX", State.NOT_AUTHENTICATED, "Log in before SELECT"),
        (b"FETCH 1 FLAGS", State.NOT_AUTHENTICATED, "Log in before FETCH"),
        (b"UID FETCH 1 FLAGS", State.AUTHENTICATED, "SELECT a mailbox before UID FETCH"),
        (b"LOGIN a b", State.SELECTED, "LOGIN is only possible before logging in"),
        (b"STARTTLS", State.AUTHENTICATED, "STARTTLS is only possible before logging in"),
    ],
)
def test_wrong_state(wire: bytes, state: State, reason: str) -> None:
    with pytest.raises(BadCommand) as caught:
        require_state(command(wire), state)
    assert str(caught.value) == reason
    assert caught.value.tag == b"a"


def test_right_state() -> None:
    require_state(command(b"NOOP"), State.NOT_AUTHENTICATED)
    require_state(command(b"CREATE x"), State.SELECTED)
    require_state(AppendHead(b"a", "x"), State.AUTHENTICATED)


@pytest.mark.parametrize(
    ("wire", "allowed"),
    [
        (b"FETCH 1 FLAGS", False),
        (b"STORE 1 FLAGS ()", False),
        (b"SEARCH ALL", False),
        (b"UID FETCH 1 FLAGS", True),
        (b"UID SEARCH ALL", True),
        (b"NOOP", True),
        (b"COPY 1 x", True),
    ],
)
def test_when_expunges_may_be_reported(wire: bytes, allowed: bool) -> None:
    assert may_report_expunges(command(wire)) is allowed
