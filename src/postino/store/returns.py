"""What leads mail for rewritten reverse-paths back to senders: the secret, and paths too long to write out.

Invariants: a secret is made once and never changes; a path kept today is there for as long as an address made
    of it is good.
Not here: the form of those addresses (mailauth/srs.py).
"""

from typing import Final

from postino.core.address import Address
from postino.core.ids import Instant
from postino.mailauth import srs
from postino.smtp.paths import parse_path
from postino.store.addresses import is_local_domain
from postino.store.secret import find_secret, make_secret
from postino.store.tx import Tx

_NAME: Final = "srs_secret"
_KEPT_DAYS: Final = srs.VALID_DAYS + 2


def known_rewriting(tx: Tx, path: Address, domain: str, now: Instant) -> Address | None:
    """As rewritten(), where nothing needs to be written; else None."""
    if is_local_domain(tx, path.domain) and not srs.is_rewritten(path.local_part):
        return path
    secret = find_secret(tx, _NAME)
    return srs.rewrite(path, domain, secret, now) if secret is not None else None


def rewritten(tx: Tx, path: Address, domain: str, fresh: bytes, now: Instant) -> Address:
    """`path` as mail that `domain` forwards has it: as it is when it is ours, else rewritten.

    `fresh` becomes the secret when there is none yet.
    """
    if is_local_domain(tx, path.domain) and not srs.is_rewritten(path.local_part):
        return path
    secret = find_secret(tx, _NAME) or make_secret(tx, fresh, _NAME)
    written = srs.rewrite(path, domain, secret, now)
    if written is not None:
        return written
    token = srs.token_of(path, secret)
    tx.run(
        "INSERT INTO long_path (token, path, day) VALUES (?, ?, ?)"
        " ON CONFLICT (token) DO UPDATE SET day=excluded.day WHERE day<>excluded.day",
        (token, str(path), now // 86_400),
    )
    return srs.rewrite_kept(token, domain, secret, now)


def original_path(tx: Tx, local_part: str, now: Instant) -> Address | None:
    """Whose mail comes back to the rewritten address of ours; None when it is none, or too old."""
    secret = find_secret(tx, _NAME)
    if secret is None:
        return None
    try:
        found = srs.undo(local_part, secret, now)
    except srs.BadReturn:
        return None
    if isinstance(found, srs.Kept):
        row = tx.one("SELECT path FROM long_path WHERE token=?", (found.token,))
        return parse_path(f"<{row[0]}>") if row is not None else None
    # Whatever was hashed once is an address; what another's SRS0 held is for that other to judge.
    return parse_path(f"<{found}>")


def forget_paths(tx: Tx, now: Instant) -> int:
    """Remove kept paths that no address leads to any more."""
    return tx.run("DELETE FROM long_path WHERE day<?", (now // 86_400 - _KEPT_DAYS,))
