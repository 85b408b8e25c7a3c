"""Read address lists of mail headers, as senders really write them.

RFC: 5322 §3.4 (addresses, groups), §4.4 (routes, obsolete local parts), 6854 (groups in From), 6532 §3.2.
Exposure: unauthenticated octets; linear time, at most MAX_ADDRESSES are read from one field.
Invariants: any octets give a list; nothing is decoded here, so encoded words stay as received.
Not here: addresses as the server compares them (core/address.py), SMTP paths (smtp/).
"""

import re
from typing import Final

import msgspec

from postino.mime.encoded_word import decode_header_text

MAX_ADDRESSES: Final = 10_000
"""Addresses read from one field; more are of no use to anyone, and each costs 20 octets of ENVELOPE."""

_MAX_ODD_TOKENS: Final = 50_000  # 0.8 us each; 10,000 usual addresses need none of them


class Mailbox(msgspec.Struct, gc=False):
    """One address. Octets without their quoting; `name` is None when the sender gave none."""

    name: bytes | None
    route: bytes | None
    local_part: bytes
    domain: bytes
    """Empty when the sender wrote none."""

    @property
    def display_name(self) -> str:
        """The name as a person reads it; "" when there is none."""
        return decode_header_text(self.name) if self.name else ""

    @property
    def addr_spec(self) -> str:
        """`local@domain`, decoded."""
        address = b"@".join((self.local_part, self.domain)) if self.domain else self.local_part
        return decode_header_text(address)


class Group(msgspec.Struct):
    """A named list, possibly empty: `undisclosed-recipients:;`."""

    name: bytes
    members: list[Mailbox] = []


_LF: Final = ord("\n")
# PERF: nearly every address in real mail has one of these shapes; each costs 0.6 us instead of 8.
_USUAL: Final = re.compile(
    rb"\s*+(?:"
    rb"(?:\"([^\"\\\r\n]*+)\"|([^\s\x00()<>\[\]:;@\\,\"][^\x00\r\n\t()<>\[\]:;@\\,\"]*+))?+[ \t]*+"
    rb"<([^\s\x00()<>\[\]:;@\\,\"]++)@([^\s\x00()<>\[\]:;@\\,\"]++)>"
    rb"|([^\s\x00()<>\[\]:;@\\,\"]++)@([^\s\x00()<>\[\]:;@\\,\"]++)"
    rb")\s*+(?:,|\Z)"
)
_TOKEN: Final = re.compile(
    rb"\"(?P<quoted>(?:[^\"\\]++|\\.)*+)(?:\"|\Z)"
    # Encoded words may not hold commas in a phrase (RFC 2047 §5 rule 3), but they do.
    rb"|(?P<word>=\?[^?\s]+\?[bBqQ]\?[^?\s]*+\?=)"
    rb"|(?P<literal>\[(?:[^\[\]\\]++|\\.)*+\])"
    rb"|(?P<atom>[^\s\x00()<>\[\]:;@\\,\".]++|\.)"
    rb"|(?P<special>[()<>:;@,])"
    rb"|(?P<blank>[\s\x00]++)"
    rb"|(?P<junk>.)",
    re.DOTALL,
)
_COMMENT_PIECE: Final = re.compile(rb"[^()\\]++|\\.|[()]|\\", re.DOTALL)
_QUOTED_PAIR: Final = re.compile(rb"\\(.)", re.DOTALL)


def parse_address_list(value: bytes | str) -> list[Mailbox | Group]:
    """Read a From, To, ... field. Addresses without a domain are kept, with an empty domain."""
    octets = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    octets = octets.replace(b"\r\n", b"").replace(b"\n", b"") if _LF in octets else octets
    octets = octets.strip()
    found: list[Mailbox | Group] = []
    reader: _Reader | None = None
    at = 0
    end = len(octets)
    while at < end and len(found) < MAX_ADDRESSES:
        usual = _USUAL.match(octets, at)
        if usual is None:
            reader = reader or _Reader(octets, found)
            at = reader.read(at)
            continue
        quoted, phrase, local, domain, bare_local, bare_domain = usual.groups()
        if local is None:
            found.append(Mailbox(None, None, bare_local, bare_domain))
        elif quoted is not None:
            found.append(Mailbox(quoted or None, None, local, domain))
        else:
            found.append(Mailbox(phrase.rstrip() if phrase else None, None, local, domain))
        at = usual.end()
    return found


class _Reader:
    """Reads what the usual shapes do not cover, token by token."""

    def __init__(self, octets: bytes, found: list[Mailbox | Group]) -> None:
        self.octets = octets
        self.found = found
        self.members = 0
        self.tokens_left = _MAX_ODD_TOKENS
        self.group: Group | None = None
        self.clear()

    def clear(self) -> None:
        # What was seen of the address being read; a word is (octets, follows white space).
        self.words: list[tuple[bytes, bool]] = []
        self.domain: list[bytes] = []
        self.comments: list[bytes] = []
        self.phrase: bytes | None = None
        self.route: bytes | None = None
        self.has_domain = False
        self.in_angle = False
        self.was_angle = False

    def read(self, at: int) -> int:
        """Read from `at` to behind the next comma outside groups; gives where that is."""
        spaced = True
        end = len(self.octets)
        while at < end and self.tokens_left > 0 and len(self.found) + self.members < MAX_ADDRESSES:
            self.tokens_left -= 1
            token = _TOKEN.match(self.octets, at)
            if token is None:  # cannot be: junk matches every octet
                break
            kind = token.lastgroup
            at = token.end()
            if kind == "blank":
                spaced = True
                continue
            if kind == "special":
                special = token["special"]
                if special == b"(":
                    at = self.comment(at)
                else:
                    self.special(special)
                    if special == b"," and self.group is None and not self.in_angle:
                        return at
                spaced = True
                continue
            if kind != "junk":
                self.word(token, spaced)
            spaced = False
        self.finish_address()
        self.finish_group()
        return end  # whatever is left, the limits are reached

    def word(self, token: re.Match[bytes], spaced: bool) -> None:
        if self.was_angle:
            return
        quoted = token["quoted"]
        octets = token[0] if quoted is None else _QUOTED_PAIR.sub(rb"\1", quoted)
        if self.has_domain:
            self.domain.append(octets)
        else:
            self.words.append((octets, spaced))

    def special(self, special: bytes) -> None:
        if special == b",":
            # Inside angles only the commas of a route can stand.
            if not (self.in_angle and self.has_domain and not self.words):
                self.finish_address()
        elif special == b"<":
            if not self.in_angle and not self.was_angle:
                self.phrase = self.joined_phrase()
                if self.has_domain:  # an address stands where the name belongs
                    self.phrase = (self.phrase or b"") + b"@" + b"".join(self.domain)
                self.words = []
                self.domain = []
                self.has_domain = False
                self.in_angle = True
        elif special == b">":
            if self.in_angle:
                self.in_angle = False
                self.was_angle = True
        elif special == b"@":
            if self.was_angle:
                return
            if self.in_angle and self.has_domain and not self.words:
                self.domain.append(b",@")
            elif self.has_domain:
                self.domain.append(b"@")
            self.has_domain = True
        elif special == b":":
            if self.in_angle:
                if self.has_domain and not self.words:
                    self.route = b"@" + b"".join(self.domain)
                    self.domain = []
                    self.has_domain = False
            elif self.group is None and not self.was_angle:
                self.group = Group(self.joined_phrase() or b"")
                self.clear()
            else:
                self.finish_address()
        else:
            self.finish_address()
            self.finish_group()

    def comment(self, at: int) -> int:
        """Read the comment that begins before `at`; an old habit puts the name into it."""
        depth = 1
        pieces: list[bytes] = []
        end = len(self.octets)
        while at < end and self.tokens_left > 0:
            self.tokens_left -= 1
            piece = _COMMENT_PIECE.match(self.octets, at)
            if piece is None:  # cannot be: every octet is some piece
                break
            at = piece.end()
            text = piece[0]
            if text == b"(":
                depth += 1
            elif text == b")":
                depth -= 1
                if not depth:
                    break
            pieces.append(text[1:] if text[:1] == b"\\" else text)
        text = b"".join(pieces).strip()
        if text:
            self.comments.append(text)
        return at

    def joined_phrase(self) -> bytes | None:
        """The words as a display name: parts of one word stay together, others get one space."""
        if not self.words:
            return None
        pieces: list[bytes] = []
        for octets, spaced in self.words:
            if spaced and pieces:
                pieces.append(b" ")
            pieces.append(octets)
        return b"".join(pieces) or None

    def finish_address(self) -> None:
        if self.words or self.domain or self.has_domain or self.in_angle or self.was_angle:
            name = self.phrase
            if not self.in_angle and not self.was_angle:
                self.split_phrase()
                name = self.phrase
            if name is None and self.comments:
                name = b" ".join(self.comments)
            local = b"".join([octets for octets, _ in self.words])
            domain = b"".join(self.domain)
            if local or domain or name:
                self.add(Mailbox(name, self.route, local, domain))
        self.clear()

    def split_phrase(self) -> None:
        """Without angles, `Ann Smith ann@example.org` can only mean that the last word is the address."""
        words = self.words
        start = len(words) - 1
        # Dots join words whatever white space is around them (RFC 5322 §4.4, obs-local-part).
        while start > 0 and (not words[start][1] or words[start][0] == b"." or words[start - 1][0] == b"."):
            start -= 1
        if self.has_domain and start > 0:
            rest, self.words = words[start:], words[:start]
            self.phrase = self.joined_phrase()
            self.words = rest
        elif not self.has_domain and len(words) > 1:
            joined = self.joined_phrase()
            self.words = [(joined, True)] if joined else []

    def add(self, mailbox: Mailbox) -> None:
        if self.group is None:
            self.found.append(mailbox)
        else:
            self.members += 1
            self.group.members.append(mailbox)

    def finish_group(self) -> None:
        if self.group is not None:
            self.found.append(self.group)
            self.group = None
