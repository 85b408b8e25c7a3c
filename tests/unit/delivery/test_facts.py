"""Facts of a message: what is kept beside its octets."""

import mmap
import tempfile

from hypothesis import given
from hypothesis import strategies as st

from postino.core.limits import Limits
from postino.delivery.facts import derive_facts
from postino.imap.bodystructure import encode_bodystructure
from postino.imap.envelope import encode_envelope
from postino.mime.header import header_octets
from postino.mime.index import index_message, pack_index
from postino.mime.text import fold

LIMITS = Limits()
HEADER = (
    b"Return-Path: <ann@a.example>\r\n"
    b"Received: from x by y; Fri, 21 Nov 1997 09:55:06 -0600\r\n"
    b'From: =?utf-8?Q?J=C3=BCrgen?= "the Man" <Juergen@A.Example>\r\n'
    b"To: Bob <bob@b.example>,\r\n Carl <carl@c.example>\r\n"
    b"Cc: Team: dora@d.example;\r\n"
    b"Subject: =?iso-8859-1?Q?GR=DCSSE?=\r\n AUS Rom\r\n"
    b"Date: Fri, 21 Nov 1997 23:55:06 -0600\r\n"
    b"Message-ID: (c) <1.2@a.example>\r\n"
    b"X-Private: no\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"\r\n"
)


def test_facts_of_a_usual_message() -> None:
    facts = derive_facts(HEADER, b"Hello\r\n", LIMITS)
    assert (facts.size, facts.header_octets) == (len(HEADER) + 7, len(HEADER))
    assert facts.envelope == encode_envelope(HEADER)
    assert facts.bodystructure == b'("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 7 1 NIL NIL NIL NIL)'
    assert (facts.sent_at, facts.sent_day) == (880178106, 880070400 // 86400)
    assert facts.subject_text == fold("grüße aus rom")
    assert facts.from_text == fold('Jürgen "The Man" <juergen@a.example>')
    assert "bob <bob@b.example>, carl <carl@c.example>" in facts.to_text
    assert facts.cc_text == "team: dora@d.example;"
    assert facts.bcc_text == ""
    assert facts.message_id == "1.2@a.example"
    assert b"Received" not in facts.fields
    assert b"X-Private" not in facts.fields
    assert b"To: Bob <bob@b.example>,\r\n Carl <carl@c.example>\r\nCc: Team" in facts.fields


def test_missing_and_unusable_fields() -> None:
    facts = derive_facts(b"Date: tomorrow\r\nMessage-ID: none\r\n\r\n", b"", LIMITS)
    assert (facts.sent_at, facts.sent_day) == (0, 0)
    assert facts.message_id == "none"
    assert (facts.subject_text, facts.from_text, facts.to_text) == ("", "", "")
    empty = derive_facts(b"", b"", LIMITS)
    assert (empty.size, empty.fields, empty.message_id) == (0, b"", "")


def test_several_fields_of_one_kind_are_all_searched() -> None:
    facts = derive_facts(b"To: a@x\r\nTo: b@x\r\nSubject: 1\r\nSubject: 2\r\n\r\n", b"", LIMITS)
    assert "a@x" in facts.to_text
    assert "b@x" in facts.to_text
    assert facts.subject_text == "1\x002"


PIECES = st.sampled_from(
    [b"From: \xff\r\n", b"To: a@b\r\n", b"Date: 1 Jan 2000\r\n", b"Content-Type: multipart/mixed; boundary=b\r\n", b"\r\n",
     b"\r\n--b\r\n", b"\r\n--b--\r\n", b"Content-Type: message/rfc822\r\n", b"\0", b"Message-ID: <\r\n>\r\n", b"text"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25).map(b"".join))
def test_any_octets_give_the_same_facts_in_memory_and_in_a_map(octets: bytes) -> None:
    length = header_octets(octets)
    header, body = octets[:length], octets[length:]
    facts = derive_facts(header, body, LIMITS)
    root = index_message(octets, LIMITS)
    assert facts.size == len(octets)
    assert facts.parts == pack_index(root)
    assert facts.bodystructure == encode_bodystructure(root)
    assert facts.envelope == encode_envelope(header)
    if octets:
        with tempfile.TemporaryFile() as file:
            file.write(octets)
            file.flush()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                assert derive_facts(header, mapped, LIMITS, body_start=length) == facts
