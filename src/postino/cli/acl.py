"""`postino acl`: who may see and use another account's mailbox.

Not here: the rules of access control lists (store/acl.py).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from postino.cli.options import data_options, open_data, require_account, show_table

if TYPE_CHECKING:
    from postino.store.access import Reached
    from postino.store.tx import Tx

# -bob@example.org and -r are no options.
_WITH_DASHES: Final = {"ignore_unknown_options": True}


@click.group(epilog="Example: postino acl set ann@example.org Projects bob@example.org lrs")
def acl() -> None:
    """Share mailboxes between accounts. The server may run meanwhile.

    Bob finds Ann's mailbox Projects as Shared/ann@example.org/Projects.
    """


@acl.command("list", epilog="Example: postino acl list ann@example.org")
@click.argument("owner")
@click.argument("mailbox", required=False)
@data_options
def list_(owner: str, mailbox: str | None, data: Path | None, config: Path | None) -> None:
    """List who may do what in an account's mailboxes, or in one of them."""
    from postino.store.acl import list_acl
    from postino.store.mailboxes import list_mailboxes

    def read(tx: "Tx") -> list[list[str]]:
        account_id = require_account(tx, owner).id
        boxes = list_mailboxes(tx, account_id) if mailbox is None else [_own(tx, owner, mailbox).mailbox]
        return [
            [box.name, entry.identifier, entry.rights.letters]
            for box in boxes
            for entry in list_acl(tx, account_id, box.id)
        ]

    with open_data(data, config) as store:
        rows = store.read_now(read)
    show_table(["mailbox", "who", "rights"], rows, empty="Nothing is shared.")


@acl.command(
    "set",
    epilog="Example: postino acl set ann@example.org Projects bob@example.org lrs",
    context_settings=_WITH_DASHES,
)
@click.argument("owner")
@click.argument("mailbox")
@click.argument("who")
@click.argument("rights")
@data_options
def set_(owner: str, mailbox: str, who: str, rights: str, data: Path | None, config: Path | None) -> None:
    """Let WHO (an account, or anyone) do what RIGHTS say in OWNER's MAILBOX.

    The rights: l see it, r read, s keep what was seen, w change flags, i put messages in, t mark messages as
    deleted, e remove those, k make mailboxes below it, x delete or rename it, a change this list, p send to
    it. +r adds to the rights there are; a dash before WHO denies what others give.
    """
    from postino.core.errors import PostinoError
    from postino.core.rights import AclMode, parse_rights
    from postino.store.acl import set_acl

    mode = {"+": AclMode.ADD, "-": AclMode.REMOVE}.get(rights[:1], AclMode.REPLACE)
    try:
        parsed = parse_rights(rights if mode is AclMode.REPLACE else rights[1:])
    except ValueError as error:
        raise PostinoError(str(error)) from error

    def change(tx: "Tx") -> str:
        reached = _own(tx, owner, mailbox)
        after = set_acl(tx, reached.account_id, reached.mailbox.id, _identifier(tx, who), parsed, mode)
        return after.letters

    with open_data(data, config) as store:
        letters = store.write_now(change)
    click.echo(f"{who} now has the rights {letters or '(none)'} in {mailbox} of {owner}")


@acl.command(
    epilog="Example: postino acl delete ann@example.org Projects bob@example.org",
    context_settings=_WITH_DASHES,
)
@click.argument("owner")
@click.argument("mailbox")
@click.argument("who")
@data_options
def delete(owner: str, mailbox: str, who: str, data: Path | None, config: Path | None) -> None:
    """Take WHO off the access control list of OWNER's MAILBOX."""
    from postino.store.acl import delete_acl

    def change(tx: "Tx") -> None:
        reached = _own(tx, owner, mailbox)
        delete_acl(tx, reached.account_id, reached.mailbox.id, _identifier(tx, who))

    with open_data(data, config) as store:
        store.write_now(change)
    click.echo(f"{who} is no longer on the access control list of {mailbox} of {owner}")


def _own(tx: "Tx", owner: str, mailbox: str) -> "Reached":
    from postino.store.access import reach_mailbox

    return reach_mailbox(tx, require_account(tx, owner).id, mailbox)


def _identifier(tx: "Tx", who: str) -> str:
    """The identifier a person means: an address as typed, anyone, or one of these after a dash."""
    from postino.store.acl import ANYONE

    sign = "-" if who.startswith("-") else ""
    name = who.removeprefix("-")
    return sign + (ANYONE if name == ANYONE else require_account(tx, name).login)
