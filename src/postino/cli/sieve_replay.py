"""`postino sieve replay`, `apply` and `undo`: a script over the messages that an account has already.

Not here: what is judged and done (delivery/filters/replaying.py, store/applied_scripts.py).
"""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from postino.cli.options import data_options, find_configuration, now, open_data, require_account, show_table
from postino.core.harmless import harmless

if TYPE_CHECKING:
    from postino.core.ids import MailboxId
    from postino.delivery.filters.replaying import Account, Judged
    from postino.delivery.settings import SieveSettings
    from postino.sieve import Script, Surroundings
    from postino.store.store import Store
    from postino.store.tx import Tx

_SHOW_PROGRESS_FROM: Final = 200
_AT_ONCE: Final = 200


@click.command(epilog="Example: postino sieve replay ann@example.org rules.sieve --last 1000")
@click.argument("account")
@click.argument("file")
@click.option(
    "--last", type=click.IntRange(min=1), default=1000, show_default=True, help="How many messages."
)
@click.option("--mailbox", metavar="NAME", help="Only those in this mailbox.")
@data_options
def replay(
    account: str, file: str, last: int, mailbox: str | None, data: Path | None, config: Path | None
) -> None:
    """Say what a script would have done with the newest messages of ACCOUNT. Nothing is touched.

    The table counts messages by the mailbox they are in, the one in which the script would file them, and
    the line of the script that decides it.
    """
    from postino.cli.sieve import compile_file
    from postino.sieve import Keep
    from postino.sieve.action_words import action_words

    counts: Counter[tuple[str, str, str]] = Counter()
    others: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    total = changed = 0
    settings = find_configuration(data, config).settings
    script = compile_file(file, settings.sieve)
    with open_data(data, config) as store:
        owner, names, chosen = _choose(store, account, mailbox, last, settings.server.subaddress_separator)
        around = _surroundings(store, owner, settings.sieve)
        for judged in _judge(store, owner, script, chosen, around, settings.sieve):
            total += 1
            here = names[judged.mailbox_id]
            if judged.evaluation.fault is not None:
                faults[str(judged.evaluation.fault)] += 1
            places = _places(judged, around)
            changed += any(there != here for there, _ in places)
            counts.update((here, there, why) for there, why in places)
            others.update(
                action_words(action) for action in judged.evaluation.actions if not isinstance(action, Keep)
            )
    rows = [
        [here, there if there != here else f"{there} (as it is)", str(count), why]
        for (here, there, why), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    show_table(["is in", "would be in", "messages", "because of"], rows, empty="There are no messages.")
    _show_counts(others, "would", err=True)
    _show_faults(faults)
    click.echo(f"{total} messages, of which {changed} would be elsewhere. Nothing was touched.", err=True)


@click.command(epilog="Example: postino sieve apply ann@example.org rules.sieve --mailbox INBOX")
@click.argument("account")
@click.argument("file")
@click.option("--mailbox", default="INBOX", show_default=True, metavar="NAME", help="Whose messages.")
@data_options
def apply(account: str, file: str, mailbox: str, data: Path | None, config: Path | None) -> None:
    """Run a script over the messages in a mailbox of ACCOUNT now. `postino sieve undo` takes it back.

    Messages are moved, copied and flagged; what the script throws away goes to the trash. Nothing is sent:
    neither redirected, nor answered, nor refused.
    """
    from postino.cli.sieve import compile_file
    from postino.delivery.filters.replaying import wanted_changes
    from postino.store.applied_scripts import apply as apply_changes
    from postino.store.applied_scripts import begin

    moment = now()
    done = total = 0
    faults: Counter[str] = Counter()
    unsent: Counter[str] = Counter()
    settings = find_configuration(data, config).settings
    script = compile_file(file, settings.sieve)
    with open_data(data, config) as store:
        owner, _, chosen = _choose(store, account, mailbox, None, settings.server.subaddress_separator)
        around = _surroundings(store, owner, settings.sieve)
        store.write_now(lambda tx: begin(tx, owner.account_id))
        judgements = _judge(store, owner, script, chosen, around, settings.sieve)
        for some in _in_groups(judgements):
            total += len(some)
            for judged in some:
                if judged.evaluation.fault is not None:
                    faults[str(judged.evaluation.fault)] += 1
                unsent.update(_not_done(judged))
            box = some[0].mailbox_id

            def write(tx: "Tx", some: "list[Judged]" = some, box: "MailboxId" = box) -> int:
                wanted = wanted_changes(tx, owner.account_id, box, some, settings.limits, moment)
                return apply_changes(tx, owner.account_id, box, wanted, now=moment)

            done += store.write_now(write)
    _show_counts(unsent, "did not", err=True)
    _show_faults(faults)
    click.echo(f"{total} messages were looked at, and {done} moved, copied or flagged.")
    if done:
        click.echo(f"To take that back: postino sieve undo {owner.login}")


@click.command(epilog="Example: postino sieve undo ann@example.org")
@click.argument("account")
@data_options
def undo(account: str, data: Path | None, config: Path | None) -> None:
    """Take back what the last `postino sieve apply` did to the messages of ACCOUNT.

    Messages that were moved again, or are gone, since are left alone.
    """
    from postino.core.errors import PostinoError
    from postino.store.applied_scripts import applied_changes
    from postino.store.applied_scripts import undo as undo_changes

    moment = now()
    with open_data(data, config) as store:
        owner = store.read_now(lambda tx: require_account(tx, account))
        changes = store.read_now(lambda tx: applied_changes(tx, owner.id))
        if not changes:
            raise PostinoError(
                f"No script was applied to the messages of {owner.login} in the last 30 days, or it is undone"
            )
        undone = store.write_now(lambda tx: undo_changes(tx, owner.id, changes, now=moment))
    click.echo(
        f"{undone.moved} messages are back where they were, {undone.flagged} have their flags again, "
        f"{undone.removed} copies are removed."
    )
    if undone.gone:
        click.echo(f"{undone.gone} were no longer where the script put them, and are left alone.", err=True)


def _choose(
    store: "Store", address: str, mailbox: str | None, last: int | None, separator: str
) -> "tuple[Account, dict[MailboxId, str], list[tuple[MailboxId, int]]]":
    """The account, the names of its mailboxes, and the messages that are meant."""
    from postino.delivery.filters.replaying import Account, newest_messages
    from postino.store.addresses import addresses_of
    from postino.store.mailboxes import list_mailboxes, mailbox_by_name
    from postino.store.uids import message_uids

    def read(tx: "Tx") -> "tuple[Account, dict[MailboxId, str], list[tuple[MailboxId, int]]]":
        found = require_account(tx, address)
        if mailbox is None:
            assert last is not None
            chosen = newest_messages(tx, found.id, last)
        else:
            box = mailbox_by_name(tx, found.id, mailbox).id
            uids = message_uids(tx, found.id, box)
            chosen = [(box, uid) for uid in (uids if last is None else uids[-last:])]
        names = {row.id: row.name for row in list_mailboxes(tx, found.id)}
        owner = Account(
            account_id=found.id,
            login=found.login,
            addresses=tuple(addresses_of(tx, found.id)),
            separator=separator,
        )
        return owner, names, chosen

    return store.read_now(read)


def _judge(
    store: "Store",
    owner: "Account",
    script: "Script",
    chosen: "list[tuple[MailboxId, int]]",
    around: "Surroundings",
    settings: "SieveSettings",
) -> "Iterator[Judged]":
    """Run the script, showing how far it is."""
    from postino.delivery.filters.replaying import judge

    judgements = judge(store, owner, script, chosen, around, budget=settings, steady=time.monotonic)
    if len(chosen) < _SHOW_PROGRESS_FROM or not sys.stderr.isatty():
        yield from judgements
        return
    with click.progressbar(judgements, length=len(chosen), label="Messages", file=sys.stderr) as shown:
        yield from shown


def _surroundings(store: "Store", owner: "Account", settings: "SieveSettings") -> "Surroundings":
    """What scripts of the account may look up: its mailboxes, its lists, other scripts."""
    import structlog

    from postino.delivery.filters.scripts import Scripts
    from postino.delivery.filters.surroundings import StoreSurroundings
    from postino.net.bus import LocalBus
    from postino.servers.metrics import Metrics

    log = structlog.get_logger()
    scripts = Scripts(store, settings=settings, log=log, metrics=Metrics(), bus=LocalBus())
    return StoreSurroundings(store, scripts, owner.account_id, owner.login)


def _in_groups(judgements: "Iterable[Judged]") -> "Iterator[list[Judged]]":
    group: list[Judged] = []
    for judged in judgements:
        group.append(judged)
        if len(group) >= _AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def _places(judged: "Judged", around: "Surroundings") -> list[tuple[str, str]]:
    """Where the script would have the message, and what in it says so."""
    from postino.core.mailbox_name import INBOX
    from postino.delivery.filters.replaying import named_mailbox
    from postino.sieve import FileInto, Keep

    places = []
    for action in judged.evaluation.actions:
        why = f"line {action.place.line}"
        if isinstance(action, FileInto):
            name = named_mailbox(action.target, around)
            if not name:
                why += f", but there is no mailbox {action.target.mailbox}"
            places.append((name or INBOX, why))
        elif isinstance(action, Keep):
            places.append((INBOX, "nothing" if action.is_implicit else why))
    line = judged.evaluation.actions[0].place.line
    return places or [("nowhere", f"line {line}")]


def _not_done(judged: "Judged") -> list[str]:
    """What the script wants sent, which is not done to messages of the past."""
    from postino.sieve import Discard, FileInto, Keep
    from postino.sieve.action_words import action_words

    return [
        action_words(action)
        for action in judged.evaluation.actions
        if not isinstance(action, Keep | FileInto | Discard)
    ]


def _show_counts(counts: "Counter[str]", verb: str, *, err: bool) -> None:
    for words, count in counts.most_common():
        click.echo(f"{verb} {harmless(words)}: {count} messages", err=err)


def _show_faults(faults: "Counter[str]") -> None:
    for words, count in faults.most_common(10):
        click.echo(f"the script ended with an error for {count} messages: {harmless(words)}", err=True)
