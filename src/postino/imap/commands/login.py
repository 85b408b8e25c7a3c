"""LOGIN: name and password in the clear.

RFC: 9051 §6.2.3.
Exposure: before login.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Final

from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Login:
    """The password stays out of repr(), and so out of every log and traceback."""

    name: ClassVar[str] = "LOGIN"
    tag: bytes
    user: str
    password: str = field(repr=False)


USAGE: Final = "LOGIN needs a user name and a password"


def parse(tag: bytes, scan: Scanner) -> Login:
    """`SP userid SP password`."""
    scan.space()
    user = scan.utf8(scan.astring(), "user name")
    scan.space()
    password = scan.utf8(scan.astring(), "password")
    scan.end()
    return Login(tag, user, password)
