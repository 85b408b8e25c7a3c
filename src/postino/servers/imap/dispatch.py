"""Which function carries out which command.

Invariants: every command the grammar can give has its function here (a test compares).
Not here: APPEND, which streams and so is not one command value (append.py).
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from postino.imap import commands
from postino.servers.imap.completion import Completion
from postino.servers.imap.compress import run_compress, run_unauthenticate
from postino.servers.imap.general import (
    run_capability,
    run_check,
    run_enable,
    run_id,
    run_language,
    run_logout,
    run_namespace,
    run_noop,
)
from postino.servers.imap.login import run_authenticate, run_login, run_starttls
from postino.servers.imap.mailboxes.acl import (
    run_deleteacl,
    run_getacl,
    run_listrights,
    run_myrights,
    run_setacl,
)
from postino.servers.imap.mailboxes.list import run_list, run_lsub
from postino.servers.imap.mailboxes.metadata import run_getmetadata, run_setmetadata
from postino.servers.imap.mailboxes.naming import (
    run_create,
    run_delete,
    run_rename,
    run_subscribe,
    run_unsubscribe,
)
from postino.servers.imap.mailboxes.quota import run_getquota, run_getquotaroot, run_setquota
from postino.servers.imap.mailboxes.status import run_status
from postino.servers.imap.messages.append import run_append_urls
from postino.servers.imap.messages.copy import run_copy, run_move
from postino.servers.imap.messages.expunge import run_expunge, run_uid_expunge
from postino.servers.imap.messages.fetch import run_fetch
from postino.servers.imap.messages.store import run_store
from postino.servers.imap.searching.esearch import run_esearch
from postino.servers.imap.searching.search import run_search
from postino.servers.imap.searching.search_context import run_cancel_update
from postino.servers.imap.searching.sort import run_sort
from postino.servers.imap.searching.thread import run_thread
from postino.servers.imap.updates.idle import run_idle
from postino.servers.imap.updates.notify import run_notify
from postino.servers.imap.updates.select import run_close, run_select, run_unselect

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession

Executor = Callable[["ImapSession", Any], Awaitable[Completion | None]]
"""Says untagged answers through the session and gives the tagged one; None when it has said that too."""

EXECUTORS: Final[dict[type[commands.Command], Executor]] = {
    commands.Capability: run_capability,
    commands.Noop: run_noop,
    commands.Logout: run_logout,
    commands.Starttls: run_starttls,
    commands.Authenticate: run_authenticate,
    commands.Login: run_login,
    commands.Unauthenticate: run_unauthenticate,
    commands.Compress: run_compress,
    commands.Enable: run_enable,
    commands.Id: run_id,
    commands.Namespace: run_namespace,
    commands.Idle: run_idle,
    commands.Select: run_select,
    commands.Close: run_close,
    commands.Unselect: run_unselect,
    commands.Create: run_create,
    commands.Delete: run_delete,
    commands.Rename: run_rename,
    commands.Subscribe: run_subscribe,
    commands.Unsubscribe: run_unsubscribe,
    commands.List: run_list,
    commands.Lsub: run_lsub,
    commands.Status: run_status,
    commands.SetAcl: run_setacl,
    commands.DeleteAcl: run_deleteacl,
    commands.GetAcl: run_getacl,
    commands.ListRights: run_listrights,
    commands.MyRights: run_myrights,
    commands.Check: run_check,
    commands.Expunge: run_expunge,
    commands.UidExpunge: run_uid_expunge,
    commands.Fetch: run_fetch,
    commands.Store: run_store,
    commands.AppendUrls: run_append_urls,
    commands.Copy: run_copy,
    commands.Move: run_move,
    commands.Search: run_search,
    commands.Sort: run_sort,
    commands.Thread: run_thread,
    commands.Esearch: run_esearch,
    commands.CancelUpdate: run_cancel_update,
    commands.GetQuota: run_getquota,
    commands.GetQuotaRoot: run_getquotaroot,
    commands.SetQuota: run_setquota,
    commands.GetMetadata: run_getmetadata,
    commands.SetMetadata: run_setmetadata,
    commands.Notify: run_notify,
    commands.Language: run_language,
}
