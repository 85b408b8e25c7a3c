"""Mail a script has sent: what a mailto URI says, and what the messages hold."""

import email
import email.policy

import pytest

from postino.core.address import parse_address
from postino.core.ids import Instant
from postino.delivery.filters.auto_mail import From, hear, parse_mailto, vacation_answer

SENDER = From("<ann@example.org>", "mail.example.org", Instant(1_767_225_600))
SUE = parse_address("sue@far.example")


@pytest.mark.parametrize(
    ("uri", "to", "cc", "subject", "body"),
    [
        ("mailto:a@x.example", ["a@x.example"], [], "", ""),
        (
            "MAILTO:a@x.example,b@x.example?cc=c@x.example",
            ["a@x.example", "b@x.example"],
            ["c@x.example"],
            "",
            "",
        ),
        ("mailto:?to=a%40x.example&subject=You%20got%20mail", ["a@x.example"], [], "You got mail", ""),
        ("mailto:a@x.example?body=one%0D%0Atwo", ["a@x.example"], [], "", "one\r\ntwo"),
        ("mailto:a@x.example,A@x.example,none", ["a@x.example"], [], "", ""),
    ],
)
def test_mailto(uri: str, to: list[str], cc: list[str], subject: str, body: str) -> None:
    said = parse_mailto(uri)
    assert said is not None
    assert [str(one) for one in said.to] == to
    assert [str(one) for one in said.cc] == cc
    assert (said.subject, said.body) == (subject, body)


@pytest.mark.parametrize("uri", ["mailto:", "mailto:nobody", "xmpp:a@x.example", "mailto:?subject=x"])
def test_nobody_is_named(uri: str) -> None:
    assert parse_mailto(uri) is None


@pytest.mark.parametrize(
    "name", ["from", "Auto-Submitted", "received", "date", "message-id", "bcc", "content-type", "x y"]
)
def test_fields_that_a_uri_must_not_set(name: str) -> None:
    """RFC 5436 §2.7"""
    said = parse_mailto(f"mailto:a@x.example?{name}=v")
    assert said is not None
    assert said.others == ()


@pytest.mark.parametrize(
    ("header", "subject", "wanted"),
    [
        (b"Subject: lunch?\r\n\r\n", "", "Auto: lunch?"),
        (b"\r\n", "", "Automated reply"),
        (b"Subject: x\r\n\r\n", "Grüße", "Grüße"),
        (b"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\r\n", "", "Auto: Grüße"),
    ],
)
def test_subjects_of_answers(header: bytes, subject: str, wanted: str) -> None:
    """RFC 5230 §5.3"""
    composed = vacation_answer(SENDER, SUE, hear(header), "Away", subject=subject)
    answer = email.message_from_bytes(composed.header + composed.body, policy=email.policy.default)
    assert answer["Subject"] == wanted


def test_a_mime_answer_keeps_its_own_fields_alone() -> None:
    """RFC 5230 §4.4"""
    entity = "Content-Type: text/html\nX-Other: 1\n\n<p>Away</p>\n"
    composed = vacation_answer(SENDER, SUE, hear(b"\r\n"), entity, is_mime=True)
    answer = email.message_from_bytes(composed.header + composed.body, policy=email.policy.default)
    assert answer.get_content_type() == "text/html"
    assert "X-Other" not in answer
    assert answer.get_content().strip() == "<p>Away</p>"


def test_a_mime_answer_has_no_control_characters_in_its_fields() -> None:
    entity = "Content-Type: text/html; a=\x1b[31m\0\x7f\r\n\tx\n\nAway\n"
    composed = vacation_answer(SENDER, SUE, hear(b"\r\n"), entity, is_mime=True)
    assert b"Content-Type: text/html; a=[31m\r\n\tx\r\n" in composed.header
