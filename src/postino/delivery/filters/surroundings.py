"""What an account's scripts may look up: its mailboxes and annotations, lists, ids seen, other scripts.

RFC: 5490 §3.1-3.6 (mailboxes, annotations), 8579 §3 (special use), 9042 §4 (mailbox ids), 6134 §2.4-2.6
    (lists), 7352 §3.1 (ids seen), 6609 §3 (other scripts).
Exposure: names in scripts of users. A script learns what its account could learn by IMAP, and of an alias who
    is behind it only when the account is.
Invariants: may be asked from any thread; every question is a short read of its own.
Not here: what a script does with the answers (sieve/).
"""

from typing import Final
from urllib.parse import unquote

from postino.core.address import Address, BadAddress, parse_address
from postino.core.errors import NoPermission, NoSuchMailbox
from postino.core.ids import NAMES, AccountId, MailboxId
from postino.core.rights import Rights
from postino.delivery.filters.scripts import Scripts
from postino.imap.object_id import ObjectKind, parse_object_id
from postino.sieve import Script
from postino.store.access import Reached, reach_mailbox
from postino.store.accounts import resolve
from postino.store.annotations import SERVER, Place, annotations
from postino.store.mailboxes import mailbox_by_id
from postino.store.seen_ids import was_seen
from postino.store.sending import wrote_to
from postino.store.store import Store
from postino.store.tx import Tx

LIST_ENTRY: Final = "vendor/vendor.postino/list/"
"""Below /private and /shared: the annotations of the server that are lists, one member a line."""
_URN: Final = "urn:ietf:params:sieve:"
_DEFAULT_BOOK: Final = "addrbook:default"


class StoreSurroundings:
    """Those of one account; made for each message."""

    __slots__ = ("_account_id", "_login", "_scripts", "_store")

    def __init__(self, store: Store, scripts: Scripts, account_id: AccountId, login: str) -> None:
        self._store = store
        self._scripts = scripts
        self._account_id = account_id
        self._login = login

    # Mailboxes

    def mailbox_exists(self, name: str) -> bool:
        """Whether there is one in which the account may file (RFC 5490 §3.1)."""
        return self._store.read_here(lambda tx: self._reach(tx, name, Rights.INSERT)) is not None

    def mailbox_of_id(self, mailbox_id: str) -> str | None:
        """The account's mailbox with this MAILBOXID."""
        found = parse_object_id(ObjectKind.MAILBOX, mailbox_id.encode("ascii", "replace"))
        if found is None or found[0] != self._account_id:
            return None
        wanted = MailboxId(found[1])
        try:
            return self._store.read_here(lambda tx: mailbox_by_id(tx, self._account_id, wanted)).name
        except NoSuchMailbox:
            return None

    def special_use_mailbox(self, use: str) -> str | None:
        """The account's mailbox of a use."""
        if not use:
            return None
        row = self._store.read_here(
            lambda tx: tx.one(
                "SELECT name FROM mailbox WHERE account_id=? AND lower(special_use)=?",
                (self._account_id, use.lower()),
            )
        )
        return str(row[0]) if row is not None else None

    def special_uses(self, mailbox: str) -> tuple[str, ...]:
        """The uses of a mailbox: one, or none."""
        reached = self._store.read_here(lambda tx: self._reach(tx, mailbox, Rights.LOOKUP))
        return (reached.mailbox.special_use,) if reached is not None and reached.mailbox.special_use else ()

    def metadata(self, mailbox: str | None, annotation: str) -> str | None:
        """What the account sees of an annotation of a mailbox, or of the server."""

        def look(tx: Tx) -> bytes | None:
            if mailbox is None:
                place = Place(SERVER, NAMES, self._account_id)
            else:
                reached = self._reach(tx, mailbox, Rights.LOOKUP | Rights.READ)
                if reached is None:
                    return None
                place = Place(reached.account_id, reached.mailbox.id, self._account_id)
            found = annotations(tx, place, annotation.lower())
            return found[0].value if found else None

        value = self._store.read_here(look)
        return None if value is None else value.decode("utf-8", "replace")

    def _reach(self, tx: Tx, name: str, needs: Rights) -> Reached | None:
        try:
            return reach_mailbox(tx, self._account_id, name, needs)
        except (NoSuchMailbox, NoPermission):
            return None

    # Lists

    def has_list(self, name: str) -> bool:
        """Whether there is such a list."""
        if _is_default_book(name):
            return True
        return self._store.read_here(lambda tx: self._members(tx, name)) is not None

    def in_list(self, name: str, value: str) -> bool:
        """Whether the list has the value, in any case of letters."""
        if _is_default_book(name):
            try:
                key = parse_address(value).key
            except BadAddress:
                return False
            return self._store.read_here(lambda tx: wrote_to(tx, self._account_id, key))
        members = self._store.read_here(lambda tx: self._members(tx, name)) or ()
        folded = value.casefold()
        domain = folded.rpartition("@")[2]
        return any(each.casefold() in (folded, f"@{domain}") for each in members)

    def list_members(self, name: str) -> tuple[str, ...]:
        """The addresses of a list; of the default one nobody, for only hashes of them are kept."""
        if _is_default_book(name):
            return ()
        members = self._store.read_here(lambda tx: self._members(tx, name)) or ()
        return tuple(each for each in members if each.find("@") > 0)

    def _members(self, tx: Tx, name: str) -> tuple[str, ...] | None:
        """Of an alias (`mailto:team@example.org`), or of an annotation of the account's or the server's."""
        scheme, _, rest = _without_urn(name).partition(":")
        if scheme.lower() == "mailto":
            return self._behind(tx, unquote(rest))
        if scheme.lower() not in ("addrbook", "tag"):
            return None
        # Of tag:example.org,2026:friends the last part; an account's lists need no authority.
        own = unquote(rest).rpartition(":")[2].lower()
        for kind in ("/private/", "/shared/") if own else ():
            found = annotations(tx, Place(SERVER, NAMES, self._account_id), f"{kind}{LIST_ENTRY}{own}")
            if found:
                lines = (found[0].value or b"").decode("utf-8", "replace").splitlines()
                stripped = [line.strip() for line in lines]
                return tuple([line for line in stripped if line and not line.startswith("#")])
        return None

    def _behind(self, tx: Tx, text: str) -> tuple[str, ...] | None:
        try:
            address: Address = parse_address(text)
        except BadAddress:
            return None
        found = resolve(tx, address, "")
        # SECURITY: who is behind an alias is told to its members only.
        if not found.reaches(self._account_id):
            return None
        return (
            *[account.login for account in found.accounts],
            *[str(forward.target) for forward in found.forwards],
        )

    # What was before, and other scripts

    def was_seen(self, handle: str, unique_id: str, now: float) -> bool:
        """Whether the account saw this id, and that did not lapse."""
        return self._store.read_here(lambda tx: was_seen(tx, self._account_id, handle, unique_id, now))

    def script(self, name: str, *, is_global: bool) -> Script | None:
        """Another script of the account, or a global one of its domain or of the server."""
        domain = self._login.rpartition("@")[2]
        return self._scripts.included(self._account_id, domain, name, is_global=is_global)


def _without_urn(name: str) -> str:
    """`:addrbook:x` stands for `urn:ietf:params:sieve:addrbook:x` (RFC 6134 §2.4)."""
    if name.startswith(":"):
        return name[1:]
    return name[len(_URN) :] if name.lower().startswith(_URN) else name


def _is_default_book(name: str) -> bool:
    return unquote(_without_urn(name)).lower() == _DEFAULT_BOOK
