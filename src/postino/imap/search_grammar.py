"""Read search keys.

RFC: 9051 §6.4.4 and §9 (search-key), 3501 §6.4.4 (NEW, OLD, RECENT), 7162 §3.1.5 (MODSEQ),
    8514 §4.3 (SAVEDBEFORE, SAVEDON, SAVEDSINCE, SAVEDATESUPPORTED), 8474 §6 (EMAILID, THREADID),
    5032 §3 (OLDER, YOUNGER), 6203 §7 (FUZZY).
Exposure: after login; depth and count of keys are bounded, so recursion is.
Not here: the keys as values (search_key.py).
"""

import re
from collections.abc import Callable
from typing import Final, NoReturn

from postino.core import search
from postino.core.flags import KEYWORD, Flag
from postino.core.numset import MAX_NUMBER, SequenceSet
from postino.imap.datetime_text import parse_date
from postino.imap.object_id import OBJECT_ID, ObjectKind, parse_object_id
from postino.imap.scanner import Scanner
from postino.imap.search_key import (
    Either,
    Every,
    Fuzzily,
    Not,
    OlderThan,
    SearchKey,
    SeqIn,
    UidsIn,
    YoungerThan,
)

_SET_START: Final = re.compile(rb"[0-9*$]")
_OR: Final = re.compile(rb"OR ", re.IGNORECASE)
_ENTRY: Final = re.compile(rb'"/flags/[^"]+" (?:priv|shared|all) ', re.IGNORECASE)
_TOO_DEEP: Final = "SEARCH keys are nested too deeply; use fewer parentheses and NOTs"

_ALL: Final = search.Everything()
_NONE: Final = Not(_ALL)


def _uids(first: int, last: int) -> UidsIn:
    """From one UID to another; none when they cross (RFC 9738, UIDAFTER and UIDBEFORE)."""
    return UidsIn(SequenceSet(((first, last),) if first <= last else ()))


def _flag(flag: Flag) -> SearchKey:
    return search.HasFlags(int(flag))


_SIMPLE: Final[dict[bytes, SearchKey]] = {
    b"ALL": _ALL,
    b"ANSWERED": _flag(Flag.ANSWERED),
    b"DELETED": _flag(Flag.DELETED),
    b"DRAFT": _flag(Flag.DRAFT),
    b"FLAGGED": _flag(Flag.FLAGGED),
    b"SEEN": _flag(Flag.SEEN),
    b"UNANSWERED": Not(_flag(Flag.ANSWERED)),
    b"UNDELETED": Not(_flag(Flag.DELETED)),
    b"UNDRAFT": Not(_flag(Flag.DRAFT)),
    b"UNFLAGGED": Not(_flag(Flag.FLAGGED)),
    b"UNSEEN": Not(_flag(Flag.SEEN)),
    # IMAP4rev2 has no Recent flag, so for IMAP4rev1 clients no message ever is recent.
    b"NEW": _NONE,
    b"OLD": _ALL,
    b"RECENT": _NONE,
    b"SAVEDATESUPPORTED": _ALL,
}
_FIELDS: Final = {name.upper().encode(): name for name in ("bcc", "cc", "from", "subject", "to")}
_DATES: Final[dict[bytes, Callable[[int], SearchKey]]] = {
    b"BEFORE": search.ArrivedBefore,
    b"SINCE": search.ArrivedSince,
    b"ON": lambda day: Every((search.ArrivedSince(day), search.ArrivedBefore(day + 1))),
    b"SENTBEFORE": search.SentBefore,
    b"SENTSINCE": search.SentSince,
    b"SENTON": lambda day: Every((search.SentSince(day), search.SentBefore(day + 1))),
    b"SAVEDBEFORE": search.SavedBefore,
    b"SAVEDSINCE": search.SavedSince,
    b"SAVEDON": lambda day: Every((search.SavedSince(day), search.SavedBefore(day + 1))),
}


class SearchGrammar:
    """Reads one SEARCH's keys; `codec` is how its strings are encoded."""

    __slots__ = ("_codec", "_keys", "_scan", "uses_fuzzy", "uses_mod_seq")

    def __init__(self, scan: Scanner, codec: str) -> None:
        self._scan = scan
        self._codec = codec
        self._keys = 0
        self.uses_fuzzy = False
        self.uses_mod_seq = False

    def program(self) -> SearchKey:
        """All keys up to the end of the command."""
        keys = [self._key(1)]
        while not self._scan.at_end():
            self._scan.space()
            if self._scan.at_end():
                break
            keys.append(self._key(1))
        return keys[0] if len(keys) == 1 else Every(tuple(keys))

    def _key(self, depth: int) -> SearchKey:
        scan = self._scan
        self._count(depth)
        if scan.accept(b"("):
            keys = [self._key(depth + 1)]
            while not scan.accept(b")"):
                scan.space()
                keys.append(self._key(depth + 1))
            return keys[0] if len(keys) == 1 else Every(tuple(keys))
        if _SET_START.match(scan.text, scan.at):
            return SeqIn(scan.numbers())
        name = scan.keyword()
        simple = _SIMPLE.get(name)
        return simple if simple is not None else self._with_argument(name, depth)

    def _count(self, depth: int) -> None:
        options = self._scan.options
        self._keys += 1
        if self._keys > options.search_keys:
            self._scan.exceed(f"SEARCH takes at most {options.search_keys} keys")
        if depth > options.search_depth:
            self._scan.exceed(_TOO_DEEP)

    def _with_argument(self, name: bytes, depth: int) -> SearchKey:
        scan = self._scan
        if scan.peek() != 0x20:
            self._unknown(name)
        scan.at += 1
        field = _FIELDS.get(name)
        if field is not None:
            return search.HeaderContains(field, self._text())
        dated = _DATES.get(name)
        if dated is not None:
            return dated(parse_date(scan.string() if scan.peek() == 0x22 else scan.atom()))
        match name:
            case b"NOT":
                return Not(self._key(depth + 1))
            case b"OR":
                return self._either(depth)
            case b"UID":
                return UidsIn(scan.numbers())
            case b"UIDAFTER":
                return _uids(scan.number(least=1) + 1, MAX_NUMBER)
            case b"UIDBEFORE":
                return _uids(1, scan.number(least=1) - 1)
            case b"BODY":
                return search.BodyContains(self._text())
            case b"TEXT":
                return search.TextContains(self._text())
            case b"HEADER":
                return self._header()
            case b"KEYWORD":
                return search.HasKeyword(self._keyword())
            case b"UNKEYWORD":
                return Not(search.HasKeyword(self._keyword()))
            case b"LARGER":
                return search.SizeOver(scan.number64())
            case b"SMALLER":
                return search.SizeUnder(scan.number64())
            case b"MODSEQ":
                # Entry name and type are accepted and make no difference: flags have one mod-sequence.
                scan.match(_ENTRY)
                self.uses_mod_seq = True
                return search.ModSeqFrom(scan.number64())
            case b"EMAILID":
                found = parse_object_id(ObjectKind.EMAIL, self._object_id())
                return _NONE if found is None else search.ContentIs(*found)
            case b"THREADID":
                found = parse_object_id(ObjectKind.THREAD, self._object_id())
                return _NONE if found is None else search.ThreadIs(*found)
            case b"OLDER":
                return OlderThan(scan.number(least=1))
            case b"YOUNGER":
                return YoungerThan(scan.number(least=1))
            case b"FUZZY":
                self.uses_fuzzy = True
                return Fuzzily(self._key(depth + 1))
            case _:
                return self._unknown(name)

    def _object_id(self) -> bytes:
        octets = self._scan.astring()
        if not OBJECT_ID.fullmatch(octets):
            self._scan.fail("EMAILID and THREADID need an id as FETCH gives it")
        return octets

    def _either(self, depth: int) -> SearchKey:
        # Mail programs search several fields by OR a OR b OR c d: a chain, read without nesting.
        scan = self._scan
        keys = [self._key(depth + 1)]
        scan.space()
        while scan.match(_OR) is not None:
            self._count(depth)
            keys.append(self._key(depth + 1))
            scan.space()
        keys.append(self._key(depth + 1))
        return Either(tuple(keys))

    def _header(self) -> SearchKey:
        name = self._scan.astring().decode("utf-8", "replace").strip().removesuffix(":").lower()
        self._scan.space()
        return search.HeaderContains(name, self._text())

    def _text(self) -> str:
        octets = self._scan.astring()
        try:
            return octets.decode(self._codec)
        except (UnicodeError, ValueError):
            self._scan.fail("The text to search for is not in the character set the command names")

    def _keyword(self) -> str:
        text = self._scan.astring().decode("utf-8", "replace")
        if not KEYWORD.fullmatch(text):
            self._scan.fail("KEYWORD needs a keyword such as $Forwarded")
        return text

    def _unknown(self, name: bytes) -> NoReturn:
        if name in _DATES or name in _FIELDS or name in _ARGUMENTS:
            self._scan.fail(f"The search key {name.decode('ascii')} needs a value")
        # Which one is not repeated: it may be part of what somebody looks for.
        self._scan.fail(f"A word is no search key; text with spaces needs quotes. {self._scan.usage}")


_ARGUMENTS: Final = frozenset(
    b"""
    NOT OR UID UIDAFTER UIDBEFORE BODY TEXT HEADER KEYWORD UNKEYWORD LARGER SMALLER MODSEQ EMAILID THREADID
    OLDER YOUNGER FUZZY
    """.split()
)
