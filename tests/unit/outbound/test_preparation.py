"""What is done to a message before it goes to a server that takes all of it but its long lines."""

import base64
import email
import email.policy
import random
from pathlib import Path

import pytest

from postino.smtp.envelope import BodyType, MailOptions
from postino.store.content import SealedBlob
from postino.store.queue.values import QueueKind
from tests.support.far_server import DEFAULT_EXTENSIONS, Habits
from tests.support.outbound_world import SendingWorld, sending_world

ZONE = "far.example. A 203.0.113.1\n"
FAR = "203.0.113.1"
HEADER = b"From: ann@example.org\r\nSubject: news\r\n\r\n"
FITS, LONG = b"x" * 998 + b"\r\n", b"x" * 999 + b"\r\n"
# Nothing that packs so well that the store would keep it in its rows.
NOISE = base64.encodebytes(random.Random(1).randbytes(1_000_000)).replace(b"\n", b"\r\n")
_AT = NOISE.rfind(b"\n", 0, 1024 * 1024 - 300) + 1
# A boundary of the pieces in which large bodies are looked at lies in the long line.
LARGE = NOISE[:_AT] + b"y" * 1100 + b"\r\n" + NOISE[_AT:]
SIGNED = (
    b"From: ann@example.org\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/signed; boundary=b; protocol="application/pgp-signature"; micalg=x\r\n\r\n'
)


def send(tmp_path: Path, header: bytes, body: bytes, *, stored: bool = False, **more: object) -> bytes:
    """The octets that a server gets which offers 8BITMIME and no BINARYMIME."""

    async def scenario(world: SendingWorld) -> None:
        words = tuple(word for word in DEFAULT_EXTENSIONS if word != "BINARYMIME")
        far = world.far_server(FAR, Habits(extensions=words))
        sealed = world.store.seal_body(body) if stored else None
        assert isinstance(sealed, SealedBlob) is stored
        await world.submit(
            "bob@far.example", outbound=world.outbound(), header=header, body=body, stored=sealed, **more
        )
        await world.until_empty(60)
        (message,) = far.messages
        got.append(message.octets)

    got: list[bytes] = []
    with sending_world(tmp_path, scenario, zone=ZONE):
        return got[0]


def text_of(octets: bytes) -> bytes:
    """The text, decoded, of a message whose lines all are of a length that anybody takes."""
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    payload = email.message_from_bytes(octets, policy=email.policy.SMTP).get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload


@pytest.mark.parametrize(("body", "stored"), [(b"a\r\n" + LONG + b"b\r\n", False), (LARGE, True)])
def test_long_lines_are_encoded(tmp_path: Path, body: bytes, stored: bool) -> None:
    octets = send(tmp_path, HEADER, body, stored=stored)
    assert b"\r\nContent-Transfer-Encoding: " in octets
    assert text_of(octets) == body


@pytest.mark.parametrize("body", [FITS, b"a\r\n" + FITS * 3, NOISE])
def test_lines_that_fit_are_left_alone(tmp_path: Path, body: bytes) -> None:
    assert send(tmp_path, HEADER, body, stored=len(body) > 1_000_000) == HEADER + body


def test_what_others_wrote_is_left_alone(tmp_path: Path) -> None:
    assert send(tmp_path, HEADER, LONG, kind=QueueKind.FORWARDED) == HEADER + LONG


def test_what_its_author_signed_goes_as_it_is(tmp_path: Path) -> None:
    body = b"--b\r\n\r\n" + LONG + b"--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n"
    assert send(tmp_path, SIGNED, body) == SIGNED + body


def test_long_lines_of_eight_bits_are_encoded(tmp_path: Path) -> None:
    header = HEADER[:-2] + b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    body = "é".encode() * 700 + b"\r\n"
    options = MailOptions(body=BodyType.EIGHT_BIT_MIME)
    assert text_of(send(tmp_path, header, body, options=options)) == body
