"""SEARCH and UID SEARCH: which messages are like this?

RFC: 9051 §6.4.4 and §6.4.9, 4731 (ESEARCH), 5182 (SEARCHRES), 7162 §3.1.5 (MODSEQ).
Not here: the keys (search_grammar.py), the options after RETURN (search_return.py).
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
from postino.imap.search_return import Returning, returning


@dataclass(frozen=True, slots=True)
class Program:
    """What is looked for; shared by SEARCH, SORT, THREAD and ESEARCH."""

    charset: str | None
    key: SearchKey
    uses_mod_seq: bool = False
    """A MODSEQ key was used: the answer names the highest mod-sequence found (RFC 7162 §3.1.5)."""
    uses_fuzzy: bool = False
    refusal: BadCommand | None = None
    """NO [BADCHARSET]: the keys could not be read. SAVE still has its effect (RFC 5182 §2.1)."""


@dataclass(frozen=True, slots=True)
class Search:
    """`returning` is None for a plain SEARCH."""

    tag: bytes
    by_uid: bool
    returning: Returning | None
    program: Program

    @property
    def key(self) -> SearchKey:
        """What is looked for."""
        return self.program.key

    @property
    def name(self) -> str:
        """The command's name, for metrics."""
        return "UID SEARCH" if self.by_uid else "SEARCH"


USAGE: Final = "SEARCH needs search keys, such as SEARCH UNSEEN FROM ann"
_CHARSET: Final = re.compile(rb"CHARSET ", re.IGNORECASE)


def parse(tag: bytes, scan: Scanner, by_uid: bool) -> Search:
    """`[SP RETURN SP "(" options ")"] SP [CHARSET SP charset SP] search-key *(SP search-key)`."""
    scan.space()
    wanted = returning(scan)
    found = search_program(scan)
    require_fuzzy(scan, found, wanted)
    return Search(tag, by_uid, wanted, found)


def search_program(scan: Scanner) -> Program:
    """`[CHARSET SP charset SP] search-key *(SP search-key)`, to the end."""
    if scan.match(_CHARSET) is not None:
        if scan.options.utf8_accept:
            # RFC 6855 §3: two words on the charset could contradict each other.
            scan.fail("SEARCH takes no CHARSET after ENABLE UTF8=ACCEPT; write its keys in UTF-8")
        return search_criteria(scan)
    return _keys(scan, None, "utf-8")


def search_criteria(scan: Scanner) -> Program:
    """`charset SP search-key *(SP search-key)`, as SORT and THREAD have it, to the end."""
    name = scan.astring()
    charset = name.decode("ascii", "replace")
    try:
        codec = codec_of(name)
    except BadCommand as error:
        return Program(charset, Everything(), refusal=error)
    scan.space()
    return _keys(scan, charset, codec)


def _keys(scan: Scanner, charset: str | None, codec: str) -> Program:
    grammar = SearchGrammar(scan, codec)
    key = grammar.program()
    return Program(charset, key, grammar.uses_mod_seq, grammar.uses_fuzzy)


def require_fuzzy(
    scan: Scanner, program: Program, wanted: Returning | None, *, by_relevancy: bool = False
) -> None:
    """Refuse RELEVANCY where nothing was looked for by it (RFC 6203 §4)."""
    by_relevancy = by_relevancy or (wanted is not None and "RELEVANCY" in wanted)
    if by_relevancy and not program.uses_fuzzy and program.refusal is None:
        scan.fail("RELEVANCY is for searches with a FUZZY key, such as FUZZY TEXT lunch")
