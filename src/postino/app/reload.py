"""Which of the settings read anew hold while the server runs, and which wait for its next start.

Invariants: what the server was started with stays: its data, its ports, its user, its workers.
Not here: reading the file (settings_file.py), making settings hold (wiring.change_settings).
"""

from typing import Final

import msgspec

from postino.app.settings_file import Configuration, load_settings

AT_A_START: Final = {
    "server": ("hostname", "data", "user", "workers", "log_format"),
    "tls": ("minimum_version", "client_authorities", "client_login"),
    "outbound": ("enabled", "resolvers"),
    "store": ("cache_octets", "list_cache_octets", "lock_seconds", "search_index"),
}


def read_again(running: Configuration) -> tuple[Configuration, list[str]]:
    """The settings to go on with, and the names of those that wait for the next start.

    Raises SettingsError for a file that cannot be used. Without a file nothing changes.
    """
    if running.file is None:
        return running, []
    read = load_settings(running.file).settings
    old = running.settings
    waiting = [
        f"listen.{name}"
        for name in old.listen.__struct_fields__
        if getattr(old.listen, name) != getattr(read.listen, name)
    ]
    changes: dict[str, msgspec.Struct] = {"listen": old.listen}
    for table, names in AT_A_START.items():
        before, after = getattr(old, table), getattr(read, table)
        kept = {name: getattr(before, name) for name in names}
        waiting += [
            f"{table}.{name}"
            for name in names
            if kept[name] != getattr(after, name) and f"{table}.{name}" not in running.given
        ]
        changes[table] = msgspec.structs.replace(after, **kept)
    settings = msgspec.structs.replace(read, **changes)
    return Configuration(settings, running.base, running.file, running.given), waiting
