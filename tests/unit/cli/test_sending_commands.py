"""`postino account identity`, `limit`, `sent` and `undo`."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from postino.cli.main import main
from postino.core.address import parse_address
from postino.core.ids import AccountId
from postino.store.accounts import create_account, create_domain
from postino.store.sending import Sender, sender
from postino.store.store import open_store
from tests.support.world import NOW


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    store = open_store(path, first=True)

    def make(tx):
        create_domain(tx, "example.org", NOW)
        create_account(tx, parse_address("ann@example.org"), "hash", "scram", 0, NOW)

    store.write_now(make)
    store.close_now()
    return path


def run(data: Path, *words: str, ok: bool = True) -> str:
    done = CliRunner().invoke(main, ["account", *words, "--data", str(data)])
    assert (done.exit_code == 0) is ok, done.output
    return done.output + str(done.exception or "")


def ann(data: Path) -> Sender:
    store = open_store(data)
    try:
        return store.read_now(lambda tx: sender(tx, AccountId(1)))
    finally:
        store.close_now()


def test_identities(data: Path) -> None:
    said = run(data, "identity", "add", "ann@example.org", "Sales@Example.net", "@shop.example")
    assert said == "ann@example.org may send as sales@example.net, @shop.example\n"
    assert run(data, "identity", "list", "ann@example.org") == "sales@example.net\n@shop.example\n"
    assert "sends as   @shop.example, sales@example.net\n" in run(data, "show", "ann@example.org")
    assert "already" in run(data, "identity", "add", "ann@example.org", "sales@example.net", ok=False)
    run(data, "identity", "remove", "ann@example.org", "sales@example.net")
    assert "was not granted" in run(data, "identity", "remove", "ann@example.org", "x@y.example", ok=False)
    assert run(data, "identity", "list", "ann@example.org") == "@shop.example\n"


def test_limits(data: Path) -> None:
    assert run(data, "limit", "ann@example.org") == (
        "messages a day\t1000\t0\nnew people a day\t200\t0\nmessages a minute\t60\t\n"
    )
    assert run(data, "limit", "ann@example.org", "--messages", "5000", "--recipients", "0") == (
        "messages a day\t5000\t0\nnew people a day\tno limit\t0\nmessages a minute\t60\t\n"
    )
    run(data, "limit", "ann@example.org", "--messages", "7")
    assert (ann(data).daily_messages, ann(data).daily_recipients) == (7, 0)
    run(data, "limit", "ann@example.org", "--default")
    assert (ann(data).daily_messages, ann(data).daily_recipients) == (-1, -1)
    run(data, "limit", "ann@example.org", "--default", "--messages", "1", ok=False)


def test_show_says_how_much_an_account_may_send(data: Path) -> None:
    assert "sent today 0 of 1000 messages, to 0 of 200 new people\n" in run(data, "show", "ann@example.org")
    run(data, "limit", "ann@example.org", "--messages", "7", "--recipients", "0")
    assert "sent today 0 of 7 messages, to 0 new people\n" in run(data, "show", "ann@example.org")


def test_sent_and_undo(data: Path) -> None:
    assert "is filed in its Sent mailbox" in run(data, "sent", "ann@example.org", "on")
    assert "waits 10 seconds" in run(data, "undo", "ann@example.org", "10")
    assert (ann(data).save_sent, ann(data).undo_seconds) == (True, 10)
    shown = run(data, "show", "ann@example.org")
    assert "sent mail  is filed by the server\nundo       10 seconds\n" in shown
    run(data, "sent", "ann@example.org", "off")
    run(data, "undo", "ann@example.org", "0")
    assert (ann(data).save_sent, ann(data).undo_seconds) == (False, 0)
    run(data, "sent", "ann@example.org", "maybe", ok=False)
    run(data, "undo", "nobody@example.org", "1", ok=False)
