"""SEARCH and UID SEARCH: which messages are like this?

RFC: 9051 §6.4.4 and §6.4.9, 4731 (ESEARCH), 5182 (SEARCHRES), 7162 §3.1.5 (MODSEQ).
Not here: the keys (search_key.py).
"""

import re
from dataclasses import dataclass
from typing import Final

from postino.core.search import Everything
from postino.imap.bad_command import BadCommand
from postino.imap.charset import codec_of
from postino.imap.scanner import Scanner
from postino.imap.search_grammar import SearchGrammar
from postino.imap.search_key import SearchKey


@dataclass(frozen=True, slots=True)
class Search:
    """`returning` is None for a plain SEARCH, else some of MIN MAX ALL COUNT SAVE (`()` means ALL)."""

    tag: bytes
    by_uid: bool
    charset: str | None
    returning: frozenset[str] | None
    key: SearchKey
    uses_mod_seq: bool = False
    """A MODSEQ key was used: the answer names the highest mod-sequence found (RFC 7162 §3.1.5)."""
    refusal: BadCommand | None = None
    """NO [BADCHARSET]: the keys could not be read. SAVE still has its effect (RFC 5182 §2.1)."""

    @property
    def name(self) -> str:
        """The command's name, for metrics."""
        return "UID SEARCH" if self.by_uid else "SEARCH"


USAGE: Final = "SEARCH needs search keys, such as SEARCH UNSEEN FROM ann"
_RETURN: Final = frozenset({"MIN", "MAX", "ALL", "COUNT", "SAVE"})
_CHARSET: Final = re.compile(rb"CHARSET ", re.IGNORECASE)
_RETURN_START: Final = re.compile(rb"RETURN \(", re.IGNORECASE)


def parse(tag: bytes, scan: Scanner, by_uid: bool) -> Search:
    """`[SP RETURN SP "(" options ")"] SP [CHARSET SP charset SP] search-key *(SP search-key)`."""
    scan.space()
    returning = None
    if scan.match(_RETURN_START) is not None:
        returning = _return_options(scan)
        scan.space()
    charset = None
    codec = "utf-8"
    if scan.match(_CHARSET) is not None:
        name = scan.astring()
        charset = name.decode("ascii", "replace")
        try:
            codec = codec_of(name)
        except BadCommand as error:
            return Search(tag, by_uid, charset, returning, Everything(), refusal=error)
        scan.space()
    grammar = SearchGrammar(scan, codec)
    key = grammar.program()
    return Search(tag, by_uid, charset, returning, key, grammar.uses_mod_seq)


def _return_options(scan: Scanner) -> frozenset[str]:
    found: set[str] = set()
    while not scan.accept(b")"):
        if found:
            scan.space()
        option = scan.keyword().decode("ascii")
        if option not in _RETURN:
            scan.fail("SEARCH returns MIN, MAX, ALL, COUNT and SAVE, such as RETURN (COUNT)")
        found.add(option)
    return frozenset(found)
