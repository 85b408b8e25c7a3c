"""Read a settings file, and say in one sentence what is wrong with it.

Invariants: unknown keys and tables are refused, with the nearest right name; sizes and times may be
    written with a unit; a relative path starts at the file's own directory.
Not here: the schema (app/settings.py).
"""

import difflib
import ipaddress
import os
import re
import socket
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from postino.app.settings import FILE_NAME, Settings
from postino.app.settings_schema import Setting, Table, find_table, tables
from postino.app.units import parse_duration, parse_size
from postino.core.errors import SettingsError
from postino.delivery.junk import parse_marks
from postino.directory.local_user import parse_local_sender
from postino.net.dns.servers import parse_server
from postino.net.sockets import ListenAddress, parse_listen_address
from postino.outbound.targeting.routes import check_routes
from postino.smtp.paths import is_host

_AT: Final = re.compile(r" - at `\$\.?([^`]*)`$")
_ALLOWED: Final = {
    "Expected `int`": "a whole number",
    "Expected `float`": "a number",
    "Expected `str`": 'a text in "quotes"',
    "Expected `bool`": "true or false",
    "Expected `array`": 'a list such as ["..."]',
    "Expected `object`": "a table",
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """Settings, and the directory that relative paths in them start at."""

    settings: Settings
    base: Path
    file: Path | None = None
    given: frozenset[str] = frozenset()
    """Settings that the command line gave, whatever the file says."""

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.path(self.settings.server.data) if self.settings.server.data else self.base

    @property
    def hostname(self) -> str:
        """The name this server gives itself."""
        return self.settings.server.hostname or socket.gethostname()

    @property
    def workers(self) -> int:
        """How many workers to start."""
        wanted = self.settings.server.workers
        return wanted or len(os.sched_getaffinity(0))

    def path(self, text: str) -> Path:
        """A path of the settings file, made absolute."""
        return (self.base / Path(text).expanduser()).absolute()

    def listen(self) -> dict[str, list[ListenAddress]]:
        """Service -> addresses, in the order of the schema. Raises SettingsError."""
        services: dict[str, list[ListenAddress]] = {}
        for service in self.settings.listen.__struct_fields__:
            addresses = []
            for text in getattr(self.settings.listen, service):
                try:
                    address = parse_listen_address(text)
                except SettingsError as error:
                    raise SettingsError(f"listen.{service}: {error}") from error
                if address.path:
                    address = ListenAddress("", 0, str((self.data / address.path).absolute()))
                addresses.append(address)
            services[service] = addresses
        return services


def read_settings(text: str, *, base: Path, file: Path | None = None) -> Configuration:
    """Check and convert the text of a settings file. Raises SettingsError."""
    name = str(file) if file is not None else "the settings"
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{name}: this is not TOML: {error}") from error
    try:
        _check_tables(raw, text)
        settings = msgspec.convert(raw, Settings)
    except SettingsError as error:
        raise SettingsError(f"{name}: {error}") from error
    except msgspec.ValidationError as error:
        raise SettingsError(f"{name}: {_sentence(str(error), raw, text)}") from error
    configuration = Configuration(settings, base.absolute(), file)
    try:
        configuration.listen()
        _check_tls(settings)
        _check_oauth(settings)
        _check_outbound(settings)
        parse_marks(settings.delivery.junk_fields)
        for text in settings.server.local_senders:
            parse_local_sender(text)
    except SettingsError as error:
        raise SettingsError(f"{name}: {error}") from error
    return configuration


def load_settings(file: Path) -> Configuration:
    """Read a settings file. Raises SettingsError."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SettingsError(
            f"There is no settings file {file}; make one with: postino init DOMAIN --data {file.parent}"
        ) from error
    except PermissionError as error:
        raise _forbidden(file) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"The settings file {file} cannot be read: {reason}") from error
    return read_settings(text, base=file.parent, file=file)


def find_settings(data: Path | None, config: Path | None, *, required: bool) -> Configuration:
    """The settings a command means by --data and --config. Raises SettingsError.

    Where no file is `required`, a data directory without one gets the defaults.
    """
    if config is not None:
        found = load_settings(config)
        if data is None:
            return found
        server = msgspec.structs.replace(found.settings.server, data=str(data.absolute()))
        settings = msgspec.structs.replace(found.settings, server=server)
        return Configuration(settings, found.base, found.file, frozenset({"server.data"}))
    directory = data if data is not None else Path("/var/lib/postino")
    file = directory / FILE_NAME
    try:
        is_there = file.exists()
    except PermissionError as error:
        raise _forbidden(file) from error
    if required or is_there:
        return load_settings(file)
    if not directory.is_dir():
        raise SettingsError(
            f"There is no data directory {directory}; name yours with --data DIR, or make one with: "
            f"postino init DOMAIN --data {directory}"
        )
    return Configuration(Settings(), directory.absolute())


def _forbidden(file: Path) -> SettingsError:
    return SettingsError(f"You may not read {file}; be root for this, or the user the server runs as")


def _check_tables(raw: dict[str, Any], text: str) -> None:
    names = {table.name for table in tables() if "." not in table.name}
    for name, content in raw.items():
        if name not in names:
            where = [table for table in tables() if name in {s.key for s in table.settings}]
            if where and not isinstance(content, dict):
                raise SettingsError(f"{_line(text, '', name)}{name} belongs into the table [{where[0].name}]")
            raise SettingsError(f"{_line(text, name, '')}there is no table [{name}]{_nearest(name, names)}")
        table = find_table(name)
        assert table is not None
        if not isinstance(content, dict):
            raise SettingsError(
                f"{_line(text, '', name)}{name} is a table; write [{name}] above its settings"
            )
        _check_keys(content, table, text)


def _check_keys(content: dict[str, Any], table: Table, text: str) -> None:
    settings = {setting.key: setting for setting in table.settings}
    inner = {t.name.rpartition(".")[2]: t for t in tables() if t.name.rpartition(".")[0] == table.name}
    for key, value in content.items():
        if key in inner:
            items = value if isinstance(value, list) else []
            if not items or not all(isinstance(item, dict) for item in items):
                raise SettingsError(
                    f"{_line(text, table.name, key)}{table.name}.{key} is a list of tables; "
                    f"write [[{table.name}.{key}]] above each"
                )
            for item in items:
                _check_keys(item, inner[key], text)
            continue
        setting = settings.get(key)
        if setting is None:
            raise SettingsError(
                f"{_line(text, table.name, key)}{table.name}.{key} is not a setting"
                f"{_nearest(key, settings.keys() | inner.keys(), table.name)}"
            )
        if isinstance(value, str) and setting.unit in {"octets", "seconds"}:
            content[key] = _with_unit(setting, value, text)


def _with_unit(setting: Setting, value: str, text: str) -> float:
    try:
        return parse_size(value) if setting.unit == "octets" else parse_duration(value)
    except SettingsError as error:
        raise SettingsError(f"{_line(text, setting.table, setting.key)}{setting.name}: {error}") from error


def _check_tls(settings: Settings) -> None:
    if bool(settings.tls.certificate) != bool(settings.tls.key):
        missing = "key" if settings.tls.certificate else "certificate"
        raise SettingsError(f"tls.{missing} is missing; a certificate and its key go together")


def _check_outbound(settings: Settings) -> None:
    outbound = settings.outbound
    names = {"server.hostname": settings.server.hostname, "outbound.hello_name": outbound.hello_name}
    for key, name in names.items():
        if name and not is_host(name):
            raise SettingsError(f"{key} must be a host's name, such as mail.example.org, not {name!r}")
    for text in outbound.source_addresses:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise SettingsError(
                f"outbound.source_addresses has {text!r}; write addresses of this machine, such as 192.0.2.25"
            ) from None
    for text in outbound.resolvers:
        parse_server(text)
    check_routes(outbound)


def _check_oauth(settings: Settings) -> None:
    oauth = settings.oauth
    if not oauth.issuer:
        return
    if not oauth.audience:
        raise SettingsError(
            "oauth.audience is missing; name what tokens for this server say in aud, such as its host name"
        )
    if not oauth.algorithms:
        raise SettingsError("oauth.algorithms is empty; leave it out for all that need no shared secret")
    asked_for = (
        {"keys": oauth.keys} if "://" in oauth.keys else {} if oauth.keys else {"issuer": oauth.issuer}
    )
    for key, url in asked_for.items():
        if not url.startswith("https://"):
            raise SettingsError(
                f"oauth.{key} must be an https URL, not {url!r}: keys are asked for over TLS only"
            )
    is_url = oauth.keys.startswith("https://") or not oauth.keys
    if is_url and any(name.startswith("HS") for name in oauth.algorithms):
        raise SettingsError(
            "oauth.algorithms with HS need a shared secret: give a file of keys in oauth.keys"
        )


def _sentence(problem: str, raw: dict[str, Any], text: str) -> str:
    """What msgspec found, for people."""
    found = _AT.search(problem)
    place = found[1] if found else ""
    problem = _AT.sub("", problem)
    name = re.sub(r"\[(\d+|\.\.\.)\]", "", place)
    table, _, key = name.rpartition(".")
    if problem.startswith("Object missing required field"):
        return f"{_line(text, name, '')}[[{name}]] lacks {problem.split('`')[1]}; every certificate needs it"
    for start, wanted in _ALLOWED.items():
        if problem.startswith(start):
            bound = re.search(r"` (<=|>=|>|<) ([\d.]+)$", problem)
            limits = {">=": "at least", "<=": "at most", ">": "above", "<": "below"}
            wanted += f", {limits[bound[1]]} {bound[2]}" if bound else ""
            break
    else:
        setting = _find_setting(table, key)
        wanted = setting.type_name if setting is not None else problem
        if wanted.startswith("list of "):
            wanted = f"a {wanted}"
    if "of length <=" in problem:
        wanted = "a text of at most one character"
    value: Any = raw
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    shown = f", not {value!r}" if isinstance(value, (str, int, float, bool)) else ""
    return f"{_line(text, table, key)}{name} must be {wanted}{shown}"


def _find_setting(table_name: str, key: str) -> Setting | None:
    table = find_table(table_name)
    if table is None:
        return None
    return next((setting for setting in table.settings if setting.key == key), None)


def _nearest(name: str, names: Any, table: str = "") -> str:
    found = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.5)
    prefix = f"{table}." if table else ""
    if found:
        return f"; did you mean {prefix}{found[0]}?"
    elsewhere = [s.name for t in tables() for s in t.settings if s.key == name]
    return f"; did you mean {elsewhere[0]}?" if elsewhere else "; postino reference lists them all"


def _line(text: str, table: str, key: str) -> str:
    """`line 12: ` for a key of a table, or for the table itself; empty when it cannot be told."""
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\[?\s*([\w.\-]+)\s*\]\]?", line)
        if header:
            current = header[1]
            if not key and current == table:
                return f"line {number}: "
        elif key and current == table and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]", line):
            return f"line {number}: "
    return ""
