"""The Python API: what programs that use Sieve without the server rely on."""

import pytest

from postino.sieve import (
    BadScript,
    FileInto,
    Keep,
    Place,
    compile_script,
    evaluate,
    extension_names,
    run,
    run_sequence,
    stored_script,
)
from tests.unit.sieve.scripting import MESSAGE, shown

SCRIPT = b'require "fileinto";\r\nif header :contains "subject" "ann" {\r\n  fileinto "Ann";\r\n}\r\n'


def test_actions_name_the_line_that_decided() -> None:
    actions = evaluate(compile_script(SCRIPT, name="main"), MESSAGE, envelope_from="ann@example.org")
    assert [(shown(action), action.place) for action in actions] == [("fileinto Ann", Place("main", 3, 3))]
    assert str(actions[0].place) == "main:3"


def test_an_implicit_keep_is_said_to_be_one() -> None:
    (keep,) = evaluate(compile_script(b"if false { discard; }\r\n# end"), MESSAGE)
    assert isinstance(keep, Keep)
    assert keep.is_implicit
    assert keep.place.line == 2


def test_a_stored_script_does_the_same() -> None:
    script = compile_script(SCRIPT, name="main")
    again = stored_script(script.stored, name="main", octets=script.octets)
    assert run(again, MESSAGE).actions == run(script, MESSAGE).actions
    assert again.requires == {"fileinto"}


def test_blocks_of_a_stored_script_are_made_when_they_are_run_and_do_the_same() -> None:
    source = b"""require ["fileinto", "imap4flags", "variables"];
        if header :matches "subject" "* from *" {
            set "who" "${2}";
            if false { discard; } elsif true { addflag "x"; fileinto "${who}"; stop; }
        } else { discard; }
        discard;"""
    script = compile_script(source)
    again = stored_script(script.stored, name="script", octets=script.octets)
    expected = [shown(action) for action in run(script, MESSAGE).actions]
    assert expected == ["fileinto Ann x"]
    for _ in range(2):
        assert [shown(action) for action in run(again, MESSAGE).actions] == expected
    assert run(again, MESSAGE, traced=True).trace == run(script, MESSAGE, traced=True).trace


@pytest.mark.parametrize("stored", [b"", b"0:x", b"1:", b"1:\xff\xff", b"1:\x92\x90\xa1"])
def test_what_another_version_stored_is_not_read(stored: bytes) -> None:
    with pytest.raises(ValueError, match="stored"):
        stored_script(stored, name="main", octets=1)


def test_a_trace_tells_each_step() -> None:
    trace = run(compile_script(SCRIPT, name="main"), MESSAGE, traced=True).trace
    assert [(line.place.line, line.words) for line in trace] == [
        (2, 'header :contains "subject" "ann" -> true'),
        (3, 'fileinto "Ann"'),
    ]
    assert run(compile_script(SCRIPT), MESSAGE).trace == ()


def test_every_extension_can_be_required() -> None:
    names = extension_names()
    assert len(names) == len(set(names))
    for name in names:
        compile_script(f'require "{name}";'.encode())


def test_bad_scripts_tell_what_is_wrong_in_one_error() -> None:
    with pytest.raises(BadScript, match="line 1, column 1: There is no command kep"):
        compile_script(b"kep;")


@pytest.mark.parametrize(
    ("scripts", "actions"),
    [
        # The next runs while the message is to be kept; a keep on the way is not one more copy.
        ([b"", b""], ["keep"]),
        ([b"keep;", b"discard;"], ["discard"]),
        ([b"discard;", b"keep;"], ["discard"]),
        ([b"", SCRIPT, b"discard;"], ["fileinto Ann"]),
        ([b'require ["fileinto", "copy"]; fileinto :copy "All";', SCRIPT], ["fileinto All", "fileinto Ann"]),
        ([b'require ["fileinto", "copy"]; fileinto :copy "Ann";', SCRIPT], ["fileinto Ann"]),
    ],
)
def test_scripts_in_a_row(scripts: list[bytes], actions: list[str]) -> None:
    compiled = [compile_script(script, name=f"script{number}") for number, script in enumerate(scripts)]
    assert [shown(action) for action in run_sequence(compiled, MESSAGE).actions] == actions


def test_the_actions_of_a_row_name_their_scripts() -> None:
    compiled = [compile_script(b"keep;", name="before"), compile_script(SCRIPT, name="main")]
    (action,) = run_sequence(compiled, MESSAGE).actions
    assert isinstance(action, FileInto)
    assert action.place.script == "main"
