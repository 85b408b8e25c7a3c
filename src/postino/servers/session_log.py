"""The words in which sessions of every protocol tell the log about themselves.

Every event of a session carries `protocol`, `session`, `peer`, and after a login `account`.
`connection.opened` and `tls.started` have `tls` (empty without TLS), `connection.closed` has `reason`.
Not here: what one protocol alone tells (servers/smtp/events.py), logins (authentication.py).
"""

import base64
import os
from typing import Final

QUIT: Final = "quit"
"""The client said goodbye."""
LOST: Final = "lost"
"""The client went away without a word, or does not read; `detail` may say more."""
TIMEOUT: Final = "timeout"
SHUTDOWN: Final = "shutdown"
FAULT: Final = "fault"
"""A fault of ours; `session.fault` says which."""
CANCELLED: Final = "cancelled"
"""The server stops and waits no longer."""


def new_session_id() -> str:
    """A name for a session, unlike any other's; in SMTP messages are named after it."""
    return base64.b32encode(os.urandom(10)).decode("ascii").lower()
