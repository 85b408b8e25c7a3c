"""Log in to a smarthost.

RFC: 4954 §4 (AUTH), 4422.
Exposure: handles a password of the operator's; it is said inside TLS or on this machine only, never logged.
Not here: the mechanisms (sasl/client.py), which host (routes.py).
"""

from postino.outbound.dialogue import Dialogue
from postino.outbound.target import NotNow, Target
from postino.smtp.client.extensions import Extensions


async def log_in(
    dialogue: Dialogue, target: Target, offered: Extensions, remote: str, *, seconds: float
) -> None:
    """Log in as the route says. Raises NotNow when the server does not let us, and what Dialogue raises."""
    raise NotNow(f"{remote} cannot be logged in to yet", "4.7.0", remote=remote)
