"""`postino sieve`: check scripts, try them on messages, put them in force.

Not here: scripts of accounts and of the site (sieve_scripts.py), whole mailboxes (sieve_replay.py), simple
    rules (rule.py).
"""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from postino.cli.sieve_replay import apply, replay, undo
from postino.cli.sieve_scripts import activate, deactivate, delete, get, list_, put
from postino.core.harmless import printable

if TYPE_CHECKING:
    from postino.sieve import Budget, Evaluation, Script, SieveMessage

_STDIN: Final = "-"
_LINE_END: Final = re.compile(rb"\r?\n|\r(?!\n)")
_MBOX_LINE: Final = re.compile(rb">?From [^\n]*\n")


@click.group(epilog="Example: postino sieve test rules.sieve message.eml --trace")
def sieve() -> None:
    """Check Sieve scripts, try them on messages, put them in force.

    FILE and MESSAGE are files, or - for standard input.
    """


@sieve.command(epilog="Example: postino sieve check rules.sieve")
@click.argument("file")
def check(file: str) -> None:
    """Check a script: every fault with its line and column, and what to think about."""
    script = compile_file(file)
    uses = f"; it uses {', '.join(sorted(script.requires))}" if script.requires else ""
    click.echo(f"{script.name} is in order{uses}.")


@sieve.command(epilog="Example: postino sieve test rules.sieve message.eml --from boss@example.org --trace")
@click.argument("file")
@click.argument("message")
@click.option("--trace", is_flag=True, help="Show each step, with its line.")
@click.option(
    "--from", "from_", metavar="ADDRESS", help="Envelope sender; otherwise Return-Path's, or From's."
)
@click.option("--to", metavar="ADDRESS", help="Envelope recipient; otherwise Delivered-To's, or To's.")
@click.option("--outgoing", is_flag=True, help="As a message that the account sends.")
def test(file: str, message: str, trace: bool, from_: str | None, to: str | None, outgoing: bool) -> None:
    """Say what a script would do with a message, and which line does it. Nothing is done.

    Only INBOX counts as a mailbox that is there, and no other script can be included; `postino sieve replay`
    looks at an account's own.
    """
    import time

    from postino.delivery.filters.environment import local_minutes
    from postino.sieve import Circumstances, SieveMessage, run

    if file == message == _STDIN:
        raise click.UsageError("The script and the message cannot both come on standard input")
    _require_address("--from", from_)
    _require_address("--to", to)
    script = compile_file(file)
    read = SieveMessage.of(_message_octets(read_file(message)))
    sender = from_ if from_ is not None else first_address(read, "return-path", "from")
    recipient = to if to is not None else first_address(read, "delivered-to", "to")
    circumstances = Circumstances(
        envelope_from=sender,
        envelope_to=recipient,
        envelope_auth=sender if outgoing else "",
        now=time.time(),
        zone_minutes=local_minutes,
        addresses=(recipient,) if recipient else (),
        environment={"vnd.postino.direction": "outgoing" if outgoing else "incoming"},
    )
    evaluation = run(script, read, circumstances, steady=time.monotonic, traced=trace)
    if trace:
        _show_trace(evaluation)
    _show_actions(evaluation)


def _require_address(option: str, text: str | None) -> None:
    from postino.core.address import parse_address
    from postino.core.errors import PostinoError

    # Bounces have an empty sender.
    if text:
        try:
            parse_address(text)
        except PostinoError as error:
            raise click.UsageError(f"{option}: {error}") from error


def compile_file(file: str, budget: "Budget | None" = None) -> "Script":
    """The script of a file; shows what is wrong with it, and ends the command if that is too much."""
    return compile_source(read_file(file), shown_file(file), budget)


def shown_file(file: str) -> str:
    """What to call it in what is said."""
    return "standard input" if file == _STDIN else file


def compile_source(
    source: bytes, shown: str, budget: "Budget | None" = None, *, name: str | None = None
) -> "Script":
    """As compile_file(), of what was read already; `name` is the script's, where it has another."""
    from postino.sieve import DEFAULT_BUDGET, BadScript, compile_script

    try:
        script = compile_script(source, name=name or shown, budget=budget or DEFAULT_BUDGET)
    except BadScript as error:
        for fault in error.faults:
            click.echo(f"{shown}:{fault.place.line}:{fault.place.column}: {printable(fault.words)}", err=True)
        count = len(error.faults)
        raise click.ClickException(
            f"{shown} has {'a fault' if count == 1 else f'{count} faults'}; correct what is named above"
        ) from error
    for warning in script.warnings:
        words = printable(warning.words)
        click.echo(f"{shown}:{warning.place.line}:{warning.place.column}: warning: {words}", err=True)
    return script


def first_address(message: "SieveMessage", *fields: str) -> str:
    """The first address of the first of these fields that has one."""
    for field in fields:
        for mailbox in message.addresses(field):
            return mailbox.addr_spec
    return ""


def read_file(file: str) -> bytes:
    """Its octets, or those of standard input."""
    if file == _STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        why = (error.strerror or "unknown error").lower()
        raise click.ClickException(
            f"{file} cannot be read ({why}); name a file that can, or - for standard input"
        ) from error


def _message_octets(octets: bytes) -> bytes:
    """A message as it travels: lines end with CRLF, and there is no line of an mbox file before it."""
    found = _MBOX_LINE.match(octets)
    return _LINE_END.sub(b"\r\n", octets if found is None else octets[found.end() :])


def _show_trace(evaluation: "Evaluation") -> None:
    for line in evaluation.trace:
        click.echo(f"{line.place.script}:{line.place.line}: {printable(line.words)}")
    click.echo(f"({evaluation.steps} {'step' if evaluation.steps == 1 else 'steps'})\n")


def _show_actions(evaluation: "Evaluation") -> None:
    from postino.sieve import Keep
    from postino.sieve.action_words import action_words

    if evaluation.fault is not None:
        fault = evaluation.fault
        words = printable(fault.words)
        click.echo(f"{fault.place}: the script ends with an error, and the message is kept: {words}")
    for action in evaluation.actions:
        why = " (nothing said otherwise)" if isinstance(action, Keep) and action.is_implicit else ""
        click.echo(f"{action.place}: {printable(action_words(action))}{why}")


for _command in (put, get, list_, activate, deactivate, delete, replay, apply, undo):
    sieve.add_command(_command)
