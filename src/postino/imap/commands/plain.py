"""The commands that have no arguments.

RFC: 9051 §6.1 (CAPABILITY, NOOP, LOGOUT), §6.2.1 (STARTTLS), §6.3.10 (NAMESPACE), §6.3.13 (IDLE),
    §6.4.1-3 (CLOSE, UNSELECT, EXPUNGE), 3501 §6.4.1 (CHECK), 8437 §3 (UNAUTHENTICATE).
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Capability:
    """What can this server do?"""

    name: ClassVar[str] = "CAPABILITY"
    tag: bytes


@dataclass(frozen=True, slots=True)
class Noop:
    """Anything new?"""

    name: ClassVar[str] = "NOOP"
    tag: bytes


@dataclass(frozen=True, slots=True)
class Logout:
    """Goodbye."""

    name: ClassVar[str] = "LOGOUT"
    tag: bytes


@dataclass(frozen=True, slots=True)
class Starttls:
    """Switch to TLS."""

    name: ClassVar[str] = "STARTTLS"
    tag: bytes


@dataclass(frozen=True, slots=True)
class Unauthenticate:
    """Somebody else will log in here."""

    name: ClassVar[str] = "UNAUTHENTICATE"
    tag: bytes


@dataclass(frozen=True, slots=True)
class Namespace:
    """Where do my, others' and shared mailboxes live?"""

    name: ClassVar[str] = "NAMESPACE"
    tag: bytes


@dataclass(frozen=True, slots=True)
class Idle:
    """Tell me of changes until I say DONE."""

    name: ClassVar[str] = "IDLE"
    tag: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Expunge silently and leave the mailbox."""

    name: ClassVar[str] = "CLOSE"
    tag: bytes


@dataclass(frozen=True, slots=True)
class Unselect:
    """Leave the mailbox as it is."""

    name: ClassVar[str] = "UNSELECT"
    tag: bytes


@dataclass(frozen=True, slots=True)
class Check:
    """RFC 3501's checkpoint; here a NOOP."""

    name: ClassVar[str] = "CHECK"
    tag: bytes


@dataclass(frozen=True, slots=True)
class Expunge:
    """Remove every message with the Deleted flag."""

    name: ClassVar[str] = "EXPUNGE"
    tag: bytes
