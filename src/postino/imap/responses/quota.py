"""What the server says of quotas: QUOTA and QUOTAROOT.

RFC: 9208 §4.2 and §7.
"""

from collections.abc import Iterable

from postino.imap.mailbox_name import encode_mailbox
from postino.imap.responses.string import astring


def quota_response(root: str, resources: Iterable[tuple[str, int, int]]) -> bytes:
    """`* QUOTA ann@example.org (STORAGE 10 512)`, of (resource, usage, limit)."""
    listed = " ".join(f"{name} {usage} {limit}" for name, usage, limit in resources)
    return b"* QUOTA " + astring(root) + b" (" + listed.encode("ascii") + b")\r\n"


def quotaroot_response(mailbox: str, roots: Iterable[str], *, utf8: bool) -> bytes:
    """`* QUOTAROOT INBOX ann@example.org`."""
    names = b"".join([b" " + astring(root) for root in roots])
    return b"* QUOTAROOT " + encode_mailbox(mailbox, utf8) + names + b"\r\n"
