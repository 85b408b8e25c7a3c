"""Whether a message is one a person wrote to this account, so that an answer on the account's behalf is due.

RFC: 5230 §4.5 (addressed to the account) and §4.6 (lists and automatic mail), 3834 §2 (whom not to answer).
Exposure: header fields are strangers' octets.
Invariants: when in doubt, no answer.
Not here: that nobody is answered too often (store/vacation.py).
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from postino.core.address import Address, BadAddress, parse_address

if TYPE_CHECKING:
    from postino.sieve.run import Run

_TO_ME: Final = ("to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc")
_LIST_FIELDS: Final = (
    "list-id", "list-help", "list-subscribe", "list-unsubscribe", "list-post", "list-owner", "list-archive",
)  # fmt: skip
_MACHINES: Final = re.compile(
    r"mailer-daemon|listserv|majordomo|mailman|bounces?(?:[-+=].*)?|owner-.*|.*-(?:request|owner|bounces?)(?:[+=].*)?"
    r"|(?:.*[-._+])?(?:no|do[-_]?not|dont)[-._]?reply(?:[-._+].*)?",
    re.IGNORECASE | re.DOTALL,
)
_BULK: Final = frozenset({"bulk", "junk", "list"})
_SUPPRESSED: Final = frozenset({"all", "oof", "autoreply"})


def why_not_answered(run: "Run", addresses: Sequence[str]) -> str:
    """Why no answer is due, in words; empty when one is. `addresses` are more of the account's own."""
    sender = run.circumstances.envelope_from
    if not sender:
        return "it has a null reverse-path, as reports have"
    if _MACHINES.fullmatch(sender.rpartition("@")[0] or sender):
        return f"{sender} looks like a machine or a list"
    if words := _automatic(run):
        return words
    own = _keys(addresses) | _keys((run.circumstances.envelope_to, *run.circumstances.addresses))
    if not own.isdisjoint(_keys((sender,))):
        return "it comes from the account itself"
    return "" if _is_addressed(run, own) else "none of the account's addresses is in To, Cc or Bcc"


def _automatic(run: "Run") -> str:
    message = run.message
    for name in _LIST_FIELDS:
        if name in message.fields:
            return f"it comes from a list ({name})"
    for value in message.values("precedence"):
        if value.lower() in _BULK:
            return f"its precedence is {value.lower()}"
    for value in message.values("auto-submitted"):
        if re.split(r"[;(\s]", value.lower(), maxsplit=1)[0] != "no":
            return "it was sent automatically"
    for value in message.values("x-auto-response-suppress"):
        if not _SUPPRESSED.isdisjoint(word.strip() for word in value.lower().split(",")):
            return "its sender wants no automatic answers"
    for value in message.values("content-type"):
        if value.lower().startswith("multipart/report"):
            return "it is a report"
    return ""


def _is_addressed(run: "Run", own: set[str]) -> bool:
    separator = run.circumstances.separator
    for name in _TO_ME:
        mailboxes = run.message.addresses(name)
        run.spend(len(mailboxes))
        for mailbox in mailboxes:
            address = _parsed(mailbox.addr_spec)
            if address is None:
                continue
            user = Address(address.detail(separator)[0], address.domain)
            if address.key in own or user.key in own:
                return True
    return False


def _keys(texts: Sequence[str]) -> set[str]:
    return {address.key for text in texts if (address := _parsed(text)) is not None}


def _parsed(text: str) -> Address | None:
    try:
        return parse_address(text)
    except BadAddress:
        return None
