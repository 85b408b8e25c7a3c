"""set, its modifiers, the string test, matched pieces: the examples of RFC 5229, named by section."""

import pytest

from postino.sieve import BadScript, Budget, Circumstances, compile_script, run
from tests.unit.sieve.scripting import MESSAGE, done, shown

HEAD = 'require ["variables", "fileinto", "regex", "relational", "comparator-i;ascii-numeric"];\r\n'


def made(script: str, text: str, message: bytes = MESSAGE) -> str:
    """What a string becomes behind the script."""
    found = done(f'{HEAD}{script}\r\nfileinto "<{text}>";', message)
    assert len(found) == 1, found
    return found[0].removeprefix("fileinto <").removesuffix(">")


def faults(script: str) -> list[str]:
    """What is wrong with a script."""
    with pytest.raises(BadScript) as bad:
        compile_script((HEAD + script).encode())
    return [fault.words for fault in bad.value.faults]


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("&%${}!", "&%${}!"),
        ("${doh!}", "${doh!}"),
        ("${full}", ""),
        ("${company}", "ACME"),
        ("${COMPANY}", "ACME"),
        ("${BAD${Company}", "${BADACME"),
        ("${President, ${Company} Inc.}", "${President, ACME Inc.}"),
        # 3.1: quoting comes first.
        (r"${comp\any}", "ACME"),
        (r"${comp\\any}", r"${comp\any}"),
        (r"\${company}", "ACME"),
        (r"\\${company}", r"\ACME"),
        ("${company}${company}", "ACMEACME"),
        ("${1}${0}${007}", ""),
    ],
)
def test_section_3_strings(text: str, becomes: str) -> None:
    """A string with variables in it."""
    assert made('set "company" "ACME";', text) == becomes


def test_section_3_1_a_dollar_can_be_kept() -> None:
    """A reference that is to stay is made of a variable with the sign."""
    assert made('set "dollar" "$"; set "text" "regarding ${dollar}{beep}";', "${text}") == "regarding ${beep}"


def test_section_3_1_encoded_characters_come_before_variables() -> None:
    """The reference may be spelled with encoded characters."""
    script = (
        'require ["encoded-character", "variables", "fileinto"];\r\n'
        'set "name" "Ethelbert"; fileinto "dear${hex:20 24 7b 4e}ame}";'
    )
    assert done(script) == ["fileinto dear Ethelbert"]


@pytest.mark.parametrize(
    ("test", "subject", "text", "becomes"),
    [
        ('header :matches "Subject" "[*] *"', "[acme-users] [fwd] version 1.0", "${1}|${2}",
         "acme-users|[fwd] version 1.0"),
        ('header :matches "List-ID" "*<*@*"', "", "${2}", "lists"),
        ('header :matches "List-ID" "*<*@*"', "", "${02}", "lists"),
        ('header :matches "List-ID" "*<*@*"', "", "${0}", "The list <lists@example.org>"),
        ('header :matches "List-ID" "*<*@*"', "", "${4}", ""),
        ('address :matches ["To", "Cc"] ["coyote@**.com", "wile@**.com"]', "", "${0}|${1}|${2}",
         "coyote@ACME.Example.COM||ACME.Example"),
        ('anyof (true, address :domain :matches "To" "*.com")', "", "${1}", ""),
        # A match that fails leaves what the one before took.
        ('allof (header :matches "Subject" "?*", not header :matches "Subject" "zz*")', "xy", "${1}${2}", "xy"),
    ],
)  # fmt: skip
def test_section_3_2_matched_pieces(test: str, subject: str, text: str, becomes: str) -> None:
    """What each sign of a pattern stood for."""
    message = (
        f"List-ID: The list <lists@example.org>\r\nSubject: {subject}\r\nTo: coyote@ACME.Example.COM\r\n\r\n"
    ).encode()
    assert made(f'if not {test} {{ set "failed" "failed"; }}', f"{text}${{failed}}", message) == becomes


def test_section_4_set() -> None:
    """Names have no case, texts of several lines may hold variables."""
    script = (
        'set "honorific" "Mr"; set "first_name" "Wile"; set "last_name" "Coyote";\r\n'
        'set "vacation" "Dear ${HONORIFIC} ${last_name}, I am out.";'
    )
    assert made(script, "${vacation}") == "Dear Mr Coyote, I am out."


@pytest.mark.parametrize(
    ("modifiers", "value", "becomes"),
    [
        ("", "juMBlEd lETteRS", "juMBlEd lETteRS"),
        (":length", "juMBlEd lETteRS", "15"),
        (":lower", "juMBlEd lETteRS", "jumbled letters"),
        (":upperfirst", "juMBlEd lETteRS", "JuMBlEd lETteRS"),
        (":upperfirst :lower", "juMBlEd lETteRS", "Jumbled letters"),
        (":lower :upperfirst", "juMBlEd lETteRS", "Jumbled letters"),
        (":quotewildcard", "Rock*", r"Rock\*"),
        (":UPPER", "Grüße", "GRüßE"),
        (":lowerfirst :upper", "abc", "aBC"),
        (":lowerfirst", "", ""),
        (":upperfirst", "éa", "éa"),
        (":length", "Grüße", "5"),
        (":length :quotewildcard", "a*?", "5"),
        (":quotewildcard", r"a\\b?", r"a\\b\?"),
        # draft-ietf-sieve-regex-01
        (":quoteregex", "1+1=(2).^$|[a]{2}*?", r"1\+1=\(2\)\.\^\$\|\[a\]\{2\}\*\?"),
        (":quoteregex", r"\\", r"\\"),
    ],
)
def test_section_4_1_modifiers(modifiers: str, value: str, becomes: str) -> None:
    """Each modifier, and several: those of the higher precedence first."""
    assert made(f'set {modifiers} "b" "{value}";', "${b}") == becomes


@pytest.mark.parametrize(
    ("modifiers", "value", "becomes"),
    [
        (":encodeurl", "Safe body&evil=evilbody", "Safe%20body%26evil%3Devilbody"),
        (":encodeurl", "AZaz09-._~", "AZaz09-._~"),
        (":encodeurl", "/?#%+", "%2F%3F%23%25%2B"),
        (":encodeurl", "Gr\u00fc\u00dfe", "Gr%C3%BC%C3%9Fe"),
        (":encodeurl :quotewildcard", "a*", "a%5C%2A"),
        (":length :encodeurl", "\u00fc", "6"),
        (":encodeurl :upper", "a b", "A%20B"),
    ],
)
def test_rfc_5435_section_6_encodeurl(modifiers: str, value: str, becomes: str) -> None:
    """Of the precedence 15: octets of UTF-8, those that are not unreserved."""
    script = f'require ["enotify"]; set {modifiers} "b" "{value}";'
    assert made(script, "${b}") == becomes


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('set :lower :upper "a" "b";', "exclude each other"),
        ('set :lowerfirst :upperfirst "a" "b";', "exclude each other"),
        ('set :quotewildcard :quoteregex "a" "b";', "exclude each other"),
        ('set :funny "a" "b";', "set has no :funny"),
        ('set :encodeurl "a" "b";', 'needs require "enotify"'),
        ('set "1" "b";', "cannot be a variable"),
        ('set "a.b" "b";', "cannot be a variable"),
        ('set "global.b" "b";', "cannot be a variable"),
        ('set "a b" "b";', "cannot be a variable"),
        ('set "" "b";', "cannot be a variable"),
        ('set "${a}" "b";', "as it is"),
        ('set "a";', "set takes"),
        ('set "a" ["b", "c"];', "a string"),
        # 3: a namespace nobody knows; 6: more pieces than there are.
        ('fileinto "${foo.bar}";', "no variables called foo.bar"),
        ('fileinto "${1000}";', "No pattern has piece 1000"),
    ],
)
def test_section_4_errors(script: str, words: str) -> None:
    """What is found out while compiling."""
    found = faults(script)
    assert len(found) == 1
    assert words in found[0]


@pytest.mark.parametrize(
    ("test", "holds"),
    [
        ('string :matches " ${state} " "* pending *"', True),
        ('string "${state}" "pending"', False),
        ('string "${state}" " PENDING"', True),
        ('string ["x", "y"] ["z", "y"]', True),
        ('string :count "eq" :comparator "i;ascii-numeric" "" "0"', True),
        ('string :count "eq" :comparator "i;ascii-numeric" "${none}" "0"', True),
        ('string :count "eq" :comparator "i;ascii-numeric" ["a", "", "b"] "2"', True),
        ('string :value "gt" :comparator "i;ascii-numeric" "10" "9"', True),
    ],
)
def test_section_5_string(test: str, holds: bool) -> None:
    """Strings of the script compared with others; blanks count."""
    script = f'set "state" "${{state}} pending";\r\nif {test} {{ discard; }}'
    assert done(HEAD + script) == (["discard"] if holds else ["keep"])


def test_without_require_strings_stay() -> None:
    """Only `require "variables"` gives ${ } a meaning."""
    assert done('require "fileinto"; fileinto "${x}";') == ["fileinto ${x}"]


def test_section_6_values_are_cut() -> None:
    """A value that is too long is cut between letters, and is no error."""
    doubling = "".join('set "a" "${a}${a}";' for _ in range(20))
    script = f'{HEAD}set "a" "üü";{doubling} set :length "n" "${{a}}"; fileinto "${{n}}";'
    assert done(script) == ["fileinto 32768"]


def test_section_6_as_many_variables_as_the_budget_has() -> None:
    """One more than the budget has ends the script; the message is kept."""
    script = compile_script((HEAD + 'set "a" "1"; set "b" "2"; set "a" "3"; discard;').encode())
    circumstances = Circumstances()
    few = run(script, MESSAGE, circumstances, budget=Budget(variables=1))
    enough = run(script, MESSAGE, circumstances, budget=Budget(variables=2))
    assert few.fault is not None
    assert [shown(action) for action in few.actions] == ["keep"]
    assert [shown(action) for action in enough.actions] == ["discard"]
