"""What a session tells the grammar: how names are encoded now, and how much one command may ask.

RFC: 9051 §5.1 and 6855 §3 (UTF-8 names after ENABLE).
"""

from dataclasses import dataclass

from postino.core.limits import Limits


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """Made when a session starts and again when ENABLE switches names to UTF-8."""

    utf8: bool = False
    """Mailbox names are UTF-8 (after ENABLE IMAP4rev2 or UTF8=ACCEPT), not modified UTF-7."""
    rev2: bool = False
    """Answers are those of RFC 9051 where RFC 3501 has others (after ENABLE IMAP4rev2)."""
    utf8_accept: bool = False
    """All text is UTF-8, and SEARCH names no charset (after ENABLE UTF8=ACCEPT, RFC 6855 §3)."""
    sequence_parts: int = 10_000
    search_keys: int = 500
    search_depth: int = 50
    search_mailboxes: int = 1000
    sort_criteria: int = 20
    keywords: int = 100
    mailbox_name_octets: int = 1000

    @classmethod
    def of(cls, limits: Limits) -> "ParseOptions":
        """The options that follow from the settings."""
        return cls(
            sequence_parts=limits.imap_sequence_parts,
            search_keys=limits.imap_search_keys,
            search_depth=limits.imap_search_depth,
            search_mailboxes=limits.imap_search_mailboxes,
            sort_criteria=limits.imap_sort_criteria,
            keywords=limits.keywords,
            mailbox_name_octets=limits.mailbox_name_octets,
        )
