"""SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS.

RFC: 4314 §3 (commands), §6 (nothing is told of a mailbox that may not be looked up).
Not here: the lists (store/acl.py), which other command needs which right (permitted.py, store/access.py).
"""

from typing import TYPE_CHECKING

from postino.core.errors import NoPermission
from postino.core.rights import ALL_RIGHTS, NO_RIGHTS, AclMode, Rights
from postino.imap.bad_command import BadCommand
from postino.imap.commands import DeleteAcl, GetAcl, ListRights, MyRights, SetAcl
from postino.imap.responses.acl import acl_response, list_rights_response, my_rights_response
from postino.sasl.saslprep import saslprep
from postino.servers.imap.completion import Completion, ok
from postino.store.access import Reached, reach_known, reach_mailbox
from postino.store.accounts import is_admin
from postino.store.acl import (
    ANYONE,
    delete_acl,
    known_identifier,
    list_acl,
    login_of,
    set_acl,
    shared_with_anyone,
)
from postino.store.tx import Tx

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession


async def run_setacl(session: "ImapSession", command: SetAcl) -> Completion:
    """Change what an identifier may do."""
    identifier = _prepared(command.identifier)

    def run(tx: Tx) -> None:
        reached = reach_mailbox(tx, session.account_id, command.mailbox, Rights.ADMINISTER)
        if identifier == ANYONE and command.rights and command.mode is not AclMode.REMOVE:
            _require_may_share_with_all(tx, session, reached)
        set_acl(
            tx,
            reached.account_id,
            reached.mailbox.id,
            identifier,
            command.rights,
            command.mode,
            session.limits,
        )

    await session.context.store.write(run)
    return ok("The access control list is changed")


def _require_may_share_with_all(tx: Tx, session: "ImapSession", reached: Reached) -> None:
    """Raise NoPermission when the account may not put one more mailbox into everybody's LIST."""
    # SECURITY: what one account shares with anyone makes every other account's answers longer.
    others = shared_with_anyone(tx, reached.account_id, but=reached.mailbox.id)
    if others >= session.limits.acl_anyone and not is_admin(tx, session.account_id):
        raise NoPermission("Only an administrator shares with anyone here; name the accounts one by one")


async def run_deleteacl(session: "ImapSession", command: DeleteAcl) -> Completion:
    """Take an identifier off the list."""
    identifier = _prepared(command.identifier)

    def run(tx: Tx) -> None:
        reached = reach_mailbox(tx, session.account_id, command.mailbox, Rights.ADMINISTER)
        delete_acl(tx, reached.account_id, reached.mailbox.id, identifier)

    await session.context.store.write(run)
    return ok("The identifier is no longer on the list")


async def run_getacl(session: "ImapSession", command: GetAcl) -> Completion:
    """Tell the list, the owner first."""

    def run(tx: Tx) -> tuple[str, list[tuple[str, Rights]]]:
        reached = reach_mailbox(tx, session.account_id, command.mailbox, Rights.ADMINISTER)
        entries = [(login_of(tx, reached.account_id), ALL_RIGHTS)]
        listed = list_acl(tx, reached.account_id, reached.mailbox.id)
        return reached.name, entries + [(entry.identifier, entry.rights) for entry in listed]

    name, entries = session.context.store.read_now(run)
    session.say(acl_response(name, entries, utf8=session.options.utf8))
    return ok("This is the access control list")


async def run_listrights(session: "ImapSession", command: ListRights) -> Completion:
    """Tell what an identifier may be given: everything, apart from its owner, who has it."""
    identifier = _prepared(command.identifier)

    def run(tx: Tx) -> tuple[str, bool]:
        reached = reach_mailbox(tx, session.account_id, command.mailbox, Rights.ADMINISTER)
        known = known_identifier(tx, identifier)
        return reached.name, known.removeprefix("-") == login_of(tx, reached.account_id)

    name, is_owner = session.context.store.read_now(run)
    always = ALL_RIGHTS if is_owner else NO_RIGHTS
    # The identifier as the client wrote it, so that it knows its answer (RFC 4314 §3.4).
    session.say(list_rights_response(name, command.identifier, always, utf8=session.options.utf8))
    return ok("These rights can be given")


async def run_myrights(session: "ImapSession", command: MyRights) -> Completion:
    """Tell what the session's account may do."""
    reached = session.context.store.read_now(lambda tx: reach_known(tx, session.account_id, command.mailbox))
    session.say(my_rights_response(reached.name, reached.rights, utf8=session.options.utf8))
    return ok("These are your rights")


def _prepared(identifier: str) -> str:
    prepared = saslprep(identifier)
    if not prepared or not prepared.isprintable():
        # RFC 4314 §3: BAD for what SASLprep prohibits or makes empty.
        raise BadCommand("The identifier is empty or has characters that no login has")
    return prepared
