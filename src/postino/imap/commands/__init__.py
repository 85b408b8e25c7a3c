"""One module a command: its value and how it is parsed."""

from postino.imap.bad_command import BadCommand
from postino.imap.commands.acl import DeleteAcl, GetAcl, ListRights, MyRights, SetAcl
from postino.imap.commands.append import (
    AnyHead,
    AppendHead,
    AppendReader,
    AppendUrls,
    LiteralKind,
    LiteralPart,
    NewMessage,
    ReplaceHead,
    UrlPart,
)
from postino.imap.commands.authenticate import Authenticate
from postino.imap.commands.cancel_update import CancelUpdate
from postino.imap.commands.compress import Compress
from postino.imap.commands.copy import Copy
from postino.imap.commands.create import Create
from postino.imap.commands.delete import Delete
from postino.imap.commands.dispatch import (
    Command,
    parse_command,
)
from postino.imap.commands.enable import Enable
from postino.imap.commands.esearch import Esearch, Source, SourceKind
from postino.imap.commands.fetch import Fetch
from postino.imap.commands.identify import Id
from postino.imap.commands.language import Language
from postino.imap.commands.list import List, Lsub
from postino.imap.commands.login import Login
from postino.imap.commands.metadata import GetMetadata, SetMetadata
from postino.imap.commands.move import Move
from postino.imap.commands.notify import Notify
from postino.imap.commands.plain import (
    Capability,
    Check,
    Close,
    Expunge,
    Idle,
    Logout,
    Namespace,
    Noop,
    Starttls,
    Unauthenticate,
    Unselect,
)
from postino.imap.commands.quota import GetQuota, GetQuotaRoot, SetQuota
from postino.imap.commands.rename import Rename
from postino.imap.commands.search import Search
from postino.imap.commands.select import QresyncParam, Select
from postino.imap.commands.sort import Sort
from postino.imap.commands.status import Status
from postino.imap.commands.store import FlagMode, Store
from postino.imap.commands.subscribe import Subscribe, Unsubscribe
from postino.imap.commands.thread import Thread
from postino.imap.commands.uid_expunge import UidExpunge
from postino.imap.fetch_item import (
    BinarySection,
    BinarySize,
    BodySection,
    FetchAtt,
    FetchItem,
    Section,
    SectionText,
)
from postino.imap.numbers import SAVED_RESULT, Numbers, SavedResult
from postino.imap.parse_options import ParseOptions

__all__ = [
    "SAVED_RESULT",
    "AnyHead",
    "AppendHead",
    "AppendReader",
    "AppendUrls",
    "Authenticate",
    "BadCommand",
    "BinarySection",
    "BinarySize",
    "BodySection",
    "CancelUpdate",
    "Capability",
    "Check",
    "Close",
    "Command",
    "Compress",
    "Copy",
    "Create",
    "Delete",
    "DeleteAcl",
    "Enable",
    "Esearch",
    "Expunge",
    "Fetch",
    "FetchAtt",
    "FetchItem",
    "FlagMode",
    "GetAcl",
    "GetMetadata",
    "GetQuota",
    "GetQuotaRoot",
    "Id",
    "Idle",
    "Language",
    "List",
    "ListRights",
    "LiteralKind",
    "LiteralPart",
    "Login",
    "Logout",
    "Lsub",
    "Move",
    "MyRights",
    "Namespace",
    "NewMessage",
    "Noop",
    "Notify",
    "Numbers",
    "ParseOptions",
    "QresyncParam",
    "Rename",
    "ReplaceHead",
    "SavedResult",
    "Search",
    "Section",
    "SectionText",
    "Select",
    "SetAcl",
    "SetMetadata",
    "SetQuota",
    "Sort",
    "Source",
    "SourceKind",
    "Starttls",
    "Status",
    "Store",
    "Subscribe",
    "Thread",
    "UidExpunge",
    "Unauthenticate",
    "Unselect",
    "Unsubscribe",
    "UrlPart",
    "parse_command",
]
