"""Give root up: the supervisor after it has bound its ports, the command line before it touches data.

Exposure: runs as root, before a single octet of a client was read.
Invariants: after become() neither user nor group can be root's again, unless "root" was asked for.
"""

import importlib.util
import os
import pwd
import resource
import sys
from pathlib import Path
from typing import Final

from postino.core.errors import SettingsError

OPEN_FILES: Final = 65_536


def require_user(name: str) -> pwd.struct_passwd | None:
    """The user to become, or None to stay who we are. Raises SettingsError.

    Only root can become somebody else; for anybody else the setting has no effect.
    """
    if os.geteuid() != 0 or name == "root":
        return None
    if not name:
        raise SettingsError(
            "Postino does not serve as root: set server.user to an unprivileged user, such as one made with "
            '"useradd --system postino" (or to "root", where that is really meant)'
        )
    try:
        return pwd.getpwnam(name)
    except KeyError as error:
        raise SettingsError(
            f'server.user: there is no user {name!r} on this machine; make it with "useradd --system {name}"'
        ) from error


def become(user: pwd.struct_passwd) -> None:
    """Become `user` for good, with its groups."""
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


def require_program(user_name: str) -> None:
    """After become(): raise SettingsError when the user may not read Python or Postino itself.

    Much of both is read when it is first needed, a character set for instance, and would be missing then.
    """
    for module in ("encodings", "apsw", "postino"):
        found = importlib.util.find_spec(module)
        origin = found.origin if found is not None else None
        if origin is None or not os.access(origin, os.R_OK):
            where = origin or sys.prefix
            raise SettingsError(
                f"The user {user_name} may not read {where}; install Python and Postino where every "
                "user may read them, such as below /opt"
            )


def allow_many_files() -> None:
    """Raise the limit on open files, of which every connection is one, as far as we may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(hard, OPEN_FILES) if os.geteuid() == 0 and hard != resource.RLIM_INFINITY else hard
    for limit in (wanted, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        except (OSError, ValueError):
            continue
        return


def hand_over(directory: Path, user: pwd.struct_passwd) -> None:
    """Give `user` what root made in the data directory; what belongs to others is left alone."""
    for path in (directory, *directory.rglob("*")):
        status = path.lstat()
        if status.st_uid == 0:
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def become_owner(directory: Path) -> None:
    """As root, become the owner of a data directory, so that its files stay usable for the server."""
    if os.geteuid() != 0 or not directory.is_dir():
        return
    owner = directory.stat()
    if owner.st_uid == 0:
        return
    try:
        user = pwd.getpwuid(owner.st_uid)
        name = user.pw_name
        become(user)
    except KeyError:
        name = str(owner.st_uid)
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
    require_program(name)
