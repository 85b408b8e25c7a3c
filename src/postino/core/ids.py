"""Identifiers, each its own type, so that a UID is never passed where a sequence number is meant.

RFC: 9051 §2.3.1 (UID, sequence number), 7162 §3 (mod-sequence), 8474 (EMAILID, THREADID, MAILBOXID).
"""

from typing import NewType

AccountId = NewType("AccountId", int)
DomainId = NewType("DomainId", int)
MailboxId = NewType("MailboxId", int)
ContentId = NewType("ContentId", int)
BlobId = NewType("BlobId", str)

Uid = NewType("Uid", int)
UidValidity = NewType("UidValidity", int)
SeqNum = NewType("SeqNum", int)
ModSeq = NewType("ModSeq", int)

Instant = NewType("Instant", int)
"""Whole seconds since 1970-01-01T00:00:00Z."""

NAMES = MailboxId(0)
"""In a MailboxChange: not a mailbox changed, but which there are, their names or who may see them."""

EVERYBODY = AccountId(0)
"""In a MailboxChange with NAMES: every account: a mailbox shared with anyone changed."""

SCRIPTS = MailboxId(-2)
"""In a MailboxChange of EVERYBODY: a Sieve script changed, whose is not said."""

QUEUE = MailboxId(-1)
"""In a MailboxChange of EVERYBODY: something entered the queue, or what waits there may go sooner."""
