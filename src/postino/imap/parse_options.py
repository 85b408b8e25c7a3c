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
    sequence_parts: int = 10_000
    search_keys: int = 500
    search_depth: int = 50
    keywords: int = 100
    mailbox_name_octets: int = 1000

    @classmethod
    def of(cls, limits: Limits, *, utf8: bool = False) -> "ParseOptions":
        """The options that follow from the settings."""
        return cls(
            utf8=utf8,
            sequence_parts=limits.imap_sequence_parts,
            search_keys=limits.imap_search_keys,
            search_depth=limits.imap_search_depth,
            keywords=limits.keywords,
            mailbox_name_octets=limits.mailbox_name_octets,
        )
