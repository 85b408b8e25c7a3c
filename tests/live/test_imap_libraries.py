"""The IMAP libraries of PyPI that Python programs use: IMAPClient, imap-tools, aioimaplib."""

import asyncio
import ssl
from datetime import date
from pathlib import Path

import aioimaplib
import imap_tools
from imapclient import IMAPClient

from tests.live.mail_programs import ANN, PASSWORD, client_tls, deliver, running_server, sample


def test_imapclient_reads_sorts_threads_and_moves(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        sent = deliver(server, 5)
        with IMAPClient("localhost", server.ports["imaps"], ssl_context=client_tls(server)) as imap:
            imap.login(ANN, PASSWORD)
            assert imap.enable("CONDSTORE") == [b"CONDSTORE"]
            imap.id_({"name": "test"})
            personal, _, _ = imap.namespace()
            assert personal[0] == ("", "/")
            assert imap.select_folder("INBOX")[b"EXISTS"] == 5
            uids = imap.search(["SUBJECT", "Nummer"])
            assert len(uids) == 5
            assert imap.search(["FROM", "böb"], "UTF-8") == uids
            assert imap.sort("REVERSE SUBJECT") == uids[::-1]
            assert [thread[0] for thread in imap.thread()] == uids
            found = imap.fetch(uids, ["BODY.PEEK[]", "ENVELOPE", "FLAGS", "MODSEQ"])
            assert found[uids[0]][b"BODY[]"].endswith(sent[0])
            assert found[uids[1]][b"ENVELOPE"].message_id == b"<sample-2@example.org>"
            imap.create_folder("Arbeit/Grüße")
            assert "Arbeit/Grüße" in [name for _, _, name in imap.list_folders()]
            imap.move(uids[:2], "Arbeit/Grüße")
            imap.add_flags(uids[2], ["\\Flagged", "$Label1"])
            assert imap.get_flags(uids[2])[uids[2]] == (b"\\Flagged", b"$Label1")
            imap.delete_messages(uids[3])
            imap.expunge()
            assert imap.search() == [uids[2], uids[4]]
            assert imap.folder_status("Arbeit/Grüße", ["MESSAGES"]) == {b"MESSAGES": 2}
            imap.append("INBOX", sample(9).as_bytes(), flags=["\\Seen"])
            imap.idle()
            assert imap.idle_check(timeout=0.2) == []
            imap.idle_done()


def test_imap_tools_fetches_flags_and_folders(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        deliver(server, 4)
        box = imap_tools.MailBox("localhost", server.ports["imaps"], ssl_context=client_tls(server))
        with box.login(ANN, PASSWORD) as mailbox:
            messages = list(mailbox.fetch(imap_tools.AND(subject="Nummer", seen=False), mark_seen=False))
            assert [message.subject for message in messages] == [f"Grüße Nummer {n}" for n in (1, 2, 3, 4)]
            assert len(messages[2].attachments) == 1
            assert messages[2].attachments[0].payload == bytes(range(256)) * 40
            assert list(mailbox.uids(imap_tools.AND(text="sample 2"))) == [messages[1].uid]
            assert mailbox.uids(imap_tools.AND(date_lt=date(2020, 1, 1))) == []
            mailbox.folder.create("Später")
            mailbox.copy(messages[0].uid, "Später")
            mailbox.move(messages[1].uid, "Später")
            mailbox.flag(messages[2].uid, imap_tools.MailMessageFlags.FLAGGED, True)
            mailbox.delete(messages[3].uid)
            assert mailbox.folder.status("INBOX")["MESSAGES"] == 2
            assert mailbox.folder.status("Später")["MESSAGES"] == 2
            mailbox.folder.rename("Später", "Früher")
            assert "Früher" in [folder.name for folder in mailbox.folder.list()]
            mailbox.folder.set("Früher")
            assert len(list(mailbox.fetch())) == 2


async def test_aioimaplib_idles_and_is_told(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        await _idle(client_tls(server), server.ports["imaps"], lambda: deliver(server, 1))


async def _idle(tls: ssl.SSLContext, port: int, deliver_one: object) -> None:
    imap = aioimaplib.IMAP4_SSL("localhost", port, ssl_context=tls)
    await imap.wait_hello_from_server()
    assert (await imap.login(ANN, PASSWORD)).result == "OK"
    assert (await imap.select("INBOX")).result == "OK"
    idle = await imap.idle_start(timeout=30)
    assert callable(deliver_one)
    await asyncio.to_thread(deliver_one)
    told: list[bytes] = []
    while b"1 EXISTS" not in told:
        told += await imap.wait_server_push(timeout=10)
    imap.idle_done()
    await asyncio.wait_for(idle, 10)
    fetched = await imap.uid("fetch", "1:*", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
    assert fetched.result == "OK"
    assert any(b"<sample-1@example.org>" in line for line in fetched.lines)
    assert (await imap.uid_search("UNSEEN")).lines[0] == b"1"
    await imap.logout()
