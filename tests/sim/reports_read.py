"""Reports as their readers get them: whom they tell of, and what."""

import email
import email.policy
from dataclasses import dataclass
from email.message import Message


@dataclass(frozen=True)
class Told:
    """One recipient in one report."""

    about: str
    """The original's Message-ID, without <>."""
    address: str
    action: str
    about_report: bool
    """The original is a report itself."""


def is_report(octets: bytes) -> bool:
    """Whether a message is a delivery status notification."""
    header = octets.partition(b"\r\n\r\n")[0].lower()
    return b"multipart/report" in header and b"delivery-status" in header


def read_report(octets: bytes) -> list[Told]:
    """Whom it tells of. Raises AssertionError when it is not as it must be."""
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert message.get_content_type() == "multipart/report", message.get_content_type()
    words, status, original = list(message.iter_parts())  # type: ignore[attr-defined]
    assert words.get_content_type() == "text/plain"
    assert status.get_content_subtype() in ("delivery-status", "global-delivery-status")
    fields = _groups(status)
    header = _original(original)
    about = str(header.get("Message-ID", "")).strip().strip("<>")
    told = []
    for group in fields[1:]:
        address = group["final-recipient"].partition(";")[2].strip()
        told.append(
            Told(about, address, group["action"], "multipart/report" in str(header.get("Content-Type", "")))
        )
    assert told
    return told


def _groups(status: Message) -> list[dict[str, str]]:
    payload = status.get_payload()
    if isinstance(payload, list):
        texts = [part.as_string() for part in payload]
    else:
        texts = status.get_payload(decode=True).decode().replace("\r\n", "\n").strip().split("\n\n")  # type: ignore[union-attr]
    found = []
    for text in texts:
        group = {}
        for line in text.replace("\r\n", "\n").splitlines():
            name, colon, value = line.partition(":")
            if colon and not line[0].isspace():
                group[name.lower()] = value.strip()
        if group:
            found.append(group)
    return found


def _original(part: Message) -> Message:
    payload = part.get_payload()
    if isinstance(payload, list):
        first = payload[0]
        assert isinstance(first, Message)
        return first
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    return email.message_from_bytes(octets, policy=email.policy.default)
