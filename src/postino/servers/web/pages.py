"""Which page a request gets. There are few, and nothing of a directory is ever read.

RFC: 9110 §9.3 (GET, HEAD, POST), §15 (status codes), 8461 §3.2 and §3.3 (the policy's page), 8615 §3
    (/.well-known/).
Exposure: anybody on the network; answers depend on the name asked for and on which domains are ours.
Invariants: a page's content never depends on which accounts exist; every answer is short and complete.
Not here: octets and time limits (session.py), the pages' text (offer.py, autoconfig.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs

from postino.core.address import BadAddress, parse_domain
from postino.servers.web import autoconfig
from postino.servers.web.offer import Offer

POLICY_PATH: Final = "/.well-known/mta-sts.txt"
AUTOCONFIG_PATHS: Final = ("/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml")
AUTODISCOVER_PATH: Final = "/autodiscover/autodiscover.xml"
_XML: Final = "text/xml; charset=utf-8"
_PLAIN: Final = "text/plain; charset=utf-8"
_MOST_ARGUMENTS: Final = 10


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose head and body have come whole."""

    method: str
    host: str
    """Lower case, without a port."""
    path: str
    query: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets, and what counts and the log call the page."""

    status: int
    page: str
    body: bytes = b""
    content_type: str = _PLAIN
    headers: tuple[tuple[str, str], ...] = field(default=())


def answer(request: Request, offer: Offer, is_ours: Callable[[str], bool]) -> Answer:
    """The page. `is_ours` tells whether a domain (as parse_domain gives it) is served here."""
    if request.path == POLICY_PATH:
        return _policy(request, offer, is_ours)
    if request.path in AUTOCONFIG_PATHS:
        return _autoconfig(request, offer, is_ours)
    if request.path.lower() == AUTODISCOVER_PATH:
        return _autodiscover(request, offer, is_ours)
    return plain(404, "There is no such page here\n")


def plain(status: int, text: str, page: str = "other") -> Answer:
    """An answer of one sentence."""
    return Answer(status, page, text.encode("utf-8"))


def _policy(request: Request, offer: Offer, is_ours: Callable[[str], bool]) -> Answer:
    if request.method not in {"GET", "HEAD"}:
        return _only("mta-sts", "GET, HEAD")
    start, _, domain = request.host.partition(".")
    if start != "mta-sts" or not _serves(domain, is_ours):
        return plain(404, "No policy is served for this name here\n", "mta-sts")
    return Answer(200, "mta-sts", offer.policy, _PLAIN)


def _autoconfig(request: Request, offer: Offer, is_ours: Callable[[str], bool]) -> Answer:
    if request.method not in {"GET", "HEAD"}:
        return _only("autoconfig", "GET, HEAD")
    # Programs ask at autoconfig.DOMAIN or at DOMAIN, most with the whole address; the name alone will do.
    candidates = [request.host, request.host.removeprefix("autoconfig.")]
    try:
        given = parse_qs(request.query, max_num_fields=_MOST_ARGUMENTS).get("emailaddress", [])
    except ValueError:
        return plain(400, "The query cannot be understood\n", "autoconfig")
    address = autoconfig.read_address(given[0]) if given else None
    if address is not None:
        candidates.insert(0, address.domain)
    for domain in candidates:
        if _serves(domain, is_ours):
            return Answer(200, "autoconfig", autoconfig.thunderbird_config(offer, domain), _XML)
    return plain(404, "The domain is not served here\n", "autoconfig")


def _autodiscover(request: Request, offer: Offer, is_ours: Callable[[str], bool]) -> Answer:
    if request.method != "POST":
        return _only("autodiscover", "POST")
    address = autoconfig.requested_address(request.body)
    if address is None or not _serves(address.domain, is_ours):
        return Answer(200, "autodiscover", autoconfig.outlook_refusal(), _XML)
    return Answer(200, "autodiscover", autoconfig.outlook_config(offer, address), _XML)


def _only(page: str, methods: str) -> Answer:
    return Answer(
        405, page, f"Only {methods} can be asked for here\n".encode(), headers=(("Allow", methods),)
    )


def _serves(domain: str, is_ours: Callable[[str], bool]) -> bool:
    try:
        return is_ours(parse_domain(domain))
    except BadAddress:
        return False
