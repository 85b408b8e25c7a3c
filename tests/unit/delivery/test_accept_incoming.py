"""Collecting a message: header and body apart however it is cut, within memory, faults noted."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.core.errors import TemporarilyUnavailable
from postino.core.limits import Limits
from postino.delivery.incoming import Fault, IncomingMessage
from postino.store.blobs import BlobStore
from postino.store.content import InlineBody, SealedBlob


def store_at(path: Path) -> Any:
    return SimpleNamespace(blobs=BlobStore(path), seal_body=InlineBody)


def incoming(path: Path, **limits: Any) -> IncomingMessage:
    return IncomingMessage(store_at(path), Limits(**limits))


MESSAGES = [
    (b"", b"", b""),
    (b"\r\n", b"\r\n", b""),
    (b"\r\nbody\r\n", b"\r\n", b"body\r\n"),
    (b"\r\n\r\nbody\r\n", b"\r\n", b"\r\nbody\r\n"),
    (b"a: b\r\n", b"a: b\r\n", b""),
    (b"a: b\r\n\r\n", b"a: b\r\n\r\n", b""),
    (b"a: b\r\n\r\nbody\r\n\r\nmore", b"a: b\r\n\r\n", b"body\r\n\r\nmore"),
    (b"a: b\r\n \r\n\r\nbody", b"a: b\r\n \r\n\r\n", b"body"),
    (b"no header at all\r\nmore\r\n", b"no header at all\r\nmore\r\n", b""),
]


@pytest.mark.parametrize("step", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(("octets", "header", "body"), MESSAGES)
async def test_header_and_body_are_told_apart(
    tmp_path: Path, octets: bytes, header: bytes, body: bytes, step: int
) -> None:
    message = incoming(tmp_path)
    for at in range(0, len(octets), step):
        message.add(octets[at : at + step])
    content = await message.finish()
    assert (content.header, content.body) == (header, InlineBody(body))
    assert content.facts.size == len(octets)
    assert content.facts.header_octets == len(header)


@given(
    st.lists(st.sampled_from([b"\r\n", b"a: b", b"\r", b"\n", b"x" * 9]), max_size=20).map(b"".join),
    st.integers(1, 6),
)
def test_nothing_is_lost_however_it_is_cut(octets: bytes, step: int) -> None:
    message = incoming(Path("/nonexistent"))
    for at in range(0, len(octets), step):
        message.add(octets[at : at + step])
    whole = incoming(Path("/nonexistent"))
    whole.add(octets)
    assert (message.header, bytes(message._body or b"")) == (whole.header, bytes(whole._body or b""))
    assert message.header + bytes(message._body or b"") == octets


async def test_a_large_body_goes_to_a_file_and_its_facts_are_the_same(tmp_path: Path) -> None:
    octets = b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 50
    small = incoming(tmp_path / "a", smtp_memory_octets=100)
    (tmp_path / "a").mkdir()
    for at in range(0, len(octets), 7):
        small.add(octets[at : at + 7])
    spooled = await small.finish()
    whole = incoming(tmp_path / "b")
    whole.add(octets)
    kept = await whole.finish()
    assert spooled.facts == kept.facts
    assert isinstance(spooled.body, SealedBlob)
    assert BlobStore(tmp_path / "a").read(spooled.body.blob_id, 0, 600) == b"0123456789\r\n" * 50
    small.discard()
    assert BlobStore(tmp_path / "a").size(spooled.body.blob_id) == 600


def test_too_large_is_noted_and_nothing_kept(tmp_path: Path) -> None:
    message = incoming(tmp_path, message_octets=20, smtp_memory_octets=5)
    message.add(b"a: b\r\n\r\n0123456")
    assert message.fault is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()]
    message.add(b"0123456")
    assert message.fault is Fault.TOO_LARGE
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    message.add(b"x" * 100)
    assert message.octets == 122


@pytest.mark.parametrize("octets", [b"a: " + b"b" * 40 + b"\r\n\r\n", b"b" * 60])
def test_a_header_too_large_is_noted(tmp_path: Path, octets: bytes) -> None:
    for step in (1, 100):
        message = incoming(tmp_path, header_octets=40)
        for at in range(0, len(octets), step):
            message.add(octets[at : at + step])
        assert message.fault is Fault.HEADER_TOO_LARGE


def test_a_disk_that_refuses_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise TemporarilyUnavailable("full")

    monkeypatch.setattr(BlobStore, "open_spool", refuse)
    message = incoming(tmp_path, smtp_memory_octets=5)
    message.add(b"\r\n0123456789")
    assert message.fault is Fault.NO_ROOM
