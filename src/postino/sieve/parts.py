"""Parts of addresses: :all, :localpart, :domain, and :user and :detail of subaddresses.

RFC: 5228 §2.7.4, 5233 §4.
Invariants: what is no address has no part but :all; an address without detail has none to compare.
Not here: reading address fields (mime/address.py).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from postino.sieve.vocabulary import TagSpec

if TYPE_CHECKING:
    from postino.sieve.bound import Bound

PART_TAGS: Final = (
    TagSpec(name="all", group="address part"),
    TagSpec(name="localpart", group="address part"),
    TagSpec(name="domain", group="address part"),
)
PART_NAMES: Final = ("all", "localpart", "domain", "user", "detail")

AddressPart = Callable[[str, str, str], str | None]
"""(local part, domain, separator) -> the part; None when there is none to compare."""


def _all(local: str, domain: str, separator: str) -> str | None:
    return f"{local}@{domain}" if domain else local


def _local(local: str, domain: str, separator: str) -> str | None:
    return local if domain else None


def _domain(local: str, domain: str, separator: str) -> str | None:
    return domain or None


def _user(local: str, domain: str, separator: str) -> str | None:
    return _divided(local, separator)[0] if domain else None


def _detail(local: str, domain: str, separator: str) -> str | None:
    return _divided(local, separator)[1] if domain else None


def _divided(local: str, separator: str) -> tuple[str, str | None]:
    # As addresses are looked up: a leading separator is part of the name (core/address.py).
    user, found, detail = local.partition(separator) if separator else (local, "", "")
    return (user, detail) if found and user else (local, None)


PARTS: Final[dict[str, AddressPart]] = {
    "": _all,
    "all": _all,
    "localpart": _local,
    "domain": _domain,
    "user": _user,
    "detail": _detail,
}


def part_of(bound: "Bound") -> AddressPart:
    """Which part the test asks for."""
    return PARTS[bound.one_of(*PART_NAMES)]
