"""Ask the world for a check: the DNS, the domain's policy, and whether port 25 answers.

RFC: 8461 §3.3 (fetching a policy), 5321 §3.1 (a server greets with 220).
Invariants: nothing waits longer than its time-out; no answer from here says nothing about others' way.
Not here: what is made of the answers (check.py).
"""

import asyncio
from typing import Final

from postino.app.operator_dns.findings import Outside
from postino.core.errors import PostinoError
from postino.mailauth.mta_sts import POLICY_OCTETS
from postino.net.dns.resolver import DnsResolver
from postino.net.dns.servers import ServerList
from postino.net.https_client import HttpsFailure, HttpsRequest, ask_https
from postino.outbound.settings import OutboundSettings

POLICY_SECONDS: Final = 20.0
PROBE_SECONDS: Final = 5.0
_MAIL_PORT: Final = 25
_OK: Final = 200


def outside_world(settings: OutboundSettings, *, dns_only: bool = False) -> tuple[Outside, DnsResolver]:
    """Whom to ask, with the settings' resolvers; close the second when done."""
    resolver = DnsResolver(ServerList(settings.resolvers))
    if dns_only:
        return Outside(resolver), resolver

    async def addresses(host: str) -> tuple[str, ...]:
        return (await resolver.addresses(host)).records

    async def fetch_policy(domain: str) -> bytes:
        url = f"https://mta-sts.{domain}/.well-known/mta-sts.txt"
        request = HttpsRequest(url, most_octets=POLICY_OCTETS)
        answer = await ask_https(request, timeout_seconds=POLICY_SECONDS, lookup=addresses)
        if answer.status != _OK:
            raise HttpsFailure(f"{url} answers {answer.status}")
        if answer.content_type != "text/plain":
            raise PostinoError(f"{url} is {answer.content_type or 'of no type'} instead of text/plain")
        return answer.body

    return Outside(resolver, fetch_policy, probe), resolver


async def probe(address: str, port: int = _MAIL_PORT) -> bool | None:
    """Whether a mail server greets there; None when there is no connection, which others may well have."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(address, port, limit=4096)
    except (OSError, TimeoutError):
        return None
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return (await reader.readline()).startswith(b"220")
    except (OSError, TimeoutError, ValueError):
        return False
    finally:
        writer.transport.abort()
