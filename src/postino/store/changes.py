"""What a session's view of a mailbox is built from, and what changed since.

RFC: 7162 §3.1 (CONDSTORE), §3.2 (QRESYNC).
Invariants: what is asked costs what has changed, not what is in the mailbox, as long as flag_change and
    expunged reach back far enough; where they do not, the answer is worked out from what is there.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from postino.core.errors import StoreError
from postino.core.flags import FlagSet, stored_flag_set
from postino.core.ids import AccountId, MailboxId
from postino.core.numset import NumberSet
from postino.store.counters import no_such_mailbox
from postino.store.tx import Tx
from postino.store.uids import uid_conditions

MessageState = tuple[int, int, str, int]
"""uid, flag bits, keywords joined by spaces, mod_seq."""

_STATE: Final = "SELECT uid, flags, keywords, mod_seq FROM message WHERE account_id=? AND mailbox_id=?"
_EVERY: Final = 1 << 62
_PIECE: Final = 10_000
MISSED: Final = 20_000


class TooLongAgo(StoreError):
    """What was expunged since is forgotten; only who knows the UIDs of before can tell."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened in a mailbox after a mod-sequence, from one snapshot."""

    rows: list[MessageState]
    """Messages new or changed, by uid."""
    expunged: NumberSet
    highest_mod_seq: int
    uid_next: int


class Messages(NamedTuple):
    """A mailbox's messages, column by column, going upwards by UID."""

    uids: "array[int]"
    mod_seqs: "array[int]"
    flags: list[FlagSet]


def load_messages(tx: Tx, account_id: AccountId, mailbox_id: MailboxId) -> Messages:
    """Every message. PERF: rows are taken in pieces: all of a million at once would be 200 MB."""
    uids, mod_seqs = array("I"), array("Q")
    flags: list[FlagSet] = []
    after = 0
    while rows := tx.all(f"{_STATE} AND uid>? ORDER BY uid LIMIT ?", (account_id, mailbox_id, after, _PIECE)):
        uids.extend([row[0] for row in rows])
        mod_seqs.extend([row[3] for row in rows])
        flags += [stored_flag_set(row[1], row[2]) for row in rows]
        after = uids[-1]
        if len(rows) < _PIECE:
            break
    return Messages(uids, mod_seqs, flags)


def changes_since(
    tx: Tx, account_id: AccountId, mailbox_id: MailboxId, mod_seq: int, known_uid_next: int
) -> Changes:
    """What a view as of `mod_seq`, when the mailbox's next UID was `known_uid_next`, lacks.

    Raises NoSuchMailbox; TooLongAgo when what was expunged since is not known any more.
    """
    key = (account_id, mailbox_id)
    mailbox = tx.one(
        "SELECT highest_mod_seq, uid_next, changed_mod_seq, flag_log_start, forgotten_mod_seq"
        " FROM mailbox WHERE account_id=? AND id=?",
        key,
    )
    if mailbox is None:
        raise no_such_mailbox()
    highest, uid_next, changed, log_start, forgotten = mailbox
    if highest <= mod_seq:
        return Changes([], NumberSet(), highest, uid_next)
    new: list[MessageState] = (
        tx.all(f"{_STATE} AND uid>=? ORDER BY uid", (*key, known_uid_next))
        if uid_next > known_uid_next
        else []
    )
    if changed <= mod_seq:
        # As mostly, there are only new messages.
        return Changes(new, NumberSet(), highest, uid_next)
    if mod_seq < forgotten:
        raise TooLongAgo("Too much was removed since the mailbox was last looked at; select it again")
    rows = _changed(tx, account_id, mailbox_id, mod_seq, known_uid_next, None, log_start) + new
    return Changes(rows, _expunged_since(tx, account_id, mailbox_id, mod_seq), highest, uid_next)


def _changed(
    tx: Tx,
    account_id: AccountId,
    mailbox_id: MailboxId,
    mod_seq: int,
    below: int,
    uids: NumberSet | None,
    log_start: int,
    most: int = _EVERY,
) -> list[MessageState]:
    """The messages (of `uids`) with UIDs under `below` whose flags were changed after `mod_seq`, by uid.

    Of more than `most` the first ones.
    """
    key = (account_id, mailbox_id)
    if mod_seq >= log_start:
        places = NumberSet(
            tx.all(
                "SELECT first_uid, last_uid FROM flag_change"
                " WHERE account_id=? AND mailbox_id=? AND mod_seq>?",
                (*key, mod_seq),
            )
        )
        uids = places if uids is None else places.intersection(uids)
    if uids is None:
        return tx.all(f"{_STATE} AND uid<? AND mod_seq>? ORDER BY uid LIMIT ?", (*key, below, mod_seq, most))
    rows: list[MessageState] = []
    for condition in uid_conditions(tx, account_id, mailbox_id, uids):
        rows += tx.all(
            f"{_STATE} AND {condition.sql} AND uid<? AND mod_seq>? ORDER BY uid LIMIT ?",
            (*key, *condition.params, below, mod_seq, most - len(rows)),
        )
    return rows


def _expunged_since(tx: Tx, account_id: AccountId, mailbox_id: MailboxId, mod_seq: int) -> NumberSet:
    return NumberSet.of(
        uid
        for (uid,) in tx.all(
            "SELECT uid FROM expunged WHERE account_id=? AND mailbox_id=? AND mod_seq>?",
            (account_id, mailbox_id, mod_seq),
        )
    )


@dataclass(frozen=True, slots=True)
class Missed:
    """What a client missed while it was away."""

    vanished: NumberSet
    since: int
    """After which mod-sequence: 0 when the client knows of changes that a power cut took back."""
    rows: list[MessageState] | None
    """Messages new or changed, by uid; None when they are more than MISSED."""
    numbers: list[int]
    """Their sequence numbers."""


def missed_since(
    tx: Tx,
    account_id: AccountId,
    mailbox_id: MailboxId,
    mod_seq: int,
    known: NumberSet | None,
    sample: Iterable[tuple[int, int]] = (),
) -> Missed:
    """What happened after `mod_seq` to the messages `known` (None: all), with their numbers now.

    RFC: 7162 §3.2.5. `sample` are numbers of messages with the UIDs the client has for them.
    Raises NoSuchMailbox.
    """
    key = (account_id, mailbox_id)
    mailbox = tx.one(
        "SELECT highest_mod_seq, uid_next, messages, flag_log_start FROM mailbox WHERE account_id=? AND id=?",
        key,
    )
    if mailbox is None:
        raise no_such_mailbox()
    highest, uid_next, messages, log_start = mailbox
    every = NumberSet([(1, uid_next - 1)]) if uid_next > 1 else NumberSet()
    uids = every if known is None else every.intersection(known)
    if mod_seq > highest:
        # From changes that a power cut took back: nothing the client has of flags is certain.
        mod_seq = 0
    rows: list[MessageState] = []
    if mod_seq < highest and uids:
        # A message's mod-sequence is never below that of its coming: above the last one that has not
        # changed may be new ones, at and below it are only old ones.
        old = tx.one(
            "SELECT uid FROM message WHERE account_id=? AND mailbox_id=? AND mod_seq<=?"
            " ORDER BY uid DESC LIMIT 1",
            (*key, mod_seq),
        )
        first_new = old[0] + 1 if old is not None else 1
        rows = _changed(tx, account_id, mailbox_id, mod_seq, first_new, uids, log_start, most=MISSED + 1)
        new = uids.intersection(NumberSet([(first_new, max(first_new, uid_next))]))
        for condition in uid_conditions(tx, account_id, mailbox_id, new):
            rows += tx.all(
                f"{_STATE} AND {condition.sql} ORDER BY uid LIMIT ?",
                (*key, *condition.params, max(0, MISSED + 1 - len(rows))),
            )
    vanished = vanished_since(tx, account_id, mailbox_id, mod_seq, uids, sample)
    if len(rows) > MISSED:
        return Missed(vanished, mod_seq, None, [])
    return Missed(vanished, mod_seq, rows, _numbers(tx, key, messages, [row[0] for row in rows]))


def _numbers(tx: Tx, key: tuple[AccountId, MailboxId], messages: int, uids: list[int]) -> list[int]:
    """The sequence numbers of these UIDs. PERF: mostly they are the last ones, so these are counted."""
    if not uids:
        return []
    rows = tx.all(
        "SELECT from_end FROM (SELECT uid, row_number() OVER (ORDER BY uid DESC) AS from_end FROM message"
        f" WHERE account_id=? AND mailbox_id=? AND uid>=?) WHERE uid IN ({tx.dialect.members}) ORDER BY uid",
        (*key, uids[0], str(uids)),
    )
    return [messages + 1 - from_end for (from_end,) in rows]


def vanished_since(
    tx: Tx,
    account_id: AccountId,
    mailbox_id: MailboxId,
    mod_seq: int,
    uids: NumberSet,
    sample: Iterable[tuple[int, int]] = (),
) -> NumberSet:
    """Which of `uids` were expunged after `mod_seq`.

    RFC: 7162 §3.2.6. When that is forgotten, all that are not there, but for those a pair of `sample` shows
    the client to know of: a number of a message and its UID that are still as the client has them.
    Raises NoSuchMailbox.
    """
    key = (account_id, mailbox_id)
    mailbox = tx.one("SELECT forgotten_mod_seq, uid_next FROM mailbox WHERE account_id=? AND id=?", key)
    if mailbox is None:
        raise no_such_mailbox()
    if mod_seq >= mailbox[0]:
        return _expunged_since(tx, account_id, mailbox_id, mod_seq).intersection(uids)
    there = load_messages(tx, account_id, mailbox_id).uids
    known_up_to = 0
    for number, uid in sample:
        if number > len(there):
            break
        if there[number - 1] == uid:
            known_up_to = uid
    unsure = NumberSet([(known_up_to + 1, mailbox[1] - 1)] if known_up_to < mailbox[1] - 1 else [])
    return uids.intersection(unsure).difference(NumberSet.of(there))
