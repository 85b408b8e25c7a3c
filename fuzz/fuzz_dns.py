"""DNS answers: what a server sends -> what the resolver reads.

Oracle: any octets give a reading or one of four errors, and nothing else; a reading of what dnspython takes
too is dnspython's; names in it can be asked for again or are refused as names; values have bounds.
Run: python fuzz/fuzz_dns.py -max_total_time=20
"""

import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import run

from postino.core.ports import MxRecord
from postino.net.dns.message import (
    MOST_VALUES,
    BadName,
    NeedsPlainQuestion,
    NotTheAnswer,
    Question,
    Truncated,
    encode_name,
    read_answer,
)
from postino.net.dns.records import octets_of, zone_text
from postino.net.dns.wire import BadAnswer
from tests.support.dns_reading import read_with_dnspython

KINDS = (1, 28, 15, 16, 52, 12, 33, 257, 2)
NAME = "example.net"


def test_one_input(data: bytes) -> None:
    """The first octet picks the type asked for; the second whether the header is mended to be an answer."""
    if len(data) < 14:
        return
    question = Question(NAME, KINDS[data[0] % len(KINDS)])
    octets = data[2:]
    if data[1] & 1:
        asked = encode_name(NAME) + struct.pack(">HH", question.kind, 1)
        flags = struct.unpack_from(">H", octets, 2)[0] & ~0x7A00 | 0x8000
        counts = (
            octets[6:12] if data[1] & 2 else bytes((0, octets[7] & 7, 0, octets[9] & 7, 0, octets[11] & 3))
        )
        octets = b"\x12\x34" + struct.pack(">HH", flags, 1) + counts + asked + octets[12:]
    try:
        found = read_answer(octets, question, 0x1234)
    except (BadAnswer, NotTheAnswer, NeedsPlainQuestion, Truncated):
        return
    assert len(found.values) <= MOST_VALUES
    for value in found.values:
        assert zone_text(value) is not None
        assert octets_of(value) > 0
        if isinstance(value, MxRecord):
            try:
                encode_name(value.host)
            except BadName:
                pass
    oracle = read_with_dnspython(octets, question)
    if oracle is not None:
        assert oracle == (found.values, found.name, found.name_exists, found.authentic), (oracle, found)


if __name__ == "__main__":
    run(test_one_input, "dns")
