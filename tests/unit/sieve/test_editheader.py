"""RFC 5293, editheader: its examples by section; every other octet stays."""

import pytest

from postino.sieve import BadScript, Budget, Circumstances, FileInto, Keep, Redirect, compile_script, run
from tests.unit.sieve.scripting import MESSAGE, done

HEAD = b"X-Hello: 1\r\nReceived: x\r\nX-hello:  two\r\n folded\r\nSubject: s\r\nX-HELLO: 3\r\n"


def _edited(script: str, header: bytes = HEAD, end: bytes = b"\r\n") -> bytes:
    message = header + end + b"Body\x80\r\n"
    compiled = compile_script(f'require ["editheader", "variables"]; {script}'.encode())
    evaluation = run(compiled, message)
    assert evaluation.fault is None, evaluation.fault
    kept = evaluation.actions[0]
    assert isinstance(kept, Keep)
    assert kept.is_implicit
    if kept.edited is None:
        return header
    assert kept.edited.body is None
    assert kept.edited.header.endswith(end)
    return kept.edited.header.removesuffix(end)


@pytest.mark.parametrize(
    ("script", "header"),
    [
        ('addheader "X-New" "a  b";', b"X-New: a  b\r\n" + HEAD),
        ('addheader :last "X-New" "b";', HEAD + b"X-New: b\r\n"),
        ('addheader "X-New" "Grüße";', b"X-New: =?utf-8?B?R3LDvMOfZQ==?=\r\n" + HEAD),
        ('addheader "X-New" "a\r\nX-Evil: b";', b"X-New: a X-Evil: b\r\n" + HEAD),
        ('addheader "Subject" "b";', b"Subject: b\r\n" + HEAD),
        ('deleteheader "Subject";', HEAD.replace(b"Subject: s\r\n", b"")),
        ('deleteheader "x-hello";', b"Received: x\r\nSubject: s\r\n"),
        ('deleteheader "x-hello" ["3", "1"];', b"Received: x\r\nX-hello:  two\r\n folded\r\nSubject: s\r\n"),
        ('deleteheader :matches "x-hello" "two*folded";', HEAD.replace(b"X-hello:  two\r\n folded\r\n", b"")),
        ('deleteheader :index 2 "x-hello";', HEAD.replace(b"X-hello:  two\r\n folded\r\n", b"")),
        ('deleteheader :index 1 :last "x-hello";', HEAD.replace(b"X-HELLO: 3\r\n", b"")),
        ('deleteheader :index 1 :contains "x-hello" "3";', HEAD),
        ('deleteheader :index 9 "x-hello";', HEAD),
        ('deleteheader "x-missing";', HEAD),
        # §6: never
        ('deleteheader "Received";', HEAD),
        ('addheader "Received" "by me";', HEAD),
        ('addheader "Delivered-To" "me";', HEAD),
        # §7
        ('addheader "X-Hello" "World"; deleteheader :index 1 "X-Hello";', HEAD),
        ('deleteheader :index 1 "X-Hello"; deleteheader :index 2 "X-Hello";',
         b"Received: x\r\nX-hello:  two\r\n folded\r\nSubject: s\r\n"),
    ],
)  # fmt: skip
def test_the_header_is_edited_and_nothing_else(script: str, header: bytes) -> None:
    assert _edited(script) == header


@pytest.mark.parametrize("name", ["Auto-Submitted", "Original-Subject", "Authentication-Results"])
def test_fields_that_are_not_deleted(name: str) -> None:
    header = f"{name}: x\r\n".encode()
    assert _edited(f'deleteheader "{name.lower()}";', header) == header


def test_line_ends_that_are_not_crlf_stay() -> None:
    assert _edited('deleteheader "b";', b"a: 1\nb: 2\nc: 3\n", b"\n") == b"a: 1\nc: 3\n"
    assert _edited('addheader :last "d" "4";', b"a: 1\n", b"\n") == b"a: 1\nd: 4\r\n"


@pytest.mark.parametrize(
    ("message", "header"),
    [
        (b"", b"X: y\r\n"),
        (b"\r\nbody", b"X: y\r\n\r\n"),
        (b"a: 1\r\n", b"a: 1\r\nX: y\r\n"),
        (b"a: 1", b"a: 1\r\nX: y\r\n"),
    ],
)
def test_a_field_behind_the_last_of_odd_messages(message: bytes, header: bytes) -> None:
    script = compile_script(b'require "editheader"; addheader :last "X" "y";')
    kept = run(script, message).actions[0]
    assert isinstance(kept, Keep)
    assert kept.edited is not None
    assert kept.edited.header == header


def test_section_7_tests_see_the_header_as_it_is() -> None:
    script = """require ["editheader", "fileinto"];
    addheader "X-Hello" "World";
    if header :contains "X-Hello" "World" { fileinto "international"; }
    deleteheader "X-Hello";
    if exists "X-Hello" { discard; }"""
    assert done(script) == ["fileinto international"]


def test_each_action_has_the_message_as_it_was_then() -> None:
    script = b"""require ["editheader", "fileinto", "copy"];
    fileinto "A"; addheader "X-New" "1"; redirect :copy "x@example.org"; fileinto "B";"""
    plain, sent, filed = run(compile_script(script), MESSAGE).actions
    assert isinstance(plain, FileInto)
    assert plain.edited is None
    for action in (sent, filed):
        assert isinstance(action, Redirect | FileInto)
        assert action.edited is not None
        assert action.edited.header.startswith(b"X-New: 1\r\nReturn-Path")


def test_section_7_the_same_action_is_done_once() -> None:
    assert done('require "editheader"; keep; addheader "X-Flavor" "vanilla"; keep;') == ["keep"]


def test_after_a_fault_the_message_is_kept_as_it_came() -> None:
    script = compile_script(b'require ["editheader", "ihave"]; addheader "X" "y"; error "x";')
    kept = run(script, MESSAGE).actions[0]
    assert isinstance(kept, Keep)
    assert kept.edited is None


@pytest.mark.parametrize(
    "script",
    [
        'addheader "X Y" "z";',
        'addheader "X:" "z";',
        'addheader "Grüße" "z";',
        'deleteheader "X:";',
        'deleteheader :last "X";',
        'deleteheader :index 0 "X";',
        "deleteheader;",
        'deleteheader ["a", "b"];',
        'addheader "X";',
    ],
)  # fmt: skip
def test_what_cannot_be_compiled(script: str) -> None:
    with pytest.raises(BadScript):
        compile_script(f'require "editheader"; {script}'.encode())


@pytest.mark.parametrize(
    "script",
    ['addheader "X${1} Y" "z";', 'deleteheader "${1}";', f'addheader "X" "{"x" * 9000}";'],
)
def test_names_and_values_that_turn_out_bad_end_the_script(script: str) -> None:
    found = done(f'require ["editheader", "variables"]; {script}')
    assert found[0].startswith("fault: ")


def test_a_message_does_not_grow_without_end() -> None:
    script = 'require "editheader"; ' + f'addheader "X" "{"x" * 8000}"; ' * 120
    compiled = compile_script(script.encode(), budget=Budget())
    many = compile_script(script.encode() * 1)
    assert run(compiled, MESSAGE, Circumstances()).fault is None
    assert run(many, MESSAGE, Circumstances(), budget=Budget(steps=1000)).fault is not None
