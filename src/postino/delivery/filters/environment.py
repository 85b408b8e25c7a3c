"""What scripts are told of the server they run on and of the client a message came from.

RFC: 5183 §4.1 (items), 5260 §4.1 (the local time, which scripts mean where they name no zone).
Exposure: the client's greeting is untrusted.
Not here: the tests that ask (sieve/extensions/environment.py, date.py).
"""

import time

from postino import __version__
from postino.smtp.paths import is_host
from postino.smtp.received import Arrival, address_literal


def local_minutes(seconds: float) -> int:
    """Minutes east of UTC here at that moment, with summer time; 0 when the system cannot tell."""
    try:
        return time.localtime(seconds).tm_gmtoff // 60
    except (OverflowError, OSError, ValueError):
        return 0


def host_items(hostname: str) -> dict[str, str]:
    """The items that tell of this server."""
    return {
        "domain": hostname.partition(".")[2] or hostname,
        "host": hostname,
        "name": "Postino",
        "version": __version__,
    }


def client_items(arrival: Arrival) -> dict[str, str]:
    """The items that tell of the client, in SMTP's notation; no address of what came from no other host."""
    if not arrival.peer_address:
        return {"remote-host": ""}
    host = arrival.hello_host
    # RFC 5183 §4.1: a literal is no name, and what is not known is the empty string.
    is_name = is_host(host) and not host.startswith("[")
    return {
        "remote-host": host if is_name else "",
        "remote-ip": address_literal(arrival.peer_address)[1:-1],
    }
