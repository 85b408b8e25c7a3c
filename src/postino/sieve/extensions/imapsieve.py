"""imapsieve: scripts that run on what IMAP does to messages.

RFC: 6785 §3.11 (actions that are errors there), §7.2.
Invariants: nothing that answers a delivery can be required beside it.
Not here: running them (servers/imap), the environment's items, envelope and reject refusing at run time.
"""

from typing import Final

from postino.sieve.vocabulary import Extension

IMAPSIEVE: Final = Extension(name="imapsieve", excludes=("reject", "ereject", "vacation", "vacation-seconds"))
