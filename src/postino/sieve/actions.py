"""What a script wants done with a message: values, in the order in which the script decided them.

RFC: 5228 §2.10 (actions, implicit keep), §4 (redirect, fileinto, keep, discard), 3894 (copy), 5232 §5
    (flags), 5429 (reject, ereject), 5230 (vacation), 5435 (notify), 5490, 8579 and 9042 (where fileinto
    goes), 5293 and 5703 (edited messages), 6009 and 6134 (redirect), 8580 (fcc), 7352 (duplicate).
Not here: deciding (the rest of the package), doing (delivery/).
"""

from typing import NamedTuple

import msgspec


class Place(NamedTuple):
    """Where something stands; lines and columns begin with 1. `script` is the name it was compiled under."""

    script: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.script}:{self.line}"


class Edited(msgspec.Struct, frozen=True):
    """The message as the script changed it (editheader, replace, enclose), whole."""

    header: bytes
    """Up to and with the empty line."""
    body: bytes | None
    """None: as it came."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A mailbox to file in, as the script named it (fileinto, :fcc)."""

    mailbox: str
    create: bool = False
    """:create (RFC 5490 §3.2): make it when it is not there."""
    mailbox_id: str = ""
    """:mailboxid (RFC 9042): before `mailbox`, while one with it is there."""
    special_use: str = ""
    """:specialuse (RFC 8579): before `mailbox`, while there is one of this use; with its backslash."""
    flags: tuple[str, ...] = ()


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to be done."""

    place: Place
    """The command that decided it; of an implicit keep, the end of the script."""


class Keep(Action, frozen=True, kw_only=True):
    """File in the INBOX, or where the message would have gone without a script."""

    flags: tuple[str, ...] = ()
    edited: Edited | None = None
    is_implicit: bool = False


class FileInto(Action, frozen=True, kw_only=True):
    """File in a mailbox. One that cannot be had becomes a keep."""

    target: Target
    edited: Edited | None = None


class Discard(Action, frozen=True):
    """Nothing of its own: it takes back the implicit keep."""


class Redirect(Action, frozen=True, kw_only=True):
    """Send on to an address."""

    address: str
    """Syntactically an address. With `list_name`, a member of that list."""
    list_name: str = ""
    notify: str | None = None
    """:notify (RFC 6009) as NOTIFY's value, `SUCCESS,FAILURE`; None when not given."""
    ret: str = ""
    """:ret: `FULL`, `HDRS` or nothing."""
    by_seconds: int | None = None
    """:bytimerelative, or :bytimeabsolute less the time now (RFC 6009 §4); None when not given."""
    by_mode: str = ""
    """`N` or `R`."""
    by_trace: bool = False
    edited: Edited | None = None


class Reject(Action, frozen=True, kw_only=True):
    """Refuse, telling the sender why: with the SMTP reply where that is still possible."""

    reason: str
    is_ereject: bool = False


class Vacation(Action, frozen=True, kw_only=True):
    """Answer the sender, unless they were answered within `seconds` (RFC 5230).

    The script's part of the rules was looked at (who it is addressed to, lists, bounces); whether this
    sender was answered lately is the store's to say.
    """

    reason: str
    """Text, or a whole MIME entity with `is_mime`."""
    is_mime: bool = False
    subject: str = ""
    from_address: str = ""
    """A header value, checked to be one address; empty: the recipient's."""
    handle: str
    """What counts as the same answer: :handle, or made from the other arguments."""
    seconds: int
    fcc: Target | None = None


class SendNotification(Action, frozen=True, kw_only=True):
    """Tell somebody of the message (notify, RFC 5435 and 5436)."""

    method: str
    """A URI; only `mailto:` is compiled."""
    message: str = ""
    from_address: str = ""
    importance: str = "2"
    options: tuple[str, ...] = ()
    fcc: Target | None = None


class Hold(Action, frozen=True, kw_only=True):
    """Outgoing mail only (vnd.postino.outgoing): keep in the queue until it is released, or for `seconds`."""

    seconds: int | None = None


class ReportAbuse(Action, frozen=True, kw_only=True):
    """Send a feedback report about the message (vnd.dovecot.report)."""

    feedback_type: str
    message: str
    address: str
    headers_only: bool = False


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """An id the account saw; written down when the script's actions succeed (RFC 7352 §3.1)."""

    handle: str
    unique_id: str
    seconds: int
    is_last: bool = False
    """:last: the time counts from the newest, so that being seen again prolongs it."""
