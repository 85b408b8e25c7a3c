"""GETQUOTA, GETQUOTAROOT and SETQUOTA: one quota root for each account, named by its login.

RFC: 9208 §4.1 (commands), §5 (units), §6 (rights).
Exposure: what others hold is told to administrators and to those who may read their mailboxes.
Invariants: STORAGE counts 1024 octets, rounded up; a resource without a limit is not listed.
Not here: refusing what has no room (store/counters.py).
"""

from typing import TYPE_CHECKING, Final

from postino.core.address import BadAddress, parse_address
from postino.core.errors import NoSuchMailbox
from postino.core.rights import Rights
from postino.imap.commands import GetQuota, GetQuotaRoot, SetQuota
from postino.imap.responses import status
from postino.imap.responses.quota import quota_response, quotaroot_response
from postino.servers.imap.completion import Completion, no, ok
from postino.store.access import reach_mailbox
from postino.store.accounts import is_admin
from postino.store.quota import QuotaRoot, quota_root, quota_root_by_login, set_quotas
from postino.store.tx import Tx

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession

STORAGE_OCTETS: Final = 1024
_RESOURCES: Final = ("STORAGE", "MESSAGE", "MAILBOX")


async def run_getquota(session: "ImapSession", command: GetQuota) -> Completion:
    """Tell the usage and limits of one's own root; of any root to an administrator."""

    def look(tx: Tx) -> QuotaRoot | None:
        root = _find(tx, command.root)
        if (
            root is not None
            and root.account_id != session.account_id
            and not is_admin(tx, session.account_id)
        ):
            return None
        return root

    root = session.context.store.read_now(look)
    if root is None:
        return _no_such_root()
    _say_quota(session, root)
    return ok("This is the quota")


async def run_getquotaroot(session: "ImapSession", command: GetQuotaRoot) -> Completion:
    """Tell whose quota a mailbox counts for, and that quota. A name without a mailbox would be one's own."""

    def look(tx: Tx) -> tuple[str, QuotaRoot]:
        try:
            reached = reach_mailbox(tx, session.account_id, command.mailbox, Rights.READ)
        except NoSuchMailbox:
            return command.mailbox, quota_root(tx, session.account_id)
        return reached.name, quota_root(tx, reached.account_id)

    name, root = session.context.store.read_now(look)
    session.say(quotaroot_response(name, (root.login,), utf8=session.options.utf8))
    _say_quota(session, root)
    return ok("This is the quota")


async def run_setquota(session: "ImapSession", command: SetQuota) -> Completion:
    """Replace the limits of a root; what is not named has none from now on."""
    limits = dict(command.limits)
    unknown = [name for name in limits if name not in _RESOURCES]
    if unknown:
        return no(f"Quotas here are of {', '.join(_RESOURCES)} only", status.CANNOT)
    if 0 in limits.values():
        return no("A limit is at least 1; leave a resource out to have it without limit", status.CANNOT)

    def change(tx: Tx) -> QuotaRoot | Completion:
        if not is_admin(tx, session.account_id):
            return no("Only an administrator of this server may set quotas", status.NO_PERMISSION)
        root = _find(tx, command.root)
        if root is None:
            return _no_such_root()
        set_quotas(
            tx,
            root.account_id,
            octets=limits.get("STORAGE", 0) * STORAGE_OCTETS,
            messages=limits.get("MESSAGE", 0),
            mailboxes=limits.get("MAILBOX", 0),
        )
        return quota_root(tx, root.account_id)

    changed = await session.context.store.write(change)
    if isinstance(changed, Completion):
        return changed
    session.log.info("quota.set", root=changed.login, **limits)
    _say_quota(session, changed)
    return ok("The quota is set")


def _find(tx: Tx, root: bytes) -> QuotaRoot | None:
    try:
        login = parse_address(root.decode()).key
    except (UnicodeDecodeError, BadAddress):
        return None
    return quota_root_by_login(tx, login)


def _no_such_root() -> Completion:
    # SECURITY: the same for a root that is not there and one that is not yours: accounts are not guessed so.
    return no("There is no such quota root for you; GETQUOTAROOT INBOX tells yours", status.NONEXISTENT)


def _say_quota(session: "ImapSession", root: QuotaRoot) -> None:
    resources = []
    if root.quota_octets:
        resources.append(("STORAGE", _blocks(root.used_octets), _blocks(root.quota_octets)))
    if root.quota_messages:
        resources.append(("MESSAGE", root.used_messages, root.quota_messages))
    # §3.2: a limit that is inherent is told too.
    most = session.limits.mailboxes
    resources.append(("MAILBOX", root.mailboxes, min(root.quota_mailboxes or most, most)))
    session.say(quota_response(root.login, resources))


def _blocks(octets: int) -> int:
    return -(-octets // STORAGE_OCTETS)
