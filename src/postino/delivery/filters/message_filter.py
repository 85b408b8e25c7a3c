"""One message that comes in, and the scripts of those of its recipients that have some.

RFC: 5429 §2.1.1 and §2.5 (when a refusal is said in the reply, and how), 5228 §2.10.
Invariants: an account's scripts run once over a message, however often its recipients are gone through.
Not here: running them (running.py), what comes of it (plans.py).
"""

import textwrap
from collections.abc import Sequence
from typing import Final

from postino.core.errors import TemporarilyUnavailable
from postino.core.ids import AccountId, Instant
from postino.delivery.accept import Delivery, Outgoing
from postino.delivery.filters.filing import Filtered
from postino.delivery.filters.plans import IsForged, Planner, can_say, refusal_of
from postino.delivery.filters.running import Arriving, Filtering
from postino.delivery.forwarding import Accepted, Forwarding
from postino.sieve.actions import Reject
from postino.sieve.evaluation import Evaluation
from postino.sieve.script import Script
from postino.store.accounts import ResolvedRecipient

_MOST_LINES: Final = 30
_LINE: Final = 400
_NOT_ASCII: Final = "The recipient's mail filter refuses this message"


class MessageFilter:
    """Made for a message when one of its recipients has scripts."""

    def __init__(
        self,
        filtering: Filtering,
        delivery: Delivery,
        forwarding: Forwarding | None,
        arriving: Arriving,
        *,
        is_forged: IsForged,
        now: Instant,
    ) -> None:
        self._filtering = filtering
        self._delivery = delivery
        self._forwarding = forwarding
        self._arriving = arriving
        self._is_forged = is_forged
        self._now = now
        self._evaluations: dict[AccountId, Evaluation | None] = {}

    async def evaluation(self, recipient: ResolvedRecipient, accepted: Accepted) -> Evaluation | None:
        """What the account's scripts want; None when it has none."""
        account_id = recipient.account_id
        if account_id not in self._evaluations:
            self._evaluations[account_id] = await self._evaluate(recipient, accepted)
        return self._evaluations[account_id]

    async def _evaluate(self, recipient: ResolvedRecipient, accepted: Accepted) -> Evaluation | None:
        scripts: Sequence[Script] = self._filtering.incoming(recipient)
        if not scripts:
            return None
        path = accepted.forward_path
        return await self._filtering.evaluate(
            scripts,
            self._arriving,
            account_id=recipient.account_id,
            login=recipient.login,
            envelope_to=str(path) if path.domain else recipient.login,
            rcpt=accepted.options,
            now=self._now,
        )

    async def refusal(self, recipients: Sequence[tuple[ResolvedRecipient, Accepted]]) -> Reject | None:
        """What to answer when all of these refuse the message, and it may be said in a reply."""
        found: Reject | None = None
        for recipient, accepted in recipients:
            evaluation = await self.evaluation(recipient, accepted)
            refused = refusal_of(evaluation) if evaluation is not None else None
            if refused is None or not can_say(refused):
                return None
            found = found or refused
        return found

    async def plan(
        self, recipients: Sequence[tuple[ResolvedRecipient, Accepted]]
    ) -> tuple[list[ResolvedRecipient], list[Filtered], list[Outgoing]]:
        """Accounts without scripts, what is written for the others, what of theirs is sent on.

        Raises TemporarilyUnavailable.
        """
        plain: list[ResolvedRecipient] = []
        filtered: list[Filtered] = []
        outgoing: list[Outgoing] = []
        for recipient, accepted in recipients:
            evaluation = await self.evaluation(recipient, accepted)
            if evaluation is None:
                plain.append(recipient)
                continue
            try:
                planned = await self._planner(recipient, accepted).plan(evaluation)
            except TemporarilyUnavailable:
                raise
            except Exception as error:
                # A fault of ours in what a script asks for must not keep its message away either.
                kept = self._filtering.failed((), self._arriving, recipient.login, error)
                planned = await self._planner(recipient, accepted).plan(kept)
            filtered.append(planned.filtered)
            outgoing += planned.outgoing
        return plain, filtered, outgoing

    def _planner(self, recipient: ResolvedRecipient, accepted: Accepted) -> Planner:
        return Planner(
            self._delivery,
            self._forwarding,
            self._arriving,
            recipient,
            accepted,
            separator=self._filtering.separator(),
            is_forged=self._is_forged,
            now=self._now,
        )


def reply_lines(refusal: Reject) -> list[str]:
    """A refusal's reason as the lines of an SMTP reply (RFC 5429 §2.5)."""
    if not refusal.reason.isascii():
        return [_NOT_ASCII]
    lines: list[str] = []
    for line in refusal.reason.strip().splitlines():
        lines += textwrap.wrap(line, _LINE) or [""]
    return lines[:_MOST_LINES] or [_NOT_ASCII]
