"""Show that the demonstration server works: one message in by SMTP, out by IMAP and by POP3.

Not here: the server (app/demo.py).
"""

import imaplib
import poplib
import secrets
import smtplib
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from postino.app.demo import HOST, DemoAccount
from postino.core.errors import PostinoError
from postino.mime.dates import format_date

if TYPE_CHECKING:
    from rich.console import Console

    from postino.core.ids import Instant

TIMEOUT_SECONDS = 10.0


class TourFailed(PostinoError):
    """The server runs, but did not do what it should."""


def take_tour(
    console: "Console",
    ports: Mapping[str, int],
    cafile: Path,
    sender: DemoAccount,
    recipient: DemoAccount,
) -> None:
    """Send and read one message in front of the user. Raises TourFailed."""
    tls = ssl.create_default_context(cafile=str(cafile))
    mark = secrets.token_hex(8)
    subject = "Hello from your own mail server"
    now = int(time.time())
    domain = recipient.address.rpartition("@")[2]
    message = (
        f"From: {sender.address}\r\nTo: {recipient.address}\r\nSubject: {subject}\r\n"
        f"Date: {format_date(_instant(now))}\r\nMessage-ID: <{mark}@{domain}>\r\n\r\n"
        "This message came in by SMTP and was on disk before the server said so.\r\n"
    ).encode()
    try:
        began = time.perf_counter()
        _send(ports["submission"], tls, sender, recipient, message)
        console.print(
            f"[green]✓[/] SMTP   {sender.address} sent [b]{subject}[/] to {recipient.address} "
            f"[dim]STARTTLS, {_milliseconds(began)}[/]",
            soft_wrap=True,
        )
        began = time.perf_counter()
        where = _read_imap(ports["imaps"], tls, recipient, mark)
        console.print(
            f"[green]✓[/] IMAP   {recipient.address} found it in {where} [dim]TLS, {_milliseconds(began)}[/]"
        )
        began = time.perf_counter()
        octets = _read_pop3(ports["pop3s"], tls, recipient, mark)
        console.print(
            f"[green]✓[/] POP3   {recipient.address} fetched its {octets} octets "
            f"[dim]TLS, {_milliseconds(began)}[/]"
        )
    except (OSError, smtplib.SMTPException, imaplib.IMAP4.error, poplib.error_proto) as error:
        raise TourFailed(
            f"The server started, but the test message did not make its way: {error}. If an account's "
            "password was changed, start with a fresh directory"
        ) from error


def _send(
    port: int, tls: ssl.SSLContext, sender: DemoAccount, recipient: DemoAccount, message: bytes
) -> None:
    with smtplib.SMTP(HOST, port, local_hostname="localhost", timeout=TIMEOUT_SECONDS) as smtp:
        smtp.starttls(context=tls)
        smtp.login(sender.address, sender.password)
        smtp.sendmail(sender.address, [recipient.address], message)


def _read_imap(port: int, tls: ssl.SSLContext, account: DemoAccount, mark: str) -> str:
    with imaplib.IMAP4_SSL(HOST, port, ssl_context=tls, timeout=TIMEOUT_SECONDS) as imap:
        imap.login(account.address, account.password)
        imap.select("INBOX", readonly=True)
        _, found = imap.uid("SEARCH", "HEADER", "Message-ID", mark)
        uids = found[0].split()
        if not uids:
            raise TourFailed("IMAP does not find the message that SMTP took")
        _, data = imap.uid("FETCH", uids[-1].decode(), "(BODY.PEEK[])")
        if not isinstance(data[0], tuple) or mark.encode() not in data[0][1]:
            raise TourFailed("IMAP gives another message than SMTP took")
        return f"INBOX as UID {uids[-1].decode()}"


def _read_pop3(port: int, tls: ssl.SSLContext, account: DemoAccount, mark: str) -> int:
    pop = poplib.POP3_SSL(HOST, port, context=tls, timeout=TIMEOUT_SECONDS)
    try:
        pop.user(account.address)
        pop.pass_(account.password)
        messages, _ = pop.stat()
        _, lines, octets = pop.retr(messages)
        if mark.encode() not in b"\n".join(lines):
            raise TourFailed("POP3 gives another message than SMTP took")
        return octets
    finally:
        pop.quit()


def _milliseconds(began: float) -> str:
    return f"{(time.perf_counter() - began) * 1000:.0f} ms"


def _instant(now: int) -> "Instant":
    from postino.core.ids import Instant

    return Instant(now)
