"""Sieve's lexer, parser, printer and compiler.

Oracle: any octets give a script, or BadScript with faults whose lines the script has; what is shown parses to what
is shown; a stored script compiles as its source did.
Run: python fuzz/fuzz_sieve_script.py -max_total_time=20
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import run

from postino.sieve import BadScript, compile_script, stored_script
from postino.sieve.language.parser import parse
from postino.sieve.language.printer import show


def test_one_input(octets: bytes) -> None:
    """Check one script."""
    try:
        tree = parse(octets)
    except BadScript as bad:
        _check_faults(bad, octets)
        return
    shown = show(tree)
    assert show(parse(shown.encode())) == shown
    try:
        script = compile_script(octets)
    except BadScript as bad:
        _check_faults(bad, octets)
        return
    again = stored_script(script.stored, name=script.name, octets=script.octets)
    assert (again.requires, again.stored, again.end) == (script.requires, script.stored, script.end)


def _check_faults(bad: BadScript, octets: bytes) -> None:
    lines = octets.count(b"\n") + octets.count(b"\r") + 1
    assert bad.faults
    assert all(1 <= fault.place.line <= lines and fault.place.column >= 1 for fault in bad.faults)


if __name__ == "__main__":
    run(test_one_input, "sieve")
