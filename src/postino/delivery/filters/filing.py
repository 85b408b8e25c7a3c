"""Write down what scripts decided for an account: copies in its mailboxes, answers, ids, the trace.

RFC: 5228 §2.10.3 (one copy in a mailbox), §4.1 (fileinto), 5490 §3.2 (:create), 8579 §4 (:specialuse),
    9042 §4 (:mailboxid), 4314 §4 (the right to insert), 5230 §4.2 (whom was answered), 7352 §3.1 (ids).
Invariants: a copy whose mailbox cannot be had lies in the INBOX instead, and the trace says why; whatever is
    written here is written with the message, or not at all; it may be run twice.
Not here: deciding (running.py), the rest of the write (accept.py).
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from postino.core.errors import StoreError
from postino.core.flags import NO_FLAGS, FlagSet
from postino.core.ids import AccountId, Instant, MailboxId
from postino.core.limits import Limits
from postino.core.mailbox_name import INBOX
from postino.core.rights import Rights, permitted_flags
from postino.delivery.incoming import Content
from postino.imap.object_id import ObjectKind, parse_object_id
from postino.mime.encode_header import one_line
from postino.sieve.actions import Place, Remembered, Target
from postino.store.access import reach_mailbox
from postino.store.accounts import ResolvedRecipient
from postino.store.acl import rights_of
from postino.store.content import NewEmail
from postino.store.mailboxes import create_mailbox, junk_mailbox, mailbox_by_id
from postino.store.messages import Delivery
from postino.store.queue.settle import Report
from postino.store.seen_ids import remember
from postino.store.sending import count_scripted
from postino.store.trace import TraceEvent, note_trace
from postino.store.tx import Tx
from postino.store.vacation import may_answer

_JUNK: Final = "Junk"


class Line(msgspec.Struct, frozen=True, gc=False):
    """What the trace says of one action."""

    place: Place
    words: str


class Filing(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One copy for a mailbox."""

    content: Content
    """As it came, or as the script changed it."""
    target: Target | None = None
    """None: the INBOX, or Junk for what is junk."""
    to_junk: bool = False
    flags: FlagSet = NO_FLAGS
    place: Place | None = None
    """What in a script says so; None when no script had its way."""
    is_own: bool = False
    """Its author's: it has no trace fields."""
    line: Line | None = None
    """What the trace says when it lies in that mailbox."""


class Copy(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A message of the server's own for a mailbox of the account (:fcc)."""

    target: Target
    email: NewEmail
    place: Place


class Answer(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Sent unless the same was within its time."""

    key: bytes
    """What counts as the same (store.vacation.reply_key)."""
    until: Instant
    told: Sequence[Report]
    copy: Copy | None = None
    sent: Line | None = None
    """What the trace says when it is sent."""
    unsent: Line | None = None


class Filtered(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What becomes of a message for one account with scripts."""

    recipient: ResolvedRecipient
    filings: Sequence[Filing] = ()
    copies: Sequence[Copy] = ()
    told: Sequence[Report] = ()
    """Notifications, refusals, complaints."""
    answers: Sequence[Answer] = ()
    remembered: Sequence[Remembered] = ()
    lines: Sequence[Line] = ()
    fault: str = ""
    """Why its scripts had to be ended early."""
    is_outgoing: bool = False
    """The account sends the message."""
    sends: int = 0
    """Recipients to whom its scripts send, which are counted."""


class Filed(msgspec.Struct, frozen=True, gc=False):
    """A copy with its mailbox."""

    delivery: Delivery
    mailbox: str
    """What the account calls it."""
    place: Place | None


def place_copies(
    tx: Tx, one: Filtered, emails: Sequence[NewEmail], limits: Limits, now: Instant
) -> tuple[list[Filed], dict[Line, Line]]:
    """Where the copies go, each mailbox once; and what is true instead of lines of those that go elsewhere.

    `emails` are the filings' messages. Mailboxes that are wanted are made.
    """
    account_id = one.recipient.account_id
    found: dict[tuple[AccountId, MailboxId | None, int], Filed] = {}
    instead: dict[Line, Line] = {}
    for filing, email in zip(one.filings, emails, strict=True):
        owner, mailbox_id, name = account_id, None, INBOX
        if filing.target is not None:
            try:
                owner, mailbox_id, name = find_target(
                    tx, account_id, filing.target, email.facts.size, limits, now
                )
            except StoreError as error:
                if filing.line is not None:
                    wanted = filing.target.mailbox or filing.target.special_use
                    words = one_line(f"kept in INBOX instead of {wanted}: {error}", 500)
                    instead[filing.line] = Line(filing.line.place, words)
        elif filing.to_junk:
            mailbox_id = junk_mailbox(tx, account_id)
            name = INBOX if mailbox_id is None else _JUNK
        if name == INBOX and owner == account_id:
            mailbox_id = None
        if owner != account_id and mailbox_id is not None:
            # RFC 4314 §4: flags that it may not set there are left out.
            rights = rights_of(tx, account_id, owner, mailbox_id)
            flags = permitted_flags(rights, filing.flags)
            email = msgspec.structs.replace(email, flags=flags)
        key = (owner, mailbox_id, id(filing.content))
        before = found.get(key)
        if before is not None:
            flags = before.delivery[2].flags.union(email.flags)
            email = msgspec.structs.replace(email, flags=flags)
        found[key] = Filed((owner, mailbox_id, email), name, filing.place)
    return list(found.values()), instead


def find_target(
    tx: Tx, account_id: AccountId, target: Target, octets: int, limits: Limits, now: Instant
) -> tuple[AccountId, MailboxId | None, str]:
    """Whose mailbox, which, and what the account calls it. Raises StoreError."""
    own = _by_id(tx, account_id, target.mailbox_id) if target.mailbox_id else None
    if own is None and target.special_use:
        own = _by_use(tx, account_id, target.special_use)
    if own is not None:
        return account_id, own, mailbox_by_id(tx, account_id, own).name
    try:
        reached = reach_mailbox(tx, account_id, target.mailbox, Rights.INSERT)
    except StoreError:
        if not target.create:
            raise
        made = create_mailbox(tx, account_id, target.mailbox, limits, special_use=target.special_use, now=now)
        return account_id, made.id, made.name
    if reached.account_id != account_id:
        _require_room(tx, reached.account_id, octets)
    return reached.account_id, reached.mailbox.id, reached.name


def _by_id(tx: Tx, account_id: AccountId, mailbox_id: str) -> MailboxId | None:
    found = parse_object_id(ObjectKind.MAILBOX, mailbox_id.encode())
    if found is None or found[0] != account_id:
        return None
    row = tx.one("SELECT id FROM mailbox WHERE account_id=? AND id=?", found)
    return MailboxId(row[0]) if row is not None else None


def _by_use(tx: Tx, account_id: AccountId, use: str) -> MailboxId | None:
    row = tx.one(
        "SELECT id FROM mailbox WHERE account_id=? AND special_use<>'' AND lower(special_use)=?",
        (account_id, use.lower()),
    )
    return MailboxId(row[0]) if row is not None else None


def _require_room(tx: Tx, account_id: AccountId, octets: int) -> None:
    """Another's full mailbox must not keep the message from this account."""
    if tx.one(
        "SELECT 1 FROM account WHERE id=? AND (quota_octets=0 OR used_octets+?<=quota_octets)"
        " AND (quota_messages=0 OR used_messages+1<=quota_messages)",
        (account_id, octets),
    ):
        return
    raise StoreError("its owner's quota is used up")


class Written(msgspec.Struct, frozen=True, gc=False):
    """What is to be told with the message."""

    told: list[Report]
    lines: list[Line]


def answer_due(tx: Tx, one: Filtered, limits: Limits, now: Instant) -> Written:
    """Note who is answered; give the answers that are due, and the account's copies of them."""
    account_id = one.recipient.account_id
    told, lines, copies = list(one.told), list(one.lines), list(one.copies)
    sends = one.sends
    for answer in one.answers:
        is_due = may_answer(tx, account_id, answer.key, answer.until, now)
        if is_due:
            told += answer.told
            # A note of a fault stays here; it has no such line.
            sends += answer.sent is not None
            if answer.copy is not None:
                copies.append(answer.copy)
        line = answer.sent if is_due else answer.unsent
        if line is not None:
            lines.append(line)
    if sends:
        count_scripted(tx, account_id, sends, now)
    for copy in copies:
        size = copy.email.facts.size
        try:
            owner, mailbox_id, _ = find_target(tx, account_id, copy.target, size, limits, now)
            _require_room(tx, owner, size)
        except StoreError as error:
            # RFC 8580 §4: what cannot be filed is left out; the message itself is not in danger.
            lines.append(Line(copy.place, f"no copy in {copy.target.mailbox}: {error}"))
        else:
            told.append((owner, mailbox_id, copy.email))
    return Written(told, lines)


def note_decisions(
    tx: Tx, one: Filtered, message_id: str, lines: Sequence[Line], now: Instant, *, seen_seconds: int
) -> None:
    """Write down the ids the account saw, for `seen_seconds` at most, and why the message is where it is."""
    account_id = one.recipient.account_id
    if one.remembered:
        remember(tx, account_id, one.remembered, now=now, most_seconds=seen_seconds)
    events = [TraceEvent(line.place.script, line.place.line, line.words) for line in lines]
    note_trace(tx, account_id, message_id, events, now)
