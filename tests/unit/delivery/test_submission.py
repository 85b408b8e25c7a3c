"""What is mended in a submitted header, and that nothing else is touched."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postino.core.ids import Instant
from postino.core.limits import Limits
from postino.delivery.facts import derive_facts
from postino.delivery.submission import Fields, Mended, facts_of_own, mend, read_fields

NOW = Instant(1_767_225_600)
DATE = b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n"
NAME = b"Message-ID: <s-1@example.org>\r\n"
WHOLE = b"Date: x\r\nMessage-ID: <y>\r\n"


def mended(header: bytes, domain: str = "example.org") -> Mended:
    return mend(header, read_fields(header), now=NOW, message_id="s-1", domain=domain)


@pytest.mark.parametrize(
    ("header", "sent", "own"),
    [
        # (as it came, as everybody gets it, as its author keeps it)
        (WHOLE + b"\r\n", WHOLE + b"\r\n", WHOLE + b"\r\n"),
        (b"\r\n", DATE + NAME + b"\r\n", DATE + NAME + b"\r\n"),
        (b"", DATE + NAME, DATE + NAME),
        (b"DATE : x\r\n\r\n", NAME + b"DATE : x\r\n\r\n", NAME + b"DATE : x\r\n\r\n"),
        (b"message-id:\r\n\r\n", DATE + b"message-id:\r\n\r\n", DATE + b"message-id:\r\n\r\n"),
        # Resent-Date is no Date
        (
            b"Resent-Date: x\r\n\r\n",
            DATE + NAME + b"Resent-Date: x\r\n\r\n",
            DATE + NAME + b"Resent-Date: x\r\n\r\n",
        ),
        (WHOLE + b"Bcc: a@b.c\r\n\r\n", WHOLE + b"\r\n", WHOLE + b"Bcc: a@b.c\r\n\r\n"),
        (b"Bcc: a@b.c\r\n" + WHOLE + b"\r\n", WHOLE + b"\r\n", b"Bcc: a@b.c\r\n" + WHOLE + b"\r\n"),
        (WHOLE + b"Bcc:\r\n\r\n", WHOLE + b"\r\n", WHOLE + b"Bcc:\r\n\r\n"),
        (WHOLE + b"BCC \t: a,\r\n b,\r\n\tc\r\nX: y\r\n\r\n", WHOLE + b"X: y\r\n\r\n", None),
        (WHOLE + b"Bcc: a\r\nX: y\r\nResent-Bcc: b\r\nbcc: c\r\n", WHOLE + b"X: y\r\n", None),
        # Others that only look like it
        (WHOLE + b"X-Bcc: a\r\nBccc: b\r\n\r\n", WHOLE + b"X-Bcc: a\r\nBccc: b\r\n\r\n", None),
        (WHOLE + b"Subject: x\r\n Bcc: a\r\n\r\n", WHOLE + b"Subject: x\r\n Bcc: a\r\n\r\n", None),
        (WHOLE + b"Bcc: a\r\n \r\n\r\n", WHOLE + b"\r\n", None),
    ],
)
def test_headers(header: bytes, sent: bytes, own: bytes | None) -> None:
    found = mended(header)
    assert found.sent == sent
    if own is not None:
        assert found.own == own


def test_a_message_id_is_made_under_the_authors_domain() -> None:
    assert mended(b"\r\n", "bücher.example").sent.endswith(b"<s-1@xn--bcher-kva.example>\r\n\r\n")


def test_authors_and_senders_are_found() -> None:
    header = b"From: a\r\nfrom:\r\n b\r\nSender: c\r\nResent-From: d\r\n\r\n"
    assert read_fields(header) == Fields(
        authors=(b" a\r", b"\r\n b\r"),
        senders=(b" c\r",),
        has_date=False,
        has_message_id=False,
        has_blind=False,
    )


_NAMES = st.sampled_from(
    [b"From", b"Bcc", b"bcc ", b"Resent-Bcc", b"Date", b"Message-ID", b"X", b"Subject", b"To"]
)
_VALUES = st.sampled_from([b" a@b.c", b"", b" x,\r\n y", b" \r\n\tz", b" =?x?=", b" Bcc: q"])
_FIELDS = st.lists(st.tuples(_NAMES, _VALUES), max_size=8)


@given(_FIELDS)
@example([(b"Bcc", b""), (b"Bcc", b" x,\r\n y")])
def test_only_blind_copies_go_and_all_else_stays_in_its_order(fields: list[tuple[bytes, bytes]]) -> None:
    header = b"".join(name + b":" + value + b"\r\n" for name, value in fields) + b"\r\n"
    found = mended(header)
    assert found.own.endswith(header)
    kept = b"".join(
        name + b":" + value + b"\r\n"
        for name, value in fields
        if name.strip().lower() not in {b"bcc", b"resent-bcc"}
    )
    assert found.sent.endswith(kept + b"\r\n")
    added = found.sent[: len(found.sent) - len(kept) - 2]
    assert found.own == added + header
    assert added in {b"", DATE, NAME, DATE + NAME}
    again = read_fields(found.sent)
    assert again.has_date
    assert again.has_message_id
    assert not again.has_blind
    # What is whole is not mended again.
    assert mended(found.sent).sent == found.sent


@pytest.mark.parametrize(
    "body",
    [
        b"hello\r\n",
        (
            b"--b\r\nContent-Type: text/plain\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
            b"Subject: inner\r\n\r\ntwo\r\n--b--\r\n"
        ),
    ],
)
@pytest.mark.parametrize("header", [WHOLE, WHOLE + b"Bcc: Eve <eve@b.c>,\r\n bob@b.c\r\nTo: x@y.z\r\n"])
def test_facts_of_the_authors_copy_are_those_of_its_octets(header: bytes, body: bytes) -> None:
    header += b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    limits = Limits()
    found = mended(header)
    facts = facts_of_own(derive_facts(found.sent, body, limits), found, limits)
    assert facts == derive_facts(found.own, body, limits)
