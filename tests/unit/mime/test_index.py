"""The MIME index: RFC 2045, 2046, 2049 examples, broken messages, limits, and agreement with email."""

import email
import mmap
import random
import tempfile
import time
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.policy import SMTP, compat32

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postino.core.limits import Limits
from postino.mime.header import header_octets
from postino.mime.index import MAX_DEPTH, Part, index_message, index_split, pack_index, unpack_index, walk
from tests.support.mime_index import check_index, shape

LIMITS = Limits()


def bodies(octets: bytes, root: Part) -> list[bytes]:
    return [octets[part.body_start : part.end] for part in walk(root) if not part.parts]


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


RFC2046_SIMPLE = crlf(
    """From: Nathaniel Borenstein <nsb@bellcore.com>
To: Ned Freed <ned@innosoft.com>
Date: Sun, 21 Mar 1993 23:56:48 -0800 (PST)
Subject: Sample message
MIME-Version: 1.0
Content-type: multipart/mixed; boundary="simple boundary"

This is the preamble.  It is to be ignored, though it
is a handy place for composition agents to include an
explanatory note to non-MIME conformant readers.

--simple boundary

This is implicitly typed plain US-ASCII text.
It does NOT end with a linebreak.
--simple boundary
Content-type: text/plain; charset=us-ascii

This is explicitly typed plain US-ASCII text.
It DOES end with a linebreak.

--simple boundary--

This is the epilogue.  It is also to be ignored.
"""
)

RFC2046_DIGEST = crlf(
    """From: Moderator-Address
To: Recipient-List
Date: Mon, 22 Mar 1994 13:34:51 +0000
Subject: Internet Digest, volume 42
MIME-Version: 1.0
Content-Type: multipart/mixed;
              boundary="---- main boundary ----"

------ main boundary ----

...Introductory text or table of contents...

------ main boundary ----
Content-Type: multipart/digest;
              boundary="---- next message ----"

------ next message ----

From: someone-else
Date: Fri, 26 Mar 1993 11:13:32 +0200
Subject: my opinion

...body goes here ...

------ next message ----

From: someone-else-again
Date: Fri, 26 Mar 1993 10:07:13 -0500
Subject: my different opinion

... another body goes here ...

------ next message ------

------ main boundary ------
"""
)

RFC2049_COMPLEX = crlf(
    """MIME-Version: 1.0
From: Nathaniel Borenstein <nsb@nsb.fv.com>
Content-Type: multipart/mixed;
              boundary=unique-boundary-1

This is the preamble area of a multipart message.

--unique-boundary-1

  ... Some text appears here ...

--unique-boundary-1
Content-type: text/plain; charset=US-ASCII

This could have been part of the previous part.

--unique-boundary-1
Content-Type: multipart/parallel; boundary=unique-boundary-2

--unique-boundary-2
Content-Type: audio/basic
Content-Transfer-Encoding: base64

  ... base64-encoded audio ...

--unique-boundary-2
Content-Type: image/jpeg
Content-Transfer-Encoding: base64

  ... base64-encoded image data goes here ...

--unique-boundary-2--

--unique-boundary-1
Content-type: text/enriched

This is <bold><italic>enriched.</italic></bold>

--unique-boundary-1
Content-Type: message/rfc822

From: (mailbox in US-ASCII)
To: (address in US-ASCII)
Subject: (subject in US-ASCII)
Content-Type: Text/plain; charset=ISO-8859-1
Content-Transfer-Encoding: Quoted-printable

  ... Additional text in ISO-8859-1 goes here ...

--unique-boundary-1--
"""
)


def test_rfc2046_5_1_1_simple_multipart() -> None:
    root = index_message(RFC2046_SIMPLE, LIMITS)
    assert shape(root) == ("multipart/mixed", ["text/plain", "text/plain"])
    first, second = bodies(RFC2046_SIMPLE, root)
    assert first.endswith(b"It does NOT end with a linebreak.")
    assert second.endswith(b"It DOES end with a linebreak.\r\n")
    assert [part.lines for part in root.parts] == [1, 2]
    assert root.parts[0].charset == "us-ascii"


def test_rfc2046_5_1_5_digest_defaults_to_messages() -> None:
    root = index_message(RFC2046_DIGEST, LIMITS)
    message = ("message/rfc822", ["text/plain"])
    assert shape(root) == ("multipart/mixed", ["text/plain", ("multipart/digest", [message, message])])
    assert root.parts[1].parts[1].parts[0].header.startswith(b"From: someone-else-again")


def test_rfc2049_appendix_a_complex_multipart() -> None:
    root = index_message(RFC2049_COMPLEX, LIMITS)
    assert shape(root) == (
        "multipart/mixed",
        [
            "text/plain",
            "text/plain",
            ("multipart/parallel", ["audio/basic", "image/jpeg"]),
            "text/enriched",
            ("message/rfc822", ["text/plain"]),
        ],
    )
    embedded = root.parts[4].parts[0]
    assert (embedded.encoding, embedded.charset) == ("quoted-printable", "iso-8859-1")
    assert root.parts[4].lines == 7


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("message", [RFC2046_SIMPLE, RFC2046_DIGEST, RFC2049_COMPLEX])
def test_line_ends_do_not_change_the_shape(message: bytes, line_end: bytes) -> None:
    other = message.replace(b"\r\n", line_end)
    assert shape(index_message(other, LIMITS)) == shape(index_message(message, LIMITS))


def test_descriptive_fields_are_read() -> None:
    octets = crlf(
        """Content-Type: image/png; name="=?utf-8?Q?=C3=BC.png?="
Content-ID: <a@b>
Content-Description: a
  picture
Content-Disposition: attachment; filename*=utf-8''%C3%A4.png; size=3
Content-Language: en, de
Content-Location: http://x.example/
Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==
Content-Transfer-Encoding: BASE64 (yes)

AAAA
"""
    )
    part = index_message(octets, LIMITS)
    assert (part.content_id, part.description) == (b"<a@b>", b"a  picture")
    assert (part.disposition, part.disposition_params) == (
        "attachment",
        (("size", b"3"), ("filename*", "ä.png".encode())),
    )
    assert (part.language, part.location) == ((b"en", b"de"), b"http://x.example/")
    assert (part.md5, part.encoding) == (b"Q2hlY2sgSW50ZWdyaXR5IQ==", "base64")
    assert part.filename == "ä.png"
    assert index_message(octets.replace(b"filename*", b"x"), LIMITS).filename == "ü.png"


MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"", "text/plain"),
        (b"\r\n", "text/plain"),
        (b"\0\0\0", "text/plain"),
        (b"Subject: header without body\r\n", "text/plain"),
        (b"Subject: \xff\xfe\r\nContent-Type: \xff/\xff\r\n\r\n\xff", "text/plain"),
        (b"Content-Type: multipart/mixed\r\n\r\nno boundary named", "text/plain"),
        (b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n', "text/plain"),
        (b"Content-Type: text\r\n\r\nx", "text/plain"),
        (MIXED, "text/plain"),
        (MIXED + b"no delimiter", "text/plain"),
        (MIXED + b"--b--\r\n", "text/plain"),
        (MIXED + b"--b", ("multipart/mixed", ["text/plain"])),
        (MIXED + b"--b\r\n", ("multipart/mixed", ["text/plain"])),
        (MIXED + b"--b\r\n\r\nx", ("multipart/mixed", ["text/plain"])),
        (MIXED + b"--b\r\n--b\r\n--b--", ("multipart/mixed", ["text/plain", "text/plain"])),
        (MIXED + b"--b \t\r\n\r\nx\r\n--b-- \r\n", ("multipart/mixed", ["text/plain"])),
        (MIXED + b"--bc\r\n\r\n--b\r\n\r\nx", ("multipart/mixed", ["text/plain"])),
        (MIXED + b"\r\n --b\r\n\r\nx", "text/plain"),
        # a delimiter ends a header
        (
            MIXED + b"--b\r\nContent-Type: image/png\r\n--b\r\n\r\nx\r\n--b--",
            ("multipart/mixed", ["image/png", "text/plain"]),
        ),
        (
            MIXED + b"--b\r\nContent-Type: message/rfc822\r\n--b\r\n\r\nx\r\n--b--",
            ("multipart/mixed", [("message/rfc822", ["text/plain"]), "text/plain"]),
        ),
        (
            MIXED + b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: cut\r\n--b\r\n\r\nx\r\n--b--",
            ("multipart/mixed", [("message/rfc822", ["text/plain"]), "text/plain"]),
        ),
        # the outer delimiter ends the inner part, whatever is missing there
        (
            MIXED + b"--b\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n--i\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b--",
            ("multipart/mixed", [("multipart/alternative", ["text/plain"]), "text/plain"]),
        ),
        # one boundary is the beginning of another
        (
            MIXED + b"--b\r\nContent-Type: multipart/related; boundary=bb\r\n\r\n--bb\r\n\r\n1\r\n--bb--\r\n--b\r\n\r\n2\r\n--b--",
            ("multipart/mixed", [("multipart/related", ["text/plain"]), "text/plain"]),
        ),
        # the same boundary inside itself: the inner one counts until it is over
        (
            MIXED + b"--b\r\nContent-Type: multipart/related; boundary=b\r\n\r\n--b\r\n\r\n1\r\n--b--\r\n--b\r\n\r\n2\r\n--b--",
            ("multipart/mixed", [("multipart/related", ["text/plain"]), "text/plain"]),
        ),
        # nothing but preamble and epilogue around
        (MIXED + b"pre\r\n--b\r\n\r\nx\r\n--b--\r\n--b\r\n\r\nepilogue", ("multipart/mixed", ["text/plain"])),
        (b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny", ("message/rfc822", ["text/plain"])),
        (b"Content-Type: message/rfc822\r\n\r\n", ("message/rfc822", ["text/plain"])),
        ("Content-Type: message/global\r\n\r\nSubject: ü\r\n\r\ny".encode(), ("message/global", ["text/plain"])),
        (b"Content-Type: message/partial\r\n\r\nx", "message/partial"),
        # encoded messages have no parts to point at
        (b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA", "application/octet-stream"),
        (b'Content-Type: multipart/x-unknown; boundary="b"\n\n--b\n\nx\n--b--', ("multipart/x-unknown", ["text/plain"])),
        (b'Content-Type: multipart/mixed;\r\n boundary*0="b"; boundary*1=c\r\n\r\n--bc\r\n\r\nx', ("multipart/mixed", ["text/plain"])),
        # only CR: no line ends at all
        (b"Content-Type: multipart/mixed; boundary=b\r\r--b\r\rx\r--b--", "text/plain"),
        (b"Content-Type: image/png\r\n" + b"X: y\r\n" * 10 + b"\r\n", "image/png"),
    ],
)  # fmt: skip
def test_broken_messages_have_an_index(octets: bytes, expected: object) -> None:
    root = index_message(octets, LIMITS)
    assert shape(root) == expected
    check_index(octets, root, LIMITS)


PIECES = st.sampled_from(
    [b"--b", b"--b--", b"--bb", b"--bb--", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b" ", b"text", b"-", b"--", b"\0",
     b"Content-Type: multipart/mixed; boundary=b", b"Content-Type: multipart/digest; boundary=bb",
     b'content-type: multipart/alternative;\r\n boundary="b--"', b"Content-Type: message/rfc822", b"Content-Type: text/html",
     b"Content-Transfer-Encoding: base64", b"X: y", b"\xff", b"\r\n--b\r\n", b"\r\n--bb\r\n", b"\n--b--\n", b": "]
)  # fmt: skip


@given(st.lists(PIECES, max_size=40).map(b"".join))
@settings(max_examples=200)
@example(MIXED + b"--b\r\n" + MIXED + b"--b--\r\n--b--")
def test_any_octets_give_an_index(octets: bytes) -> None:
    limits = Limits(mime_depth=4, mime_parts=8)
    check_index(octets, index_message(octets, limits), limits)
    check_index(octets, index_message(octets, LIMITS), LIMITS)


@given(st.lists(PIECES, max_size=30).map(b"".join), st.binary(max_size=5))
def test_index_is_the_same_in_two_pieces_and_in_a_map(octets: bytes, before: bytes) -> None:
    whole = index_message(octets, LIMITS)
    length = header_octets(octets)
    header, body = octets[:length], octets[length:]
    assert index_split(header, body, LIMITS) == whole
    if before[-1:] == b"\n" or not before:
        assert index_split(header, before + body, LIMITS, body_start=len(before)) == whole
    if octets:
        with tempfile.TemporaryFile() as file:
            file.write(octets)
            file.flush()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                assert index_message(mapped, LIMITS) == whole


# Limits, each with a bound on time that a quadratic reading misses by far.


def timed(octets: bytes, limits: Limits = LIMITS, seconds: float = 3.0) -> Part:
    start = time.perf_counter()
    root = index_message(octets, limits)
    assert time.perf_counter() - start < seconds
    return root


def nested(depth: int) -> bytes:
    return b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
        for level in range(depth)
    )


def test_depth_is_limited() -> None:
    octets = nested(1000) + b"\r\nthe end"
    root = timed(octets)
    check_index(octets, root, LIMITS)
    deepest = list(walk(root))[-1]
    assert (deepest.media_type, deepest.media_subtype) == ("application", "octet-stream")
    assert len(list(walk(root))) == 101
    messages = b"Content-Type: message/rfc822\r\n\r\n" * 1000
    root = timed(messages)
    check_index(messages, root, LIMITS)
    assert len(list(walk(timed(messages, Limits(mime_depth=5000))))) == MAX_DEPTH + 1


def test_parts_are_limited() -> None:
    octets = MIXED + b"--b\r\n\r\nx\r\n" * 20_000
    root = timed(octets)
    check_index(octets, root, LIMITS)
    assert len(root.parts) == 9_999
    assert root.parts[-1].end == len(octets)
    digest = b"Content-Type: multipart/digest; boundary=b\r\n\r\n" + b"--b\r\n\r\n\r\n" * 20_000
    check_index(digest, timed(digest), LIMITS)


def test_header_is_looked_into_up_to_its_limit() -> None:
    octets = b"X: y\r\n" * 1000 + b"Content-Type: image/png\r\n\r\nbody"
    assert shape(index_message(octets, Limits(header_octets=1000))) == "text/plain"
    assert shape(index_message(octets, LIMITS)) == "image/png"
    inner = MIXED + b"--b\r\n" + octets
    assert shape(index_message(inner, Limits(header_octets=1000))) == ("multipart/mixed", ["text/plain"])


@pytest.mark.parametrize(
    "octets",
    [
        MIXED + b"--b\n" * 200_000,
        MIXED + b"--b\r\nX: y\r\n" * 100_000,  # no part has an empty line
        MIXED + b"--c\n" * 500_000,
        MIXED + b"--b" + b" " * 2_000_000,
        MIXED + b"\n--" * 500_000,
        b"a:\n" * 350_000,
        b"Content-ID:\n" * 80_000,
        b"a" * 1_000_000,
        b"a: b\n " + b"\n " * 500_000,
        nested(100) + b"--x\n" * 300_000,
        b"".join(b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n--%b\r\n" % (b"b" * n, b"b" * n)
                 for n in range(1, 100)) + (b"--" + b"b" * 200 + b"\n") * 10_000,
        b"Content-Type: message/rfc822\n\n" * 99 + b"\n" * 2_000_000,
        b"Content-Type: text/plain" + b"".join(b";\n n*%d*=x" % n for n in range(80_000)) + b"\n\n",
        b"Content-Type: text/plain" + b';a="' * 200_000,
        b"Content-Type: text/plain" + b"(" * 1_000_000,
        b"Content-Disposition: a" + b"; " * 400_000,
        b"Content-Language: " + b"a," * 400_000,
    ],
    ids=range(17),
)  # fmt: skip
def test_large_broken_messages_take_linear_time(octets: bytes) -> None:
    root = timed(octets)
    assert root.end == len(octets)
    assert len(list(walk(root))) <= LIMITS.mime_parts


def test_packed_index_is_refused_when_damaged() -> None:
    packed = pack_index(index_message(RFC2049_COMPLEX, LIMITS))
    for damaged in (b"", packed[:-1], b"\xc1", b"\x93\xa1a\x01\x01"):
        with pytest.raises(ValueError):
            unpack_index(damaged)


# The standard library as a second opinion, on well-formed messages.


def generated(seed: int, depth: int = 0) -> Message:
    rng = random.Random(seed)
    kind = rng.random()
    message: Message
    if depth < 4 and kind < 0.5:
        message = MIMEMultipart(rng.choice(["mixed", "alternative", "related", "digest"]))
        message.set_boundary(f"=_{depth}_{seed}")
        for number in range(rng.randint(1, 4)):
            message.attach(generated(seed * 7 + number + 1, depth + 1))
    elif depth < 4 and kind < 0.65:
        inner = generated(seed * 11 + 5, depth + 1)
        inner["Subject"] = f"inner {seed}"
        message = MIMEMessage(inner)
    else:
        message = MIMEBase(
            *rng.choice([("text", "plain"), ("text", "html"), ("image", "png"), ("application", "x")])
        )
        lines = ["".join(rng.choices("abc -=.", k=rng.randint(0, 30))) for _ in range(rng.randint(0, 5))]
        message.set_payload("\n".join(lines))
    return message


def leaves(message: Message) -> list[tuple[str, bytes]]:
    payload = message.get_payload()
    if isinstance(payload, list):
        return [leaf for child in payload for leaf in leaves(child)]
    return [(message.get_content_type(), payload.encode())]


@given(st.integers(0, 1_000_000))
@settings(max_examples=150)
def test_leaves_agree_with_the_standard_library(seed: int) -> None:
    octets = generated(seed).as_bytes(policy=compat32)
    expected = leaves(email.message_from_bytes(octets, policy=compat32))
    root = index_message(octets, LIMITS)
    found = [
        (f"{part.media_type}/{part.media_subtype}", octets[part.body_start : part.end])
        for part in walk(root)
        if not part.parts
    ]
    assert found == expected
    wire = generated(seed).as_bytes(policy=SMTP)
    assert shape(index_message(wire, LIMITS)) == shape(root)
