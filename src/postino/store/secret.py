"""One random secret of the database, for answers that must stay the same across restarts and workers.

Not here: what it is used for (servers/authentication.py makes up SCRAM salts with it).
"""

from typing import Final

from postino.store.tx import Tx

_NAME: Final = "login_secret"


def find_secret(tx: Tx) -> bytes | None:
    """The secret, or None in a database that has none yet."""
    row = tx.one("SELECT value FROM setting WHERE name = ?", (_NAME,))
    return bytes.fromhex(row[0]) if row else None


def make_secret(tx: Tx, fresh: bytes) -> bytes:
    """Keep `fresh` unless another worker was first; gives the one that is kept."""
    tx.run(
        "INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (_NAME, fresh.hex())
    )
    return find_secret(tx) or fresh
