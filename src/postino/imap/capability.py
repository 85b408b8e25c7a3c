"""Which capabilities the server names, in each state.

RFC: 9051 §6.1.1 and §7.2.2, 8314 §3.2 (no passwords in the clear), 4959 (SASL-IR), 7888 (LITERAL+),
    2177 (IDLE), 2342 (NAMESPACE), 3691 (UNSELECT), 3348 (CHILDREN), 6851 (MOVE).
Invariants: nothing is named that the session would refuse; STARTTLS never inside TLS; LOGINDISABLED
    exactly when LOGIN would be refused.
"""

from collections.abc import Iterable
from typing import Final

# Appendix E of RFC 9051 counts these into IMAP4rev2; clients of IMAP4rev1 look for each by name.
EVERYWHERE: Final = ("IMAP4rev2", "IMAP4rev1", "LITERAL+", "SASL-IR", "ENABLE", "ID", "LANGUAGE")
AFTER_LOGIN: Final = (
    "IDLE",
    "NAMESPACE",
    "UNSELECT",
    "CHILDREN",
    "UIDPLUS",
    "MOVE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "LIST-MYRIGHTS",
    "LIST-METADATA",
    "ACL",
    "RIGHTS=kxte",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "ESEARCH",
    "SEARCHRES",
    "ESORT",
    "SORT",
    "SORT=DISPLAY",
    "THREAD=ORDEREDSUBJECT",
    "THREAD=REFERENCES",
    "THREAD=REFS",
    "CONTEXT=SEARCH",
    "CONTEXT=SORT",
    "MULTISEARCH",
    "PARTIAL",
    "SEARCH=FUZZY",
    "I18NLEVEL=1",
    "WITHIN",
    "STATUS=SIZE",
    "BINARY",
    "CATENATE",
    "MULTIAPPEND",
    "REPLACE",
    "UTF8=ACCEPT",
    "CONDSTORE",
    "QRESYNC",
    "UIDONLY",
    "OBJECTID",
    "PREVIEW",
    "SAVEDATE",
    "UNAUTHENTICATE",
    "INPROGRESS",
    "QUOTA",
    "QUOTASET",
    "QUOTA=RES-STORAGE",
    "QUOTA=RES-MESSAGE",
    "QUOTA=RES-MAILBOX",
    "METADATA",
    "METADATA-SERVER",
    "NOTIFY",
)

ENABLEABLE: Final = frozenset({"IMAP4REV2", "CONDSTORE", "QRESYNC", "UIDONLY", "UTF8=ACCEPT"})
"""What ENABLE switches on, in upper case; everything else is ignored (RFC 5161 §3.1)."""

_SPELLING: Final = {name.upper(): name for name in (*EVERYWHERE, *AFTER_LOGIN)}


def spelling(name: str) -> str:
    """The capability as it is registered, for ENABLED: `IMAP4rev2` for `IMAP4REV2`."""
    return _SPELLING.get(name.upper(), name.upper())


def before_login(*, starttls: bool, mechanisms: Iterable[str], login: bool) -> tuple[str, ...]:
    """For the greeting and until a login: `login` tells whether LOGIN would be heard here."""
    named = [*EVERYWHERE]
    if starttls:
        named.append("STARTTLS")
    named += [f"AUTH={mechanism}" for mechanism in mechanisms]
    if not login:
        named.append("LOGINDISABLED")
    return tuple(named)


_NAMED_AFTER_LOGIN: Final = (*EVERYWHERE, *AFTER_LOGIN)
_WITH_COMPRESSION: Final = (*_NAMED_AFTER_LOGIN, "COMPRESS=DEFLATE")


def after_login(
    *, compress: bool, append_octets: int, messages: int = 0, sieve_host: str = ""
) -> tuple[str, ...]:
    """From a login on; `compress` tells whether nothing is compressed yet (RFC 4978 §3).

    `append_octets` is the largest message taken (RFC 7889 §2); `messages` is how many one command takes at
    most, 0 for any number (RFC 9738). `sieve_host` is where scripts of mailboxes are put (RFC 6785 §2.1).
    """
    named = (*(_WITH_COMPRESSION if compress else _NAMED_AFTER_LOGIN), f"APPENDLIMIT={append_octets}")
    if sieve_host:
        named = (*named, f"IMAPSIEVE=sieve://{sieve_host}")
    return (*named, f"MESSAGELIMIT={messages}") if messages else named
