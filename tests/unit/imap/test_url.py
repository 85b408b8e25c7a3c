"""IMAP URLs of messages: RFC 5092's examples, what is refused, and any octets."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.imap.fetch_item import BodySection, Section, SectionText
from postino.imap.url import BadUrl, MessageUrl, parse_message_url


def body(
    part: tuple[int, ...] = (),
    text: SectionText = SectionText.NONE,
    partial: tuple[int, int] | None = None,
    fields: tuple[bytes, ...] = (),
) -> BodySection:
    return BodySection(Section(part, text, fields), partial, peek=True)


URLS: list[tuple[bytes, MessageUrl]] = [
    # RFC 4469, Appendix A
    (
        b"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=1.MIME",
        MessageUrl(None, None, "Drafts", 385759045, 20, body((1,), SectionText.MIME)),
    ),
    # RFC 8508 §4.2
    (b"/Drafts/;UID=3002", MessageUrl(None, None, "Drafts", None, 3002, body())),
    # RFC 5092 §9
    (
        b"imap://minbari.example.org/gray-council;UIDVALIDITY=385759045/;UID=20/;PARTIAL=0.1024",
        MessageUrl("minbari.example.org", None, "gray-council", 385759045, 20, body(partial=(0, 1024))),
    ),
    (
        b"imap://psicorp.example.org/~peter/%E6%97%A5%E6%9C%AC%E8%AA%9E/%E5%8F%B0%E5%8C%97/;UID=1",
        MessageUrl("psicorp.example.org", None, "~peter/日本語/台北", None, 1, body()),
    ),
    (
        b"imap://;AUTH=GSSAPI@minbari.example.org/gray-council/;uid=20/;section=1.2",
        MessageUrl("minbari.example.org", None, "gray-council", None, 20, body((1, 2))),
    ),
    (
        b"//michael;AUTH=*@PSIcorp.example.org:143/INBOX/;uid=2/;partial=7",
        MessageUrl("psicorp.example.org", "michael", "INBOX", None, 2, body(partial=(7, 4294967295))),
    ),
    (
        b"/inbox/;UID=1/;SECTION=HEADER.FIELDS%20(from%20to)/;PARTIAL=3.4",
        MessageUrl(
            None, None, "INBOX", None, 1, body((), SectionText.HEADER_FIELDS, (3, 4), (b"from", b"to"))
        ),
    ),
    (b"/a%3Bb%2Fc/;UID=1", MessageUrl(None, None, "a;b/c", None, 1, body())),
]


@pytest.mark.parametrize(("octets", "url"), URLS)
def test_messages(octets: bytes, url: MessageUrl) -> None:
    assert parse_message_url(octets) == url


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"/",
        b"/INBOX",
        # RFC 5092 §7.2: relative paths are not to be accepted.
        b"INBOX/;UID=1",
        b";UID=1",
        b"//INBOX/;UID=1/",
        b"///INBOX/;UID=1",
        b"http://h/INBOX/;UID=1",
        b"/INBOX/;UID=0",
        b"/INBOX/;UID=4294967296",
        b"/INBOX/;UID=1;URLAUTH=anonymous",
        b"/INBOX/;UID=1?x",
        b"/INBOX/;UID=1/;UID=2",
        b"/INBOX;UIDVALIDITY=0/;UID=1",
        b"/INBOX/;UID=1/;PARTIAL=0.0",
        b"/INBOX/;UID=1/;SECTION=]<0.5>",
        b"/INBOX/;UID=1/;SECTION=]%20FLAGS",
        b"/INBOX/;UID=1/;SECTION=%7B3%7D",
        b"/INBOX/;UID=1/;SECTION=MIME",
        b"/INBOX/;UID=1/;SECTION=1..2",
        b"/%/;UID=1",
        b"/%0g/;UID=1",
        b"/%FF/;UID=1",
        b"/a%00b/;UID=1",
        b"/a b/;UID=1",
        b"/\xc3\xbc/;UID=1",
        b"imap://%FF/INBOX/;UID=1",
        b"/" + b"a" * 9000 + b"/;UID=1",
    ],
)
def test_refused(octets: bytes) -> None:
    with pytest.raises(BadUrl):
        parse_message_url(octets)


TOKENS = st.sampled_from(
    b"imap:|//|/|ann|@|h|:143|INBOX|;UID=1|;UIDVALIDITY=2|;SECTION=|1.2|HEADER|;PARTIAL=3.4|%20|%|?|#|;|\xff".split(
        b"|"
    )
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(TOKENS, st.binary(max_size=3)), max_size=10).map(b"".join))
def test_any_octets_give_a_url_or_a_refusal(octets: bytes) -> None:
    try:
        found = parse_message_url(octets)
    except BadUrl as error:
        refusal = error
    else:
        assert found.uid > 0
        assert found.mailbox
        return
    assert "\n" not in str(refusal)
