"""What a search asks for, as a tree of values: IMAP's SEARCH makes it, the store answers it.

RFC: 9051 §6.4.4 (search keys), 7162 §3.1.5 (MODSEQ), 5032 (WITHIN), 6203 (FUZZY), 8474 §5.1 (EMAILID,
    THREADID), 8514 (SAVED...).
Invariants: no wire syntax; sets are already resolved to UIDs, text is already decoded to str,
    dates are days counted from 1970-01-01.
"""

from dataclasses import dataclass

from postino.core.ids import AccountId
from postino.core.numset import NumberSet


@dataclass(frozen=True, slots=True)
class Everything:
    """ALL."""


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one of `keys` holds; an empty tuple holds always."""

    keys: tuple["Criterion", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of `keys` holds (OR)."""

    keys: tuple["Criterion", ...]


@dataclass(frozen=True, slots=True)
class Negated:
    """NOT."""

    key: "Criterion"


@dataclass(frozen=True, slots=True)
class HasFlags:
    """Every system flag bit of `system` is set."""

    system: int


@dataclass(frozen=True, slots=True)
class HasKeyword:
    """The message has this keyword, compared without regard to case."""

    keyword: str


@dataclass(frozen=True, slots=True)
class UidIn:
    """The UID is in the set."""

    uids: NumberSet


@dataclass(frozen=True, slots=True)
class SizeOver:
    """More than `octets` octets (LARGER)."""

    octets: int


@dataclass(frozen=True, slots=True)
class SizeUnder:
    """Fewer than `octets` octets (SMALLER)."""

    octets: int


@dataclass(frozen=True, slots=True)
class ArrivedBefore:
    """Internal date earlier than the start of `day` (BEFORE)."""

    day: int


@dataclass(frozen=True, slots=True)
class ArrivedSince:
    """Internal date within or later than `day` (SINCE)."""

    day: int


@dataclass(frozen=True, slots=True)
class SentBefore:
    """Date field earlier than `day`, time and zone disregarded (SENTBEFORE)."""

    day: int


@dataclass(frozen=True, slots=True)
class SentSince:
    """Date field within or later than `day`, time and zone disregarded (SENTSINCE)."""

    day: int


@dataclass(frozen=True, slots=True)
class SavedBefore:
    """Put into this mailbox before `day` (RFC 8514 SAVEDBEFORE)."""

    day: int


@dataclass(frozen=True, slots=True)
class SavedSince:
    """Put into this mailbox on or after `day` (RFC 8514 SAVEDSINCE)."""

    day: int


@dataclass(frozen=True, slots=True)
class ModSeqFrom:
    """Mod-sequence of at least `mod_seq` (RFC 7162 §3.1.5)."""

    mod_seq: int


@dataclass(frozen=True, slots=True)
class ArrivedUntil:
    """Internal date at `instant` or earlier (OLDER, once the clock was read; RFC 5032)."""

    instant: int


@dataclass(frozen=True, slots=True)
class ArrivedFrom:
    """Internal date at `instant` or later (YOUNGER)."""

    instant: int


@dataclass(frozen=True, slots=True)
class ContentIs:
    """The message's content is this one of this account (EMAILID)."""

    account_id: AccountId
    content_id: int


@dataclass(frozen=True, slots=True)
class ThreadIs:
    """The message is in this thread of this account (THREADID)."""

    account_id: AccountId
    thread_id: int


@dataclass(frozen=True, slots=True)
class HeaderContains:
    """A field called `name` (lower case) exists and its decoded value contains `text`, any case.

    An empty `text` asks only whether the field is there.
    """

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class BodyContains:
    """The decoded text of the body contains `text`, any case (BODY)."""

    text: str


@dataclass(frozen=True, slots=True)
class TextContains:
    """The header or the decoded text of the body contains `text`, any case (TEXT)."""

    text: str


@dataclass(frozen=True, slots=True)
class Fuzzy:
    """`key` holds, or nearly so: its texts are looked for as words, with what is like them (FUZZY)."""

    key: "Criterion"


Criterion = (
    Everything
    | AllOf
    | AnyOf
    | Negated
    | HasFlags
    | HasKeyword
    | UidIn
    | SizeOver
    | SizeUnder
    | ArrivedBefore
    | ArrivedSince
    | SentBefore
    | SentSince
    | SavedBefore
    | SavedSince
    | ModSeqFrom
    | ArrivedUntil
    | ArrivedFrom
    | ContentIs
    | ThreadIs
    | Fuzzy
    | HeaderContains
    | BodyContains
    | TextContains
)
