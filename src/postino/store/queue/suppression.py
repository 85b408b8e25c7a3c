"""Addresses nothing is sent to: by the operator, or after failures that will not end by themselves.

RFC: 3463 §3.2 (X.1.x: there is something wrong with an address).
Invariants: automatic counts are of failures in a row: one success ends them; the operator's word stands until
    the operator takes it back.
Not here: refusing at RCPT (servers/smtp/), what counts as a failure (settle.py).
"""

import json
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from postino.core.ids import Instant
from postino.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Suppressed:
    """One address that failed, or that the operator named."""

    address: str
    reason: str
    failures: int
    by_operator: bool
    changed_at: Instant


def suppression_key(address: str) -> str:
    """Address.key, also of an address as it is said in RCPT, with quotes."""
    if '"' not in address:
        return address.lower() if address.isascii() else _folded(address)
    local, _, domain = address.rpartition("@")
    return _folded(f"{local[1:-1].replace(chr(92), '')}@{domain}")


def _folded(address: str) -> str:
    return unicodedata.normalize("NFC", address).casefold()


def suppressed(tx: Tx, addresses: Collection[str], *, suppress_after: int) -> dict[str, Suppressed]:
    """Which of these addresses (as given) nothing may be sent to; 0 heeds the operator's word only."""
    keys = {suppression_key(address): address for address in addresses}
    rows = tx.all(
        "SELECT address, reason, failures, by_operator, changed_at FROM suppression"
        f" WHERE address IN ({tx.dialect.member_texts}) AND (by_operator<>0 OR (?>0 AND failures>=?))",
        (json.dumps([*keys]), suppress_after, suppress_after),
    )
    return {keys[row[0]]: _suppressed(row) for row in rows}


def list_suppressed(tx: Tx) -> list[Suppressed]:
    """Every address that failed lately or was named, the latest first."""
    return [
        _suppressed(row)
        for row in tx.all(
            "SELECT address, reason, failures, by_operator, changed_at FROM suppression"
            " ORDER BY changed_at DESC, address"
        )
    ]


def suppress(tx: Tx, address: str, reason: str, now: Instant) -> None:
    """Have nothing sent to this address any more, by the operator's word."""
    tx.run(
        "INSERT INTO suppression (address, reason, by_operator, changed_at) VALUES (?, ?, 1, ?)"
        " ON CONFLICT (address) DO UPDATE SET reason=excluded.reason, by_operator=1,"
        " changed_at=excluded.changed_at",
        (suppression_key(address), reason, now),
    )


def unsuppress(tx: Tx, address: str) -> bool:
    """Send to this address again, and forget its failures; whether it was there."""
    return tx.run("DELETE FROM suppression WHERE address=?", (suppression_key(address),)) > 0


def note_failures(tx: Tx, failed: Iterable[tuple[str, str]], now: Instant) -> None:
    """Count a permanent failure of each (address, reason)."""
    tx.run_many(
        "INSERT INTO suppression (address, reason, failures, changed_at) VALUES (?, ?, 1, ?)"
        " ON CONFLICT (address) DO UPDATE SET failures=failures+1, changed_at=excluded.changed_at,"
        " reason=CASE WHEN by_operator<>0 THEN reason ELSE excluded.reason END",
        [(suppression_key(address), reason, now) for address, reason in failed],
    )


def note_successes(tx: Tx, addresses: Iterable[str]) -> None:
    """These took mail: they have not failed in a row."""
    # PERF: with no failures remembered at all, which is common, one look spares one for each address.
    if tx.one("SELECT 1 FROM suppression WHERE failures>0 LIMIT 1") is None:
        return
    text = json.dumps([suppression_key(address) for address in addresses])
    members = tx.dialect.member_texts
    tx.run(f"DELETE FROM suppression WHERE by_operator=0 AND address IN ({members})", (text,))
    tx.run(
        f"UPDATE suppression SET failures=0 WHERE failures>0 AND address IN ({members})",
        (text,),
    )


def _suppressed(row: tuple[str, str, int, int, int]) -> Suppressed:
    return Suppressed(row[0], row[1], row[2], bool(row[3]), Instant(row[4]))
