"""What a session announces, by what its port is for and what the server can do.

RFC: 4865 §4.2 (FUTURERELEASE for submission only), 6710 §4.1 (who is believed), 8689 §2 (REQUIRETLS under
    TLS), 3461 §5 (DSN).
Invariants: nothing is announced that is not carried out from end to end: all that concerns reports and mail
    elsewhere only where mail is sent.
Not here: the words (smtp/extensions.py), when STARTTLS and AUTH are offered (session.py).
"""

from typing import Final

from postino.servers.context import ServerContext
from postino.servers.smtp.roles import SmtpRole
from postino.smtp.extensions import Offers

LEAST_BY_SECONDS: Final = 60
"""Less time than this is not promised, even for a server that answers at once."""


def offers_of(
    context: ServerContext, role: SmtpRole, *, is_tls: bool, offers_tls: bool, mechanisms: list[str]
) -> Offers:
    """What to announce."""
    outbound, limits = context.outbound, context.limits
    if outbound is None:
        return Offers(limits.message_octets, limits.recipients, offers_tls, tuple(mechanisms))
    submits = role in {SmtpRole.SUBMISSION, SmtpRole.LOCAL}
    return Offers(
        limits.message_octets,
        limits.recipients,
        offers_tls,
        tuple(mechanisms),
        dsn=True,
        require_tls=is_tls or role is SmtpRole.LOCAL,
        # SECURITY: only from those who logged in: a stranger's mail is never more urgent than others'.
        priority=role is SmtpRole.SUBMISSION,
        deliver_by_seconds=LEAST_BY_SECONDS if submits else 0,
        hold_seconds=int(outbound.settings.hold_seconds) if submits else 0,
    )
