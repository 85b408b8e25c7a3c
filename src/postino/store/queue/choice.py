"""Which of the queue an operator means, as SQL conditions.

Invariants: a choice that says nothing means everything; what it says holds for a recipient and its message.
Not here: what is done to them (operate.py), what is typed (cli/queue.py).
"""

from dataclasses import dataclass

from postino.core.ids import AccountId
from postino.store.queue.values import QueueId, RecipientState
from postino.store.tx import SqlValue


@dataclass(frozen=True, slots=True)
class Choice:
    """All that is given must hold."""

    picks: tuple[tuple[QueueId, int], ...] = ()
    """Messages, or one recipient of a message; number 0 is all of them."""
    names: tuple[str, ...] = ()
    """Messages by the name we gave them in Received and the log."""
    domain: str = ""
    recipient: str = ""
    sender: str | None = None
    """A reverse-path, `@domain` for every one of a domain; empty is the null reverse-path."""
    account_id: AccountId | None = None
    state: RecipientState | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing was said."""
        return self == Choice()

    def of_recipients(self) -> tuple[str, list[SqlValue]]:
        """The conditions on `queue_recipient r` alone."""
        conditions = ["1"]
        params: list[SqlValue] = []
        if self.picks:
            # At least one of them, or one of the names.
            either = []
            for queue_id, number in self.picks:
                either.append("(r.queue_id=? AND r.number=?)" if number else "r.queue_id=?")
                params += [queue_id, number] if number else [queue_id]
            if self.names:
                either.append(f"r.queue_id IN (SELECT id FROM queue_message WHERE {_among(self.names)})")
                params += self.names
            conditions.append(f"({' OR '.join(either)})")
        elif self.names:
            conditions.append(f"r.queue_id IN (SELECT id FROM queue_message WHERE {_among(self.names)})")
            params += self.names
        if self.domain:
            conditions.append("r.domain=?")
            params.append(self.domain)
        if self.recipient:
            conditions.append("lower(r.address)=?")
            params.append(_lower(self.recipient))
        if self.state is not None:
            conditions.append("r.state=?")
            params.append(self.state)
        return " AND ".join(conditions), params

    def of_messages(self) -> tuple[str, list[SqlValue]]:
        """The conditions on `queue_message m` alone."""
        conditions = ["1"]
        params: list[SqlValue] = []
        if self.sender is not None:
            if self.sender.startswith("@"):
                conditions.append("lower(m.reverse_path) LIKE ? ESCAPE '\\'")
                escaped = _lower(self.sender).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
                params.append(f"%{escaped}")
            else:
                conditions.append("lower(m.reverse_path)=?")
                params.append(_lower(self.sender))
        if self.account_id is not None:
            conditions.append("m.account_id=?")
            params.append(self.account_id)
        return " AND ".join(conditions), params


def _among(names: tuple[str, ...]) -> str:
    return f"message_id IN ({', '.join('?' * len(names))})"


def _lower(text: str) -> str:
    # As SQL's lower(), which every database has for ASCII.
    return text.encode().lower().decode()
