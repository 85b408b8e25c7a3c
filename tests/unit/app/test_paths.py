"""The data directory's lock, and who may enter."""

import os
import pwd
from pathlib import Path

import pytest

from postino.app import paths, privileges
from postino.app.paths import DataDirectoryInUse, DataPaths
from postino.core.errors import PostinoError, SettingsError


def test_one_server_for_each_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "LOCK_SECONDS", 0.0)
    data = DataPaths(tmp_path / "data")
    data.prepare()
    assert data.run.stat().st_mode & 0o077 == 0
    held = data.take_lock()
    with pytest.raises(DataDirectoryInUse, match=f"process id {os.getpid()} already serves"):
        data.take_lock()
    os.close(held)
    os.close(data.take_lock())


def test_a_directory_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PostinoError, match="cannot be made"):
        DataPaths(tmp_path / "file" / "data").prepare()


def test_root_must_say_whom_to_become(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(SettingsError, match="does not serve as root"):
        privileges.require_user("")
    with pytest.raises(SettingsError, match="there is no user 'no-such-user-here'"):
        privileges.require_user("no-such-user-here")
    assert privileges.require_user("root") is None
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert privileges.require_user("") is None


def test_a_user_who_cannot_read_the_program_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    user = pwd.getpwuid(os.getuid())
    privileges.require_program(user.pw_name)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(
        SettingsError, match=f"{user.pw_name} may not read .*; install Python and Postino where"
    ):
        privileges.require_program(user.pw_name)
