"""SEARCH and UID SEARCH: which messages are like this?

RFC: 9051 §6.4.4 and §6.4.9, 4731 (ESEARCH), 5182 (SEARCHRES), 7162 §3.1.5 (MODSEQ).
Not here: the keys (search_key.py).
"""

from dataclasses import dataclass

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

    @property
    def name(self) -> str:
        """The command's name, for metrics."""
        return "UID SEARCH" if self.by_uid else "SEARCH"
