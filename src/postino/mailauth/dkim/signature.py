"""The DKIM-Signature field as a value: read strictly, written folded.

RFC: 6376 §3.5 (tags), §6.1.1 (validation), 8463 §4.1 (ed25519), 8616 §5 (U-labels), 8617 §4.1.2 (the
    ARC-Message-Signature, which is much the same).
Exposure: unauthenticated octets.
Invariants: a Signature has every tag that must be there, its d= is a domain in A-labels and i= lies in it.
Not here: whether it verifies (verify.py).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from postino.core.address import ascii_domain
from postino.core.errors import ProtocolViolation
from postino.mailauth.dkim.canonicalization import Canonicalization
from postino.mailauth.dkim.reasons import Reason, SignatureRefused
from postino.mailauth.dkim.tags import decode_base64, decode_quoted, parse_number, parse_tags, split_list

MAX_INSTANCE: Final = 50
_LONGEST_DOMAIN: Final = 253
_LINE: Final = 78
_BASE64_LINE: Final = 72

_DOMAIN: Final = re.compile(
    r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_FIELD_NAME: Final = re.compile(r"[!-9<-~]+")
_ALGORITHM: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*-[A-Za-z][A-Za-z0-9]*")
_SIGNATURE_VALUE: Final = re.compile(rb"((?:\A|;)[ \t\r\n]*+b[ \t\r\n]*+=)[^;]*+")


@dataclass(frozen=True, slots=True)
class Signature:
    """A DKIM-Signature (instance 0) or an ARC-Message-Signature."""

    algorithm: str
    """`rsa-sha256`; not necessarily one we know."""
    domain: str
    """d=, in A-labels, lower case."""
    selector: str
    fields: tuple[bytes, ...]
    """h=: names in lower case, in their order."""
    body_hash: bytes
    signature: bytes
    header_canonicalization: Canonicalization = Canonicalization.SIMPLE
    body_canonicalization: Canonicalization = Canonicalization.SIMPLE
    identity: str = ""
    """i=, decoded; `@d` where there is none."""
    body_octets: int | None = None
    """l="""
    signed_at: int | None = None
    expires_at: int | None = None
    instance: int = 0

    @property
    def key_name(self) -> str:
        """Where its key is in the DNS."""
        return key_name(self.selector, self.domain)


def key_name(selector: str, domain: str) -> str:
    """The name of a key's record (RFC 6376 §3.6.2.1)."""
    return f"{selector}._domainkey.{ascii_domain(domain)}"


def parse_signature(value: bytes, *, is_arc: bool = False) -> Signature:
    """Read a field's value, folded or not. Raises SignatureRefused."""
    try:
        return _parse(parse_tags(value.decode("utf-8")), is_arc=is_arc)
    except SignatureRefused:
        raise
    except (ProtocolViolation, UnicodeDecodeError) as error:
        raise SignatureRefused(Reason.SYNTAX, str(error)) from error


def _parse(tags: Mapping[str, str], *, is_arc: bool) -> Signature:
    required = ("a", "b", "bh", "d", "h", "s", "i" if is_arc else "v")
    if missing := [name for name in required if not tags.get(name)]:
        raise SignatureRefused(Reason.MISSING_TAG, f"The tag {missing[0]}= is missing")
    if not is_arc and tags["v"] != "1":
        raise SignatureRefused(Reason.VERSION)
    domain = parse_signing_domain(tags["d"])
    fields = split_list(tags["h"])
    if not all(_FIELD_NAME.fullmatch(name) for name in fields):
        raise ProtocolViolation("h= names no header fields")
    names = tuple(name.lower().encode() for name in fields)
    # RFC 8617 §4.1.2 has AMS cover what DKIM covers, so From there too.
    if b"from" not in names:
        raise SignatureRefused(Reason.FROM_NOT_SIGNED)
    header, body = _canonicalizations(tags.get("c", "simple/simple"))
    if "dns/txt" not in split_list(tags.get("q", "dns/txt")):
        raise SignatureRefused(Reason.QUERY)
    signed_at = parse_number(tags["t"], 12) if "t" in tags else None
    expires_at = parse_number(tags["x"], 12) if "x" in tags else None
    if signed_at is not None and expires_at is not None and expires_at <= signed_at:
        raise ProtocolViolation("x= is not later than t=")
    return Signature(
        algorithm=parse_algorithm(tags["a"]),
        domain=domain,
        selector=parse_selector(tags["s"]),
        fields=names,
        body_hash=decode_base64(tags["bh"]),
        signature=decode_base64(tags["b"]),
        header_canonicalization=header,
        body_canonicalization=body,
        identity="" if is_arc else _identity(tags.get("i"), domain),
        body_octets=parse_number(tags["l"], 76) if "l" in tags else None,
        signed_at=signed_at,
        expires_at=expires_at,
        instance=parse_instance(tags["i"]) if is_arc else 0,
    )


def parse_instance(value: str) -> int:
    """i= of the ARC fields. Raises ProtocolViolation."""
    instance = parse_number(value, 2)
    if not 1 <= instance <= MAX_INSTANCE:
        raise ProtocolViolation(f"i= is not a number from 1 to {MAX_INSTANCE}")
    return instance


def parse_algorithm(value: str) -> str:
    """a=. Raises ProtocolViolation."""
    if not _ALGORITHM.fullmatch(value):
        raise ProtocolViolation("a= names no algorithm")
    return value


def parse_signing_domain(value: str) -> str:
    """d= in A-labels. Raises ProtocolViolation for what is no domain name, and for a top-level domain."""
    domain = ascii_domain(value)
    if len(domain) > _LONGEST_DOMAIN or "." not in domain or not _DOMAIN.fullmatch(domain):
        raise ProtocolViolation("d= is no domain name")
    return domain


def parse_selector(value: str) -> str:
    """s= in A-labels. Raises ProtocolViolation."""
    selector = ascii_domain(value)
    if len(selector) > _LONGEST_DOMAIN or not _DOMAIN.fullmatch(selector):
        raise ProtocolViolation("s= is no selector")
    return selector


def _canonicalizations(value: str) -> tuple[Canonicalization, Canonicalization]:
    header, slash, body = value.partition("/")
    try:
        return Canonicalization(header.encode()), Canonicalization(body.encode() if slash else b"simple")
    except ValueError as error:
        raise SignatureRefused(Reason.CANONICALIZATION) from error


def _identity(value: str | None, domain: str) -> str:
    if value is None:
        return f"@{domain}"
    identity = decode_quoted(value)
    _, at, host = identity.rpartition("@")
    if not at:
        raise ProtocolViolation("i= has no @")
    if not is_within(ascii_domain(host), domain):
        raise SignatureRefused(Reason.DOMAIN_MISMATCH)
    return identity


def is_within(domain: str, parent: str) -> bool:
    """Whether a domain is `parent` or lies below it; both in A-labels, lower case."""
    return domain == parent or domain.endswith(f".{parent}")


def without_signature(value: bytes) -> bytes:
    """A field's value with b= emptied, as it is hashed (RFC 6376 §3.7)."""
    return _SIGNATURE_VALUE.sub(rb"\1", value, count=1)


def fold_tags(
    name: bytes, tags: Sequence[str], fields: Sequence[bytes] = (), more: Sequence[str] = ()
) -> bytes:
    """A field up to and with `b=`, folded: `tags`, then h= of `fields` if there are any, then `more`.

    What comes to stand behind it (base64_lines) begins a new line, so that it changes nothing before it.
    """
    words = [f" {tag};" for tag in tags]
    if fields:
        names = [f"{field.decode()}:" for field in fields]
        names[0] = f" h={names[0]}"
        names[-1] = f"{names[-1][:-1]};"
        words += names
    words += [f" {tag};" for tag in more]
    lines = [f"{name.decode()}:"]
    for word in words:
        if len(lines[-1]) + len(word) > _LINE:
            lines.append(f"\t{word.lstrip(' ')}")
        else:
            lines[-1] += word
    lines.append("\tb=")
    return "\r\n".join(lines).encode()


def base64_lines(text: str) -> bytes:
    """Base64 to stand behind b=, folded, with the field's line end."""
    pieces = [text[at : at + _BASE64_LINE] for at in range(0, len(text), _BASE64_LINE)]
    return "\r\n\t".join(pieces).encode() + b"\r\n"
