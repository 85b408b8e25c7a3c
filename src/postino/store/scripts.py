"""Sieve scripts: put, named, made active and removed, for accounts; placed, for domains and the server.

RFC: 5804 §1.6 (names), §2.5-2.11 (HAVESPACE to RENAMESCRIPT), 6609 §3.1 (global scripts).
Invariants: at most one script of an account is active; account.script_version is 0 while it has none, and
    no value of it or of the site's comes twice, so that who remembers a script can tell an old one; whoever
    does hears (core.ids.SCRIPTS) that something changed.
Not here: compiling (sieve/), compiled scripts kept in memory (delivery/filters/scripts.py), ManageSieve.
"""

import unicodedata
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec

from postino.core.errors import (
    AlreadyExists,
    NoRoomForScript,
    NoSuchAccount,
    NoSuchScript,
    NotPermitted,
    ScriptActive,
    ScriptTooLarge,
    StoreError,
    TooManyScripts,
)
from postino.core.ids import EVERYBODY, SCRIPTS, AccountId, Instant, ModSeq
from postino.core.ports import MailboxChange
from postino.store.addresses import domain_id
from postino.store.finding import Finding, Severity
from postino.store.tx import Tx

OUTGOING_NAME: Final = "outgoing"
"""An account's script of this name runs on what it submits."""
SERVER: Final = ""
"""Stands where a domain does, for the server's own scripts."""
MOST_NAME_CHARACTERS: Final = 128
_ACTIVE: Final = "active"
_FORBIDDEN: Final = ("Cc", "Cs", "Zl", "Zp")
_COLUMNS: Final = "name, place, length(source), changed_at"


class ScriptPlace(StrEnum):
    """When a script of a domain or of the server runs."""

    BEFORE = "before"
    """Before the account's, on what comes in."""
    AFTER = "after"
    BEFORE_OUTGOING = "before-outgoing"
    """Before the account's, on what it submits."""
    AFTER_OUTGOING = "after-outgoing"
    IMAP = "imap"
    """On what IMAP puts into, copies to or marks in a mailbox (RFC 6785)."""
    GLOBAL = "global"
    """When a script includes it."""


class ScriptLimits(msgspec.Struct, frozen=True, gc=False):
    """How much an account may keep."""

    script_octets: int = 1024 * 1024
    scripts: int = 100
    total_octets: int = 8 * 1024 * 1024


class ScriptRow(msgspec.Struct, frozen=True, gc=False):
    """A script without its text."""

    name: str
    place: str
    """`active` or nothing for an account's; else a ScriptPlace."""
    octets: int
    changed_at: Instant

    @property
    def is_active(self) -> bool:
        """Whether it runs on what comes in for the account."""
        return self.place == _ACTIVE


class StoredScript(msgspec.Struct, frozen=True, gc=False):
    """A script as it is loaded to be run."""

    name: str
    octets: int
    """Of the source."""
    compiled: bytes


def script_name(name: str) -> str:
    """A name as it is kept. Raises NotPermitted for one that cannot be a script's (RFC 5804 §1.6)."""
    name = unicodedata.normalize("NFC", name)
    if not name:
        raise NotPermitted("A script needs a name, such as main")
    if any(unicodedata.category(c) in _FORBIDDEN for c in name):
        raise NotPermitted("A script's name has no control characters and no line breaks")
    if len(name) > MOST_NAME_CHARACTERS:
        raise NotPermitted(f"A script's name has at most {MOST_NAME_CHARACTERS} characters; shorten it")
    return name


# An account's scripts


def list_scripts(tx: Tx, account_id: AccountId) -> list[ScriptRow]:
    """Every script of the account, by name."""
    return [
        ScriptRow(*row)
        for row in tx.all(
            f"SELECT {_COLUMNS} FROM sieve_script WHERE account_id=? AND domain='' ORDER BY name",
            (account_id,),
        )
    ]


def get_script(tx: Tx, account_id: AccountId, name: str) -> bytes:
    """Its text, as it was put. Raises NoSuchScript."""
    return _source(tx, account_id, SERVER, name)


def have_space(tx: Tx, account_id: AccountId, name: str, octets: int, limits: ScriptLimits) -> None:
    """Raise NotPermitted, ScriptTooLarge, TooManyScripts or NoRoomForScript unless it could be put."""
    name = script_name(name)
    if octets > limits.script_octets:
        raise ScriptTooLarge(f"A script has at most {limits.script_octets} octets, this one {octets}")
    others = tx.one(
        "SELECT count(*), coalesce(sum(length(source)), 0) FROM sieve_script"
        " WHERE account_id=? AND domain='' AND name<>?",
        (account_id, name),
    )
    assert others is not None
    if others[0] >= limits.scripts:
        raise TooManyScripts(f"An account has at most {limits.scripts} scripts; delete one first")
    if others[1] + octets > limits.total_octets:
        raise NoRoomForScript(
            f"All scripts of an account take at most {limits.total_octets} octets; delete one first"
        )


def put_script(
    tx: Tx,
    account_id: AccountId,
    name: str,
    source: bytes,
    compiled: bytes,
    *,
    now: Instant,
    limits: ScriptLimits,
) -> None:
    """Keep a script, in place of one of that name, which stays active if it was.

    Raises as have_space(), and NoSuchAccount.
    """
    name = script_name(name)
    have_space(tx, account_id, name, len(source), limits)
    _put(tx, account_id, SERVER, name, None, source, compiled, now)
    _account_changed(tx, account_id)


def delete_script(tx: Tx, account_id: AccountId, name: str) -> None:
    """Raises NoSuchScript, ScriptActive."""
    name = unicodedata.normalize("NFC", name)
    if _place(tx, account_id, SERVER, name) == _ACTIVE:
        raise ScriptActive(f"The script {name} is active; make another active, or none, before deleting it")
    _delete(tx, account_id, SERVER, name)
    _account_changed(tx, account_id)


def rename_script(tx: Tx, account_id: AccountId, old_name: str, new_name: str) -> None:
    """An active one stays so (RFC 5804 §2.11). Raises NoSuchScript, AlreadyExists, NotPermitted."""
    old_name, new_name = unicodedata.normalize("NFC", old_name), script_name(new_name)
    _place(tx, account_id, SERVER, old_name)
    if tx.one(
        "SELECT 1 FROM sieve_script WHERE account_id=? AND domain='' AND name=?", (account_id, new_name)
    ):
        raise AlreadyExists(f"There is a script {new_name} already; choose another name")
    tx.run(
        "UPDATE sieve_script SET name=? WHERE account_id=? AND domain='' AND name=?",
        (new_name, account_id, old_name),
    )
    _account_changed(tx, account_id)


def set_active(tx: Tx, account_id: AccountId, name: str) -> None:
    """Have this one run on what comes in, instead of any other; none with "". Raises NoSuchScript."""
    name = unicodedata.normalize("NFC", name)
    if name and _place(tx, account_id, SERVER, name) == _ACTIVE:
        return
    tx.run(
        "UPDATE sieve_script SET place='' WHERE account_id=? AND domain='' AND place=?", (account_id, _ACTIVE)
    )
    if name:
        tx.run(
            "UPDATE sieve_script SET place=? WHERE account_id=? AND domain='' AND name=?",
            (_ACTIVE, account_id, name),
        )
    _account_changed(tx, account_id)


def active_script(tx: Tx, account_id: AccountId) -> StoredScript | None:
    """What runs on what comes in for the account."""
    return _stored(tx, "account_id=? AND domain='' AND place=? ORDER BY name LIMIT 1", (account_id, _ACTIVE))


def script_to_run(tx: Tx, account_id: AccountId, name: str) -> StoredScript | None:
    """The account's script of this name, active or not."""
    return _stored(
        tx, "account_id=? AND domain='' AND name=?", (account_id, unicodedata.normalize("NFC", name))
    )


def drop_scripts(tx: Tx, account_id: AccountId) -> None:
    """Remove all of an account's, and what they left behind, with the account."""
    for table in ("sieve_script", "vacation_reply", "sieve_seen", "trace_event", "applied_change"):
        tx.run(f"DELETE FROM {table} WHERE account_id=?", (account_id,))


# Scripts of domains and of the server


def list_site_scripts(tx: Tx, domain: str | None = None) -> list[tuple[str, ScriptRow]]:
    """Scripts with the domain each is of, SERVER for the server's; of one of these, or of all."""
    where, values = ("", ()) if domain is None else (" AND domain=?", (domain,))
    return [
        (row[0], ScriptRow(*row[1:]))
        for row in tx.all(
            f"SELECT domain, {_COLUMNS} FROM sieve_script WHERE account_id=0{where}"
            " ORDER BY domain, place, name",
            values,
        )
    ]


def get_site_script(tx: Tx, domain: str, name: str) -> bytes:
    """Its text. Raises NoSuchScript."""
    return _source(tx, EVERYBODY, domain, name)


def put_site_script(
    tx: Tx,
    domain: str,
    place: ScriptPlace,
    name: str,
    source: bytes,
    compiled: bytes,
    *,
    now: Instant,
) -> None:
    """Keep a script of a domain, or with SERVER of the server; of one place they run in the order of names.

    Raises NotPermitted, StoreError for a domain that is not ours.
    """
    if domain != SERVER and domain_id(tx, domain) is None:
        raise StoreError(f"There is no domain {domain}; `postino domain list` shows those there are")
    _put(tx, EVERYBODY, domain, script_name(name), place, source, compiled, now)
    _site_changed(tx)


def delete_site_script(tx: Tx, domain: str, name: str) -> None:
    """Raises NoSuchScript."""
    name = unicodedata.normalize("NFC", name)
    _place(tx, EVERYBODY, domain, name)
    _delete(tx, EVERYBODY, domain, name)
    _site_changed(tx)


def site_scripts_to_run(tx: Tx, domain: str, place: ScriptPlace) -> list[StoredScript]:
    """Those of a place, in the order in which they run."""
    return [
        StoredScript(*row)
        for row in tx.all(
            "SELECT name, length(source), compiled FROM sieve_script"
            " WHERE account_id=0 AND domain=? AND place=? ORDER BY name",
            (domain, place),
        )
    ]


def drop_domain_scripts(tx: Tx, domain: str) -> None:
    """Remove all of a domain's, with the domain."""
    if tx.run("DELETE FROM sieve_script WHERE account_id=0 AND domain=?", (domain,)):
        _site_changed(tx)


# For who remembers


def versions(tx: Tx) -> tuple[int, int]:
    """Of the last change of any script, and of the last of a domain's or the server's."""
    found: dict[str, str] = dict(
        tx.all("SELECT name, value FROM setting WHERE name IN ('sieve_version', 'sieve_site_version')")
    )
    return int(found.get("sieve_version", 0)), int(found.get("sieve_site_version", 0))


def script_version(tx: Tx, account_id: AccountId) -> int:
    """Of the last change of the account's; 0 while it has none."""
    row = tx.one("SELECT script_version FROM account WHERE id=?", (account_id,))
    return row[0] if row is not None else 0


def _next_version(tx: Tx) -> int:
    row = tx.one(
        "INSERT INTO setting (name, value) VALUES ('sieve_version', '1') ON CONFLICT (name)"
        " DO UPDATE SET value=CAST(CAST(setting.value AS INTEGER)+1 AS TEXT) RETURNING value"
    )
    assert row is not None
    tx.note_change(MailboxChange(EVERYBODY, SCRIPTS, ModSeq(int(row[0]))))
    return int(row[0])


def _account_changed(tx: Tx, account_id: AccountId) -> None:
    version = _next_version(tx)
    if not tx.run(
        "UPDATE account SET script_version=CASE WHEN EXISTS"
        " (SELECT 1 FROM sieve_script s WHERE s.account_id=account.id) THEN ? ELSE 0 END WHERE id=?",
        (version, account_id),
    ):
        raise NoSuchAccount("The account does not exist any more")


def _site_changed(tx: Tx) -> None:
    tx.run(
        "INSERT INTO setting (name, value) VALUES ('sieve_site_version', ?)"
        " ON CONFLICT (name) DO UPDATE SET value=excluded.value",
        (str(_next_version(tx)),),
    )


# Of both


def _put(
    tx: Tx,
    account_id: AccountId,
    domain: str,
    name: str,
    place: ScriptPlace | None,
    source: bytes,
    compiled: bytes,
    now: Instant,
) -> None:
    """With `place` None, one that is there keeps its own."""
    kept = "sieve_script.place" if place is None else "excluded.place"
    tx.run(
        "INSERT INTO sieve_script (account_id, domain, name, place, source, compiled, changed_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account_id, domain, name) DO UPDATE SET"
        f" place={kept}, source=excluded.source, compiled=excluded.compiled, changed_at=excluded.changed_at",
        (account_id, domain, name, place or "", source, compiled, now),
    )


def _delete(tx: Tx, account_id: AccountId, domain: str, name: str) -> None:
    tx.run("DELETE FROM sieve_script WHERE account_id=? AND domain=? AND name=?", (account_id, domain, name))


def _place(tx: Tx, account_id: AccountId, domain: str, name: str) -> str:
    row = tx.one(
        "SELECT place FROM sieve_script WHERE account_id=? AND domain=? AND name=?",
        (account_id, domain, name),
    )
    if row is None:
        raise _no_such_script(name)
    return str(row[0])


def _source(tx: Tx, account_id: AccountId, domain: str, name: str) -> bytes:
    row = tx.one(
        "SELECT source FROM sieve_script WHERE account_id=? AND domain=? AND name=?",
        (account_id, domain, unicodedata.normalize("NFC", name)),
    )
    if row is None:
        raise _no_such_script(name)
    return bytes(row[0])


def _stored(tx: Tx, where: str, values: tuple[int | str, ...]) -> StoredScript | None:
    row = tx.one(f"SELECT name, length(source), compiled FROM sieve_script WHERE {where}", values)
    return None if row is None else StoredScript(*row)


def _no_such_script(name: str) -> NoSuchScript:
    return NoSuchScript(f"There is no script {name}; look at the list of those there are")


def check_scripts(tx: Tx) -> Iterator[Finding]:
    """What verify() says of this table."""
    for account_id, name, domain, reason in tx.all(
        "SELECT account_id, name, domain, CASE"
        " WHEN account_id<>0 AND NOT EXISTS (SELECT 1 FROM account a WHERE a.id=s.account_id)"
        "  THEN 'is of an account that does not exist'"
        " WHEN account_id<>0 AND domain<>'' THEN 'is of an account and of a domain'"
        " WHEN domain<>'' AND NOT EXISTS (SELECT 1 FROM domain d WHERE d.name=s.domain)"
        "  THEN 'is of a domain that does not exist'"
        f" WHEN place NOT IN ({', '.join('?' * len(ScriptPlace))}) AND account_id=0"
        "  OR place NOT IN ('', ?) AND account_id<>0 THEN 'has a place that cannot be'"
        " END AS reason FROM sieve_script s WHERE reason IS NOT NULL",
        (*ScriptPlace, _ACTIVE),
    ):
        where = f" of {domain}" if domain else ""
        yield Finding(Severity.DAMAGE, account_id, f"the script {name!r}{where} {reason}")
    for account_id, count in tx.all(
        "SELECT account_id, count(*) FROM sieve_script WHERE account_id<>0 AND place=?"
        " GROUP BY account_id HAVING count(*)>1",
        (_ACTIVE,),
    ):
        yield Finding(Severity.DAMAGE, account_id, f"{count} of its scripts are active, one may be")
    last, site = versions(tx)
    if site > last:
        yield Finding(Severity.DAMAGE, 0, f"the version of scripts is {last}, but {site} was given already")
    for account_id, version, has_any in tx.all(
        "SELECT id, script_version, EXISTS (SELECT 1 FROM sieve_script s WHERE s.account_id=a.id)"
        " FROM account a WHERE script_version<>0 OR EXISTS"
        " (SELECT 1 FROM sieve_script s WHERE s.account_id=a.id)"
    ):
        if version > last or bool(version) != bool(has_any):
            yield Finding(
                Severity.DAMAGE,
                account_id,
                f"its script version is {version}, which cannot be: changed scripts would not be noticed",
            )
