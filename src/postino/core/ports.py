"""What the inside needs from the outside world, as small protocols that wiring fills in.

Not here: implementations (net/, store/, app/) and their fakes for tests.
"""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from postino.core.ids import AccountId, Instant, MailboxId, ModSeq


class Clock(Protocol):
    """The wall clock. Monotonic time is the event loop's."""

    def now(self) -> Instant:
        """The present, in whole seconds since 1970."""
        ...


@dataclass(frozen=True, slots=True)
class MailboxChange:
    """A hint that something in a mailbox changed. It may be lost or doubled; the store is the truth."""

    account_id: AccountId
    mailbox_id: MailboxId
    mod_seq: ModSeq


@dataclass(frozen=True, slots=True)
class MxRecord:
    """One mail exchanger. The null MX (RFC 7505) is the host `""` ."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class TlsaRecord:
    """How a server proves itself by DNSSEC (RFC 6698 §2.1)."""

    usage: int
    selector: int
    matching_type: int
    data: bytes


T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class DnsAnswer(Generic[T_co]):
    """The records of one name and type; none when the name or the type does not exist."""

    records: tuple[T_co, ...]
    secure: bool = False
    """DNSSEC was validated: the answer (also that there is none) came with AD from a resolver on loopback."""
    name_exists: bool = True
    """False for NXDOMAIN, where no other type can exist either."""
    canonical_name: str = ""
    """The name the records were found at, when CNAMEs led elsewhere; lower case, without a final dot."""


class Resolver(Protocol):
    """The DNS. Names are U-labels or A-labels without a final dot.

    Each raises core.errors.DnsFailure when there is no answer now: time-out, SERVFAIL, damaged or lame data.
    """

    async def mx(self, domain: str) -> DnsAnswer[MxRecord]:
        """Mail exchangers, by preference, those of one preference in a random order."""
        ...

    async def addresses(self, host: str) -> DnsAnswer[str]:
        """A and AAAA, as text; IPv6 and IPv4 take turns, IPv6 first. One family that fails is left out."""
        ...

    async def txt(self, name: str) -> DnsAnswer[str]:
        """TXT records, each with its strings joined."""
        ...

    async def tlsa(self, name: str) -> DnsAnswer[TlsaRecord]:
        """TLSA records of `_25._tcp.mx.example.net`."""
        ...

    async def names(self, address: str) -> DnsAnswer[str]:
        """PTR: the names of an IP address."""
        ...

    async def records(self, name: str, kind: str) -> DnsAnswer[str]:
        """Any type (`SRV`, `CAA`, `NS`, `CNAME`) as text in zone file form."""
        ...


class Listener(Protocol):
    """Who wants to hear of changes in one mailbox. Called on the event loop; must not block."""

    def __call__(self, change: MailboxChange) -> None:
        """Take the hint."""
        ...


class Bus(Protocol):
    """Tells sessions, in this worker and in others, that a mailbox changed after the commit."""

    def publish(self, changes: list[MailboxChange]) -> None:
        """Pass the hints on, to this worker's listeners too. Never blocks, never raises."""
        ...

    def subscribe(self, account_id: AccountId, mailbox_id: MailboxId, listener: Listener) -> None:
        """Have `listener` called for each change of this mailbox."""
        ...

    def unsubscribe(self, account_id: AccountId, mailbox_id: MailboxId, listener: Listener) -> None:
        """Stop it; unknown listeners are ignored."""
        ...

    def subscribe_account(self, account_id: AccountId, listener: Listener) -> None:
        """Have `listener` called for each change of any mailbox of this account, and of which there are."""
        ...

    def unsubscribe_account(self, account_id: AccountId, listener: Listener) -> None:
        """Stop it; unknown listeners are ignored."""
        ...
