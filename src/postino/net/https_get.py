"""Get one small document over HTTPS, for the keys of a token issuer.

RFC: 9110 (GET), 2818 (the certificate names the host).
Exposure: reads what a server that the settings name answers; bounded in size and time.
Invariants: never without TLS, never a redirect (the settings say where the document is).
Not here: when (servers/token_keys.py). Blocks: for a thread.
"""

import http.client
import ssl
import time
from typing import Final
from urllib.parse import urlsplit

from postino.core.errors import TemporarilyUnavailable

MAX_OCTETS: Final = 256 * 1024
_PIECE_OCTETS: Final = 16 * 1024


def https_get(url: str, *, authorities: str = "", timeout_seconds: float = 10.0) -> bytes:
    """The document at an https URL. `authorities` is a PEM file, empty for the system's.

    Raises TemporarilyUnavailable, with the reason, for everything that goes wrong.
    """
    ends = time.monotonic() + timeout_seconds
    try:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise TemporarilyUnavailable(f"{url} cannot be asked for: only https URLs are")
        context = ssl.create_default_context(cafile=authorities or None)
        connection = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=timeout_seconds, context=context
        )
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", path, headers={"Accept": "application/json", "User-Agent": "Postino"})
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise TemporarilyUnavailable(f"{url} answers {answer.status}, not a document")
            octets = bytearray()
            while piece := answer.read(_PIECE_OCTETS):
                octets += piece
                if len(octets) > MAX_OCTETS:
                    raise TemporarilyUnavailable(f"{url} answers more than {MAX_OCTETS} octets")
                if time.monotonic() > ends:
                    raise TemporarilyUnavailable(f"{url} answers too slowly")
            return bytes(octets)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise TemporarilyUnavailable(f"{url} cannot be reached ({error})") from error
