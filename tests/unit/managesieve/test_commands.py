"""Frames to commands: RFC 5804's examples, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.core.errors import ProtocolViolation
from postino.managesieve import commands
from postino.managesieve.commands import (
    Authenticate,
    Capability,
    CheckScript,
    Command,
    DeleteScript,
    GetScript,
    HaveSpace,
    ListScripts,
    Logout,
    Noop,
    PutScript,
    RenameScript,
    SetActive,
    Starttls,
    Unauthenticate,
    parse_answer,
    parse_command,
)
from postino.managesieve.framer import CommandFrame, Framer, FramerLimits
from postino.managesieve.states import State, require_allowed

WIDE = FramerLimits(line_octets=100_000, literals_octets=100_000, skipped_octets=100_000)


def frame_of(octets: bytes) -> CommandFrame:
    framer = Framer(WIDE)
    framer.feed(octets)
    frame = framer.next_frame()
    assert isinstance(frame, CommandFrame)
    assert framer.next_frame() is None
    return frame


@pytest.mark.parametrize(
    ("octets", "command"),
    [
        # §2.1
        (b'Authenticate "DIGEST-MD5"\r\n', Authenticate("DIGEST-MD5", None)),
        (b'Authenticate "PLAIN" "QJIrweAPyo6Q1T9xu"\r\n', Authenticate("PLAIN", b"QJIrweAPyo6Q1T9xu")),
        (b'AUTHENTICATE "GSSAPI" {4+}\r\nYIIE\r\n', Authenticate("GSSAPI", b"YIIE")),
        (b'AUTHENTICATE "plain" ""\r\n', Authenticate("PLAIN", b"")),
        (b"AUTHENTICATE {5+}\r\nPLAIN\r\n", Authenticate("PLAIN", None)),
        # §2.2 to §2.5
        (b"StartTls\r\n", Starttls()),
        (b"Logout\r\n", Logout()),
        (b"CAPABILITY\r\n", Capability()),
        (b'HAVESPACE "myscript" 999999\r\n', HaveSpace("myscript", 999_999)),
        (b'HAVESPACE "foobar" 435\r\n', HaveSpace("foobar", 435)),
        (b'HAVESPACE "a" 0\r\n', HaveSpace("a", 0)),
        (b'HAVESPACE "a" 4294967295\r\n', HaveSpace("a", 4_294_967_295)),
        # §2.6
        (
            b'Putscript "foo" {31+}\r\n#comment\r\nInvalidSieveCommand\r\n\r\n',
            PutScript("foo", b"#comment\r\nInvalidSieveCommand\r\n"),
        ),
        (b'PUTSCRIPT "foo" "keep;"\r\n', PutScript("foo", b"keep;")),
        (b"PUTSCRIPT {3+}\r\nfoo {5+}\r\nkeep;\r\n", PutScript("foo", b"keep;")),
        (b'PUTSCRIPT "foo" ""\r\n', PutScript("foo", b"")),
        # A script's octets are anything; whether they make sense is for the language to say.
        (b'PUTSCRIPT "foo" {3+}\r\n\xff\x00\n\r\n', PutScript("foo", b"\xff\x00\n")),
        # §2.7 to §2.12
        (b"Listscripts\r\n", ListScripts()),
        (b'Setactive "vacationscript"\r\n', SetActive("vacationscript")),
        (b'Setactive ""\r\n', SetActive("")),
        (b"SETACTIVE {0+}\r\n\r\n", SetActive("")),
        (b'Getscript "myscript"\r\n', GetScript("myscript")),
        (b'Deletescript "foo"\r\n', DeleteScript("foo")),
        (b'Renamescript "foo" "bar"\r\n', RenameScript("foo", "bar")),
        (b"CheckScript {5+}\r\nkeep;\r\n", CheckScript(b"keep;")),
        # §2.13, §2.14.1
        (b"NOOP\r\n", Noop(None)),
        (b'NOOP "STARTTLS-SYNC-42"\r\n', Noop(b"STARTTLS-SYNC-42")),
        (b"NOOP {2+}\r\n\r\n\r\n", Noop(b"\r\n")),
        (b"UNAUTHENTICATE\r\n", Unauthenticate()),
        # Strings
        (rb'GETSCRIPT "clever\"script\\"' + b"\r\n", GetScript('clever"script\\')),
        ('GETSCRIPT "übung"\r\n'.encode(), GetScript("übung")),
        # §1.6 and RFC 5198 §2: one name, however its letters are put together.
        ('GETSCRIPT "u\u0308bung"\r\n'.encode(), GetScript("übung")),
        (b'GETSCRIPT "' + b"x" * 128 + b'"\r\n', GetScript("x" * 128)),
        (b"GETSCRIPT {512+}\r\n" + "🎄".encode() * 128 + b"\r\n", GetScript("🎄" * 128)),
    ],
)
def test_commands(octets: bytes, command: Command) -> None:
    assert parse_command(frame_of(octets)) == command


@pytest.mark.parametrize(
    "octets",
    [
        b"\r\n",
        b" NOOP\r\n",
        b"NOOP \r\n",
        b'NOOP  "a"\r\n',
        b"NOOP a\r\n",
        b'NOOP "a" "b"\r\n',
        b'NOOP"a"\r\n',
        b"NOOP\tX\r\n",
        b"NOOP\n\r\n",
        b"NONSENSE\r\n",
        b'LISTSCRIPTS "a"\r\n',
        b"CAPABILITY x\r\n",
        b"STARTTLS \r\n",
        b"GETSCRIPT\r\n",
        b"GETSCRIPT \r\n",
        b'GETSCRIPT ""\r\n',
        b'GETSCRIPT "a\r\n',
        b'GETSCRIPT "a\\x"\r\n',
        b'GETSCRIPT "a\nb"\r\n',
        b'GETSCRIPT "a\0b"\r\n',
        b'GETSCRIPT "\xff"\r\n',
        b'GETSCRIPT "\xc3"\r\n',
        b'GETSCRIPT "\xed\xa0\x80"\r\n',
        b"GETSCRIPT {1+}\r\n\xff\r\n",
        b"GETSCRIPT {3+}\r\na\r\n\r\n",
        b"GETSCRIPT {1+}\r\n\x00\r\n",
        b'GETSCRIPT "\x01"\r\n',
        b'GETSCRIPT "\x7f"\r\n',
        'GETSCRIPT "a\x85"\r\n'.encode(),
        'GETSCRIPT "a\u2028b"\r\n'.encode(),
        'GETSCRIPT "a\u2029b"\r\n'.encode(),
        "\ufeffNOOP\r\n".encode(),
        b'GETSCRIPT "' + b"x" * 129 + b'"\r\n',
        b'GETSCRIPT "' + b"x" * 2000 + b'"\r\n',
        b"GETSCRIPT{1+}\r\na\r\n",
        b"GETSCRIPT {1+}\r\nab\r\n",
        b'PUTSCRIPT "a"\r\n',
        b'PUTSCRIPT "" "keep;"\r\n',
        b'PUTSCRIPT "a" "keep;" 5\r\n',
        b'PUTSCRIPT "a" 5\r\n',
        b'RENAMESCRIPT "a"\r\n',
        b'RENAMESCRIPT "a" ""\r\n',
        b'HAVESPACE "a"\r\n',
        b'HAVESPACE "a" "5"\r\n',
        b'HAVESPACE "a" 05\r\n',
        b'HAVESPACE "a" -5\r\n',
        b'HAVESPACE "a" 4294967296\r\n',
        b'HAVESPACE "a" 99999999999999999999\r\n',
        b'HAVESPACE "" 5\r\n',
        b"AUTHENTICATE\r\n",
        b"AUTHENTICATE PLAIN\r\n",
        b'AUTHENTICATE ""\r\n',
        b'AUTHENTICATE "PL AIN"\r\n',
        b'AUTHENTICATE "PLAIN" "a" "b"\r\n',
        b'NOOP "' + b"x" * 1025 + b'"\r\n',
    ],
)
def test_none(octets: bytes) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        parse_command(frame_of(octets))
    assert not caught.value.fatal


def test_answers_within_an_exchange() -> None:
    assert parse_answer(frame_of(b'"*"\r\n')) == b"*"
    assert parse_answer(frame_of(b'""\r\n')) == b""
    assert parse_answer(frame_of(b"{4+}\r\nAAAA\r\n")) == b"AAAA"
    for octets in (b"AAAA\r\n", b'"AAAA" \r\n', b"*\r\n", b"\r\n"):
        with pytest.raises(ProtocolViolation):
            parse_answer(frame_of(octets))


def test_secrets_are_not_shown() -> None:
    shown = repr([Authenticate("PLAIN", b"hidden"), PutScript("a", b"hidden"), CheckScript(b"hidden")])
    assert "hidden" not in shown


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5).filter(lambda parts: len(parts) % 2))
def test_any_frame_gives_a_command_or_a_refusal(parts: list[bytes]) -> None:
    try:
        command = parse_command(CommandFrame(tuple(parts)))
    except ProtocolViolation:
        pass
    else:
        assert isinstance(command, commands.Command)


ALL = {
    Authenticate: Authenticate("PLAIN", None),
    Starttls: Starttls(),
    Logout: Logout(),
    Capability: Capability(),
    Noop: Noop(None),
    HaveSpace: HaveSpace("a", 1),
    PutScript: PutScript("a", b"keep;"),
    ListScripts: ListScripts(),
    SetActive: SetActive(""),
    GetScript: GetScript("a"),
    DeleteScript: DeleteScript("a"),
    RenameScript: RenameScript("a", "b"),
    CheckScript: CheckScript(b"keep;"),
    Unauthenticate: Unauthenticate(),
}


def test_what_is_allowed_when() -> None:
    """RFC 5804 §2: before a login only five; §4: command-any, command-auth, command-nonauth."""

    def allowed(state: State) -> set[type]:
        found = set()
        for kind, command in ALL.items():
            try:
                require_allowed(state, command)  # type: ignore[arg-type]
            except ProtocolViolation:
                continue
            found.add(kind)
        return found

    anywhere = {Logout, Capability, Noop}
    assert allowed(State.NON_AUTHENTICATED) == anywhere | {Authenticate, Starttls}
    assert allowed(State.AUTHENTICATED) == set(ALL) - {Authenticate, Starttls}
