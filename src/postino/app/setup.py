"""Make a new server's data directory: settings file, database, first account, certificate.

Invariants: never touches a directory that already holds a server.
Not here: asking the person (cli/init.py).
"""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from postino.app.paths import DataPaths
from postino.app.privileges import hand_over
from postino.app.settings import FILE_NAME, Settings
from postino.app.settings_file import load_settings
from postino.app.settings_reference import render_commented_file
from postino.app.wiring import make_missing_certificate, open_data
from postino.core.address import Address, parse_address
from postino.core.errors import PostinoError, SettingsError
from postino.core.ids import Instant
from postino.store.accounts import add_alias, create_account, create_domain
from postino.store.dkim_keys import add_first_keys, make_first_keys
from postino.store.store import DATABASE_NAME
from postino.store.tx import Tx


@dataclass(frozen=True, slots=True)
class NewServer:
    """What is to be made."""

    data: Path
    domain: str
    hostname: str
    first_account: Address
    user: str
    """User to become when started as root; empty chooses `postino` where there is one."""

    @property
    def settings_file(self) -> Path:
        """Where the settings will be."""
        return self.data / FILE_NAME

    def require_free(self) -> None:
        """Raises SettingsError when a server is there already, or what is asked for cannot be."""
        for name in (FILE_NAME, DATABASE_NAME):
            if (self.data / name).exists():
                raise SettingsError(
                    f"{self.data} holds a server already ({name}); choose another directory with --data, or "
                    f"add to that one with: postino domain add {self.domain} --data {self.data}"
                )
        if self.first_account.domain != self.domain:
            raise SettingsError(
                f"The first account {self.first_account} is not in {self.domain}; give one that is, "
                f"such as {self.first_account.local_part}@{self.domain}"
            )
        if self.user and self.user != "root":
            try:
                pwd.getpwnam(self.user)
            except KeyError as error:
                raise SettingsError(
                    f"There is no user {self.user!r} on this machine; make it with "
                    f'"useradd --system {self.user}"'
                ) from error


def set_up(wanted: NewServer, password_hash: str, scram: str, now: Instant) -> str:
    """Make it all; gives the user it will serve as, empty for whoever starts it."""
    paths = DataPaths(wanted.data)
    paths.prepare()
    user = wanted.user or _service_user()
    values: dict[str, object] = {"server.hostname": wanted.hostname}
    if user:
        values["server.user"] = user
    half_written = wanted.settings_file.with_name(f".{FILE_NAME}.new")
    try:
        half_written.write_text(render_commented_file(values), encoding="utf-8")
        half_written.chmod(0o640)
    except OSError as error:
        raise PostinoError(f"The settings file cannot be written: {error.strerror}") from error
    configuration = load_settings(half_written)
    store = open_data(configuration, first=True)
    keys = make_first_keys()

    def fill(tx: Tx) -> None:
        create_domain(tx, wanted.domain, now)
        add_first_keys(tx, wanted.domain, keys, now)
        quota = Settings().store.default_quota
        account = create_account(tx, wanted.first_account, password_hash, scram, quota, now)
        # Mail for postmaster must reach somebody (RFC 5321 §4.5.1).
        postmaster = parse_address(f"postmaster@{wanted.domain}")
        if postmaster.key != wanted.first_account.key:
            add_alias(tx, postmaster, [account])

    try:
        store.write_now(fill)
    finally:
        store.close_now()
    make_missing_certificate(configuration)
    if user and os.geteuid() == 0 and user != "root":
        hand_over(wanted.data, pwd.getpwnam(user))
    # Last, for its presence says that the rest is there.
    half_written.rename(wanted.settings_file)
    return user


def _service_user() -> str:
    """`postino`, when we are root and there is such a user."""
    if os.geteuid() != 0:
        return ""
    try:
        return pwd.getpwnam("postino").pw_name
    except KeyError:
        return ""
