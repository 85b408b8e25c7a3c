"""`postino queue`: what is shown, what is done, what is said."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from postino.cli.main import main
from postino.core.ids import Instant
from postino.store.queue.lease import take_due
from postino.store.queue.settle import settle
from postino.store.queue.values import Result
from postino.store.store import Store, open_store
from tests.support.queued import ME, outcome, put
from tests.support.stored import NOW, findings, mailbox_contents, make_accounts

Run = Callable[..., str]
UNTIL = Instant(NOW + 600)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path, first=True)
    yield store
    try:
        assert findings(store) == []
    finally:
        store.close_now()


@pytest.fixture
def run(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("queue", "queue_changes", "queue_destinations"):
        monkeypatch.setattr(f"postino.cli.{name}.now", lambda: Instant(NOW + 60))

    def run(*words: str, status: int = 0) -> str:
        done = CliRunner().invoke(main, ["queue", *words, "--data", str(tmp_path)])
        assert done.exit_code == status, done.output
        return done.output

    return run


def rows(output: str) -> list[list[str]]:
    return [line.split("\t") for line in output.splitlines()]


def test_an_empty_queue(run: Run) -> None:
    assert run("list") == ""
    assert json.loads(run("list", "--json")) == []
    assert "messages    0" in run("stats")
    assert "No such mail waits" in run("retry", "12", status=1)
    assert "12 is not in the queue" in run("show", "12", status=1)


def test_every_state_is_shown_in_words(run: Run, store: Store) -> None:
    put(store, "due@a.example")
    put(store, "later@a.example", release_at=NOW + 660)
    tried = put(store, "tried@a.example", release_at=NOW - 5)
    put(store, "held@a.example", held=True)
    store.write_now(lambda tx: take_due(tx, ME, now=NOW, until=UNTIL, most=1))
    answer = outcome(tried, 1, Result.DEFERRED, next_at=NOW + 60 + 7200, remote="mx.a.example (192.0.2.1)")
    store.write_now(lambda tx: settle(tx, ME, [answer], [], NOW))
    put(store, "sending@a.example", release_at=NOW - 5)
    store.write_now(lambda tx: take_due(tx, ME, now=NOW, until=UNTIL, most=1))
    run("pause", "b.example")
    put(store, "parked@b.example", reverse_path="")
    listed = rows(run("list"))
    assert [(row[3].partition("@")[0], row[4]) for row in listed] == [
        ("due", "due"),
        ("later", "goes in 10 min"),
        ("tried", "retry in 2 h"),
        ("held", "held"),
        ("sending", "being sent"),
        ("parked", "domain is paused"),
    ]
    assert listed[2] == ["3.1", "1 min", "ann@example.org", "tried@a.example", "retry in 2 h", "450 said so"]
    assert listed[5][2] == "<>"
    assert [row[0] for row in rows(run("list", "--state", "held"))] == ["4.1"]
    assert [row[0] for row in rows(run("list", "--domain", "B.example"))] == ["6.1"]
    assert [row[0] for row in rows(run("list", "--from", "<>"))] == ["6.1"]
    assert [row[0] for row in rows(run("list", "1", "2.1", "2.7"))] == ["1.1", "2.1"]
    shown = run("show", "3")
    assert "3 (submitted), m1 in the log" in shown
    assert "by mx.a.example (192.0.2.1)" in shown
    assert "4.0.0 450 said so" in shown
    (found,) = json.loads(run("list", "3", "--json"))
    assert found["recipients"][0]["last_reply"] == "450 said so"
    assert json.loads(run("show", "5", "--json"))["recipients"][0]["state"] == "sending"


def test_more_than_is_listed_is_said(run: Run, store: Store) -> None:
    for _ in range(3):
        put(store)
    output = run("list", "--most", "2")
    assert [row[0] for row in rows(output)[:2]] == ["1.1", "2.1"]
    assert "There is more" in output


def test_what_a_far_server_says_cannot_move_the_cursor(run: Run, store: Store) -> None:
    queue_id = put(store)
    store.write_now(lambda tx: take_due(tx, ME, now=NOW, until=UNTIL, most=1))
    bad = outcome(queue_id, 1, Result.DEFERRED, next_at=NOW + 900)
    store.write_now(lambda tx: settle(tx, ME, [bad], [], NOW))
    store.write_now(lambda tx: tx.run("UPDATE queue_recipient SET last_reply=?", ("450 \x1b[2Jx\ty",)))
    assert rows(run("list"))[0][5] == "450 ?[2Jx?y"
    assert "\x1b" not in run("show", "1")


@pytest.mark.parametrize("size", [7, 300_000])
def test_the_message_itself_is_printed_as_it_is(run: Run, store: Store, size: int) -> None:
    (ann,) = make_accounts(store, "ann")
    body = store.seal_body(bytes(range(256)) * (size // 256 + 1))
    queue_id = put(store, body=body, account_id=ann, size=256 * (size // 256 + 1))
    done = CliRunner().invoke(
        main, ["queue", "show", str(queue_id), "--content", "--data", str(store.blobs.root.parent)]
    )
    assert done.stdout_bytes.endswith(bytes(range(256)))
    assert done.stdout_bytes.startswith(b"Received: from client.example\r\n\tby")


@pytest.mark.parametrize("command", ["hold", "release", "retry", "drop"])
def test_nobody_means_everything_by_accident(run: Run, store: Store, command: str) -> None:
    put(store)
    assert "or --all of it" in run(command, status=2)
    assert run("list").startswith("1.1\t")


def test_hold_release_retry(run: Run, store: Store) -> None:
    put(store, "x@a.example", "y@b.example")
    put(store, release_at=NOW + 9000)
    assert run("hold", "1.2").startswith("Held: 1 recipient.")
    assert run("hold", "--all").startswith("Held: 2 recipients.")
    assert run("release", "--domain", "a.example") == "Released: 2 recipients\n"
    assert run("retry", "--from", "@example.org") == "Due now: 1 recipient\n"
    assert [row[4] for row in rows(run("list"))] == ["due", "held", "goes in 2 h"]


def test_drop_asks_and_tells(run: Run, store: Store, tmp_path: Path) -> None:
    (ann,) = make_accounts(store, "ann")
    put(store, "x@a.example", "y@b.example", account_id=ann)
    refused = CliRunner().invoke(main, ["queue", "drop", "1", "--data", str(tmp_path)], input="n\n")
    assert refused.exit_code == 1
    assert len(rows(run("list"))) == 2
    assert run("drop", "1.1", "--yes") == "Dropped: 1 recipient, 0 of the messages with their last\n"
    assert mailbox_contents(store, ann) == {}
    told = run("drop", "--domain", "b.example", "--yes", "--tell")
    assert told == "Dropped: 1 recipient, 1 of the messages with their last; their senders are told\n"
    (report,) = mailbox_contents(store, ann).values()
    assert b"y@b.example" in report
    assert b"x@a.example" not in report.partition(b"message/delivery-status")[2].partition(b"\r\n--")[0]
    assert b"Status: 5.7.1" in report


def test_pause_and_resume(run: Run, store: Store) -> None:
    put(store)
    assert run("pause", "A.example", "--reason", "moving").startswith("Paused a.example: 1 recipient waiting")
    assert "a.example is paused since 0 s: moving" in run("stats")
    assert run("resume", "a.example") == "Resumed a.example: 1 recipient due now\n"
    assert "not paused" in run("resume", "a.example", status=1)


def test_reroute(run: Run, store: Store) -> None:
    put(store)
    assert run("reroute", "--domain", "a.example", "--to", "mx.example.com:2525").startswith(
        "a.example goes to mx.example.com:2525: 1 recipient waiting"
    )
    assert "a.example goes to mx.example.com:2525" in run("stats")
    assert "is not a port" in run("reroute", "--domain", "a.example", "--to", "mx:x", status=1)
    run("reroute", "--domain", "a.example", "--to", "mx")
    assert "a.example goes to its mail exchangers" in run("stats")
    run("reroute", "--domain", "a.example", "--undo")
    assert "not rerouted" in run("reroute", "--domain", "a.example", "--undo", status=1)
    assert "or --undo" in run("reroute", "--domain", "a.example", status=2)


def test_recall(run: Run, store: Store) -> None:
    (ann,) = make_accounts(store, "ann")
    put(store, account_id=ann, release_at=NOW + 90)
    assert run("recall", "1") == "Message 1 was not sent; it is in Drafts now\n"
    assert len(mailbox_contents(store, ann, "Drafts")) == 1
    assert "1 is not in the queue" in run("recall", "1", status=1)


def test_suppress(run: Run) -> None:
    assert run("suppress", "list") == ""
    run("suppress", "add", "Ann@a.example", "--reason", "asked us to")
    (row,) = rows(run("suppress", "list"))
    assert row == ["ann@a.example", "yes", "named", "0 s", "asked us to"]
    found: list[dict[str, Any]] = json.loads(run("suppress", "list", "--json"))
    assert found[0]["by_operator"] is True
    run("suppress", "remove", "ann@a.example")
    assert "not suppressed" in run("suppress", "remove", "ann@a.example", status=1)


def test_stats_as_json(run: Run, store: Store) -> None:
    put(store, "x@a.example", "y@b.example")
    found = json.loads(run("stats", "--json"))
    assert found["total"]["recipients"] == 2
    assert [each["domain"] for each in found["domains"]] == ["a.example", "b.example"]
    assert found["destinations"] == []
