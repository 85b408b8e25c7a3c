"""Random secrets of the database, for answers that must stay the same across restarts and workers.

Not here: what they are used for: servers/authentication.py makes up SCRAM salts, store/returns.py signs
    addresses.
"""

from typing import Final

from postino.store.tx import Tx

LOGIN: Final = "login_secret"


def find_secret(tx: Tx, name: str = LOGIN) -> bytes | None:
    """The secret, or None in a database that has none yet."""
    row = tx.one("SELECT value FROM setting WHERE name = ?", (name,))
    return bytes.fromhex(row[0]) if row else None


def make_secret(tx: Tx, fresh: bytes, name: str = LOGIN) -> bytes:
    """Keep `fresh` unless another worker was first; gives the one that is kept."""
    tx.run(
        "INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (name, fresh.hex())
    )
    return find_secret(tx, name) or fresh
