"""What MAIL and RCPT ask for beyond the addresses, as it travels with a message from server to server.

RFC: 3461 §4 (NOTIFY, ORCPT, RET, ENVID), 6152 and 3030 (BODY), 6531 §3.4 (SMTPUTF8), 8689 §2 (REQUIRETLS),
    6710 §3 (MT-PRIORITY), 2852 §4 (BY), 4865 §3 (FUTURERELEASE).
Invariants: values only; xtext is decoded here already.
Not here: reading and writing them on the wire (smtp/commands.py, smtp/client/), what is done with
    them (outbound/).
"""

from enum import Enum, IntFlag

import msgspec


class BodyType(Enum):
    """MAIL's BODY parameter."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT_MIME = "8BITMIME"
    BINARY_MIME = "BINARYMIME"


class Return(Enum):
    """How much of the message a failure report shall hold (RFC 3461 §4.3)."""

    UNSAID = ""
    FULL = "FULL"
    HEADERS = "HDRS"


class Notify(IntFlag):
    """When a recipient's sender wants to hear (RFC 3461 §4.1). UNSAID is FAILURE, and DELAY if we like."""

    UNSAID = 0
    SUCCESS = 1
    FAILURE = 2
    DELAY = 4
    NEVER = 8


class ByMode(Enum):
    """What shall happen to a message that is late (RFC 2852 §4.1)."""

    NOTIFY = "N"
    RETURN = "R"


class MailOptions(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """MAIL's parameters that go along with the message."""

    body: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: Return = Return.UNSAID
    envid: str = ""
    """Decoded; empty when not given."""
    require_tls: bool = False
    priority: int = 0
    """-9 to 9, higher is sooner; 0 also when not given."""
    by_mode: ByMode | None = None
    """None: no BY was given."""
    by_trace: bool = False
    deliver_by: int = 0
    """The instant BY named; meaningful with by_mode only."""
    hold: str = ""
    """What FUTURERELEASE asked for, for reports (RFC 4865 §5.1.2): `for;3600`; empty when nothing."""


NO_MAIL_OPTIONS = MailOptions()


class RcptOptions(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """RCPT's parameters."""

    notify: Notify = Notify.UNSAID
    original: str = ""
    """ORCPT as `rfc822;ann@example.org`, decoded; empty when not given."""


NO_RCPT_OPTIONS = RcptOptions()
