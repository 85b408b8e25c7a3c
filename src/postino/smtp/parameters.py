"""The parameters of MAIL and RCPT, as one text after the path.

RFC: 5321 §4.1.2 (esmtp-params), 1870 §3 (SIZE), 6152 §2 and 3030 §3 (BODY), 6531 §3.4 (SMTPUTF8), 4954 §5
    (AUTH), 3461 §4 (RET, ENVID, NOTIFY, ORCPT), 6533 §3 (ORCPT beyond ASCII), 8689 §2 (REQUIRETLS), 6710 §3
    and §7 (MT-PRIORITY), 2852 §4 (BY), 4865 §3 (HOLDFOR, HOLDUNTIL).
Exposure: unauthenticated octets, as part of a line of bounded length.
Invariants: any text gives values or BadCommand, in linear time; xtext is decoded here and nowhere else.
Not here: which parameters a session has announced, and how far ahead one may ask (servers/smtp/policy.py).
"""

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeVar

from postino.core.ids import Instant
from postino.smtp import replies
from postino.smtp.envelope import (
    NO_MAIL_OPTIONS,
    BodyType,
    ByMode,
    MailOptions,
    Notify,
    RcptOptions,
    Return,
)
from postino.smtp.reply import BadCommand

T = TypeVar("T")


class Hold(NamedTuple):
    """When a message is to go on its way (RFC 4865 §3): HOLDFOR's seconds, or HOLDUNTIL's instant."""

    seconds: int = 0
    """0: `until` says it."""
    until: Instant = Instant(0)
    text: str = ""
    """As reports repeat it (RFC 4865 §5.1.2): `for;3600`, `until;2026-01-01T00:00:00Z`."""

    def release_at(self, now: Instant) -> Instant:
        """The instant meant by who asked for it `now`."""
        return Instant(now + self.seconds) if self.seconds else self.until


class MailParameters(NamedTuple):
    """All of MAIL's parameters."""

    size: int = 0
    options: MailOptions = NO_MAIL_OPTIONS
    hold: Hold | None = None
    by_seconds: int = 0


MOST_ENVID: Final = 100
MOST_ORCPT: Final = 500
"""Characters, encoded (RFC 3461 §4.2, §4.4)."""

_PARAMETER: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([^\x00-\x20=\x7f]++))?")
# RFC 3461 §4: xtext, as in AUTH=<mailbox>.
_XTEXT: Final = re.compile(r"(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[0-9A-F]{2})++")
_HEXCHAR: Final = re.compile(r"\+([0-9A-F]{2})")
# RFC 6533 §3: utf-8-addr-xtext and utf-8-addr-unitext, which embed what they may not hold.
_UNITEXT: Final = re.compile(
    r"(?:[\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e\x80-\U0010ffff]|\\x\{[0-9A-F]{2,6}\})++"
)
_EMBEDDED: Final = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_ATOM: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,63}")
_SIZE: Final = re.compile(r"[0-9]{1,20}")
_PRIORITY: Final = re.compile(r"0|-?[1-9]")
_BY: Final = re.compile(r"([+-]?[0-9]{1,9});([NR])(T?)", re.IGNORECASE)
_HOLD_SECONDS: Final = re.compile(r"[1-9][0-9]{0,8}")
_UTC_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,9})?(?:Z|[+-]00:00)",
    re.IGNORECASE,
)
_BODY_TYPES: Final = {kind.value: kind for kind in BodyType}
_RETURNS: Final = {kind.value: kind for kind in Return if kind is not Return.UNSAID}
_NOTIFIES: Final = {kind.name: kind for kind in (Notify.SUCCESS, Notify.FAILURE, Notify.DELAY)}


class _BadValue(Exception):
    """The value is none of the parameter."""


def read_mail_parameters(text: str) -> MailParameters:
    """MAIL's parameters. Raises BadCommand."""
    size, hold, by_seconds = 0, None, 0
    body, smtputf8, ret, envid = BodyType.SEVEN_BIT, False, Return.UNSAID, ""
    require_tls, priority, by_mode, by_trace = False, 0, None, False
    for name, value in _parameters(text):
        try:
            match name:
                case "SIZE":
                    size = int(_require(_SIZE, value))
                case "BODY":
                    body = _one_of(_BODY_TYPES, value)
                case "SMTPUTF8":
                    _refuse_value(value)
                    smtputf8 = True
                case "AUTH":
                    # Who first submitted it, as the client says (RFC 4954 §5). Nobody here trusts a
                    # client so far, so it is checked and forgotten, as the RFC asks.
                    _require(_XTEXT, value)
                case "RET":
                    ret = _one_of(_RETURNS, value)
                case "ENVID":
                    if value is not None and len(value) > MOST_ENVID:
                        raise _BadValue
                    envid = _xtext(value)
                case "REQUIRETLS":
                    _refuse_value(value)
                    require_tls = True
                case "MT-PRIORITY":
                    priority = int(_require(_PRIORITY, value))
                case "BY":
                    by_seconds, by_mode, by_trace = _deliver_by(value)
                case "HOLDFOR" | "HOLDUNTIL":
                    if hold is not None:
                        raise _BadValue
                    hold = _hold(name, value)
                case _:
                    raise BadCommand(replies.UNKNOWN_PARAMETER)
        except _BadValue:
            raise BadCommand(replies.BAD_VALUES[name]) from None
    options = MailOptions(
        body=body,
        smtputf8=smtputf8,
        ret=ret,
        envid=envid,
        require_tls=require_tls,
        priority=priority,
        by_mode=by_mode,
        by_trace=by_trace,
        hold=hold.text if hold is not None else "",
    )
    # One object for all who ask for nothing, which is quickly told apart.
    if options == NO_MAIL_OPTIONS:
        options = NO_MAIL_OPTIONS
    return MailParameters(size, options, hold, by_seconds)


def read_rcpt_parameters(text: str) -> RcptOptions:
    """RCPT's parameters. Raises BadCommand."""
    notify, original = Notify.UNSAID, ""
    for name, value in _parameters(text):
        try:
            if name == "NOTIFY":
                notify = _notify(value)
            elif name == "ORCPT":
                original = _original(value)
            else:
                raise BadCommand(replies.UNKNOWN_PARAMETER)
        except _BadValue:
            raise BadCommand(replies.BAD_VALUES[name]) from None
    return RcptOptions(notify=notify, original=original)


def _parameters(text: str) -> list[tuple[str, str | None]]:
    """Esmtp-params (RFC 5321 §4.1.2), names in upper case, none twice."""
    found: dict[str, str | None] = {}
    for word in text.split(" "):
        if not word:
            continue
        match = _PARAMETER.fullmatch(word)
        if match is None or match[1].upper() in found:
            raise BadCommand(replies.BAD_PARAMETER)
        found[match[1].upper()] = match[2]
    return list(found.items())


def _require(pattern: re.Pattern[str], value: str | None) -> str:
    if value is None or not pattern.fullmatch(value):
        raise _BadValue
    return value


def _refuse_value(value: str | None) -> None:
    if value is not None:
        raise _BadValue


def _one_of(values: dict[str, T], value: str | None) -> T:
    found = values.get((value or "").upper())
    if found is None:
        raise _BadValue
    return found


def _xtext(value: str | None) -> str:
    """Decoded; what is not printable ASCII could not stand in a report (RFC 3461 §4.2, §4.4)."""
    decoded = _HEXCHAR.sub(lambda found: chr(int(found[1], 16)), _require(_XTEXT, value))
    if not (decoded.isascii() and decoded.replace("\t", " ").isprintable()):
        raise _BadValue
    return decoded


def _deliver_by(value: str | None) -> tuple[int, ByMode, bool]:
    match = _BY.fullmatch(value or "")
    if match is None:
        raise _BadValue
    seconds, mode = int(match[1]), ByMode(match[2].upper())
    if mode is ByMode.RETURN and seconds <= 0:
        raise _BadValue
    return seconds, mode, bool(match[3])


def _hold(name: str, value: str | None) -> Hold:
    if name == "HOLDFOR":
        seconds = _require(_HOLD_SECONDS, value)
        return Hold(seconds=int(seconds), text=f"for;{seconds}")
    match = _UTC_TIME.fullmatch(value or "")
    if match is None:
        raise _BadValue
    try:
        until = datetime.fromisoformat(f"{match[1]}T{match[2]}").replace(tzinfo=UTC)
    except ValueError:
        raise _BadValue from None
    # A fraction of a second counts as a whole one: never before the time that was asked for.
    late = 1 if "." in match[0] else 0
    return Hold(until=Instant(int(until.timestamp()) + late), text=f"until;{match[0]}")


def _notify(value: str | None) -> Notify:
    words = (value or "").upper().split(",")
    if words == ["NEVER"]:
        return Notify.NEVER
    notify = Notify.UNSAID
    for word in words:
        kind = _NOTIFIES.get(word)
        if kind is None:
            raise _BadValue
        notify |= kind
    return notify


def _original(value: str | None) -> str:
    """ORCPT decoded: `rfc822;ann@example.org`."""
    kind, found, address = (value or "").partition(";")
    if not found or len(value or "") > MOST_ORCPT or not _ATOM.fullmatch(kind):
        raise _BadValue
    if kind.lower() != "utf-8":
        return f"{kind};{_xtext(address)}"
    try:
        decoded = _EMBEDDED.sub(lambda found: chr(int(found[1], 16)), _require(_UNITEXT, address))
        decoded.encode()
    except (ValueError, OverflowError):
        raise _BadValue from None
    if not decoded.isprintable():
        raise _BadValue
    return f"{kind};{decoded}"
