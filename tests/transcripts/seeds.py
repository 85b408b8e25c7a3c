"""What is in the accounts before a transcript begins: one function for each name after `seed:`.

Add yours below and to SEEDS. `ids` maps `ann` and `bob` to their account ids.
"""

from postino.core.address import Address
from postino.core.flags import NO_FLAGS, FlagSet
from postino.core.ids import AccountId, Instant
from postino.core.limits import Limits
from postino.delivery.facts import derive_facts
from postino.store import accounts, mailboxes, messages
from postino.store.addresses import catch_all
from postino.store.content import InlineBody, NewEmail
from postino.store.quota import set_quotas
from postino.store.sending import set_save_sent
from postino.store.store import Store
from tests.support.world import NOW, Seed, no_seed
from tests.transcripts.runner import message_octets


def new_email(octets: bytes, *, flags: FlagSet = NO_FLAGS, internal_date: Instant = NOW) -> NewEmail:
    """A message ready for the store, from all its octets."""
    end = octets.find(b"\r\n\r\n")
    cut = len(octets) if end < 0 else end + 4
    header, body = octets[:cut], octets[cut:]
    return NewEmail(
        header=header,
        body=InlineBody(body),
        facts=derive_facts(header, body, Limits()),
        internal_date=internal_date,
        flags=flags,
    )


async def add(
    store: Store,
    account_id: AccountId,
    octets: bytes,
    *,
    mailbox: str = "INBOX",
    flags: FlagSet = NO_FLAGS,
    internal_date: Instant = NOW,
) -> int:
    """Append a message to a mailbox; gives its UID."""
    new = new_email(octets, flags=flags, internal_date=internal_date)

    def append(tx: object) -> int:
        row = mailboxes.mailbox_by_name(tx, account_id, mailbox)  # type: ignore[arg-type]
        return messages.append(tx, account_id, row.id, new, now=NOW).uid  # type: ignore[arg-type]

    return await store.write(append)


async def two_messages(store: Store, ids: dict[str, AccountId]) -> None:
    """ann's INBOX: UID 1 is messages/simple.eml, UID 2 is messages/dots.eml."""
    await add(store, ids["ann"], message_octets("simple.eml"))
    await add(store, ids["ann"], message_octets("dots.eml"))


async def twelve_messages(store: Store, ids: dict[str, AccountId]) -> None:
    """ann's INBOX: UIDs 1 to 12, all messages/simple.eml."""
    for _ in range(12):
        await add(store, ids["ann"], message_octets("simple.eml"))


async def aliases(store: Store, ids: dict[str, AccountId]) -> None:
    """team@ is ann and bob, jürgen@ is ann; postmaster@, laden@bücher.example and all at second.example bob."""

    def add_all(tx: object) -> None:
        accounts.create_domain(tx, "second.example", NOW)  # type: ignore[arg-type]
        accounts.create_domain(tx, "bücher.example", NOW)  # type: ignore[arg-type]
        for address, names in (
            (Address("team", "example.org"), ("ann", "bob")),
            (Address("jürgen", "example.org"), ("ann",)),
            (Address("postmaster", "example.org"), ("bob",)),
            (catch_all("second.example"), ("bob",)),
            (Address("laden", "bücher.example"), ("bob",)),
        ):
            accounts.add_alias(tx, address, [ids[name] for name in names])  # type: ignore[arg-type]

    await store.write(add_all)


async def small_quota(store: Store, ids: dict[str, AccountId]) -> None:
    """ann may hold 500 octets; bob has no limit."""
    await store.write(lambda tx: set_quotas(tx, ids["ann"], octets=500))


async def saves_sent(store: Store, ids: dict[str, AccountId]) -> None:
    """The server files what ann submits in her Sent mailbox."""
    await store.write(lambda tx: set_save_sent(tx, ids["ann"], True))


async def administrator(store: Store, ids: dict[str, AccountId]) -> None:
    """bob is an administrator."""
    await store.write(lambda tx: accounts.set_admin(tx, ids["bob"], True))


CONVERSATION = (
    # From, To, Cc, Subject, Date, Message-ID, References, lines of text
    ("Zoe Young <zoe@example.net>", "Ann <ann@example.org>", "", "Lunch",
     "1 Jan 2026 10:00:00 +0000", "a", "", 1),
    ("bob@example.org", "zoe@example.net", "", "Re: Lunch", "1 Jan 2026 12:00:00 +0000", "b", "a", 3),
    ("=?utf-8?q?=C3=89mile?= <emile@example.net>", "team: ann@example.org;", "carol@example.net",
     "[staff] Budget", "1 Jan 2026 09:00:00 +0000", "c", "", 5),
    ("Zoe Young <zoe@example.net>", "bob@example.org", "ann@example.org", "Re: Budget",
     "2 Jan 2026 09:00:00 +0000", "d", "", 2),
    ("Carol <carol@example.net>", "Zoe <zoe@example.net>", "", "Fwd: Lunch", "3 Jan 2026 09:00:00 +0000", "e",
     "a b", 4),
    ("carol@example.net", "ann@example.org", "", "Elsewhere", "4 Jan 2026 09:00:00 +0000", "f", "lost", 1),
    ("Dave <dave@example.net>", "ann@example.org", "", "Nowhere", "4 Jan 2026 10:00:00 +0200", "g", "lost", 1),
    ("", "", "", "", "", "", "", 1),
)  # fmt: skip


async def conversation(store: Store, ids: dict[str, AccountId]) -> None:
    """ann's INBOX: UIDs 11 to 18, the letters of CONVERSATION, which arrived an hour apart."""
    await store.write(lambda tx: tx.run("UPDATE mailbox SET uid_next=11 WHERE name='INBOX'"))
    for hour, (sender, to, cc, subject, date, own, refs, lines) in enumerate(CONVERSATION):
        fields = (
            ("From", sender), ("To", to), ("Cc", cc), ("Subject", subject), ("Date", date),
            ("Message-ID", own and f"<{own}@example.net>"),
            ("References", " ".join(f"<{ref}@example.net>" for ref in refs.split())),
        )  # fmt: skip
        header = "".join(f"{name}: {value}\r\n" for name, value in fields if value)
        octets = f"{header}\r\n{'word ' * 5}\r\n".encode() + b"more\r\n" * (lines * 10)
        await add(store, ids["ann"], octets, internal_date=Instant(NOW + 3600 * hour))


SEEDS: dict[str, Seed] = {
    "administrator": administrator,
    "aliases": aliases,
    "conversation": conversation,
    "empty": no_seed,
    "saves-sent": saves_sent,
    "small-quota": small_quota,
    "twelve-messages": twelve_messages,
    "two-messages": two_messages,
}
