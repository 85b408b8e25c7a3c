"""RFC 6609, include: its examples by section, and its limits."""

import pytest

from postino.sieve import (
    NO_SURROUNDINGS,
    BadScript,
    Budget,
    Circumstances,
    FileInto,
    Script,
    SieveMessage,
    compile_script,
    run,
)
from postino.sieve.circumstances import NoSurroundings
from tests.unit.sieve.scripting import MESSAGE, done, shown


class Repository(NoSurroundings):
    """Scripts by name; those of the site begin with `global:`."""

    def __init__(self, **scripts: str) -> None:
        self._scripts = {
            name.replace("global_", "global:"): compile_script(text.encode(), name=name)
            for name, text in scripts.items()
        }

    def script(self, name: str, *, is_global: bool) -> Script | None:
        return self._scripts.get(f"global:{name}" if is_global else name)


_ALWAYS_ALLOW = 'if address :is "from" "boss@example.com" { keep; stop; }'
_SITE_SPAM = 'require "reject"; if header :contains "Subject" "$$" { reject "No thank you."; }'
_OWN_SPAM = 'require "reject"; if header :contains "Subject" "XXXX" { reject "XXXX is unacceptable."; }'
_LISTS = """require ["fileinto"];
if header :is "List-ID" "sieve.ietf.org" { fileinto "lists.sieve"; }
elsif header :is "List-ID" "ietf-imapext.imc.org" { fileinto "lists.imapext"; }"""
_DEFAULT = """require ["include"];
include :personal "always_allow";
include :global "spam_tests";
include :personal "spam_tests";
include :personal "mailing_lists";"""


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"From: boss@example.com\r\nSubject: $$\r\n", ["keep"]),
        (b"Subject: $$\r\n", ["reject No thank you."]),
        (b"Subject: XXXX\r\n", ["reject XXXX is unacceptable."]),
        (b"List-ID: sieve.ietf.org\r\n", ["fileinto lists.sieve"]),
        (b"Subject: hello\r\n", ["keep"]),
    ],
)
def test_section_3_2(header: bytes, found: list[str]) -> None:
    scripts = Repository(
        always_allow=_ALWAYS_ALLOW, global_spam_tests=_SITE_SPAM, spam_tests=_OWN_SPAM, mailing_lists=_LISTS
    )
    assert done(_DEFAULT, header + b"\r\n", surroundings=scripts) == found


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ('include "missing";', ["fault: there is no script 'missing' to include, or it has faults"]),
        ('include :optional "missing"; discard;', ["discard"]),
        ('include "stops"; discard;', ["keep"]),
        ('include "returns"; discard;', ["discard"]),
        ("return; discard;", ["keep"]),
        ('include "itself"; discard;', ["fault: the script 'itself' includes itself"]),
        ('include "one"; discard;', ["fault: the script 'one' includes itself"]),
        ('include "once_more"; discard;', ["discard"]),
        ('include "files"; include :once "files"; discard;', ["fileinto A", "discard"]),
        ('include :once "files"; include :once "other_files";', ["fileinto A", "fileinto B"]),
        ('include "outer"; discard;', ["fileinto A", "discard"]),
        ('include :once "script"; discard;', ["discard"]),
        ('include "script";', ["fault: the script 'script' includes itself"]),
    ],
)
def test_which_scripts_run_and_how_they_end(script: str, found: list[str]) -> None:
    scripts = Repository(
        stops="stop; discard;",
        returns='require "include"; if true { return; } stop;',
        itself='require "include"; include "itself";',
        one='require "include"; include "two";',
        two='require "include"; include "one";',
        once_more='require "include"; include :once "once_more";',
        files='require "fileinto"; fileinto "A";',
        other_files='require "fileinto"; fileinto "B";',
        outer='require "include"; include "files"; return;',
    )
    assert done(f'require "include"; {script}', surroundings=scripts) == found


def test_how_deep_and_how_many_are_limited() -> None:
    scripts = Repository(
        a='require "include"; include "b";',
        b='require "include"; include "c";',
        c="discard;",
    )
    script = compile_script(b'require "include"; include "a";')
    few = run(script, MESSAGE, Circumstances(), scripts, budget=Budget(include_depth=2))
    assert few.fault is not None
    assert "2 deep" in few.fault.words
    enough = run(script, MESSAGE, Circumstances(), scripts, budget=Budget(include_depth=3))
    assert [shown(action) for action in enough.actions] == ["discard"]
    many = compile_script(b'require "include"; include "c"; include "c"; include "c";')
    assert run(many, MESSAGE, Circumstances(), scripts, budget=Budget(includes=2)).fault is not None


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('require ["include", "variables"]; set "x" "1"; global "x";', "put global in front"),
        ('require ["include"]; global "x";', 'needs require "variables"'),
        ('require ["variables"]; global "x";', 'needs require "include"'),
        ('require ["include", "variables"]; global "1";', "names of variables"),
        ('require ["include", "variables"]; global "global.x";', "names of variables"),
        ('require ["include", "variables"]; global "a${b}";', "names of variables"),
        ('require ["include", "variables"]; set "global.data.from" "x";', "cannot be a variable"),
        ('require ["include", "variables"]; set "global.12" "x";', "cannot be a variable"),
        ('require ["variables", "fileinto"]; fileinto "${global.x}";', "no variables called global.x"),
        ('require ["include", "variables"]; include "${x}";', "without variables"),
        ('require ["include"]; include "";', "A script's name"),
        ('require ["include"]; include "a\tb";', "A script's name"),
        ('require ["include"]; include :personal :global "a";', "exclude each other"),
    ],
)
def test_what_cannot_be_compiled(script: str, words: str) -> None:
    with pytest.raises(BadScript, match=words):
        compile_script(script.encode())


_SUBJECT_TESTS = """require ["include", "variables"];
global ["test", "test_mailbox"];
if header :contains "Subject" "${test}" { set "test_mailbox" "spam-${test}"; }"""
_ACTIVE = """require ["fileinto", "include", "variables", "relational"];
global "test";
global "test_mailbox";
set "test" "$$";
include "subject_tests";
set "test" "Make money";
include "subject_tests";
if not string "${test_mailbox}" "" { fileinto "${test_mailbox}"; stop; }"""


@pytest.mark.parametrize(
    ("subject", "found"), [(b"$$", ["fileinto spam-$$"]), (b"Make money fast", ["fileinto spam-Make money"])]
)
def test_section_3_4_1(subject: bytes, found: list[str]) -> None:
    message = b"Subject: " + subject + b"\r\n\r\n"
    assert done(_ACTIVE, message, surroundings=Repository(subject_tests=_SUBJECT_TESTS)) == found


def test_section_3_4_2() -> None:
    script = """require ["variables", "include", "fileinto"];
    global "i_am_on_vacation";
    set "global.i_am_on_vacation" "1";
    if string :is "${i_am_on_vacation}" "1" { fileinto "${Global.I_am_on_vacation}"; }"""
    assert done(script) == ["fileinto 1"]


def test_variables_and_matched_pieces_are_each_script_s_own() -> None:
    scripts = Repository(
        inner="""require ["include", "variables", "fileinto"];
        fileinto "inner ${x}${1}.";
        set "x" "changed";
        if header :matches "x-caffeine" "C*" { fileinto "inner ${1}"; }"""
    )
    script = """require ["include", "variables", "fileinto"];
    set "x" "mine";
    if header :matches "message-id" "<*>" { include "inner"; fileinto "${x} ${1}"; }"""
    found = ["fileinto inner .", "fileinto inner 8H10N4O2", "fileinto mine 1@example.org"]
    assert done(script, surroundings=scripts) == found


def test_an_included_script_sees_edits_and_its_own_last() -> None:
    scripts = Repository(
        inner='require ["editheader", "fileinto"]; if exists "X-New" { fileinto "new"; } addheader "X-In" "1";'
    )
    script = """require ["include", "editheader", "fileinto"];
    addheader "X-New" "1";
    include "inner";
    if exists "X-In" { fileinto "in"; }"""
    assert done(script, surroundings=scripts) == ["fileinto new", "fileinto in"]


def test_in_a_loop_an_included_script_sees_the_part_as_the_message() -> None:
    message = (
        b"Subject: outside\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nSubject: one\r\n\r\n1\r\n--b\r\nSubject: two\r\n\r\n2\r\n--b--\r\n"
    )
    scripts = Repository(
        inner="""require ["variables", "fileinto", "editheader"];
        if header :matches "subject" "*" { fileinto "${1}"; }
        addheader "X-Lost" "1";"""
    )
    script = """require ["include", "foreverypart", "fileinto"];
    foreverypart { include "inner"; }
    if header "subject" "outside" { fileinto "after"; }"""
    evaluation = run(compile_script(script.encode()), SieveMessage.of(message), Circumstances(), scripts)
    assert [shown(action) for action in evaluation.actions] == [
        "fileinto outside", "fileinto one", "fileinto two", "fileinto after"
    ]  # fmt: skip
    last = evaluation.actions[-1]
    assert isinstance(last, FileInto)
    assert last.edited is not None
    assert last.edited.header.count(b"X-Lost") == 1


def test_without_scripts_there_is_nothing_to_include() -> None:
    assert NO_SURROUNDINGS.script("x", is_global=True) is None
    assert done('require "include"; include :global :optional "x"; discard;') == ["discard"]
