"""Write a tree as a script again: one command a line, blocks indented.

RFC: 5228 §8.2.
Invariants: parse(show(tree)) is the same tree but for places; comments are not in trees, so they are gone.
Not here: changing people's scripts, which keeps what they wrote (rules.py).
"""

from postino.sieve.language.syntax import Argument, Command, Number, Strings, Tag, Test, Text, Tree


def show(tree: Tree) -> str:
    """The script's text, with CRLF line ends."""
    lines: list[str] = []
    _show_block(tree.commands, "", lines)
    return "".join([f"{line}\r\n" for line in lines])


def quoted(text: str) -> str:
    """A string as it is written in a script."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def show_test(test: Test) -> str:
    """One test, as in a script."""
    words = [test.name, *map(_show_argument, test.arguments)]
    return " ".join(words) + _show_tests(test.tests, test.name)


def show_command(command: Command) -> str:
    """A command without its block."""
    words = [command.name, *map(_show_argument, command.arguments)]
    return " ".join(words) + _show_tests(command.tests, command.name)


def _show_block(commands: tuple[Command, ...], indent: str, lines: list[str]) -> None:
    for command in commands:
        head = f"{indent}{show_command(command)}"
        if command.block is None:
            lines.append(f"{head};")
        else:
            lines.append(f"{head} {{")
            _show_block(command.block, indent + "    ", lines)
            lines.append(f"{indent}}}")


def _show_tests(tests: tuple[Test, ...], name: str) -> str:
    if not tests:
        return ""
    if len(tests) == 1 and name not in {"allof", "anyof"}:
        return f" {show_test(tests[0])}"
    return " (" + ", ".join(map(show_test, tests)) + ")"


def _show_argument(argument: Argument) -> str:
    match argument:
        case Text():
            return quoted(argument.value)
        case Strings():
            return "[" + ", ".join([quoted(item.value) for item in argument.items]) + "]"
        case Number():
            return str(argument.value)
        case Tag():
            return f":{argument.name}"
