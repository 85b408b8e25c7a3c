"""`postino sieve replay`, `apply` and `undo` over an account's mail."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from postino.cli.main import main
from postino.core.address import Address
from postino.core.flags import flag_set
from postino.core.ids import AccountId
from postino.store.addresses import add_alias
from postino.store.mailboxes import create_mailbox, list_mailboxes
from postino.store.messages import append
from postino.store.store import open_store
from postino.store.verify import verify
from tests.support.stored import email, inbox_of, make_accounts
from tests.support.world import NOW

ANN = AccountId(1)
LOGIN = "ann@example.org"
HEADER = b"Return-Path: <%b>\r\nDelivered-To: ann@example.org\r\nFrom: <%b>\r\nSubject: %b\r\n\r\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ann's INBOX has two offers, one from her boss and one from bob; Old has an offer, Sent something."""
    path = tmp_path / "data"
    store = open_store(path, first=True)
    make_accounts(store, "ann")

    def make(tx):
        create_mailbox(tx, ANN, "Boss", now=NOW)
        create_mailbox(tx, ANN, "Old", now=NOW)

    store.write_now(make)
    for age, (mailbox, sender, subject) in enumerate(
        (
            ("INBOX", b"shop@shop.example", b"Offer 1"),
            ("INBOX", b"shop@shop.example", b"Offer 2"),
            ("INBOX", b"boss@example.org", b"Work"),
            ("INBOX", b"bob@example.net", b"Hello"),
            ("Old", b"shop@shop.example", b"Offer 0"),
            ("Sent", b"ann@example.org", b"Offer mine"),
        )
    ):
        new = email(header=HEADER % (sender, sender, subject), internal_date=NOW - age)
        box = inbox_of(store, ANN, mailbox)
        store.write_now(lambda tx, box=box, new=new: append(tx, ANN, box, new, now=NOW))
    store.close_now()
    return path


def boxes(data: Path) -> dict[str, int]:
    """How many messages are in which mailbox."""
    store = open_store(data)
    try:
        assert store.read_now(verify) == []
        return {
            row.name: row.messages
            for row in store.read_now(lambda tx: list_mailboxes(tx, ANN))
            if row.messages
        }
    finally:
        store.close_now()


def script(tmp_path: Path, source: str) -> str:
    path = tmp_path / "rules.sieve"
    path.write_text(source)
    return str(path)


def run(data: Path, *words: str) -> tuple[str, str]:
    """Standard output and standard error."""
    done = CliRunner().invoke(main, ["sieve", *words, "--data", str(data)])
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


SORTING = """
require ["fileinto", "mailbox", "copy", "envelope"];
if envelope :is "from" "boss@example.org" { fileinto "Boss"; stop; }
if header :contains "subject" "offer" { fileinto :create "Offers"; redirect :copy "x@example.net"; stop; }
if address :is "from" "bob@example.net" { discard; }
"""
BEFORE = {"INBOX": 4, "Old": 1, "Sent": 1}


def test_replay_counts_what_would_be_elsewhere_and_touches_nothing(data: Path, tmp_path: Path) -> None:
    table, said = run(data, "replay", LOGIN, script(tmp_path, SORTING))
    assert table == (
        "INBOX\tOffers\t2\tline 4\n"
        "INBOX\tBoss\t1\tline 3\n"
        "INBOX\tnowhere\t1\tline 5\n"
        "Old\tOffers\t1\tline 4\n"
    )
    assert "would send on to x@example.net: 3 messages" in said
    assert "5 messages, of which 5 would be elsewhere. Nothing was touched." in said
    assert boxes(data) == BEFORE


def test_replay_of_the_newest_and_of_one_mailbox(data: Path, tmp_path: Path) -> None:
    file = script(tmp_path, 'require "fileinto"; if size :over 1 { fileinto "No/Such"; }')
    table, said = run(data, "replay", LOGIN, file, "--last", "3")
    assert table == "INBOX\tINBOX (as it is)\t3\tline 1, but there is no mailbox No/Such\n"
    assert "3 messages, of which 0 would be elsewhere." in said
    table, _ = run(data, "replay", LOGIN, script(tmp_path, "keep;"), "--mailbox", "Old")
    assert table == "Old\tINBOX\t1\tline 1\n"


def test_apply_moves_and_undo_takes_it_back(data: Path, tmp_path: Path) -> None:
    said, more = run(data, "apply", LOGIN, script(tmp_path, SORTING))
    assert said == (
        "4 messages were looked at, and 4 moved, copied or flagged.\n"
        "To take that back: postino sieve undo ann@example.org\n"
    )
    assert "did not send on to x@example.net: 2 messages" in more
    assert boxes(data) == {"Boss": 1, "Offers": 2, "Trash": 1, "Old": 1, "Sent": 1}
    said, _ = run(data, "undo", LOGIN)
    assert said == "4 messages are back where they were, 0 have their flags again, 0 copies are removed.\n"
    assert boxes(data) == BEFORE
    done = CliRunner().invoke(main, ["sieve", "undo", LOGIN, "--data", str(data)])
    assert done.exit_code == 1
    assert "or it is undone" in done.output


def test_applied_flags_and_copies(data: Path, tmp_path: Path) -> None:
    source = """
    require ["imap4flags", "fileinto", "copy"];
    addflag "$Old";
    fileinto :copy "Boss";
    """
    said, _ = run(data, "apply", LOGIN, script(tmp_path, source), "--mailbox", "Old")
    assert said.startswith("1 messages were looked at, and 2 moved, copied or flagged.\n")
    assert boxes(data) == {"Boss": 1, **BEFORE}
    said, _ = run(data, "undo", LOGIN)
    assert said == "0 messages are back where they were, 1 have their flags again, 1 copies are removed.\n"
    assert boxes(data) == BEFORE


def test_a_script_that_fails_leaves_the_message_and_is_told(data: Path, tmp_path: Path) -> None:
    redirects = " ".join(f'redirect "{n}@example.net";' for n in range(9))
    _, more = run(data, "apply", LOGIN, script(tmp_path, redirects))
    assert "the script ended with an error for 4 messages: " in more
    assert boxes(data) == BEFORE


def test_refusals(data: Path, tmp_path: Path) -> None:
    for words, said in (
        (["replay", "eve@example.org", script(tmp_path, "keep;")], "There is no account eve@example.org"),
        (["apply", LOGIN, script(tmp_path, "keep;"), "--mailbox", "None"], "There is no mailbox 'None'"),
    ):
        done = CliRunner().invoke(main, ["sieve", *words, "--data", str(data)])
        assert done.exit_code == 1
        assert said in done.output


def test_flags_are_as_they_were(data: Path, tmp_path: Path) -> None:
    store = open_store(data)
    box = inbox_of(store, ANN, "Old")
    new = email(flags=flag_set(["$Old", "\\Seen"]))
    store.write_now(lambda tx: append(tx, ANN, box, new, now=NOW))
    store.close_now()
    source = 'require "imap4flags"; addflag ["$Old", "$New"]; removeflag "\\\\Seen";'
    said, _ = run(data, "apply", LOGIN, script(tmp_path, source), "--mailbox", "Old")
    assert said.startswith("2 messages were looked at, and 2 moved")
    run(data, "undo", LOGIN)
    store = open_store(data)
    try:
        flags = store.read_now(
            lambda tx: tx.all("SELECT keywords, flags FROM message WHERE mailbox_id=? ORDER BY uid", (box,))
        )
    finally:
        store.close_now()
    assert flags == [("", 0), ("$Old", 1)]


def test_mail_for_an_alias_is_the_accounts_own_and_would_be_answered(data: Path, tmp_path: Path) -> None:
    store = open_store(data)
    new = email(
        header=b"Return-Path: <carl@example.net>\r\nDelivered-To: ann@example.org\r\nTo: sales-eu@example.org\r\n\r\n",
        internal_date=NOW,
    )
    store.write_now(lambda tx: add_alias(tx, Address("sales", "example.org"), [ANN]))
    store.write_now(lambda tx: append(tx, ANN, inbox_of(store, ANN), new, now=NOW))
    store.close_now()
    config = tmp_path / "postino.toml"
    config.write_text('[server]\nsubaddress_separator = "-"\n')
    source = """require ["vacation", "fileinto", "subaddress"]; vacation "Away.";
        if address :detail "to" "eu" { fileinto "Old"; }"""
    said, others = run(
        data, "replay", LOGIN, script(tmp_path, source), "--last", "1", "--config", str(config)
    )
    assert "Old" in said
    assert "answer" in others
