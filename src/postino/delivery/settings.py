"""The `[delivery]` table of the settings: what becomes of mail that arrives.

Not here: reading the file (app/settings_file.py).
"""

from typing import Annotated

import msgspec
from msgspec import Meta


class DeliverySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Mail that arrives for accounts here."""

    junk_fields: Annotated[
        tuple[str, ...],
        Meta(
            description="Header fields by which a scanner in front of this server marks junk, name and "
            "beginning of the value: such mail goes to Junk instead of INBOX, and is not forwarded.",
            extra={"example": ["X-Spam-Flag: YES"]},
        ),
    ] = ("X-Spam-Flag: YES", "X-Spam: Yes", "X-Spam-Status: Yes")
