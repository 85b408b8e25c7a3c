"""Run a script over messages that are there already: to say what it would have done, or to do it.

RFC: 5228 §2.10 (actions). What sends something (redirect, reject, vacation, notify) is told and never done;
    what is thrown away goes to the trash, so that all of it can be undone.
Invariants: judging changes nothing; a message whose script fails stays as it is.
Not here: the writes and taking them back (store/applied_scripts.py), tables (cli/sieve_replay.py).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from postino.core.errors import StoreError
from postino.core.flags import NO_FLAGS, FlagSet
from postino.core.ids import AccountId, Instant, MailboxId
from postino.core.limits import Limits
from postino.core.numset import NumberSet
from postino.delivery.filters.environment import local_minutes
from postino.delivery.filters.events import flag_names
from postino.delivery.filters.filing import find_target
from postino.delivery.filters.plans import usable_flags
from postino.mime.index import unpack_index
from postino.sieve import (
    Budget,
    Circumstances,
    Discard,
    Evaluation,
    FileInto,
    Keep,
    Script,
    SieveMessage,
    Surroundings,
    Target,
    run,
)
from postino.sieve.budget import Steady
from postino.store.applied_scripts import Wanted
from postino.store.fetch import Body, Column, body_octets, fetch_rows
from postino.store.flagging import message_flags
from postino.store.mailboxes import create_mailbox, list_mailboxes, mailbox_by_id
from postino.store.store import Store
from postino.store.tx import Tx

AT_ONCE: Final = 50
_COLUMNS: Final = frozenset({Column.INTERNAL_DATE, Column.PARTS, Column.HEADER, Column.BODY})
_NOT_RECEIVED: Final = frozenset({"\\Sent", "\\Drafts"})
_TRASH: Final = "\\Trash"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Whose messages they are."""

    account_id: AccountId
    login: str
    addresses: tuple[str, ...]
    """All that lead to it."""
    separator: str
    """Between user and detail."""


class Judged(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a script says of one message."""

    mailbox_id: MailboxId
    uid: int
    flags: FlagSet
    evaluation: Evaluation

    @property
    def stays(self) -> bool:
        """It would be kept, or nothing is known to be better."""
        return any(isinstance(each, Keep) for each in self.evaluation.actions)

    @property
    def filed(self) -> list[FileInto]:
        """Where it would be filed."""
        return [each for each in self.evaluation.actions if isinstance(each, FileInto)]

    @property
    def is_discarded(self) -> bool:
        """Thrown away, and nothing else."""
        return all(isinstance(each, Discard) for each in self.evaluation.actions)

    @property
    def wanted_flags(self) -> FlagSet:
        """Those it would have."""
        for each in self.evaluation.actions:
            if isinstance(each, Keep):
                return usable_flags(each.flags) if self.evaluation.fault is None else self.flags
            if isinstance(each, FileInto):
                return usable_flags(each.target.flags)
        return self.flags


Chosen = Sequence[tuple[MailboxId, int]]


def newest_messages(tx: Tx, account_id: AccountId, most: int) -> list[tuple[MailboxId, int]]:
    """The mailbox and UID of the newest messages that the account received, the newest first."""
    boxes = [row.id for row in list_mailboxes(tx, account_id) if row.special_use not in _NOT_RECEIVED]
    marks = ",".join("?" * len(boxes))
    rows = tx.all(
        f"SELECT mailbox_id, uid FROM message WHERE account_id=? AND mailbox_id IN ({marks})"
        " ORDER BY internal_date DESC, mailbox_id, uid DESC LIMIT ?",
        (account_id, *boxes, most),
    )
    return [(MailboxId(row[0]), row[1]) for row in rows]


def judge(
    store: Store,
    account: Account,
    script: Script,
    chosen: Chosen,
    around: Surroundings,
    *,
    budget: Budget,
    steady: Steady,
) -> Iterator[Judged]:
    """Run the script over each; what is gone meanwhile is passed by."""
    by_mailbox: dict[MailboxId, list[int]] = {}
    for mailbox_id, uid in chosen:
        by_mailbox.setdefault(mailbox_id, []).append(uid)
    for mailbox_id, uids in by_mailbox.items():
        for first in range(0, len(uids), AT_ONCE):
            group = NumberSet.of(uids[first : first + AT_ONCE])

            def read(tx: Tx, box: MailboxId = mailbox_id, some: NumberSet = group) -> list[_Read]:
                return _read(tx, account.account_id, box, some)

            for uid, flags, internal_date, parts, header, body in store.read_now(read):
                message = SieveMessage(header, body_octets(body, store.blobs), unpack_index(parts))
                evaluation = run(
                    script,
                    message,
                    _circumstances(message, account, internal_date, flags),
                    around,
                    budget=budget,
                    steady=steady,
                )
                yield Judged(mailbox_id=mailbox_id, uid=uid, flags=flags, evaluation=evaluation)


_Read = tuple[int, FlagSet, Instant, bytes, bytes, Body]


def _read(tx: Tx, account_id: AccountId, mailbox_id: MailboxId, uids: NumberSet) -> list[_Read]:
    flags = message_flags(tx, account_id, mailbox_id, uids)
    return [(uid, flags[uid], *rest) for uid, *rest in fetch_rows(tx, account_id, mailbox_id, uids, _COLUMNS)]


def _circumstances(
    message: SieveMessage, account: Account, internal_date: Instant, flags: FlagSet
) -> Circumstances:
    """As the message came, as far as that can still be told."""
    return Circumstances(
        envelope_from=_first(message, "return-path"),
        envelope_to=_first(message, "delivered-to") or account.login,
        now=float(internal_date),
        zone_minutes=local_minutes,
        addresses=account.addresses,
        separator=account.separator,
        environment={"vnd.postino.direction": "incoming"},
        flags=flag_names(flags),
    )


def _first(message: SieveMessage, field: str) -> str:
    return next((mailbox.addr_spec for mailbox in message.addresses(field) if mailbox.domain), "")


def named_mailbox(target: Target, around: Surroundings) -> str:
    """The mailbox in which a target would file; empty when it is not there, and not to be made."""
    for found in (
        around.mailbox_of_id(target.mailbox_id) if target.mailbox_id else None,
        around.special_use_mailbox(target.special_use) if target.special_use else None,
    ):
        if found is not None:
            return found
    return target.mailbox if target.create or around.mailbox_exists(target.mailbox) else ""


# Doing it


def wanted_changes(
    tx: Tx,
    account_id: AccountId,
    mailbox_id: MailboxId,
    judged: Iterable[Judged],
    limits: Limits,
    now: Instant,
) -> list[Wanted]:
    """What is to be done with messages of one mailbox, those treated alike together; mailboxes are made."""
    alike: dict[tuple[MailboxId | None, tuple[MailboxId, ...], FlagSet, FlagSet], list[int]] = {}
    for each in judged:
        move_to, copies = _places(tx, account_id, mailbox_id, each, limits, now)
        wanted = each.wanted_flags
        added, removed = wanted.without(each.flags), each.flags.without(wanted)
        if move_to is not None or copies or added != NO_FLAGS or removed != NO_FLAGS:
            alike.setdefault((move_to, copies, added, removed), []).append(each.uid)
    return [
        Wanted(uids=NumberSet.of(uids), move_to=move_to, copy_to=copies, added=added, removed=removed)
        for (move_to, copies, added, removed), uids in alike.items()
    ]


def _places(
    tx: Tx, account_id: AccountId, mailbox_id: MailboxId, judged: Judged, limits: Limits, now: Instant
) -> tuple[MailboxId | None, tuple[MailboxId, ...]]:
    """Where the message goes, None to stay; and where copies of it go."""
    if judged.is_discarded:
        trash = _trash(tx, account_id, limits, now)
        return (None if trash == mailbox_id else trash), ()
    places: list[MailboxId] = []
    stays = judged.stays or not judged.filed
    for action in judged.filed:
        try:
            owner, found, _ = find_target(tx, account_id, action.target, 0, limits, now)
        except StoreError:
            stays = True
            continue
        if owner != account_id or found is None or found == mailbox_id:
            stays = True
        elif found not in places:
            places.append(found)
    if stays or not places:
        return None, tuple(places)
    return places[0], tuple(places[1:])


def _trash(tx: Tx, account_id: AccountId, limits: Limits, now: Instant) -> MailboxId:
    boxes = list_mailboxes(tx, account_id)
    found = next((row.id for row in boxes if row.special_use == _TRASH), None)
    named = next((row.id for row in boxes if row.name.lower() == "trash"), None)
    if found is not None or named is not None:
        return mailbox_by_id(tx, account_id, found or named or MailboxId(0)).id
    return create_mailbox(tx, account_id, "Trash", limits, special_use=_TRASH, now=now).id
