"""What an account's script decides about mail the account submits: the Sent copy, more recipients, a hold.

RFC: 5228 §4 (what the actions mean here is said below), 5435 §3 (notify), 5429 §2.1.1 (refusals).
A keep is the Sent copy as the account has it; fileinto is a Sent copy in that mailbox, whatever the account
has; discard leaves it out; redirect is one more recipient; reject refuses the message; hold keeps it in the
queue. Edits hold for the Sent copy.
Invariants: a message never vanishes here: whoever it is for gets it, unless it is refused or held.
Not here: running the script (running.py), the queue (servers/smtp/intake.py), mail that comes in
    (plans.py).
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from postino.core.address import Address, BadAddress, parse_address
from postino.core.flags import NO_FLAGS, FlagSet, flag_set
from postino.core.ids import Instant
from postino.delivery.accept import Delivery, OwnCopy
from postino.delivery.filters.filing import Answer, Copy, Filing, Filtered, Line
from postino.delivery.filters.mail import ScriptMail
from postino.delivery.filters.plans import edited_content, usable_flags
from postino.delivery.filters.running import Arriving
from postino.delivery.forwarding import Forwarding
from postino.delivery.incoming import Content
from postino.delivery.reports import Tellable
from postino.mime.encode_header import one_line
from postino.sieve.actions import (
    Action,
    Discard,
    Edited,
    FileInto,
    Hold,
    Keep,
    Place,
    Redirect,
    Reject,
    SendNotification,
)
from postino.sieve.evaluation import Evaluation
from postino.store.accounts import ResolvedRecipient
from postino.store.sent_copy import KEYWORD

_FLAGS: Final[FlagSet] = flag_set(["\\Seen", KEYWORD])


class Sending(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What is decided."""

    filtered: Filtered
    own_copy: OwnCopy | None = None
    """For the Sent mailbox, where the account has its mail filed there."""
    more: Sequence[tuple[Address, Place]] = ()
    """Recipients the script added."""
    refused: Reject | None = None
    hold: Hold | None = None


async def plan_sending(
    evaluation: Evaluation,
    delivery: Delivery,
    forwarding: Forwarding | None,
    arriving: Arriving,
    account: ResolvedRecipient,
    own_copy: OwnCopy | None,
    *,
    separator: str,
    now: Instant,
) -> Sending:
    """Plan it. `arriving` has the message as its author keeps it; `own_copy` is what the Sent mailbox gets
    without a script. Raises TemporarilyUnavailable.
    """
    plan = _Plan(delivery, forwarding, arriving, account, separator, now)
    for action in evaluation.actions:
        await plan.do(action)
    fault = evaluation.fault
    if fault is not None:
        plan.say(fault.place, f"the script had to be ended early: {fault.words}")
        plan.answers.append(plan.mail.fault(str(fault.place), fault.words))
    is_kept = plan.is_kept or not (plan.is_discarded or plan.filings)
    if own_copy is not None and is_kept:
        content = await plan.content(plan.edited)
        own_copy = OwnCopy(content.header, content.facts, plan.flags, content.body)
    return Sending(
        filtered=Filtered(
            recipient=account,
            filings=plan.filings,
            copies=plan.copies,
            told=plan.told,
            answers=plan.answers,
            remembered=evaluation.remembered,
            lines=plan.lines,
            fault=str(fault) if fault is not None else "",
            is_outgoing=True,
        ),
        own_copy=own_copy if is_kept else None,
        more=plan.more,
        refused=plan.refused,
        hold=plan.hold,
    )


class _Plan:
    def __init__(
        self,
        delivery: Delivery,
        forwarding: Forwarding | None,
        arriving: Arriving,
        account: ResolvedRecipient,
        separator: str,
        now: Instant,
    ) -> None:
        self._delivery = delivery
        self._arriving = arriving
        self._can_send = forwarding is not None
        self.filings: list[Filing] = []
        self.copies: list[Copy] = []
        self.told: list[Tellable] = []
        self.answers: list[Answer] = []
        self.lines: list[Line] = []
        self.more: list[tuple[Address, Place]] = []
        self.flags = NO_FLAGS
        self.edited: Edited | None = None
        self.is_kept = self.is_discarded = False
        self.refused: Reject | None = None
        self.hold: Hold | None = None
        own = parse_address(account.login)
        self.mail = ScriptMail(
            delivery,
            account,
            own,
            arriving.reverse_path,
            arriving.content.header,
            separator=separator,
            lifetime_seconds=forwarding.lifetime_seconds if forwarding is not None else 0,
            now=now,
        )

    def say(self, place: Place, words: str) -> Line:
        line = Line(place, one_line(words, 500))
        self.lines.append(line)
        return line

    async def content(self, edited: Edited | None) -> Content:
        """The author's copy as the script left it."""
        content = self._arriving.content
        return content if edited is None else await edited_content(self._delivery, content, edited)

    async def do(self, action: Action) -> None:
        place = action.place
        match action:
            case Keep():
                self.is_kept, self.edited = True, action.edited
                self.flags = self.flags.union(usable_flags(action.flags))
                if not action.is_implicit:
                    self.say(place, "kept")
            case FileInto():
                target = action.target
                flags = _FLAGS.union(usable_flags(target.flags))
                content = await self.content(action.edited)
                line = self.say(place, f"own copy filed in {target.mailbox or target.special_use}")
                self.filings.append(
                    Filing(content=content, target=target, flags=flags, place=place, is_own=True, line=line)
                )
            case Discard():
                self.is_discarded = True
                self.say(place, "no own copy")
            case Redirect():
                self._redirect(action)
            case Reject():
                self.refused = action
            case Hold():
                self._hold(action)
            case SendNotification():
                self._notify(action)
            case _:
                self.say(place, f"left out: {type(action).__name__.lower()} is for mail that comes in")

    def _redirect(self, action: Redirect) -> None:
        try:
            self.more.append((parse_address(action.address), action.place))
        except BadAddress as error:
            self.say(action.place, f"not sent to {action.address}: {error}")
        else:
            self.say(action.place, f"sent to {action.address} too")

    def _hold(self, action: Hold) -> None:
        if not self._can_send:
            self.say(action.place, "not held: this server has no queue")
            return
        if self.hold is None or self.hold.seconds is not None:
            self.hold = action
        until = "until it is released" if action.seconds is None else f"for {action.seconds} seconds"
        self.say(action.place, f"held {until}")

    def _notify(self, action: SendNotification) -> None:
        if not (self._can_send and action.method.lower().startswith("mailto:")):
            self.say(action.place, "told nobody: only mailto: is known, where mail is sent")
            return
        told, copies, words = self.mail.notify(action)
        self.told += told
        self.copies += copies
        self.say(action.place, words)
