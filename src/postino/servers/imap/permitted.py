r"""What a session may do in the mailbox it has selected: read only or not, and by which rights.

RFC: 4314 §4 (which command needs which right), §5.1.1 (FLAGS, PERMANENTFLAGS; rights that change),
    §5.2 (READ-ONLY), 9051 §7.1 (PERMANENTFLAGS, READ-ONLY, READ-WRITE).
Invariants: an owner has every right and is asked nothing; another's rights are read again before each
    command and whenever news is looked for, so that nothing is told to who lost the right to read.
Not here: mailboxes named in a command (store/access.py).
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from postino.core.flags import SYSTEM_FLAG_NAMES, flag_set
from postino.core.rights import ALL_RIGHTS, FLAG_RIGHTS, WRITE_RIGHTS, Rights, flag_mask, permitted_flags
from postino.imap.responses.mailbox import flags_response, permanent_flags
from postino.imap.responses.status import (
    CANNOT,
    NO_PERMISSION,
    READ_ONLY,
    READ_WRITE,
    untagged_status,
)
from postino.servers.imap.completion import Completion, no
from postino.store.messages import FlagChange, FlagMode

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession
    from postino.servers.imap.updates.selected import SelectedMailbox

KNOWN_KEYWORDS: Final = ("$Forwarded", "$MDNSent", "$Junk", "$NotJunk", "$Phishing", "$Important")
"""Keywords every mailbox is said to have (RFC 9051 §2.3.2), besides those seen on its messages."""


def refusal_to(selected: "SelectedMailbox", purpose: str, needs: Rights) -> Completion | None:
    """The answer when the session may not do what `needs` these rights, such as "remove messages"."""
    if selected.read_only:
        return no(f"The mailbox is open for reading only; SELECT it to {purpose}", CANNOT)
    missing = needs & ~selected.rights
    if missing:
        return no(f"To {purpose} you need the right {missing.letters!r}; ask its owner for it", NO_PERMISSION)
    return None


def may(selected: "SelectedMailbox", right: Rights) -> bool:
    """Whether the session may change what this right is about."""
    return not selected.read_only and right in selected.rights


def is_read_only(selected: "SelectedMailbox") -> bool:
    """Whether SELECT answers READ-ONLY (RFC 4314 §5.2)."""
    return selected.read_only or (selected.rights is not ALL_RIGHTS and not selected.rights & WRITE_RIGHTS)


def permitted_change(selected: "SelectedMailbox", change: FlagChange) -> FlagChange | Completion:
    """The part of a STORE that the session may carry out; NO when that is none of the flags it names."""
    rights = selected.rights
    # PERF: asking an IntFlag takes a microsecond (bench: imap.store).
    if rights is ALL_RIGHTS and not selected.read_only:
        return change
    refused = refusal_to(selected, "change flags", Rights(0))
    if refused is not None:
        return refused
    if FLAG_RIGHTS in rights:
        return change
    named = change.flags
    allowed = permitted_flags(rights, named)
    clears = change.mode is FlagMode.SET and named == flag_set() and bool(rights & FLAG_RIGHTS)
    if allowed == flag_set() and not clears:
        return no("None of these flags are yours to change here; ask the mailbox's owner", NO_PERMISSION)
    return FlagChange(change.mode, named, rights & FLAG_RIGHTS)


def say_flags(session: "ImapSession", selected: "SelectedMailbox") -> None:
    """FLAGS, and in PERMANENTFLAGS those the session may change."""
    rights = Rights(0) if selected.read_only else selected.rights
    session.say(_flags_and_permanent(tuple(selected.view.keywords()), rights))


# PERF: mostly the same two lines: 0.5 us instead of 20, each SELECT (bench: imap.select).
@lru_cache(maxsize=64)
def _flags_and_permanent(keywords: tuple[str, ...], rights: Rights) -> bytes:
    names = [*SYSTEM_FLAG_NAMES.values(), *KNOWN_KEYWORDS]
    known = {name.lower() for name in names}
    names += [word for word in keywords if word.lower() not in known]
    mask = flag_mask(rights)
    may_write = Rights.WRITE in rights
    own = [name for flag, name in SYSTEM_FLAG_NAMES.items() if mask & flag]
    if may_write:
        own += names[len(SYSTEM_FLAG_NAMES) :]
    code = permanent_flags(own, may_create=may_write)
    return flags_response(names) + untagged_status("OK", "The flags that are kept", code)


def renew_rights(session: "ImapSession", selected: "SelectedMailbox") -> None:
    """Go by the access control list as it is now. Raises AccessLost, NoSuchMailbox."""
    before, was_read_only = selected.rights, is_read_only(selected)
    selected.rights = selected.rights_now()
    if (before ^ selected.rights) & FLAG_RIGHTS:
        say_flags(session, selected)
    if is_read_only(selected) != was_read_only:
        code = READ_WRITE if was_read_only else READ_ONLY
        session.say(untagged_status("OK", "The rights to this mailbox were changed", code))
