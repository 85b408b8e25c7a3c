"""Threads: messages that answer one another get one id when they arrive."""

import pytest

from postino.core.numset import NumberSet
from postino.store.content import NewEmail
from postino.store.messages import append, copy, expunge
from postino.store.sweep import RETENTION_SECONDS, sweep_store
from postino.store.threads import MAX_REFERENCES, id_hash
from tests.support.stored import NOW, email, inbox_of, make_accounts


def mail(message_id: str = "", *, references: str = "", in_reply_to: str = "") -> NewEmail:
    header = "Subject: x\r\n"
    for name, value in (
        ("Message-ID", message_id),
        ("References", references),
        ("In-Reply-To", in_reply_to),
    ):
        if value:
            header += f"{name}: {value}\r\n"
    return email(header=header.encode() + b"\r\n")


@pytest.fixture
def ann(store):
    return make_accounts(store, "ann", "bob")[0]


@pytest.fixture
def arrive(store, ann):
    """Append a message; gives (content id, thread id)."""
    inbox = inbox_of(store, ann)

    def run(new, account_id=ann, mailbox_id=inbox):
        done = store.write_now(lambda tx: append(tx, account_id, mailbox_id, new, now=NOW))
        return done.mod_seq, thread_of(store, account_id, done.mod_seq)

    return run


def thread_of(store, account_id, content_id):
    row = store.read_now(
        lambda tx: tx.one(
            "SELECT thread_id FROM content WHERE account_id=? AND id=?", (account_id, content_id)
        )
    )
    return row[0]


def known_ids(store):
    return store.read_now(lambda tx: tx.one("SELECT count(*) FROM thread_of_id"))[0]


def test_rfc8474_5_3_an_answer_has_the_thread_of_what_it_answers(arrive):
    first, thread = arrive(mail("<a@x>"))
    assert thread == first
    assert arrive(mail("<b@x>", references="<a@x>"))[1] == thread
    third, other = arrive(mail("<c@x>"))
    assert other == third != thread


def test_in_reply_to_counts_without_references(arrive):
    _, thread = arrive(mail("<a@x>"))
    assert arrive(mail("<b@x>", in_reply_to="<a@x> (of Monday)"))[1] == thread


def test_answers_meet_before_what_they_answer_has_come(arrive):
    _, thread = arrive(mail("<c@x>", references="<a@x> <b@x>"))
    assert arrive(mail("<d@x>", references="<a@x>"))[1] == thread
    assert arrive(mail("<b@x>"))[1] == thread
    assert arrive(mail("<a@x>"))[1] == thread


def test_a_message_that_joins_two_threads_goes_to_the_older(store, ann, arrive):
    first, one = arrive(mail("<a@x>"))
    second, two = arrive(mail("<b@x>"))
    assert arrive(mail("<c@x>", references="<b@x> <a@x>"))[1] == one
    # RFC 8474 §5.2: what was told stays.
    assert (thread_of(store, ann, first), thread_of(store, ann, second)) == (one, two)


def test_messages_without_ids_are_threads_of_their_own(arrive):
    one, thread_one = arrive(mail())
    two, thread_two = arrive(mail())
    assert (thread_one, thread_two) == (one, two)
    assert arrive(mail(references="<a@x>"))[1] == arrive(mail(in_reply_to="<a@x>"))[1]


def test_the_same_message_twice_is_one_thread(arrive):
    assert arrive(mail("<a@x>"))[1] == arrive(mail("<a@x>"))[1]


def test_a_copy_keeps_the_thread_and_accounts_do_not_mix(store, ann, arrive):
    first, thread = arrive(mail("<a@x>"))
    inbox, archive = inbox_of(store, ann), inbox_of(store, ann, "Archive")
    store.write_now(lambda tx: copy(tx, ann, inbox, NumberSet([(1, 1)]), archive, now=NOW))
    contents = store.read_now(lambda tx: tx.all("SELECT content_id FROM message"))
    assert contents == [(first,), (first,)]
    bob = ann + 1
    content, own = arrive(mail("<b@x>", references="<a@x>"), bob, inbox_of(store, bob))
    assert own == content
    assert thread == first


def test_long_references_are_bounded(store, arrive):
    refs = " ".join(f"<{number}@x>" for number in range(500))
    _, thread = arrive(mail("<last@x>", references=refs))
    assert known_ids(store) == MAX_REFERENCES + 1
    assert arrive(mail("<0@x>"))[1] == thread
    assert arrive(mail("<499@x>"))[1] == thread
    assert arrive(mail("<100@x>"))[1] != thread


def test_hashes_are_the_same_for_ever():
    # In databases by now: another hash would part every thread.
    assert id_hash("fake.1521475657.54797@example.com") == 7648776242506158943
    assert id_hash("") == 7252660547403494068


async def test_the_sweep_forgets_threads_of_which_nothing_is_left(store, ann, arrive):
    arrive(mail("<gone@x>", references="<older@x>"))
    arrive(mail("<a@x>"))
    _, thread = arrive(mail("<b@x>", references="<a@x>"))
    inbox = inbox_of(store, ann)
    store.write_now(lambda tx: expunge(tx, ann, inbox, NumberSet([(1, 2)]), only_deleted=False, now=NOW))
    assert await sweep_store(store, now=NOW + RETENTION_SECONDS + 1) == 2
    assert known_ids(store) == 2
    # What is left of a thread still gathers its answers.
    assert arrive(mail("<c@x>", references="<a@x>"))[1] == thread
