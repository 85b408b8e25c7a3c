"""Messages and a store for tests below the servers: no sessions, no protocols."""

from postino.core.address import parse_address
from postino.core.flags import NO_FLAGS, FlagSet
from postino.core.ids import AccountId, Instant, MailboxId
from postino.core.limits import Limits
from postino.core.numset import MAX_NUMBER, NumberSet
from postino.delivery.facts import derive_facts
from postino.store.accounts import create_account, create_domain
from postino.store.blobs import BlobStore
from postino.store.content import Body, InlineBody, NewEmail
from postino.store.fetch import Column, body_octets, fetch_rows
from postino.store.mailboxes import mailbox_by_name
from postino.store.store import Store
from postino.store.tx import Tx
from postino.store.verify import Finding, verify

NOW = Instant(1_767_225_600)
LIMITS = Limits()
EVERY_UID = NumberSet([(1, MAX_NUMBER)])


def email(
    body: bytes = b"Hello\r\n",
    *,
    subject: str = "Hi",
    header: bytes = b"",
    flags: FlagSet = NO_FLAGS,
    internal_date: int = NOW,
    stored: Body | None = None,
) -> NewEmail:
    """A message; `stored` is where the body lies when not inline."""
    head = header or (
        b"From: Ann <ann@example.org>\r\nTo: bob@example.org\r\nSubject: "
        + subject.encode()
        + b"\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\n"
    )
    facts = derive_facts(head, body, LIMITS)
    return NewEmail(head, stored or InlineBody(body), facts, Instant(internal_date), flags)


def make_account(tx: Tx, login: str = "ann@example.org", quota: int = 0) -> AccountId:
    """An account whose password does not matter."""
    return create_account(tx, parse_address(login), "hash", "scram", quota, NOW)


def make_accounts(store: Store, *logins: str) -> list[AccountId]:
    """Accounts at example.org."""

    def make(tx: Tx) -> list[AccountId]:
        create_domain(tx, "example.org", NOW)
        return [make_account(tx, f"{login}@example.org") for login in logins]

    return store.write_now(make)


def inbox_of(store: Store, account_id: AccountId, name: str = "INBOX") -> MailboxId:
    """A mailbox's id."""
    return store.read_now(lambda tx: mailbox_by_name(tx, account_id, name)).id


def contents(tx: Tx, blobs: BlobStore, account_id: AccountId, mailbox_id: MailboxId) -> dict[int, bytes]:
    """Every message of a mailbox, whole, by uid."""
    rows = fetch_rows(
        tx, account_id, mailbox_id, NumberSet([(1, 1 << 32)]), frozenset({Column.HEADER, Column.BODY})
    )
    return {uid: header + body_octets(body, blobs) for uid, header, body in rows}


def findings(store: Store) -> list[Finding]:
    """What verify says of the store, files too."""
    return store.read_now(lambda tx: verify(tx, store.blobs))


def mailbox_contents(store: Store, account_id: AccountId, name: str = "INBOX") -> dict[int, bytes]:
    """Every message of a mailbox of that name, whole, by uid."""
    mailbox_id = inbox_of(store, account_id, name)
    return store.read_now(lambda tx: contents(tx, store.blobs, account_id, mailbox_id))


def message_states(tx: Tx, account_id: AccountId, mailbox_id: MailboxId) -> list[tuple[int, int, str, int]]:
    """(uid, flags, keywords, mod_seq) of every message."""
    return tx.all(
        "SELECT uid, flags, keywords, mod_seq FROM message WHERE account_id=? AND mailbox_id=? ORDER BY uid",
        (account_id, mailbox_id),
    )
