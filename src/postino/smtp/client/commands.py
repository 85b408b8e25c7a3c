"""Write the commands of a transaction for a far server: addresses and parameters as it can take them.

RFC: 5321 §4.1.1, §4.1.2 (paths), 1870 §6 (SIZE), 6152 §2 (BODY), 3030 §2 (BDAT), 6531 §3.4 (SMTPUTF8),
    3461 §4 (DSN, xtext), 6533 §3 (utf-8 addresses in ORCPT), 8689 §2 (REQUIRETLS), 6710 §3 (MT-PRIORITY),
    2852 §4 (BY), 5890 §2.3.2.1 (A-labels).
Invariants: what is made here is one line, whatever it is made from; a parameter is written only where the
    server offers it.
Not here: whether the message may go to this server at all (outbound/client/session.py), reading these
    commands
    (smtp/commands.py).
"""

import re
from functools import lru_cache
from typing import Final

from postino.core.address import ascii_domain
from postino.core.errors import PostinoError
from postino.smtp.client.extensions import Extensions
from postino.smtp.envelope import BodyType, MailOptions, Notify, RcptOptions, Return
from postino.smtp.paths import is_host, parse_path

_REPEATED_ADDRESSES: Final = 4096
_MOST_BY_SECONDS: Final = 999_999_999
_USUAL: Final = re.compile(r"[A-Za-z0-9_+=-]++(?:\.[A-Za-z0-9_+=-]++)*+@[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)*+")
_LINE: Final = re.compile(rb"[\x20-\x7e\x80-\xff]*\r\n")
_NOT_XCHAR: Final = re.compile(r"[^\x21-\x2a\x2c-\x3c\x3e-\x7e]")
_UNPRINTABLE: Final = re.compile(r"[^\t\x20-\x7e]")
_NOT_QCHAR: Final = re.compile(r"[^\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e]")
_ADDRESS_TYPE: Final = re.compile(r"[A-Za-z0-9-]{1,40}")
_LONGEST_ORIGINAL: Final = 500
_LONGEST_ENVID: Final = 100
_NOTIFY_WORDS: Final = ((Notify.SUCCESS, "SUCCESS"), (Notify.FAILURE, "FAILURE"), (Notify.DELAY, "DELAY"))


class CannotBeSaid(PostinoError):
    """This address cannot be given to this server."""

    def __init__(self, sentence: str, status: str) -> None:
        super().__init__(sentence)
        self.status = status
        """RFC 3463: `5.1.3`, `5.6.7`."""


@lru_cache(_REPEATED_ADDRESSES)
def path_octets(address: str, *, smtputf8: bool) -> bytes:
    """`<ann@example.org>` for MAIL and RCPT, `<>` for an empty one. Raises CannotBeSaid.

    A domain beyond ASCII is said as A-labels, unless the local part needs SMTPUTF8 anyway.
    """
    if not address:
        return b"<>"
    if _USUAL.fullmatch(address) and len(address) <= 254:
        return b"<%s>" % address.encode("ascii")
    path = parse_path(f"<{address}>")
    if path is None:
        raise CannotBeSaid("The address is malformed", "5.1.3")
    local_part = str(path)[: -len(path.domain) - 1]
    if local_part.isascii():
        return f"<{local_part}@{ascii_domain(path.domain)}>".encode("ascii")
    if not smtputf8:
        raise CannotBeSaid("The server takes no addresses beyond ASCII (SMTPUTF8)", "5.6.7")
    return f"<{local_part}@{path.domain}>".encode()


def is_beyond_ascii(address: str) -> bool:
    """Whether only SMTPUTF8 can say this address: a domain can be said as A-labels, a local part cannot."""
    return not address.isascii() and not address.rpartition("@")[0].isascii()


def hello_line(verb: str, name: str) -> bytes:
    """EHLO, HELO or LHLO with our name, which is a domain or an address literal."""
    assert is_host(name)
    return _checked(f"{verb} {ascii_domain(name)}\r\n".encode("ascii"))


def mail_line(
    reverse_path: str,
    options: MailOptions,
    offered: Extensions,
    *,
    size: int,
    body: BodyType,
    smtputf8: bool,
    by_seconds: int = 0,
) -> bytes:
    """MAIL with the parameters this server offers. Raises CannotBeSaid for the reverse-path.

    `body` and `smtputf8` are what this server was found to be able to take; `by_seconds` is what is left of
    the time options.deliver_by names.
    """
    words = [b"MAIL FROM:" + path_octets(reverse_path, smtputf8=smtputf8)]
    if offered.has_size:
        words.append(b"SIZE=%d" % size)
    if body is not BodyType.SEVEN_BIT:
        words.append(b"BODY=" + body.value.encode("ascii"))
    if smtputf8:
        words.append(b"SMTPUTF8")
    if offered.dsn:
        # SECURITY: a report on it must not carry further what had to be sealed (RFC 8689 §5).
        if options.ret is not Return.UNSAID:
            ret = Return.HEADERS if options.require_tls else options.ret
            words.append(b"RET=" + ret.value.encode("ascii"))
        if options.envid:
            envid = xtext(options.envid)
            if len(envid) <= _LONGEST_ENVID:
                words.append(b"ENVID=" + envid)
    if options.require_tls and offered.require_tls:
        words.append(b"REQUIRETLS")
    if options.priority and offered.mt_priority:
        words.append(b"MT-PRIORITY=%d" % options.priority)
    if options.by_mode is not None and offered.deliver_by:
        seconds = max(-_MOST_BY_SECONDS, min(by_seconds, _MOST_BY_SECONDS))
        trace = b"T" if options.by_trace else b""
        words.append(b"BY=%d;%s%s" % (seconds, options.by_mode.value.encode("ascii"), trace))
    return _checked(b" ".join(words) + b"\r\n")


def rcpt_line(address: str, options: RcptOptions, offered: Extensions, *, smtputf8: bool) -> bytes:
    """RCPT with the parameters this server offers. Raises CannotBeSaid for the address."""
    line = b"RCPT TO:" + path_octets(address, smtputf8=smtputf8)
    if offered.dsn:
        if options.notify:
            line += b" NOTIFY=" + _notify(options.notify)
        if options.original:
            line += _original(options.original)
    return _checked(line + b"\r\n")


def bdat_line(octets: int) -> bytes:
    """BDAT for a whole message of that many octets."""
    return b"BDAT %d LAST\r\n" % octets


def xtext(text: str) -> bytes:
    """A text as an esmtp-value (RFC 3461 §4); what is beyond ASCII, or not printable, becomes `?`."""
    octets = _UNPRINTABLE.sub("?", text)
    return _NOT_XCHAR.sub(lambda found: f"+{ord(found[0]):02X}", octets).encode("ascii")


def _notify(notify: Notify) -> bytes:
    if notify & Notify.NEVER:
        return b"NEVER"
    return ",".join(word for flag, word in _NOTIFY_WORDS if notify & flag).encode("ascii")


def _original(original: str) -> bytes:
    kind, mark, address = original.partition(";")
    if not mark or not _ADDRESS_TYPE.fullmatch(kind):
        return b""
    if address.isascii() and kind.lower() != "utf-8":
        said = kind.encode("ascii") + b";" + xtext(address)
    else:
        # RFC 6533 §3: the form that travels without SMTPUTF8 too.
        escaped = _NOT_QCHAR.sub(lambda found: f"\\x{{{ord(found[0]):02X}}}", address)
        said = b"utf-8;" + escaped.encode("ascii")
    # Cut, it would be somebody else's address; it is for reports only and may be left out.
    return b" ORCPT=" + said if len(said) <= _LONGEST_ORIGINAL else b""


def _checked(line: bytes) -> bytes:
    # SECURITY: whatever came before, a command that is not exactly one line is never said.
    if not _LINE.fullmatch(line):
        raise CannotBeSaid("The address holds a control character", "5.1.3")
    return line
