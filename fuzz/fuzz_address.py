"""Address lists of mail headers, and ENVELOPE.

Oracle: any octets give a list; no address is empty; what was read, written plainly, is read as the same again;
the ENVELOPE of any From field is one strict IMAP value of ten members.
Run: python fuzz/fuzz_address.py -max_total_time=20
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import run

from postino.imap.envelope import encode_envelope
from postino.mime.address import Group, Mailbox, parse_address_list
from tests.support.strict_imap_value import read_value


def quoted(octets: bytes) -> bytes:
    """A quoted string, whatever the octets."""
    return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def written(mailbox: Mailbox) -> bytes:
    """A mailbox with everything quoted."""
    name = quoted(mailbox.name) if mailbox.name else b""
    return name + b" <" + quoted(mailbox.local_part) + b"@" + quoted(mailbox.domain) + b">"


def test_one_input(octets: bytes) -> None:
    """Check one field."""
    for entry in parse_address_list(octets):
        for mailbox in entry.members if isinstance(entry, Group) else [entry]:
            assert mailbox.local_part or mailbox.domain or mailbox.name
            assert isinstance(mailbox.addr_spec + mailbox.display_name, str)
            if mailbox.local_part and mailbox.domain:
                (again,) = parse_address_list(written(mailbox))
                assert isinstance(again, Mailbox)
                assert (again.local_part, again.domain) == (mailbox.local_part, mailbox.domain)
                assert (again.name or b"") == (mailbox.name or b"")
    envelope = encode_envelope(b"From: " + octets + b"\r\nTo: " + octets)
    value, end = read_value(envelope)
    assert end == len(envelope)
    assert isinstance(value, list)
    assert len(value) == 10


if __name__ == "__main__":
    run(test_one_input, "address")
