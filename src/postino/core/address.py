"""Mail addresses as the server compares them: local part and domain.

RFC: 5321 §2.3.11 and §4.1.2 (Mailbox), 6531 §3.3 (UTF-8), 5890 §2.3.2.1 (A-labels and U-labels),
    5233 §1 (subaddress).
Not here: header addresses with display names and groups (mime.addresses), SMTP paths (smtp.paths).
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from postino.core.errors import PostinoError
from postino.core.harmless import HARMFUL

MAX_LOCAL_OCTETS: Final = 64
MAX_DOMAIN_OCTETS: Final = 255
_DOT_ATOM: Final = re.compile(r"[^\x00-\x20\"(),:;<>@\[\\\]\x7f]+")
_LABEL: Final = re.compile(r"[^\x00-/:-^`{-\x7f](?:[^\x00-,./:-^`{-\x7f]*[^\x00-/:-^`{-\x7f])?")
_UNSENDABLE: Final = re.compile(f"[{HARMFUL}]")


class BadAddress(PostinoError):
    """The text is not an address this server can use."""


@dataclass(frozen=True, slots=True)
class Address:
    """`local_part` unquoted, in the sender's spelling; `domain` in lower case, U-label form as given."""

    local_part: str
    domain: str

    @property
    def key(self) -> str:
        """What two spellings of one local address have in common: NFC, case folded."""
        return unicodedata.normalize("NFC", f"{self.local_part}@{self.domain}").casefold()

    def detail(self, separator: str) -> tuple[str, str]:
        """Split `ann+shop` at the first `separator` into (`ann`, `shop`); no detail gives `""`."""
        if not separator:
            return self.local_part, ""
        user, found, detail = self.local_part.partition(separator)
        # A leading separator is part of the name: an address must not lose its whole local part.
        return (user, detail) if found and user else (self.local_part, "")

    def __str__(self) -> str:
        if (
            _DOT_ATOM.fullmatch(self.local_part)
            and ".." not in self.local_part
            and not (self.local_part.startswith(".") or self.local_part.endswith("."))
        ):
            return f"{self.local_part}@{self.domain}"
        quoted = self.local_part.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"@{self.domain}'


def domain_key(domain: str) -> str:
    """What two spellings of one domain (lower case) have in common: its A-labels as U-labels.

    An A-label (`xn--...`) that does not stand for exactly one U-label stays as it is.
    """
    if "xn--" not in domain:
        return domain
    return ".".join(map(_u_label, domain.split(".")))


def _u_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        found = label[4:].encode("ascii").decode("punycode")
        again = found.encode("punycode").decode("ascii")
    except UnicodeError:
        return label
    is_whole = again == label[4:] and not found.isascii() and _LABEL.fullmatch(found)
    return found if is_whole and unicodedata.normalize("NFKC", found).lower() == found else label


def ascii_domain(domain: str) -> str:
    """The domain as the DNS and servers without SMTPUTF8 take it: U-labels as A-labels, lower case."""
    if domain.isascii():
        return domain.lower()
    labels = unicodedata.normalize("NFC", domain).lower().split(".")
    return ".".join(
        label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii") for label in labels
    )


def parse_domain(text: str) -> str:
    """Normalise a domain name to lower case NFC U-labels without a final dot. Raises BadAddress."""
    domain = domain_key(unicodedata.normalize("NFC", text).lower().removesuffix("."))
    labels = domain.split(".")
    if not domain or _UNSENDABLE.search(domain) or len(domain.encode()) > MAX_DOMAIN_OCTETS:
        raise BadAddress(f"{text!r} is not a domain name; write one such as example.org")
    for label in labels:
        if len(label.encode()) > 63 * 2 or not _LABEL.fullmatch(label):
            raise BadAddress(f"{text!r} is not a domain name; write one such as example.org")
    return domain


def parse_address(text: str) -> Address:
    """Parse `ann@example.org`, as an operator types it. Raises BadAddress with what is wrong."""
    local, at, domain = text.strip().rpartition("@")
    if not at or not local or not domain:
        raise BadAddress(f"{text!r} is not an address; write one such as ann@example.org")
    # SECURITY: also within quotes, where they would get into queue, logs and commands (there, refused again).
    if _UNSENDABLE.search(local):
        raise BadAddress(f"{local!r} cannot stand before the @; it has control characters")
    if local.startswith('"') and local.endswith('"') and len(local) > 2:
        local = re.sub(r"\\(.)", r"\1", local[1:-1])
    elif not _DOT_ATOM.fullmatch(local):
        raise BadAddress(f"{local!r} cannot stand before the @; use letters, digits, dots and dashes")
    if len(local.encode()) > MAX_LOCAL_OCTETS:
        raise BadAddress(f"The part before the @ may have at most {MAX_LOCAL_OCTETS} octets")
    return Address(unicodedata.normalize("NFC", local), parse_domain(domain))
