"""RFC 5463, ihave: what there is is used, what there is not is skipped, and used anyway ends the script."""

import pytest

from postino.sieve import BadScript, compile_script
from tests.unit.sieve.scripting import done


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ('if ihave "fileinto" { fileinto "A"; }', ["fileinto A"]),
        # §4 point 1: to the end of the script, outside the block too.
        ('if not ihave "fileinto" { stop; } fileinto "A";', ["fileinto A"]),
        ('if true { if ihave "fileinto" { keep; } } fileinto "A";', ["keep", "fileinto A"]),
        ('if ihave ["fileinto", "copy"] { fileinto :copy "A"; }', ["fileinto A", "keep"]),
        ('if ihave "vnd.none" { none "x" { more; } } else { discard; }', ["discard"]),
        ('if allof (ihave "vnd.none", none :x ["a"] 3) { stop; } discard;', ["discard"]),
        ('if ihave "vnd.none" { keep :none "x"; } discard;', ["discard"]),
        ('if ihave "vnd.none" { if header :none "x" ["y"] { stop; } } discard;', ["discard"]),
        # point 4: none of a list with one that is missing
        ('if ihave ["fileinto", "vnd.none"] { fileinto "A"; } else { discard; }', ["discard"]),
        ('if ihave ["fileinto", "vnd.none"] { stop; } fileinto "A";',
         ['fault: fileinto needs require "fileinto"; at the top of the script.']),
        ('if ihave "vnd.none" { stop; } none;', ["fault: There is no command none."]),
        ('fileinto "A"; if ihave "fileinto" { stop; }',
         ['fault: fileinto needs require "fileinto"; at the top of the script.']),
        # what changes how strings are read
        ('if ihave "variables" { discard; }', ["keep"]),
        ('if ihave "encoded-character" { discard; }', ["keep"]),
        ('if ihave ["comparator-i;octet", "comparator-i;ascii-numeric"] { discard; }', ["discard"]),
        ('if ihave "" { discard; }', ["keep"]),
        (('if ihave "comparator-i;none" { stop; } '
         'if header :comparator "i;none" "a" "b" { keep; }'),
         [("fault: There is no comparator i;none; known are i;octet, i;ascii-casemap, i;ascii-numeric, "
          "i;unicode-casemap.")]),
        # §5
        ('error "It is broken.";', ["fault: It is broken."]),
        ('if not ihave "fileinto" { error "No filing."; } discard;', ["discard"]),
    ],
)  # fmt: skip
def test_sections_4_and_5(script: str, found: list[str]) -> None:
    assert done(f'require "ihave"; {script}') == found


def test_what_is_required_is_had() -> None:
    assert done('require ["ihave", "variables"]; if ihave "variables" { discard; }') == ["discard"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('require ["ihave", "variables"]; if ihave "${x}" { stop; }', "without variables"),
        ('require "ihave"; fileinot "A";', "no command fileinot"),
        ('if ihave "fileinto" { stop; }', 'needs require "ihave"'),
        ('require "ihave"; keep 5; if ihave "x" { stop; }', "keep takes no arguments"),
    ],
)
def test_what_is_wrong_without_regard_to_ihave(script: str, words: str) -> None:
    with pytest.raises(BadScript, match=words):
        compile_script(script.encode())


def test_what_cannot_run_is_warned_of() -> None:
    script = compile_script(b'require "ihave";\r\nif ihave "vnd.none" {\r\n none; }')
    assert [str(warning) for warning in script.warnings] == [
        "line 3, column 2: This ends the script when it is run: There is no command none."
    ]
