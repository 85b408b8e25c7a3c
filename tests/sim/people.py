"""Those who send: users of ours with all that submission offers, and strangers who write to addresses that forward."""

import asyncio
import base64
from dataclasses import dataclass, field
from random import Random
from typing import Any

from postino.net.connection import Connection
from postino.servers.context import ServerContext
from postino.servers.smtp import SmtpRole, serve_smtp
from postino.smtp.envelope import Notify
from tests.sim.process import Process, nobody
from tests.support.memory_network import FakeTls
from tests.support.memory_pipes import PipeTransport
from tests.support.world import DOMAIN, PASSWORD

USERS = ("ann", "bob")
FORWARDS = {
    "list": (True, 2),
    "away": (False, 1),
    "keeper": (True, 1),
    "copier": (True, 1),
}
"""Local part -> (whether a user of ours gets it too, how many addresses elsewhere)."""
AWAY_DAYS = 7
SCRIPTED = "copier"
"""An account of its own, whose Sieve script does so; it answers who writes to it, too."""
SCRIPT = (
    'require ["copy", "vacation", "fileinto", "mailbox"];\r\n'
    f'vacation :days {AWAY_DAYS} :addresses "copier@%s" "I am away";\r\n'
    'redirect :copy "%s";\r\n'
    'fileinto :create "Filed/Here";\r\n'
)
PATIENCE = 900.0


class Lost(Exception):
    """The connection ended before the answer came."""


@dataclass
class Wanted:
    """What one recipient's sender asked for."""

    address: str
    notify: Notify = Notify.UNSAID
    is_taken: bool = False
    """RCPT was answered with 250."""


@dataclass
class Mail:
    """One message somebody sent or tried to send, and what was answered."""

    name: str
    """`m12`; Message-ID is <m12@sim>."""
    reverse_path: str
    recipients: list[Wanted]
    body: bytes
    at: float
    is_submitted: bool
    parameters: str = ""
    release_at: float = 0.0
    deliver_by: float = 0.0
    """With mode R; 0 for none."""
    by_at: float = 0.0
    """With either mode."""
    notifies_late: bool = False
    """BY with mode N."""
    require_tls: bool = False
    tls_optional: bool = False
    answer: str = ""
    """To the whole message; empty when none came, or none was asked for."""
    was_given: bool = False
    """The final dot was said, or may have been."""

    @property
    def is_accepted(self) -> bool:
        """We took it over."""
        return self.answer.startswith("2")

    @property
    def is_unknown(self) -> bool:
        """Nobody told whether we did."""
        return self.was_given and not self.answer


@dataclass
class People:
    """Everybody who sends."""

    chance: Random
    now: Any
    domains: list[str]
    extras: float
    """How often somebody asks for something special."""
    mails: list[Mail] = field(default_factory=list)

    # What is written

    def compose(self, wall: int) -> Mail:
        """One more message; `wall` is what clocks show now."""
        chance = self.chance
        number = len(self.mails)
        submitted = chance.random() < 0.75
        domain = chance.choice(self.domains)
        if submitted:
            reverse_path = f"{chance.choice(USERS)}@{DOMAIN}"
        else:
            reverse_path = "" if chance.random() < 0.15 else f"stranger{number}@{domain}"
        count = chance.choice((1, 1, 1, 1, 2, 3, 7))
        recipients: dict[str, Wanted] = {}
        for at in range(count):
            one = self._recipient(number, at, domain, submitted=submitted)
            recipients.setdefault(one.address, one)
            if chance.random() < 0.3:
                domain = chance.choice(self.domains)
        mail = Mail(
            f"m{number}", reverse_path, list(recipients.values()), self._body(number), self.now(), submitted
        )
        if submitted and chance.random() < self.extras:
            self._ask_for_more(mail, wall)
        mail.tls_optional = submitted and not mail.require_tls and chance.random() < 0.05
        self.mails.append(mail)
        return mail

    def _recipient(self, number: int, at: int, domain: str, *, submitted: bool) -> Wanted:
        chance = self.chance
        here = chance.random() < 0.15
        if not submitted:
            local = chance.choice((*FORWARDS, *FORWARDS, "bob"))
            address = f"{local}@{DOMAIN}"
        elif here:
            address = f"{chance.choice((*USERS, *FORWARDS))}@{DOMAIN}"
        else:
            local = "nobody" if chance.random() < 0.08 else chance.choice(("u", "u", "long.name+", '"odd '))
            address = f"{local}{number}.{at}" + ('"' if local.startswith('"') else "") + f"@{domain}"
        wanted = Wanted(address)
        if chance.random() < self.extras:
            wanted.notify = chance.choice(
                (
                    Notify.NEVER,
                    Notify.SUCCESS,
                    Notify.FAILURE,
                    Notify.DELAY,
                    Notify.SUCCESS | Notify.FAILURE,
                    Notify.SUCCESS | Notify.FAILURE | Notify.DELAY,
                )
            )
        return wanted

    def _body(self, number: int) -> bytes:
        chance = self.chance
        kind = chance.random()
        if kind < 0.7:
            return b".A dot\r\n..\r\nWords of %d\r\n" % number + b"word " * chance.randint(0, 12) + b"\r\n"
        if kind < 0.9:
            return "Grüße\r\n".encode() * chance.randint(1, 400)
        octets = base64.encodebytes(chance.randbytes(chance.choice((3_000, 30_000, 150_000))))
        return octets.replace(b"\n", b"\r\n")

    def _ask_for_more(self, mail: Mail, wall: int) -> None:
        chance = self.chance
        words = []
        if chance.random() < 0.4:
            words.append(f"RET={chance.choice(('FULL', 'HDRS'))}")
        if chance.random() < 0.4:
            words.append(f"ENVID={mail.name}")
        if chance.random() < 0.3:
            words.append(f"MT-PRIORITY={chance.choice((-9, -3, 4, 9))}")
        hold = 0
        if chance.random() < 0.25:
            hold = chance.choice((60, 3_600, 40_000))
            words.append(f"HOLDFOR={hold}")
            mail.release_at = wall + hold
        if chance.random() < 0.2:
            seconds = hold + chance.choice((120, 1_000, 20_000))
            mode = chance.choice("RN")
            words.append(f"BY={seconds};{mode}")
            mail.deliver_by = wall + seconds if mode == "R" else 0.0
            mail.by_at = wall + seconds
            mail.notifies_late = mode == "N"
        if chance.random() < 0.15:
            words.append("REQUIRETLS")
            mail.require_tls = True
        if chance.random() < 0.1:
            words.append("SMTPUTF8")
        mail.parameters = "".join(f" {word}" for word in words)

    def octets(self, mail: Mail) -> bytes:
        """As it is sent."""
        header = (
            f"From: <{mail.reverse_path or 'daemon@elsewhere.example'}>\r\nTo: <{mail.recipients[0].address}>\r\nSubject: {mail.name}\r\n"
            f"Message-ID: <{mail.name}@sim>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n"
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Transfer-Encoding: 8bit\r\n"
        )
        if mail.tls_optional:
            header += "TLS-Required: No\r\n"
        return header.encode() + b"\r\n" + mail.body

    # How it is handed in

    async def send(self, mail: Mail, process: Process, context: ServerContext) -> None:
        """To one of our workers."""
        dialogue = _Dialogue(process, context, submits=mail.is_submitted)
        try:
            async with asyncio.timeout(PATIENCE):
                await self._converse(mail, dialogue)
        except (Lost, TimeoutError):
            pass
        finally:
            dialogue.close()

    async def _converse(self, mail: Mail, dialogue: "_Dialogue") -> None:
        say = dialogue.say
        await dialogue.reply()
        await say("EHLO client.example")
        if mail.is_submitted:
            login = base64.b64encode(f"\0{mail.reverse_path}\0{PASSWORD}".encode()).decode()
            answer = await say(f"AUTH PLAIN {login}")
            if not answer.startswith("235"):
                return
        if not (await say(f"MAIL FROM:<{mail.reverse_path}> BODY=8BITMIME{mail.parameters}")).startswith(
            "250"
        ):
            return
        for one in mail.recipients:
            asked = f" NOTIFY={_words(one.notify)}" if one.notify else ""
            answer = await say(f"RCPT TO:<{one.address}>{asked}")
            one.is_taken = answer.startswith("250")
        if not any(one.is_taken for one in mail.recipients):
            return
        if not (await say("DATA")).startswith("354"):
            return
        mail.was_given = True
        stuffed = (b"\r\n" + self.octets(mail)).replace(b"\r\n.", b"\r\n..")[2:]
        dialogue.write(stuffed + b".\r\n")
        mail.answer = await dialogue.reply()
        await say("QUIT")


def _words(notify: Notify) -> str:
    if notify is Notify.NEVER:
        return "NEVER"
    return ",".join(one.name or "" for one in (Notify.SUCCESS, Notify.FAILURE, Notify.DELAY) if notify & one)


class _Dialogue:
    """One connection to a worker of ours, by TLS that is played."""

    def __init__(self, process: Process, context: ServerContext, *, submits: bool) -> None:
        loop = asyncio.get_running_loop()
        near = PipeTransport(loop, ("192.0.2.25", 587), ("198.51.100.7", 50_000))
        far = PipeTransport(loop, ("198.51.100.7", 50_000), ("192.0.2.25", 587))
        near.other, far.other = far, near
        far._extra["ssl_object"] = FakeTls()
        self._near = near
        self._reader = asyncio.StreamReader(limit=2**20, loop=loop)
        protocol = asyncio.StreamReaderProtocol(self._reader, loop=loop)
        near.set_protocol(protocol)
        connection: Connection = process.run(Connection)
        far.set_protocol(connection)
        process.run(connection.connection_made, far)
        nobody().run(protocol.connection_made, near)
        role = SmtpRole.SUBMISSION if submits else SmtpRole.MX
        self._served = process.start(serve_smtp(context, connection, role=role, implicit_tls=True))
        self._served.add_done_callback(lambda _: far.close())

    def write(self, octets: bytes) -> None:
        self._near.write(octets)

    async def reply(self) -> str:
        while True:
            line = (await self._reader.readline()).decode()
            if not line.endswith("\r\n"):
                raise Lost
            if line[3:4] != "-":
                return line.strip()

    async def say(self, line: str) -> str:
        self.write(f"{line}\r\n".encode())
        return await self.reply()

    def close(self) -> None:
        self._near.close()
