"""Mail that comes in for accounts with Sieve scripts, by real SMTP and LMTP sessions: where it ends up, what
is sent because of it, what the sender hears, and what the log and the trace say."""

import email
import email.policy
from pathlib import Path
from typing import Any

import pytest

from postino.core.address import parse_address
from postino.core.errors import NoSuchMailbox, StoreError
from postino.core.rights import parse_rights
from postino.imap.object_id import mailbox_object_id
from postino.sieve import compile_script
from postino.smtp.envelope import Notify, Return
from postino.store.access import reach_mailbox
from postino.store.accounts import add_alias
from postino.store.acl import set_acl
from postino.store.mailboxes import create_mailbox, mailbox_by_name
from postino.store.queue.values import QueueKind
from postino.store.quota import set_quotas
from postino.store.scripts import ScriptPlace, put_site_script
from tests.support.scripted import Scripted, scripted, send
from tests.support.world import NOW

MESSAGE = (
    b"From: Sue <sue@far.example>\r\nTo: ann@example.org\r\nSubject: Offer for you\r\n"
    b"Message-ID: <one@far.example>\r\nReferences: <zero@far.example>\r\n\r\nWords.\r\n"
)
SEEN, FLAGGED = 1, 4


async def create(scripted: Scripted, name: str, login: str = "ann@example.org") -> None:
    account_id = scripted.account(login)
    await scripted.world.store.write(lambda tx: create_mailbox(tx, account_id, name, now=NOW))


def parsed(octets: bytes) -> Any:
    return email.message_from_bytes(octets, policy=email.policy.default)


# Where it goes


async def test_fileinto_files_there_and_the_log_and_the_trace_name_the_line(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await create(place, "Boss")
        await place.script(
            'require "fileinto";\n\nif header :contains "subject" "offer"\n{ fileinto "Boss"; }'
        )
        answer = await send(client, MESSAGE)
        assert answer.startswith("250 2.0.0 Kept as ")
        ((octets, _, _),) = place.mail("Boss")
        assert octets.startswith(
            b"Return-Path: <sue@far.example>\r\nDelivered-To: ann@example.org\r\nReceived: "
        )
        assert octets.endswith(MESSAGE)
        assert place.mail("INBOX") == []
        assert place.delivered() == ["ann@example.org/Boss/1 (main:4)"]
        assert place.trace(answer.split()[-1]) == [("main", 4, "filed in Boss")]


@pytest.mark.parametrize(
    ("script", "where"),
    [
        ("keep;", {"INBOX": (0, "")}),
        ("discard;", {}),
        (
            'require ["fileinto","imap4flags"];fileinto :flags ["\\\\Flagged","todo"] "Boss";',
            {"Boss": (4, "todo")},
        ),
        ('require ["imap4flags"];addflag "\\\\Seen";', {"INBOX": (1, "")}),
        ('require ["fileinto"];fileinto "Boss"; keep;', {"Boss": (0, ""), "INBOX": (0, "")}),
        ('require ["fileinto","copy"];fileinto :copy "Boss";', {"Boss": (0, ""), "INBOX": (0, "")}),
        ('require ["fileinto"];fileinto "Boss"; fileinto "Boss";', {"Boss": (0, "")}),
        ('require ["fileinto"];fileinto "inbox";', {"INBOX": (0, "")}),
        ('require ["fileinto","mailbox"];fileinto :create "New/Below";', {"New/Below": (0, "")}),
    ],
)
async def test_copies(tmp_path: Path, script: str, where: dict[str, tuple[int, str]]) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await create(place, "Boss")
        await place.script(script)
        assert (await send(client, MESSAGE)).startswith("250")
        for name in ("INBOX", "Boss", "New/Below"):
            wanted = where.get(name)
            found = [(flags, keywords) for _, flags, keywords in place.mail(name)]
            assert found == ([] if wanted is None else [wanted]), name


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("Missing", "There is no mailbox 'Missing'"),
        ("a//b", "There is no mailbox 'a//b'"),
        ("Shared/bob@example.org/INBOX", "There is no mailbox"),
    ],
)
async def test_what_cannot_be_filed_is_kept_in_the_inbox(tmp_path: Path, target: str, why: str) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script(f'require "fileinto"; fileinto "{target}";')
        answer = await send(client, MESSAGE)
        assert len(place.mail("INBOX")) == 1
        assert place.trace(answer.split()[-1])[-1][2].startswith(f"kept in INBOX instead of {target}: {why}")


async def test_a_bad_name_to_create_is_kept_in_the_inbox(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('require ["fileinto","mailbox"]; fileinto :create "a//b";')
        await send(client, MESSAGE)
        assert len(place.mail("INBOX")) == 1


@pytest.mark.parametrize(
    "action",
    [
        'fileinto "a${z}";',
        'fileinto :create :specialuse "\\\\${z}" "a";',
        'fileinto :mailboxid "${z}" "INBOX";',
        'vacation :fcc "a${z}" "x";',
        'vacation :addresses "a${z}@example.org" "x";',
        'redirect "a${z}@far.example";',
        'redirect "\\"a${crlf}RCPT TO:<x@y.example>\\"@far.example";',
        'if mailboxexists "${z}" { discard; }',
        'if mailboxidexists "${z}" { discard; }',
        'if specialuse_exists "a${z}" "\\\\${z}" { discard; }',
        'if metadata "INBOX${z}" "/private/${z}" "x" { discard; }',
        'if servermetadataexists "/shared/${z}" { discard; }',
        'if string :list "${z}@x" ":addrbook:default" { discard; }',
        'if duplicate :handle "${z}" :uniqueid "${z}" { discard; }',
    ],
)
async def test_octets_that_are_no_text_go_nowhere(tmp_path: Path, action: str) -> None:
    required = (
        "encoded-character variables fileinto mailbox special-use mailboxid fcc vacation mboxmetadata"
        " servermetadata extlists duplicate"
    )
    top = f'require ["{required.replace(" ", chr(34) + "," + chr(34))}"];\n'
    sets = 'set "z" "${hex:ff}"; set "crlf" "${hex:0d 0a}";\n'
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script(top + sets + action)
        assert (await send(client, MESSAGE)).startswith("250")
        mail = [octets for name in ("INBOX", "a", "Sent") for octets, _, _ in place.mail(name)]
        assert sum(octets.endswith(MESSAGE) for octets in mail) == 1
        assert [one for _, one in place.queued() if b"RCPT TO" in one] == []
        assert not [one for one in place.world.log.events if one.event == "script.failed"]


async def test_the_trace_shows_no_marks_that_turn_text(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('require ["fileinto","encoded-character"]; fileinto "a${unicode:202e}b";')
        answer = await send(client, MESSAGE)
        ((_, _, words),) = place.trace(answer.split()[-1])
        assert words.startswith("kept in INBOX instead of a?b: There is no mailbox")
        assert words.isprintable()


async def test_a_full_account_is_refused_for_now_with_a_script_too(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place:
        account_id = place.account("ann@example.org")
        await place.world.store.write(lambda tx: set_quotas(tx, account_id, messages=1))
        await place.script('require ["fileinto","copy"]; fileinto :copy "Archive";')
        async with place.client("smtp") as client:
            assert (await send(client, MESSAGE)).startswith("452 4.2.2")
        assert place.mail("INBOX") == place.mail("Archive") == []


async def test_junk_that_is_kept_goes_to_junk(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        place.world.context.delivery.junk_marks = ((b"x-spam", b"yes"),)
        await place.script("keep;")
        await send(client, b"X-Spam: Yes\r\n" + MESSAGE)
        assert len(place.mail("Junk")) == 1


async def test_accounts_without_scripts_are_served_beside_one_with(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('require "fileinto"; fileinto "Archive";')
        await send(client, MESSAGE, "ann@example.org", "bob@example.org")
        assert len(place.mail("Archive")) == 1
        assert len(place.mail("INBOX", "bob@example.org")) == 1
        assert place.mail("Archive", "bob@example.org") == place.mail("INBOX") == []


async def test_the_detail_of_the_address_is_the_scripts_business(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script(
            'require ["fileinto","envelope","subaddress"];'
            'if envelope :detail "to" "list" { fileinto "Archive"; }'
        )
        await send(client, MESSAGE, "ann+list@example.org")
        assert len(place.mail("Archive")) == 1


async def test_an_edited_message_is_filed_as_it_was_edited(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('require "editheader"; addheader "X-Seen" "by me"; deleteheader "References";')
        await send(client, MESSAGE)
        ((octets, _, _),) = place.mail("INBOX")
        assert octets.startswith(b"Return-Path: ")
        assert b"\r\nX-Seen: by me\r\nFrom: Sue" in octets
        assert b"References" not in octets
        assert octets.endswith(b"\r\n\r\nWords.\r\n")


# Sent on


async def test_redirect_goes_to_the_queue_as_forwarded_mail_does(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('redirect "me@else.example";')
        await send(client, MESSAGE)
        assert place.mail("INBOX") == []
        ((message, octets),) = place.queued()
        assert message.kind is QueueKind.FORWARDED
        assert message.account_id == place.account("ann@example.org")
        assert [one.address for one in message.recipients] == ["me@else.example"]
        assert message.reverse_path.endswith("@example.org")
        assert message.reverse_path.startswith("SRS0=")
        assert octets.startswith(b"Delivered-To: ann@example.org\r\nReceived: ")
        assert octets.endswith(MESSAGE)


@pytest.mark.parametrize(
    ("script", "extra", "why"),
    [
        (
            'redirect "me@else.example";',
            b"Delivered-To: ann@example.org\r\n",
            "it was here before, which is a loop",
        ),
        ('redirect "ann@example.org";', b"", "that is this account's own address"),
        ('redirect "me@else.example";', b"X-Spam: Yes\r\n", "it is junk"),
        (
            'redirect "me@else.example";',
            b"".join(b"Delivered-To: a%d@x.example\r\n" % number for number in range(20)),
            "it has passed 20 addresses here, which looks like a loop",
        ),
    ],
)
async def test_what_may_not_be_sent_on_is_kept(tmp_path: Path, script: str, extra: bytes, why: str) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        place.world.context.delivery.junk_marks = ((b"x-spam", b"yes"),)
        await place.script(script)
        answer = await send(client, extra + MESSAGE)
        assert place.queued() == []
        assert len(place.mail("INBOX") + place.mail("Junk")) == 1
        assert place.trace(answer.split()[-1])[0][2].endswith(why)


async def test_mail_forged_in_our_name_is_not_sent_on(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('redirect "me@else.example";')
        await send(client, MESSAGE.replace(b"sue@far.example>\r\nTo", b"bob@example.org>\r\nTo"))
        assert place.queued() == []
        assert len(place.mail("INBOX")) == 1


async def test_a_null_reverse_path_stays_null(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('redirect "me@else.example";')
        await send(client, MESSAGE, sender="")
        ((message, _),) = place.queued()
        assert message.reverse_path == ""


# Refused

ALONE = "550 5.7.1 No offers\r\n"


@pytest.mark.parametrize("action", ["reject", "ereject"])
async def test_the_only_recipients_refusal_is_the_answer(tmp_path: Path, action: str) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script(f'require "{action}";\n{action} "No offers";')
        assert await send(client, MESSAGE) == ALONE
        assert place.mail("INBOX") == place.queued() == []
        refused = [event for event in place.world.log.events if event.event == "message.refused"]
        assert refused[0].fields["script"] == "main:2"


async def test_a_reason_of_several_lines_is_a_reply_of_several_lines(tmp_path: Path) -> None:
    """RFC 5429 §2.5"""
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('require "ereject"; ereject "It is spam.\nIt is refused.\nCall us.";')
        assert await send(client, MESSAGE) == (
            "550-5.7.1 It is spam.\r\n550-5.7.1 It is refused.\r\n550 5.7.1 Call us.\r\n"
        )


async def test_reject_keeps_its_words_and_so_answers_by_mail(tmp_path: Path) -> None:
    """RFC 5429 §2.2: a reason beyond ASCII cannot be said in a reply."""
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('require "reject"; reject "Keine Grüße";')
        assert (await send(client, MESSAGE)).startswith("250")
        ((message, octets),) = place.queued()
        assert message.reverse_path == ""
        assert [one.address for one in message.recipients] == ["sue@far.example"]
        report = parsed(octets)
        assert report.get_content_type() == "multipart/report"
        assert report.get_param("report-type") == "disposition-notification"
        words, status, returned = report.iter_parts()
        assert "Keine Grüße" in words.get_content()
        assert b"Disposition: automatic-action/MDN-sent-automatically; deleted" in status.as_bytes()
        assert b"Subject: Offer for you" in returned.as_bytes()
        assert place.mail("INBOX") == []


async def test_ereject_says_other_words_where_its_own_cannot_be_said(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('require "ereject"; ereject "Grüße";')
        assert await send(client, MESSAGE) == "550 5.7.1 The recipient's mail filter refuses this message\r\n"


async def test_of_several_recipients_who_refuses_is_told_by_a_report(tmp_path: Path) -> None:
    """RFC 5429 §2.1.2"""
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('require "ereject"; ereject "No offers";')
        assert (await send(client, MESSAGE, "ann@example.org", "bob@example.org")).startswith("250")
        assert place.mail("INBOX") == []
        assert len(place.mail("INBOX", "bob@example.org")) == 1
        ((message, octets),) = place.queued()
        assert message.reverse_path == ""
        report = parsed(octets)
        assert report.get_param("report-type") == "delivery-status"
        assert b"Action: failed" in octets
        assert b"No offers" in octets


async def test_all_recipients_refusals_are_one_answer(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        for login in ("ann", "bob"):
            await place.script('require "ereject"; ereject "No offers";', login)
        assert await send(client, MESSAGE, "ann@example.org", "bob@example.org") == ALONE
        assert place.queued() == []


async def test_lmtp_tells_of_each_recipient(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("lmtp") as client:
        await place.script('require "reject"; reject "No offers";')
        answers = await send(client, MESSAGE, "bob@example.org", "ann@example.org")
        assert [line[:9] for line in answers.splitlines()] == ["250 2.0.0", "550 5.7.1"]
        assert len(place.mail("INBOX", "bob@example.org")) == 1
        assert place.mail("INBOX") == place.queued() == []


async def test_a_refusal_never_answers_a_null_reverse_path_by_mail(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('require "ereject"; ereject "No offers";')
        await send(client, MESSAGE, "ann@example.org", "bob@example.org", sender="")
        assert place.queued() == []


# Answers

AWAY = 'require "vacation"; vacation :days 3 "I am away";'


async def test_vacation_answers_once(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script(AWAY)
        await send(client, MESSAGE)
        ((message, octets),) = place.queued()
        assert message.reverse_path == ""
        assert message.kind is QueueKind.REPORT
        assert [one.address for one in message.recipients] == ["sue@far.example"]
        answer = parsed(octets)
        assert answer["From"] == "ann@example.org"
        assert answer["To"] == "sue@far.example"
        assert answer["Subject"] == "Auto: Offer for you"
        assert answer["In-Reply-To"] == "<one@far.example>"
        assert answer["References"].split() == ["<zero@far.example>", "<one@far.example>"]
        assert answer["Auto-Submitted"].startswith("auto-replied")
        assert answer.get_content() == "I am away\r\n"
        assert len(place.mail("INBOX")) == 1
        second = await send(client, MESSAGE)
        assert len(place.queued()) == 0
        assert len(place.mail("INBOX")) == 2
        assert any("who was answered before" in words for _, _, words in place.trace(second.split()[-1]))


@pytest.mark.parametrize(
    ("extra", "sender"),
    [
        (b"", ""),
        (b"List-Id: <a.example>\r\n", "sue@far.example"),
        (b"Auto-Submitted: auto-generated\r\n", "sue@far.example"),
        (b"Precedence: bulk\r\n", "sue@far.example"),
        (b"", "MAILER-DAEMON@far.example"),
        (b"", "owner-list@far.example"),
        (b"", "list-request@far.example"),
        (b"", "ann@example.org"),
    ],
)
async def test_vacation_does_not_answer(tmp_path: Path, extra: bytes, sender: str) -> None:
    async with scripted(tmp_path) as place, place.client("lmtp") as client:
        await place.script(AWAY)
        await send(client, extra + MESSAGE, sender=sender)
        assert place.queued() == []
        assert len(place.mail("INBOX")) == 1


async def test_vacation_does_not_answer_what_was_not_for_the_account(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script(AWAY)
        await send(client, MESSAGE.replace(b"To: ann@example.org", b"To: all@far.example"))
        assert place.queued() == []


async def test_an_answer_is_from_nobody_elses_address(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('require "vacation"; vacation :from "bob@example.org" "Away";')
        await send(client, MESSAGE)
        ((_, octets),) = place.queued()
        assert parsed(octets)["From"] == "ann@example.org"


async def test_a_copy_of_the_answer_is_filed(tmp_path: Path) -> None:
    """RFC 8580 §3"""
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('require ["vacation","fcc"]; vacation :fcc "Sent" "Away";')
        await send(client, MESSAGE)
        ((octets, flags, _),) = place.mail("Sent")
        assert parsed(octets)["To"] == "sue@far.example"
        assert flags == SEEN
        await send(client, MESSAGE)
        assert len(place.mail("Sent")) == 1


# Notifications

NOTIFY = 'require "enotify"; notify :message "You got mail" "mailto:phone@else.example?x-tag=1&from=x@y";'


async def test_notify_sends_mail(tmp_path: Path) -> None:
    """RFC 5436 §2.7"""
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script(NOTIFY)
        await send(client, MESSAGE)
        ((message, octets),) = place.queued()
        assert message.reverse_path == "ann@example.org"
        assert [one.address for one in message.recipients] == ["phone@else.example"]
        told = parsed(octets)
        assert told["Subject"] == "You got mail"
        assert told["From"] == "ann@example.org"
        assert told["To"] == "phone@else.example"
        assert told["X-tag"] == "1"
        assert told["Auto-Submitted"] == 'auto-notified; owner-email="ann@example.org"'
        assert "<one@far.example>" in told["References"]
        assert len(place.mail("INBOX")) == 1


async def test_a_notification_of_a_bounce_has_a_null_reverse_path(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script(NOTIFY)
        await send(client, MESSAGE, sender="")
        ((message, _),) = place.queued()
        assert message.reverse_path == ""


async def test_nobody_is_notified_of_automatic_mail(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script(NOTIFY)
        await send(client, b"Auto-Submitted: auto-notified; owner-email=x\r\n" + MESSAGE)
        assert place.queued() == []


# Faults


async def test_a_fault_keeps_the_message_and_tells_the_account_once_a_day(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('require "include";\ninclude :personal "nowhere";')
        for _ in range(2):
            assert (await send(client, MESSAGE)).startswith("250")
        mail = [octets for octets, _, _ in place.mail("INBOX")]
        notes = [octets for octets in mail if b"Subject: Your mail filter has a fault" in octets]
        assert len(mail) == 3
        assert len(notes) == 1
        assert b"main:2" in notes[0]
        assert any(event.event == "script.fault" for event in place.world.log.events)


async def test_a_fault_of_the_server_keeps_the_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script("discard;")
        monkeypatch.setattr("postino.delivery.filters.running.run_sequence", fail)
        assert (await send(client, MESSAGE)).startswith("250")
        assert len(place.mail("INBOX")) == 2
        assert any(event.event == "script.failed" for event in place.world.log.events)


async def test_a_large_message_is_filtered_from_its_file(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('require ["body","fileinto"]; if body :contains "needle" { fileinto "Archive"; }')
        await send(client, MESSAGE + b"A needle.\r\n" + b"filler words\r\n" * 100_000)
        account_id = place.account("ann@example.org")
        found = place.world.store.read_now(lambda tx: reach_mailbox(tx, account_id, "Archive").mailbox)
        assert found.messages == 1


# Whose mailbox, and which

TO_BOB = "Shared/bob@example.org/Common"


async def share(place: Scripted, rights: str) -> None:
    """bob's mailbox Common, in which ann has these rights."""
    bob = place.account("bob@example.org")
    await create(place, "Common", "bob@example.org")

    def grant(tx: Any) -> None:
        mailbox = mailbox_by_name(tx, bob, "Common")
        set_acl(tx, bob, mailbox.id, "ann@example.org", parse_rights(rights))

    await place.world.store.write(grant)


@pytest.mark.parametrize(("rights", "shared"), [("lrip", 1), ("lr", 0), ("i", 1)])
async def test_fileinto_needs_the_right_to_insert(tmp_path: Path, rights: str, shared: int) -> None:
    """RFC 4314 §4"""
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await share(place, rights)
        await place.script(f'require ["fileinto","imap4flags"]; fileinto :flags "\\\\Flagged" "{TO_BOB}";')
        await send(client, MESSAGE)
        assert all(flags == 0 for _, flags, _ in place.mail("Common", "bob@example.org"))
        assert len(place.mail("Common", "bob@example.org")) == shared
        assert len(place.mail("INBOX")) == 1 - shared


async def test_anothers_full_mailbox_does_not_keep_mail_from_the_account(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await share(place, "lrip")
        bob = place.account("bob@example.org")
        await place.world.store.write(lambda tx: set_quotas(tx, bob, octets=10))
        await place.script(f'require "fileinto"; fileinto "{TO_BOB}";')
        answer = await send(client, MESSAGE)
        assert len(place.mail("INBOX")) == 1
        assert place.trace(answer.split()[-1])[-1][2].endswith("its owner's quota is used up")


async def test_special_use_and_id_come_before_the_name(tmp_path: Path) -> None:
    """RFC 8579 §4, RFC 9042 §4"""
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await create(place, "Boss")
        account_id = place.account("ann@example.org")
        boss = place.world.store.read_now(lambda tx: mailbox_by_name(tx, account_id, "Boss").id)
        await place.script(
            'require ["fileinto","special-use","mailboxid"];'
            'fileinto :specialuse "\\\\Archive" "INBOX";'
            f'fileinto :mailboxid "{mailbox_object_id(account_id, boss)}" "INBOX";'
            'fileinto :mailboxid "F1_999" "Trash";'
        )
        await send(client, MESSAGE)
        for name in ("Archive", "Boss", "Trash"):
            assert len(place.mail(name)) == 1, name
        assert place.mail("INBOX") == []


async def test_duplicates_are_known_once_they_are_delivered(tmp_path: Path) -> None:
    """RFC 7352 §3.1"""
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('require "duplicate"; if duplicate { discard; }')
        for _ in range(3):
            await send(client, MESSAGE)
        assert len(place.mail("INBOX")) == 1


async def test_redirect_asks_for_what_the_script_says(tmp_path: Path) -> None:
    """RFC 6009 §6"""
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('require "redirect-dsn"; redirect :notify "NEVER" :ret "HDRS" "me@else.example";')
        await send(client, MESSAGE)
        ((message, _),) = place.queued()
        assert message.recipients[0].notify is Notify.NEVER
        assert message.options.ret is Return.HEADERS


async def test_all_of_it_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError("the disk is gone")

    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script(
            'require ["vacation","fileinto","mailbox","copy","duplicate"];'
            'vacation "Away"; redirect :copy "me@else.example"; fileinto :create "New";'
            "if duplicate { discard; }"
        )
        with monkeypatch.context() as patch:
            patch.setattr("postino.delivery.accept.note_decisions", fail)
            assert (await send(client, MESSAGE)).startswith("451")
        account_id = place.account("ann@example.org")
        for table in ("message", "vacation_reply", "sieve_seen", "trace_event", "queue_message"):
            assert (
                place.world.store.read_now(lambda tx, table=table: tx.one(f"SELECT 1 FROM {table}")) is None
            )
        with pytest.raises(NoSuchMailbox):
            place.world.store.read_now(lambda tx: mailbox_by_name(tx, account_id, "New"))
        assert (await send(client, MESSAGE)).startswith("250")
        assert len(place.mail("New")) == 1
        assert len(place.queued()) == 2


async def test_an_alias_of_several_runs_each_ones_script(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        both = [place.account(f"{login}@example.org") for login in ("ann", "bob")]
        await place.world.store.write(lambda tx: add_alias(tx, parse_address("all@example.org"), both, []))
        await place.script('require "fileinto"; fileinto "Archive";')
        await place.script("discard;", "bob")
        await send(client, MESSAGE, "all@example.org")
        assert len(place.mail("Archive")) == 1
        assert place.mail("INBOX", "bob@example.org") == []


async def test_a_sites_scripts_run_before_and_after(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        for name, where, text in (
            ("first", ScriptPlace.BEFORE, b'require "editheader"; addheader "X-Site" "yes";'),
            ("last", ScriptPlace.AFTER, b'require "fileinto"; fileinto "Archive";'),
        ):
            compiled = compile_script(text, name=name).stored
            await place.world.store.write(
                lambda tx, name=name, where=where, text=text, compiled=compiled: put_site_script(
                    tx, "example.org", where, name, text, compiled, now=NOW
                )
            )
        await send(client, MESSAGE, "bob@example.org")
        ((octets, _, _),) = place.mail("Archive", "bob@example.org")
        assert b"X-Site: yes" in octets
        assert place.delivered() == ["bob@example.org/Archive/1 (last:1)"]


async def test_a_report_of_abuse_is_not_itself_reported(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script('require "vnd.dovecot.report"; report "abuse" "Look." "bob@example.org";')
        await send(client, MESSAGE)
        ((_, octets),) = place.queued()
        await send(client, octets)
        assert place.queued() == []
        assert len(place.mail("INBOX")) == 2


async def test_a_script_that_takes_long_goes_on_where_it_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postino.delivery.filters.running.IN_PLACE_SECONDS", -1.0)
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await create(place, "Boss")
        rules = 'if header :contains "subject" "none" { stop; }' * 2500
        await place.script(f'require "fileinto"; {rules} fileinto "Boss";')
        reads, read = [], place.world.store.read

        async def noted(fn: Any) -> Any:
            reads.append(fn)
            return await read(fn)

        monkeypatch.setattr(place.world.store, "read", noted)
        await send(client, MESSAGE)
        assert len(reads) == 1
        assert len(place.mail("Boss")) == 1


async def test_scripts_send_to_so_many_a_day_and_then_keep_instead(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        place.world.context.delivery.scripts_daily = 3
        await place.script('require "enotify"; redirect "one@far.example"; notify "mailto:two@far.example";')
        await send(client, MESSAGE)
        assert len(place.queued()) == 2
        assert place.mail("INBOX") == []
        # One is left, which the redirect takes; then none is.
        await send(client, MESSAGE)
        assert len(place.queued()) == 1
        answer = await send(client, MESSAGE)
        assert place.queued() == []
        assert len(place.mail("INBOX")) == 1
        assert all(
            "as much today as they may" in words for _, _, words in place.trace(answer.split()[-1])[:1]
        )
