"""Mail that accounts submit, and their script called `outgoing`: the Sent copy, more recipients, refusals,
holding. Whoever it is for gets it, unless it is refused or held."""

from pathlib import Path

import pytest

from postino.core.ids import Instant
from postino.store.queue.values import QueueKind, RecipientState
from postino.store.sending import set_save_sent
from tests.support.scripted import Scripted, scripted, send
from tests.support.world import NOW

OURS = (
    b"From: ann@example.org\r\nTo: sue@far.example\r\nBcc: eve@far.example\r\nSubject: project x\r\n"
    b"Message-ID: <one@example.org>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\nWords.\r\n"
)
ANN = "ann@example.org"
SEEN, FLAGGED = 1, 4


async def submit(place: Scripted, script: str, *recipients: str, octets: bytes = OURS) -> str:
    """What the client hears."""
    await place.script(script, name="outgoing")
    async with place.client("submission") as client:
        return await send(client, octets, *(recipients or ("sue@far.example",)), sender=ANN)


async def saves(place: Scripted, on: bool) -> None:
    account_id = place.account(ANN)
    await place.world.store.write(lambda tx: set_save_sent(tx, account_id, on))
    place.world.context.delivery.senders._forget_at = 0.0


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize(
    ("script", "in_sent", "in_archive"),
    [
        ("keep;", "as set", False),
        ("discard;", "never", False),
        ('require "fileinto"; fileinto "Archive";', "never", True),
        ('require ["fileinto","copy"]; fileinto :copy "Archive";', "as set", True),
        ('require ["fileinto"]; fileinto "Archive"; keep;', "as set", True),
        ('redirect "boss@far.example";', "as set", False),
    ],
)
async def test_own_copies(tmp_path: Path, script: str, in_sent: str, in_archive: bool, on: bool) -> None:
    async with scripted(tmp_path) as place:
        await saves(place, on)
        assert (await submit(place, script)).startswith("250")
        assert len(place.mail("Sent")) == (1 if in_sent == "as set" and on else 0)
        assert len(place.mail("Archive")) == (1 if in_archive else 0)
        ((message, octets),) = place.queued()
        assert message.kind is QueueKind.SUBMITTED
        assert b"Bcc" not in octets
        assert message.recipients[0].address == "sue@far.example"


async def test_a_filed_copy_is_the_authors_own(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place:
        answer = await submit(place, 'require "fileinto";\nfileinto "Archive";')
        ((octets, flags, keywords),) = place.mail("Archive")
        assert octets == OURS
        assert flags == SEEN
        assert keywords == "$Submitted"
        assert place.delivered() == ["ann@example.org/Archive/1 (outgoing:2)"]
        name = answer.split("(")[1].rstrip(")\r\n")
        assert place.trace(name) == [("outgoing", 2, "own copy filed in Archive")]


async def test_flags_go_on_the_sent_copy(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place:
        await saves(place, True)
        await submit(place, 'require "imap4flags"; addflag ["\\\\Flagged", "work"];')
        ((_, flags, keywords),) = place.mail("Sent")
        assert flags == SEEN | FLAGGED
        assert keywords.split() == ["$Submitted", "work"]


@pytest.mark.parametrize(
    "copy", ['redirect "boss@far.example";', 'require "copy"; redirect :copy "boss@far.example";']
)
async def test_redirect_is_one_more_recipient_who_is_not_shown(tmp_path: Path, copy: str) -> None:
    async with scripted(tmp_path) as place:
        await submit(place, copy)
        ((message, octets),) = place.queued()
        assert [one.address for one in message.recipients] == ["sue@far.example", "boss@far.example"]
        assert b"boss" not in octets


async def test_redirect_to_somebody_here_is_delivered(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place:
        await submit(place, 'redirect "bob@example.org";')
        assert len(place.mail("INBOX", "bob@example.org")) == 1


async def test_whoever_is_named_already_gets_it_once(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place:
        await submit(place, 'redirect "sue@far.example";')
        ((message, _),) = place.queued()
        assert [one.address for one in message.recipients] == ["sue@far.example"]


async def test_reject_refuses_with_its_reason(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place:
        answer = await submit(place, 'require "ereject"; ereject "No attachments to strangers";')
        assert answer == "550 5.7.1 No attachments to strangers\r\n"
        assert place.queued() == place.mail("Sent") == []


async def test_the_authors_and_the_recipients_scripts_both_run(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place:
        await place.script('require "fileinto"; fileinto "Archive";', "bob")
        await submit(place, 'require "fileinto"; fileinto "Archive";', "bob@example.org")
        assert len(place.mail("Archive")) == 1
        ((octets, _, _),) = place.mail("Archive", "bob@example.org")
        assert octets.startswith(b"Return-Path: <ann@example.org>\r\nDelivered-To: bob@example.org\r\n")


async def test_the_script_knows_the_direction(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place:
        script = (
            'require ["environment","fileinto","vnd.postino.outgoing"];'
            'if environment "vnd.postino.direction" "outgoing" { fileinto "Archive"; }'
        )
        await submit(place, script)
        assert len(place.mail("Archive")) == 1


async def test_held_until_it_is_released(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place:
        answer = await submit(
            place, 'require "vnd.postino.outgoing"; hold;', "sue@far.example", "bob@example.org"
        )
        assert answer.endswith(", to wait until it is released\r\n")
        assert place.queued() == []
        rows = place.world.store.read_now(lambda tx: tx.all("SELECT address, state FROM queue_recipient"))
        assert rows == [
            ("sue@far.example", RecipientState.HELD),
            ("bob@example.org", RecipientState.HELD),
        ]
        assert place.mail("INBOX", "bob@example.org") == []


async def test_held_for_some_time(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place:
        await submit(place, 'require "vnd.postino.outgoing"; hold :seconds 600;')
        ((message, _),) = place.queued()
        assert message.release_at == Instant(NOW + 600)


async def test_vacation_is_left_out(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place:
        answer = await submit(place, 'require "vacation";\nvacation "I am away";', "bob@example.org")
        assert answer.startswith("250")
        assert place.queued() == []
        assert len(place.mail("INBOX", "bob@example.org")) == 1


async def test_a_fault_sends_the_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    async with scripted(tmp_path) as place:
        monkeypatch.setattr("postino.delivery.filters.running.run_sequence", fail)
        assert (await submit(place, "discard;")).startswith("250")
        assert len(place.queued()) == 1
        assert b"Your mail filter has a fault" in place.mail("INBOX")[0][0]
