"""The four things an SMTP port can be for.

RFC: 5321 (MX), 6409 (submission), 2033 (LMTP).
Not here: what differs between them, which is said where it matters (session.py, policy.py).
"""

from enum import Enum


class SmtpRole(Enum):
    """Whom a port serves. The value is the protocol's name in logs and counts."""

    MX = "smtp"
    """Other servers; users may log in after TLS."""
    SUBMISSION = "submission"
    """Users' mail programs, which must log in."""
    LMTP = "lmtp"
    """Another MTA of the same operator."""
    LOCAL = "local"
    """Programs of this machine, over a Unix socket; who they are says the system."""
