"""`postino rule`: simple rules for an account's mail, without writing Sieve.

Not here: how rules stand in a script (sieve/rules.py), whole scripts (cli/sieve.py).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from postino.cli.options import data_options, find_configuration, now, open_data, require_account, show_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postino.sieve.rules import Condition, Rule, Ruled
    from postino.store.accounts import AccountRow
    from postino.store.tx import Tx

_NEW_SCRIPT: Final = "main"
_FLAGGED: Final = "\\Flagged"
_SEEN: Final = "\\Seen"


@click.group(epilog="Example: postino rule add ann@example.org --from boss@example.org --move-to Boss")
def rule() -> None:
    """File, flag and forward an account's mail by simple rules. The server may run meanwhile.

    Rules stand at the head of the account's active Sieve script, before whatever else is in it, and are tried
    in their order: all that fit do something, until one says --stop. With --outgoing they are for the mail
    that the account sends.
    """


def _which_script(command: "Callable[..., None]") -> "Callable[..., None]":
    return click.option("--outgoing", is_flag=True, help="Rules for the mail that the account sends.")(
        command
    )


@rule.command(
    epilog="Example: postino rule add ann@example.org --list talk@example.org --move-to Lists/Talk --stop"
)
@click.argument("account")
@click.option(
    "--from",
    "from_",
    multiple=True,
    metavar="WHO",
    help="Sender: an address, @example.org for all of a domain, *@*.example.org, or part of a name.",
)
@click.option("--to", multiple=True, metavar="WHO", help="Likewise, one of those in To and Cc.")
@click.option("--subject", multiple=True, metavar="TEXT", help="Part of the subject; with * or ?, all of it.")
@click.option("--list", "list_", multiple=True, metavar="LIST", help="A mailing list's id or address.")
@click.option(
    "--header", multiple=True, nargs=2, metavar="NAME VALUE", help="Part of a header field; with * or ?, all."
)
@click.option("--larger", metavar="SIZE", help="Larger than this, such as 5MB.")
@click.option("--every", is_flag=True, help="Every message.")
@click.option("--any", "is_any", is_flag=True, help="One true condition is enough; otherwise all are wanted.")
@click.option(
    "--move-to", default="", metavar="MAILBOX", help="File it there, making the mailbox if need be."
)
@click.option("--copy-to", multiple=True, metavar="MAILBOX", help="File a copy there.")
@click.option("--flag", is_flag=True, help="Flag it.")
@click.option("--mark-read", is_flag=True, help="Mark it as read.")
@click.option("--keyword", multiple=True, metavar="NAME", help="Give it a keyword, such as $Work.")
@click.option("--forward-to", multiple=True, metavar="ADDRESS", help="Send a copy there.")
@click.option("--discard", is_flag=True, help="Do not keep it.")
@click.option("--stop", is_flag=True, help="Look at nothing after this rule.")
@click.option("--name", default="", help="What to call the rule; otherwise it is made from the conditions.")
@click.option("--at", type=click.IntRange(min=1), metavar="N", help="Make it the N-th rule, not the last.")
@_which_script
@data_options
def add(
    account: str,
    from_: tuple[str, ...],
    to: tuple[str, ...],
    subject: tuple[str, ...],
    list_: tuple[str, ...],
    header: tuple[tuple[str, str], ...],
    larger: str | None,
    every: bool,
    is_any: bool,
    move_to: str,
    copy_to: tuple[str, ...],
    flag: bool,
    mark_read: bool,
    keyword: tuple[str, ...],
    forward_to: tuple[str, ...],
    discard: bool,
    stop: bool,
    name: str,
    at: int | None,
    outgoing: bool,
    data: Path | None,
    config: Path | None,
) -> None:
    """Add a rule: which messages of ACCOUNT, and what becomes of them.

    A condition given again is true for either value; different conditions must all be true, unless --any.
    """
    from postino.core.flags import flag_set
    from postino.sieve.rules import Rule, add_rule, described, free_name, suggested_name

    conditions = _conditions(from_, to, subject, list_, header, larger)
    if bool(conditions) == every:
        raise click.UsageError(
            "Say either which messages are meant, for instance with --from boss@example.org, or --every"
        )
    try:
        flag_set(keyword)
    except ValueError as error:
        raise click.UsageError(f"{error}; a keyword is a word such as $Work") from error
    flags = (*([_FLAGGED] if flag else []), *([_SEEN] if mark_read else []), *keyword)

    def change(rules: "Sequence[Rule]") -> tuple[tuple["Rule", ...], str]:
        new = Rule(
            name=name or free_name(rules, suggested_name(conditions)),
            conditions=tuple(conditions),
            is_any=is_any,
            move_to=move_to,
            copy_to=copy_to,
            flags=flags,
            forward_to=forward_to,
            discard=discard,
            stop=stop,
        )
        messages, done = described(new)
        return add_rule(rules, new, at), f"Rule {new.name!r} is in force: {messages}: {done}"

    _change(account, change, data, config, outgoing=outgoing)


@rule.command("list", epilog="Example: postino rule list ann@example.org")
@click.argument("account")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@_which_script
@data_options
def list_(account: str, as_json: bool, outgoing: bool, data: Path | None, config: Path | None) -> None:
    """List the rules of ACCOUNT in the order in which they are tried."""
    import msgspec

    from postino.sieve.rules import described

    with open_data(data, config) as store:
        rules = store.read_now(lambda tx: _read(tx, require_account(tx, account), outgoing=outgoing)[1].rules)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(rules), indent=2))
        return
    rows = [[str(number), each.name, *described(each)] for number, each in enumerate(rules, 1)]
    show_table(["", "name", "messages", "what becomes of them"], rows, empty="There are no rules.")


@rule.command(epilog="Example: postino rule remove ann@example.org 'from boss@example.org'")
@click.argument("account")
@click.argument("name")
@_which_script
@data_options
def remove(account: str, name: str, outgoing: bool, data: Path | None, config: Path | None) -> None:
    """Take out a rule, by its NAME or its number in the list."""
    from postino.sieve.rules import find_rule, remove_rule

    def change(rules: "Sequence[Rule]") -> tuple[tuple["Rule", ...], str]:
        return remove_rule(rules, name), f"Rule {rules[find_rule(rules, name)].name!r} is removed"

    _change(account, change, data, config, outgoing=outgoing)


@rule.command(epilog="Example: postino rule move ann@example.org 'from boss@example.org' 1")
@click.argument("account")
@click.argument("name")
@click.argument("number", type=int)
@_which_script
@data_options
def move(
    account: str, name: str, number: int, outgoing: bool, data: Path | None, config: Path | None
) -> None:
    """Make a rule, by its NAME or its number, the NUMBER-th that is tried."""
    from postino.sieve.rules import find_rule, move_rule

    def change(rules: "Sequence[Rule]") -> tuple[tuple["Rule", ...], str]:
        moved = rules[find_rule(rules, name)].name
        return move_rule(rules, name, number), f"Rule {moved!r} is now number {number}"

    _change(account, change, data, config, outgoing=outgoing)


def _conditions(
    from_: "Sequence[str]",
    to: "Sequence[str]",
    subject: "Sequence[str]",
    list_: "Sequence[str]",
    header: "Sequence[tuple[str, str]]",
    larger: str | None,
) -> "list[Condition]":
    from postino.app.units import parse_size
    from postino.sieve.rules import Condition, ConditionKind

    found = [
        Condition(kind=kind, values=tuple(values))
        for kind, values in (
            (ConditionKind.FROM, from_),
            (ConditionKind.TO, to),
            (ConditionKind.SUBJECT, subject),
            (ConditionKind.LIST, list_),
        )
        if values
    ]
    by_field: dict[str, list[str]] = {}
    for field, value in header:
        by_field.setdefault(field, []).append(value)
    found += [
        Condition(kind=ConditionKind.HEADER, field=field, values=tuple(values))
        for field, values in by_field.items()
    ]
    if larger is not None:
        found.append(Condition(kind=ConditionKind.LARGER, values=(str(parse_size(larger)),)))
    return found


def _read(tx: "Tx", account: "AccountRow", *, outgoing: bool) -> "tuple[str, Ruled]":
    """The name and the parts of the script in which the account's rules stand, or will."""
    from postino.sieve.rules import Ruled, read_rules
    from postino.store.scripts import OUTGOING_NAME, get_script, list_scripts

    scripts = list_scripts(tx, account.id)
    if outgoing:
        name, is_there = OUTGOING_NAME, any(each.name == OUTGOING_NAME for each in scripts)
    else:
        active = next((each.name for each in scripts if each.is_active), None)
        name, is_there = active or _free(_NEW_SCRIPT, [each.name for each in scripts]), active is not None
    return name, read_rules(get_script(tx, account.id, name)) if is_there else Ruled()


def _free(wanted: str, taken: "Sequence[str]") -> str:
    names = (wanted if number == 1 else f"{wanted}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def _change(
    address: str,
    change: "Callable[[Sequence[Rule]], tuple[tuple[Rule, ...], str]]",
    data: Path | None,
    config: Path | None,
    *,
    outgoing: bool,
) -> None:
    """Change an account's rules, and say what was done."""
    import msgspec

    from postino.sieve import compile_script
    from postino.sieve.rules import write_rules
    from postino.store.scripts import put_script, set_active

    moment, settings = now(), find_configuration(data, config).settings.sieve

    def write(tx: "Tx") -> str:
        account = require_account(tx, address)
        name, ruled = _read(tx, account, outgoing=outgoing)
        rules, said = change(ruled.rules)
        source = write_rules(msgspec.structs.replace(ruled, rules=rules))
        script = compile_script(source, name=name, budget=settings)
        put_script(tx, account.id, name, source, script.stored, now=moment, limits=settings.script_limits)
        if not outgoing:
            set_active(tx, account.id, name)
        return said

    with open_data(data, config) as store:
        click.echo(store.write_now(write))
