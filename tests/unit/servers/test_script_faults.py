"""Whatever fails while mail is filtered, the mail is taken and kept, or refused for now with nothing written."""

from pathlib import Path
from typing import Any

import pytest

from postino.core.errors import DiskFull, StoreError, TemporarilyUnavailable
from tests.support.scripted import Scripted, scripted, send

MESSAGE = b"From: sue@far.example\r\nTo: ann@example.org\r\nSubject: Offer\r\n\r\nWords.\r\n"
AWAY = 'require "vacation"; vacation "I am away"; discard;'
EDITS = 'require ["editheader","fileinto"]; addheader "X-Seen" "yes"; fileinto "Archive";'
NOTE = b"Subject: Your mail filter has a fault"
_FILTERS = "postino.delivery.filters"


def failing(error: Exception) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def said(place: Scripted, event: str) -> bool:
    return any(one.event == event for one in place.world.log.events)


ERRORS = [RuntimeError("no"), StoreError("no"), TemporarilyUnavailable("no"), OSError("no"), MemoryError()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    ("what", "script"),
    [
        (f"{_FILTERS}.running.run_sequence", "discard;"),
        (f"{_FILTERS}.running.Filtering._circumstances", "discard;"),
        (f"{_FILTERS}.surroundings.StoreSurroundings.__init__", "discard;"),
        (
            f"{_FILTERS}.surroundings.StoreSurroundings.mailbox_exists",
            'require "mailbox"; if mailboxexists "x" {} discard;',
        ),
    ],
    ids=["run", "circumstances", "surroundings", "a look-up"],
)
async def test_what_fails_in_running_keeps_the_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, what: str, script: str
) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script(script)
        monkeypatch.setattr(what, failing(error))
        answer = await send(client, MESSAGE)
        assert answer.startswith("250")
        mail = [octets for octets, _, _ in place.mail("INBOX")]
        assert [NOTE in octets for octets in mail] == [False, True]
        assert said(place, "script.failed")
        assert "the server failed to run it" in place.trace(answer.split()[-1])[-1][2]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_scripts_that_cannot_be_had_keep_the_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async with scripted(tmp_path) as place:
        await place.script("discard;")
        await place.script("discard;", name="outgoing")
        monkeypatch.setattr(place.world.context.filtering.scripts, "_own", failing(error))
        async with place.client("smtp") as client:
            assert (await send(client, MESSAGE)).startswith("250")
        assert len(place.mail("INBOX")) == 1
        async with place.client("submission") as client:
            own = MESSAGE.replace(b"sue@far.example", b"ann@example.org")
            answer = await send(client, own, "bob@example.org", sender="ann@example.org")
            assert answer.startswith("250")
        assert len(place.mail("INBOX", "bob@example.org")) == 1
        assert said(place, "script.unavailable")


@pytest.mark.parametrize(
    ("what", "script"),
    [
        (f"{_FILTERS}.mail.vacation_answer", AWAY),
        (f"{_FILTERS}.plans.edited_content", EDITS),
    ],
    ids=["answer", "edited"],
)
async def test_what_fails_in_planning_keeps_the_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, script: str
) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script(script)
        calls: list[object] = []

        def once(*_: object, **__: object) -> Any:
            calls.append(1)
            if len(calls) == 1:
                raise ValueError("no")
            return ()

        monkeypatch.setattr(what, once)
        assert (await send(client, MESSAGE)).startswith("250")
        mail = [octets for octets, _, _ in place.mail("INBOX")]
        assert [NOTE in octets for octets in mail] == [False, True]
        assert place.mail("Archive") == []
        assert place.queued() == []
        assert said(place, "script.failed")


async def test_what_fails_in_planning_what_is_sent_sends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scripted(tmp_path) as place, place.client("submission") as client:
        await place.script('require "fileinto"; fileinto "Archive";', name="outgoing")
        monkeypatch.setattr(f"{_FILTERS}.outgoing._Plan.say", _fail_first())
        own = MESSAGE.replace(b"sue@far.example", b"ann@example.org")
        answer = await send(client, own, "bob@example.org", sender="ann@example.org")
        assert answer.startswith("250")
        assert len(place.mail("INBOX", "bob@example.org")) == 1
        assert place.mail("Archive") == []
        assert said(place, "script.failed")


def _fail_first() -> Any:
    calls: list[object] = []

    def say(*_: object) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("no")

    return say


async def test_without_room_for_an_edited_message_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('require "editheader"; addheader "X-Seen" "yes"; redirect "a@b.example";')
        monkeypatch.setattr(f"{_FILTERS}.plans.edited_content", failing(DiskFull("The disk is full")))
        assert (await send(client, MESSAGE)).startswith("45")
        assert place.mail("INBOX") == []
        assert place.queued() == []


@pytest.mark.parametrize(
    "step",
    [
        "postino.delivery.accept.place_copies",
        "postino.delivery.accept.answer_due",
        "postino.delivery.accept.enqueue_message",
        "postino.delivery.accept.tell",
        "postino.delivery.accept.note_decisions",
    ],
)
async def test_a_write_that_fails_anywhere_leaves_nothing_and_the_next_try_does_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    script = (
        'require ["fileinto","mailbox","copy","vacation","duplicate"]; if duplicate { discard; stop; }'
        ' vacation "Away"; redirect :copy "on@far.example"; fileinto :create "New/Below";'
    )
    message = MESSAGE.replace(b"Subject", b"Message-ID: <one@far.example>\r\nSubject")
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script(script)
        with monkeypatch.context() as broken:
            broken.setattr(step, failing(TemporarilyUnavailable("The disk is full")))
            assert (await send(client, message)).startswith("45")
        kept = place.world.store.read_now(
            lambda tx: [
                tx.one(f"SELECT count(*) FROM {table}")[0]
                for table in ("message", "queue_message", "vacation_reply", "sieve_seen", "trace_event")
            ]
        )
        assert kept == [0, 0, 0, 0, 0]
        assert (await send(client, message)).startswith("250")
        assert len(place.mail("New/Below")) == 1
        assert len(place.queued()) == 2
