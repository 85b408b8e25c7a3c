"""ImapFlow, the IMAP client of Node.js programs, against a running server."""

import json
import shutil
from pathlib import Path

import pytest

from tests.live.mail_programs import ANN, PASSWORD, deliver, require_program, run_program, running_server

SCRIPTS = Path(__file__).with_name("imapflow")


@pytest.fixture(scope="session")
def imapflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the script and its packages, installed once."""
    npm = require_program("npm")
    directory = tmp_path_factory.mktemp("imapflow")
    for name in ("package.json", "package-lock.json", "session.mjs"):
        shutil.copy(SCRIPTS / name, directory)
    run_program([npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=directory)
    return directory


def test_imapflow_reads_searches_moves_and_deletes(tmp_path: Path, imapflow: Path) -> None:
    node = require_program("node")
    with running_server(tmp_path) as server:
        deliver(server, 4)
        command = [node, "session.mjs", str(server.ports["imaps"]), ANN, PASSWORD, str(server.cafile)]
        seen = json.loads(run_program(command, cwd=imapflow).splitlines()[-1])
    assert {"CONDSTORE", "QRESYNC"} <= set(seen["enabled"])
    assert ["Sent", "\\Sent"] in seen["folders"]
    assert seen["status"]["messages"] == seen["exists"] == 4
    assert seen["subjects"] == [f"Grüße Nummer {number}" for number in (1, 2, 3, 4)]
    assert seen["found"] == [2]
    assert seen["body"] == [3]
    assert "this is sample 1" in seen["text"]
    assert seen["flagged"]
    assert seen["moved"] == 1
    assert seen["deleted"]
    assert seen["left"] == 2
    assert seen["appended"]
