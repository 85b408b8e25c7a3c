"""Do what the scripts of a mailbox want done with a message that is there already.

RFC: 6785 §2.2.4 (Deleted), §3.1-3.8 (what each action means here): what is kept has the flags the script
    left, what is filed is a copy, what is not kept is marked as deleted and not expunged, so that a script's
    mistake can be taken back; edits are for copies only.
Invariants: each message's changes are one write, or none of them is done; nothing here is an event.
Not here: deciding (events.py), what is sent (event_mail.py).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from structlog.typing import FilteringBoundLogger

from postino.core.errors import PostinoError, StoreError
from postino.core.flags import NO_FLAGS, FlagSet, flag_set
from postino.core.limits import Limits
from postino.core.mailbox_name import INBOX
from postino.core.numset import NumberSet
from postino.core.ports import Clock
from postino.delivery.filters.event_mail import NOTHING_SENT, Composed, EventMail
from postino.delivery.filters.events import Decided
from postino.delivery.filters.filing import find_target
from postino.delivery.filters.plans import usable_flags
from postino.delivery.incoming import IncomingMessage
from postino.sieve.actions import Edited, FileInto, Keep, Redirect, SendNotification
from postino.store import messages
from postino.store.content import NewEmail
from postino.store.mailboxes import mailbox_by_name
from postino.store.messages import FlagChange, FlagMode, store_flags
from postino.store.queue.settle import tell
from postino.store.sending import count_scripted
from postino.store.store import Store
from postino.store.tx import Tx

_DELETED: Final = flag_set(["\\Deleted"])


class EventActions:
    """One worker's."""

    def __init__(
        self,
        *,
        store: Store,
        limits: Callable[[], Limits],
        clock: Clock,
        log: FilteringBoundLogger,
        mail: EventMail,
    ) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock
        self._log = log
        self._mail = mail

    async def do(self, decided: Sequence[Decided]) -> None:
        """Do all of it; the messages' writes go to the disk together, and fail alone."""
        for outcome, each in zip(
            await asyncio.gather(*map(self._do_one, decided), return_exceptions=True), decided, strict=True
        ):
            if isinstance(outcome, PostinoError | OSError):
                self._log.warning(
                    "imapsieve.failed", login=each.event.login, uid=each.uid, error=str(outcome)
                )
            elif outcome is not None:
                raise outcome

    async def _do_one(self, decided: Decided) -> None:
        actions, now = decided.evaluation.actions, self._clock.now()
        going = [each for each in actions if isinstance(each, Redirect | SendNotification)]
        mail = await self._mail.compose(decided, going, now) if going else NOTHING_SENT
        edited = {
            id(each): await self._edited(decided, each.edited)
            for each in actions
            if isinstance(each, FileInto) and each.edited is not None
        }
        if mail.reports or _changes_something(decided):
            await self._store.write(lambda tx: self._write(tx, decided, edited, mail))

    async def _edited(self, decided: Decided, edited: Edited) -> NewEmail:
        """The message as the script changed it, which is another message."""
        message = IncomingMessage(self._store, self._limits())
        message.add(edited.header)
        message.add(bytes(decided.message.body) if edited.body is None else edited.body)
        if message.fault is not None:
            raise PostinoError(f"The message cannot be filed as the script changed it: {message.fault.value}")
        content = await message.finish()
        return NewEmail(content.header, content.body, content.facts, decided.internal_date, NO_FLAGS)

    def _write(self, tx: Tx, decided: Decided, edited: dict[int, NewEmail], mail: Composed) -> None:
        event = decided.event
        tell(tx, mail.reports, self._clock.now())
        if mail.reports:
            count_scripted(tx, event.account_id, len(mail.reports), self._clock.now())
        uid = NumberSet.of([decided.uid])
        # What could not be sent on is kept.
        is_kept = not mail.is_whole
        for action in decided.evaluation.actions:
            if isinstance(action, Keep):
                is_kept = True
                _give_flags(tx, decided, usable_flags(action.flags))
            elif isinstance(action, FileInto):
                # One that cannot be had becomes a keep.
                is_kept |= not self._file(tx, decided, action, edited.get(id(action)))
        if not is_kept:
            change = FlagChange(FlagMode.ADD, _DELETED)
            store_flags(tx, event.account_id, event.mailbox_id, uid, change)

    def _file(self, tx: Tx, decided: Decided, action: FileInto, edited: NewEmail | None) -> bool:
        event, now = decided.event, self._clock.now()
        octets = decided.message.size if edited is None else edited.facts.size
        try:
            owner, found, _ = find_target(tx, event.account_id, action.target, octets, self._limits(), now)
        except StoreError as error:
            self._log.info("imapsieve.not-filed", login=decided.login, uid=decided.uid, error=str(error))
            return False
        target = mailbox_by_name(tx, owner, INBOX).id if found is None else found
        if edited is None:
            copied = messages.copy(
                tx,
                event.account_id,
                event.mailbox_id,
                NumberSet.of([decided.uid]),
                target,
                target_account=owner,
                now=now,
            )
            filed = copied.target_uids
        else:
            filed = NumberSet.of([messages.append(tx, owner, target, edited, now=now).uid])
        if filed:
            change = FlagChange(FlagMode.SET, usable_flags(action.target.flags))
            store_flags(tx, owner, target, filed, change)
        return True


def _changes_something(decided: Decided) -> bool:
    """Most scripts look, and leave most messages as they are."""
    actions = decided.evaluation.actions
    if any(isinstance(each, FileInto) for each in actions):
        return True
    kept = [each for each in actions if isinstance(each, Keep)]
    return not kept or any(usable_flags(each.flags) != decided.flags for each in kept)


def _give_flags(tx: Tx, decided: Decided, wanted: FlagSet) -> None:
    """Only what the script changed: what others changed meanwhile stays."""
    event = decided.event
    uid = NumberSet.of([decided.uid])
    for mode, flags in (
        (FlagMode.ADD, wanted.without(decided.flags)),
        (FlagMode.REMOVE, decided.flags.without(wanted)),
    ):
        if flags != NO_FLAGS:
            store_flags(tx, event.account_id, event.mailbox_id, uid, FlagChange(mode, flags))
