"""Whether mail from elsewhere that is to be sent on would pass as an author's of ours without being so.

What we forward has a reverse-path of ours, for which SPF vouches. When its From field names an author of the
same domain, receivers take both together as proof (DMARC): whoever knows one address that is forwarded could
have us make his mail look like anybody's here.
RFC: 7489 §3.1.2 (SPF alignment), 7208 §2.3 and §2.4 (the name in EHLO stands for a null reverse-path).
Exposure: any message at our port 25.
Invariants: such mail is sent on only when a DKIM signature proves each author's domain.
Not here: reading From (mailauth/alignment.py), what becomes of the message (delivery/forwarding.py).
"""

from collections.abc import Sequence

from postino.core.address import domain_key
from postino.core.errors import TemporarilyUnavailable
from postino.delivery.forwarding import Accepted
from postino.delivery.incoming import Content, UnreadContent
from postino.mailauth.alignment import are_aligned, claimed_domains
from postino.servers.context import ServerContext
from postino.smtp.paths import ReversePath


async def would_pass_as_ours(
    context: ServerContext,
    reverse_path: ReversePath,
    accepted: Sequence[Accepted],
    content: Content | UnreadContent,
) -> bool:
    """Whether sending this on would lend it a name of ours. Raises TemporarilyUnavailable."""
    forwards = [forward for one in accepted for forward in one.found.forwards]
    outbound = context.outbound
    if outbound is None or not forwards:
        return False
    if reverse_path is None:
        vouched = {domain_key((outbound.settings.hello_name or context.hostname).lower())}
    elif not context.delivery.senders.is_elsewhere(reverse_path.domain):
        # It goes on as it is.
        vouched = {domain_key(reverse_path.domain)}
    else:
        vouched = {domain_key(forward.via.domain) for forward in forwards}
    claimed = {
        domain
        for domain in claimed_domains(content.header)
        if any(are_aligned(domain, one) for one in vouched)
    }
    if not claimed:
        return False
    size = content.facts.size if isinstance(content, Content) else content.size
    signers = await outbound.signers_of(content.header, content.body, size - len(content.header))
    unproved = [domain for domain in claimed if not any(are_aligned(domain, one) for one in signers.proved)]
    if unproved and signers.is_open:
        raise TemporarilyUnavailable("The DNS gives no answer about a DKIM key now")
    return bool(unproved)
