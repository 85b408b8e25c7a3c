"""What a client sends under COMPRESS.

Oracle: any octets give octets in bounded pieces, or one ProtocolViolation; how they were cut changes nothing; never
more comes out than the ratio allows; what follows UNAUTHENTICATE is plain.
Run: python fuzz/fuzz_inflate.py -max_total_time=20
"""

from common import run

from postino.core.errors import ProtocolViolation
from postino.net.compression import FREE_OCTETS, PIECE_OCTETS, Inflater

RATIO = 200


def inflated(data: bytes, size: int) -> tuple[bytes, bool]:
    """What comes out of `data` in pieces of `size`, and whether it was refused."""
    inflater = Inflater(RATIO)
    made = bytearray()
    try:
        for at in range(0, len(data), size):
            inflater.add(data[at : at + size])
            while octets := inflater.take():
                assert len(octets) <= PIECE_OCTETS
                made += octets
    except ProtocolViolation:
        return bytes(made), True
    assert not inflater.has_more
    assert len(made) <= FREE_OCTETS + RATIO * len(data)
    return bytes(made), False


def test_one_input(data: bytes) -> None:
    """The first octet says how the rest is cut, and the second where compression ends."""
    if len(data) < 2:
        return
    size, end, data = data[0] + 1, data[1], data[2:]
    whole, refused = inflated(data, len(data) + 1)
    cut, cut_refused = inflated(data, size)
    assert refused == cut_refused
    # A violation may be met before or after the octets that stand ahead of it in the same piece.
    assert whole.startswith(cut) or cut.startswith(whole)
    if refused:
        return
    assert whole == cut
    inflater = Inflater(RATIO)
    inflater.add(data)
    for _ in range(end):
        if not inflater.take():
            break
    inflater.end()
    left = len(data)
    inflater.add(b"a LOGOUT\r\n")
    plain = inflater.take()
    if inflater.is_over:
        assert plain.endswith(b"a LOGOUT\r\n")
        assert len(plain) <= left + 10


run(test_one_input, "inflate")
