"""environment: items there are and are not, named by section of RFC 5183."""

import pytest

from postino import __version__
from postino.sieve import BadScript, Circumstances, compile_script
from tests.unit.sieve.scripting import MESSAGE, done

HEAD = 'require ["environment", "relational", "variables", "comparator-i;ascii-numeric"];\r\n'
ITEMS = Circumstances(
    environment={
        "domain": "example.org",
        "host": "mx.example.org",
        "location": "MTA",
        "phase": "pre",
        "remote-host": "",
        "remote-ip": "IPv6:2001:db8::1",
        "vnd.postino.direction": "incoming",
    }
)
NOTHING = Circumstances()


def holds(test: str, circumstances: Circumstances = ITEMS, before: str = "") -> bool:
    """Whether the test is true; it is never a fault."""
    found = done(f"{HEAD}{before}if {test} {{ discard; }}", MESSAGE, circumstances)
    assert found in (["discard"], ["keep"]), found
    return found == ["discard"]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        # §4: what does not exist fails every test; what is empty is there.
        ('environment :contains "item" ""', False),
        ('environment :is "item" ""', False),
        ('environment :matches "vnd.acme.rocket-sled-status" "*"', False),
        ('environment :contains "" ""', False),
        ('environment :contains "remote-host" ""', True),
        ('environment :is "remote-host" ""', True),
        ('environment :matches "remote-host" "?*"', False),
        ('environment :count "eq" "item" "0"', False),
        ('environment :count "eq" "remote-host" "0"', True),
        ('environment :count "eq" "host" "1"', True),
        # §4.1
        ('environment "domain" "example.org"', True),
        ('environment "host" "MX.example.ORG"', True),
        ('environment :comparator "i;octet" "host" "MX.example.ORG"', False),
        ('environment "LOCATION" "MTA"', True),
        ('environment "phase" ["during", "pre"]', True),
        ('environment "phase" "post"', False),
        ('environment :matches "remote-ip" "IPv6:2001:db8:*"', True),
        ('environment "name" "Postino"', True),
        (f'environment "version" "{__version__}"', True),
        # §4.2
        ('environment "vnd.postino.direction" "incoming"', True),
        ('environment :value "ge" "host" "mx"', True),
    ],
)
def test_items(test: str, expected: bool) -> None:
    """In any case of letters."""
    assert holds(test) is expected


@pytest.mark.parametrize("item", ["domain", "host", "remote-ip", "vnd.postino.direction"])
def test_what_nobody_told_does_not_exist(item: str) -> None:
    assert not holds(f'environment :contains "{item}" ""', NOTHING)


@pytest.mark.parametrize("item", ["name", "version", "location", "phase", "remote-host"])
def test_what_is_always_there(item: str) -> None:
    assert holds(f'environment :contains "{item}" ""', NOTHING)


def test_names_and_matched_pieces_in_variables() -> None:
    assert holds('environment "${n}" "${v}"', before='set "n" "Host"; set "v" "mx.example.org";')
    both = 'allof(environment :matches "host" "*.*", string "${2}" "example.org")'
    assert holds(both)


@pytest.mark.parametrize(
    "test", ['environment "host"', 'environment ["host", "name"] "a"', 'environment :all "host" "a"']
)
def test_bad_tests(test: str) -> None:
    with pytest.raises(BadScript):
        compile_script(f"{HEAD}if {test} {{ keep; }}".encode())


def test_it_needs_its_extension() -> None:
    with pytest.raises(BadScript, match="environment"):
        compile_script(b'if environment "host" "a" { keep; }')
