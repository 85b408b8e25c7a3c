"""What this server offers to mail programs and to other servers, and the policy made of it.

RFC: 8461 §3.2 (the policy), §3.1 (its id), 8314 §3 (TLS from the first octet is preferred).
Invariants: the id changes exactly when the policy does, on every server that has the same settings.
Not here: from which settings (app/offered.py), serving it (pages.py), others' policies (mailauth/mta_sts.py).
"""

import hashlib
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Final

_ID_OCTETS: Final = 10


class Security(Enum):
    """How a service comes to TLS."""

    TLS = "SSL"
    """From the first octet. The values are Thunderbird's words."""
    STARTTLS = "STARTTLS"


@dataclass(frozen=True, slots=True)
class MailService:
    """One port for mail programs."""

    name: str
    """As in [listen]: `imaps`, `submission`, ..."""
    protocol: str
    """`imap`, `pop3` or `smtp`."""
    port: int
    security: Security


@dataclass(frozen=True)
class Offer:
    """What is announced, in the order it is recommended."""

    hostname: str
    """A-labels."""
    services: tuple[MailService, ...] = ()
    sts_mode: str = "testing"
    sts_mx: tuple[str, ...] = ()
    sts_max_age: int = 604_800
    managesieve_port: int = 0
    """Where programs keep a user's filters; 0 when they cannot."""

    @cached_property
    def policy(self) -> bytes:
        """The MTA-STS policy, one for every domain of ours."""
        lines = ["version: STSv1", f"mode: {self.sts_mode}"]
        if self.sts_mode != "none":
            lines += [f"mx: {name}" for name in self.sts_mx]
        lines.append(f"max_age: {self.sts_max_age}")
        return "".join(f"{line}\r\n" for line in lines).encode("ascii")

    @cached_property
    def policy_id(self) -> str:
        """What stands in the TXT record: letters and digits, at most 32."""
        return hashlib.sha256(self.policy).hexdigest()[: 2 * _ID_OCTETS]
