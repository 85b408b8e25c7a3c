"""What every fuzz target shares: start atheris on a function, with seeds and a dictionary where there are some.

Import this before the parser under test: modules imported later are instrumented.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import atheris

HERE = Path(__file__).parent

_instrumentation = atheris.instrument_imports(include=["postino"])
_instrumentation.__enter__()


def run(test_one_input: Callable[[bytes], None], name: str) -> None:
    """Fuzz `test_one_input` with libFuzzer's arguments of the command line; does not return."""
    arguments = list(sys.argv)
    dictionary = HERE / "dictionaries" / f"{name}.dict"
    if dictionary.is_file() and not any(argument.startswith("-dict=") for argument in arguments):
        arguments.append(f"-dict={dictionary}")
    atheris.Setup(arguments, test_one_input)
    atheris.Fuzz()
