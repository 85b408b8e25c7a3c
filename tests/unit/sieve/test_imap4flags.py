"""setflag, addflag, removeflag, hasflag and :flags: the examples of RFC 5232, named by section."""

import pytest

from postino.sieve import BadScript, Circumstances, compile_script, run
from tests.unit.sieve.scripting import MESSAGE, done

HEAD = (
    'require ["imap4flags", "variables", "fileinto", "relational", "copy", "regex", '
    '"comparator-i;ascii-numeric"];\r\n'
)
MY_VAR = 'set "MyVar" "NonJunk Junk gnus-forward $Forwarded NotJunk JunkRecorded $Junk $NotJunk";'


def kept(script: str, circumstances: Circumstances | None = None) -> list[str]:
    """The flags of the one message kept, in an order that does not matter to it."""
    found = done(HEAD + script, MESSAGE, circumstances)
    assert len(found) == 1, found
    assert found[0].partition(" ")[0] == "keep", found
    return sorted(found[0].split(" ")[1:])


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        # §2: lists, empty strings, spaces, what is no flag.
        ('setflag "";', []),
        ('setflag ["", "A", ""];', ["A"]),
        ('setflag "  A   B ";', ["A", "B"]),
        ('setflag ["A B", "C"];', ["A", "B", "C"]),
        ('setflag ["A", "a", "A a"];', ["A"]),
        ('setflag ["\\\\recent", "\\\\Unknown", "\\\\*", "A"];', ["A"]),
        ('setflag ["Gr\u00fc\u00dfe", "a(b", "a)b", "a{b", "a%b", "a\\"b", "a]b", "A"];', ["A"]),
        ('setflag "A\tB";', []),
        ('setflag "\\\\SEEN \\\\flagged";', ["\\Flagged", "\\Seen"]),
        # §3, §3.1: the internal variable; setting replaces.
        ("keep;", []),
        ('if size :over 1 { setflag "\\\\Deleted"; }', ["\\Deleted"]),
        ('addflag "A"; setflag "B";', ["B"]),
        ('addflag "A"; setflag "";', []),
        # §3.2
        ('addflag "A"; addflag "B"; addflag "a";', ["A", "B"]),
        # §3.3
        ('addflag ["A", "B", "C"]; removeflag "b"; removeflag ["", "X"];', ["A", "C"]),
        ('addflag ["A", "B", "C"]; removeflag "c a";', ["B"]),
        ('addflag "\\\\Seen"; removeflag "\\\\SEEN";', []),
        # §5: :flags alone counts where it is given.
        ('addflag "A"; keep;', ["A"]),
        ('addflag "A"; keep :flags "B";', ["B"]),
        ('addflag "A"; keep :flags "";', []),
        ('keep :flags ["A B", "\\\\Recent", "\\\\Seen"];', ["A", "B", "\\Seen"]),
        ('keep; addflag "A";', []),
        # §3: of several for one mailbox the last wins.
        ('keep :flags "A"; keep :flags ["B", "C"];', ["B", "C"]),
        ('keep :flags "A"; keep;', []),
    ],
)
def test_sections_2_to_5(script: str, flags: list[str]) -> None:
    """What the kept message has."""
    assert kept(script) == flags


@pytest.mark.parametrize(
    "script",
    [
        'addflag "flagvar" "\\\\Deleted"; addflag "flagvar" "\\\\Answered";',
        'addflag "flagvar" ["\\\\Deleted", "\\\\Answered"];',
        'addflag "flagvar" "\\\\Deleted \\\\Answered";',
        'addflag "flagvar" "\\\\Answered \\\\Deleted";',
    ],
)
def test_section_3_2_the_same_result(script: str) -> None:
    """In a variable."""
    assert kept(script + 'keep :flags "${flagvar}";') == ["\\Answered", "\\Deleted"]


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        ('set "v" "A  a B"; addflag "v" "C";', ["A", "B", "C"]),
        ('set "v" "A B"; removeflag "V" "a";', ["B"]),
        ('set "v" "A B"; setflag "v" "${v} C";', ["A", "B", "C"]),
        ('set "v" "A B"; removeflag "v" "${v}";', []),
        ('setflag "v" ["A", "gr\u00fcn"];', ["A"]),
        ('addflag "A"; addflag "v" "B";', ["B"]),
        ('removeflag "v" "B";', []),
    ],
)
def test_section_3_variables(script: str, flags: list[str]) -> None:
    """A variable is a string with spaces; the internal one is another."""
    assert kept(script + 'keep :flags "${v}";') == flags


def test_section_3_1_and_3_3_mailboxes() -> None:
    """With another sender's names."""
    boss = (
        'if header :contains "from" "ann@example.org" { setflag "flagvar" "\\\\Flagged";'
        ' fileinto :flags "${flagvar}" "INBOX.From Boss"; }'
    )
    assert done(HEAD + boss) == ["fileinto INBOX.From Boss \\Flagged"]
    lists = (
        'addflag "flagvar" "$MDNRequired A"; removeflag "flagvar" "$MDNRequired";'
        ' fileinto :flags "${flagvar}" "INBOX.imap-list";'
    )
    assert done(HEAD + lists) == ["fileinto INBOX.imap-list A"]


@pytest.mark.parametrize(
    ("before", "test", "holds"),
    [
        ('setflag "A B";', 'hasflag :is "b A"', True),
        ('setflag "A B";', 'hasflag ["b","A"]', True),
        ('setflag "A B";', 'hasflag "c"', False),
        ('setflag "A B";', 'hasflag "A B C"', True),
        ('setflag "A B";', 'hasflag :comparator "i;octet" "a"', False),
        (MY_VAR, 'hasflag :contains "MyVar" "Junk"', True),
        (MY_VAR, 'hasflag :contains "MyVar" "forward"', True),
        (MY_VAR, 'hasflag :contains "MyVar" ["label", "forward"]', True),
        (MY_VAR, 'hasflag :contains "MyVar" ["junk", "forward"]', True),
        (MY_VAR, 'hasflag :contains "MyVar" "junk forward"', True),
        (MY_VAR, 'hasflag :contains "MyVar" "forward junk"', True),
        (MY_VAR, 'hasflag :contains "MyVar" "label"', False),
        (MY_VAR, 'hasflag :contains "MyVar" ["label1", "label2"]', False),
        (MY_VAR, 'hasflag :contains "Junk"', False),
        ('set "MyFlags" "A B";',
         'hasflag :count "ge" :comparator "i;ascii-numeric" "MyFlags" "2"', True),
        # Distinct flags; of several variables the sum.
        ('set "MyFlags" "A a B";', 'hasflag :count "eq" "MyFlags" "2"', True),
        ('set "a" "A B"; set "b" "B C D";', 'hasflag :count "eq" ["a", "b", "none"] "5"', True),
        ("", 'hasflag :count "eq" "0"', True),
        # §2: empty strings are no flags.
        ('setflag "A";', 'hasflag ""', False),
        ('setflag "A";', 'hasflag :contains ""', False),
        ("", 'hasflag :matches "*"', False),
        ('setflag "A";', 'hasflag :matches "*"', True),
        # Keys that are known only while the script runs.
        ('setflag "A B"; set "k" "x B";', 'hasflag "${k}"', True),
        ('setflag "A B"; set "k" "x  y";', 'hasflag "${k}"', False),
        ('setflag "A B"; set "k" "";', 'hasflag :contains "${k}"', False),
        ('setflag "A B"; set "k" "2";', 'hasflag :count "eq" "${k}"', True),
        ('setflag "Abc"; set "k" "^a.";', 'hasflag :regex "${k}"', True),
        ('setflag "Abc";', 'allof(hasflag :matches "A*", string "${1}" "bc")', True),
    ],
)  # fmt: skip
def test_section_4_hasflag(before: str, test: str, holds: bool) -> None:
    """Any flag of any variable."""
    found = done(f'{HEAD}{before} if {test} {{ discard; }} else {{ fileinto :flags "" "not"; }}')
    assert found == (["discard"] if holds else ["fileinto not"])


def test_a_bad_expression_made_while_running_is_a_fault() -> None:
    """As in every other test, and the compiled script is no different afterwards."""
    script = compile_script(
        (HEAD + 'setflag "A"; set "k" "("; if hasflag :regex "${k}" { discard; }').encode()
    )
    for _ in range(2):
        evaluation = run(script, MESSAGE)
        assert evaluation.fault is not None
        assert "cannot be read" in evaluation.fault.words


def test_section_9() -> None:
    """A message of both kinds is filed twice, each time with the flags of that moment."""
    script = """
        if size :over 1 {
            addflag "MyFlags" "Big";
            if address :is "From" "ann@example.org" { addflag "MyFlags" "\\\\Flagged"; }
            fileinto :flags "${MyFlags}" "Big messages";
        }
        if address :is "From" "ann@example.org" {
            addflag "MyFlags" ["\\\\Answered", "$MDNSent"];
            fileinto :flags "${MyFlags}" "GrandMa";
        }
        if header :is "Sender" "owner-ietf-mta-filters@example.org" { keep :flags "$Work"; }
        elsif header :matches "subject" ["*make*money*fast*", "*from*"] {
            removeflag "MyFlags" "\\\\Flagged";
            fileinto :flags "${MyFlags}" "spam";
        }
    """
    assert done(HEAD + script) == [
        "fileinto Big messages Big \\Flagged",
        "fileinto GrandMa Big \\Flagged \\Answered $MDNSent",
        "fileinto spam Big \\Answered $MDNSent",
    ]


def test_a_message_in_a_mailbox_brings_its_flags() -> None:
    """RFC 6785 §3.8."""
    there = Circumstances(flags=("\\Seen", "A"))
    assert kept('addflag "B";', there) == ["A", "B", "\\Seen"]
    assert kept('if hasflag "\\\\seen" { removeflag "\\\\Seen"; }', there) == ["A"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('require "imap4flags"; addflag "v" "A";', 'needs require "variables"'),
        ('require "imap4flags"; if hasflag "v" "A" { keep; }', 'needs require "variables"'),
        ('require ["imap4flags", "variables"]; addflag ["v"] "A";', "string"),
        ('require ["imap4flags", "variables"]; addflag "a b" "A";', "variable"),
        ('require ["imap4flags", "variables"]; addflag "1" "A";', "variable"),
        ('require ["imap4flags", "variables"]; addflag "${v}" "A";', "name"),
        ('require "imap4flags"; addflag;', "addflag"),
        ('require "imap4flags"; addflag 1;', "addflag"),
        ('require "imap4flags"; keep :flags;', "flags"),
        ('require "imap4flags"; keep :flags 1;', "flags"),
        ('require "imap4flags"; discard :flags "A";', "flags"),
        ('addflag "A";', "imap4flags"),
        ('keep :flags "A";', "imap4flags"),
    ],
)  # fmt: skip
def test_bad_scripts(script: str, words: str) -> None:
    """Told while compiling."""
    with pytest.raises(BadScript) as bad:
        compile_script(script.encode())
    assert any(words in fault.words for fault in bad.value.faults), bad.value.faults
