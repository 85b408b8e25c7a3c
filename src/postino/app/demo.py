"""The demonstration server: its settings, accounts and sample messages.

Invariants: loopback only, and nothing is sent but to the relay that was named; a data directory used again
    keeps its accounts, passwords and mail.
Not here: showing it to the user (cli/demo.py, cli/demo_tour.py).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from postino.app.clock import SystemClock
from postino.app.samples import samples
from postino.app.settings import (
    FILE_NAME,
    ListenSettings,
    OutboundSettings,
    RouteSettings,
    ServerSettings,
    Settings,
)
from postino.app.settings_file import Configuration
from postino.app.wiring import open_data
from postino.core.address import parse_address
from postino.core.errors import SettingsError
from postino.outbound.targeting.routes import check_routes

HOST: Final = "127.0.0.1"
OFFSETS: Final = {
    "smtp": 25,
    "submissions": 465,
    "submission": 587,
    "pop3": 110,
    "pop3s": 995,
    "imap": 143,
    "imaps": 993,
    "managesieve": 4190,
}
ACCOUNTS_FILE: Final = "demo-accounts.json"


class DemoAccount(msgspec.Struct, frozen=True):
    """An account with its password, which a demonstration shows."""

    address: str
    password: str


@dataclass(frozen=True, slots=True)
class Demo:
    """What to demonstrate."""

    data: Path
    base_port: int
    workers: int
    accounts: tuple[DemoAccount, ...]
    with_samples: bool
    log_level: str = "warning"
    relay: str = ""
    """HOST:PORT all mail for other servers goes to; empty: none is taken."""

    def configuration(self) -> Configuration:
        """The server's settings. Raises SettingsError for a directory that is a real server's."""
        if (self.data / FILE_NAME).exists():
            raise SettingsError(
                f"{self.data} holds a server with settings of its own; run it with: postino serve --data "
                f"{self.data}, or choose another directory for the demonstration"
            )
        listen = {name: (f"{HOST}:{self.base_port + offset}",) for name, offset in OFFSETS.items()}
        raw = {
            "server": msgspec.to_builtins(
                ServerSettings(
                    hostname="localhost",
                    # Nobody but this machine can reach it, and a temporary directory is root's own.
                    user="root" if os.geteuid() == 0 else "",
                    workers=self.workers,
                    log_format="text",
                )
            ),
            "listen": msgspec.to_builtins(ListenSettings(**listen, metrics=())),
            "outbound": msgspec.to_builtins(self._outbound()),
        }
        raw["server"]["log_level"] = self.log_level
        return Configuration(msgspec.convert(raw, Settings), self.data.absolute())

    def _outbound(self) -> OutboundSettings:
        """The one way out there is, or none: a demonstration must not write to the world by accident."""
        if not self.relay:
            return OutboundSettings(enabled=False)
        settings = OutboundSettings(
            routes=(RouteSettings(host=self.relay, tls="opportunistic"),),
            mta_sts=False,
            dane=False,
            tls_reports=False,
        )
        try:
            check_routes(settings)
        except SettingsError as error:
            sentence = str(error).partition(": ")[2]
            raise SettingsError(f"--relay {self.relay}: {sentence}") from error
        return settings

    def prepare(self) -> None:
        """Make the accounts that are missing, with their messages. Opens and closes the store."""
        from postino.core.limits import Limits
        from postino.delivery.facts import derive_facts
        from postino.directory.credentials import hash_password, make_scram
        from postino.store.accounts import account_by_login, create_account, create_domain, list_domains
        from postino.store.content import InlineBody, NewEmail
        from postino.store.mailboxes import mailbox_by_name
        from postino.store.messages import append
        from postino.store.tx import Tx

        now, limits = SystemClock().now(), Limits()
        made = []
        for position, wanted in enumerate(self.accounts):
            other = self.accounts[position - 1].address
            mails = samples(wanted.address, other, now) if self.with_samples else []
            ready = [
                (
                    sample.mailbox,
                    NewEmail(
                        header=sample.header,
                        body=InlineBody(sample.body),
                        facts=derive_facts(sample.header, sample.body, limits),
                        internal_date=sample.received_at,
                        flags=sample.flags,
                    ),
                )
                for sample in mails
            ]
            made.append((parse_address(wanted.address), wanted.password, ready))

        def missing(tx: Tx) -> list[str]:
            return [a.key for a, _, _ in made if account_by_login(tx, a.key) is None]

        store = open_data(self.configuration(), first=True)
        try:
            new = store.read_now(missing)
            kept = {
                address.key: (hash_password(password), make_scram(password))
                for address, password, _ in made
                if address.key in new
            }

            def fill(tx: Tx) -> None:
                domains = {domain.name for domain in list_domains(tx)}
                for address, _, mails in made:
                    if address.key not in kept:
                        continue
                    if address.domain not in domains:
                        create_domain(tx, address.domain, now)
                        domains.add(address.domain)
                    account = create_account(tx, address, *kept[address.key], 0, now)
                    for mailbox, mail in mails:
                        append(tx, account, mailbox_by_name(tx, account, mailbox).id, mail, now=now)

            if new:
                store.write_now(fill)
        finally:
            store.close_now()


def remembered_accounts(data: Path) -> tuple[DemoAccount, ...]:
    """The accounts an earlier demonstration made in this directory."""
    try:
        return msgspec.json.decode((data / ACCOUNTS_FILE).read_bytes(), type=tuple[DemoAccount, ...])
    except FileNotFoundError:
        return ()
    except msgspec.MsgspecError as error:
        raise SettingsError(
            f"{data / ACCOUNTS_FILE} is damaged ({error}); remove the directory for a fresh demonstration"
        ) from error


def remember_accounts(data: Path, accounts: tuple[DemoAccount, ...]) -> None:
    """Keep the accounts with their passwords, for the owner's eyes, so that the next start can show them."""
    file = data / ACCOUNTS_FILE
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(msgspec.json.format(msgspec.json.encode(accounts), indent=2) + b"\n")


def parse_demo_account(text: str) -> DemoAccount:
    """Parse ADDRESS:PASSWORD. Raises SettingsError or BadAddress."""
    address, colon, password = text.partition(":")
    if not colon or not password:
        raise SettingsError(
            f"{text!r} is not an account; write ADDRESS:PASSWORD, as in ann@example.org:secret"
        )
    return DemoAccount(parse_address(address).key, password)
