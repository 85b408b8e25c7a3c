"""DEFLATE in both directions: whole at each flush, bounded, and at an end where it ends."""

import base64
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.errors import ProtocolViolation
from postino.net.compression import FREE_OCTETS, PIECE_OCTETS, Deflater, Inflater

RATIO = 200
LINES = b"".join(b"* %d FETCH (UID %d FLAGS (\\Seen))\r\n" % (n, n + 7) for n in range(4000))
NOISE = random.Random(1).randbytes(200_000)
BASE64 = base64.encodebytes(NOISE).replace(b"\n", b"\r\n")


class Client:
    """The other side, with zlib's own settings."""

    def __init__(self) -> None:
        self.compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
        self.decompressor = zlib.decompressobj(-15)

    def say(self, data: bytes, flush: int = zlib.Z_SYNC_FLUSH) -> bytes:
        return self.compressor.compress(data) + self.compressor.flush(flush)

    def hear(self, data: bytes) -> bytes:
        return self.decompressor.decompress(data)


def taken(inflater: Inflater) -> bytes:
    made = b""
    while octets := inflater.take():
        assert len(octets) <= PIECE_OCTETS
        made += octets
    return made


@pytest.mark.parametrize(
    "writes",
    [
        [[b"* OK done\r\n"]],
        [[b"a", b"", b"b"], [b"c"]],
        [[LINES], [LINES, b"a1 OK\r\n"]],
        [[b"{200000}\r\n", NOISE, b")\r\n"], [b"a1 OK\r\n"]],
        [[b"a1 OK\r\n"], [BASE64], [b"a1 OK\r\n"], [BASE64, NOISE, LINES, BASE64]],
    ],
)
def test_each_write_can_be_read_whole_at_once(writes: list[list[bytes]]) -> None:
    deflater, client = Deflater(), Client()
    for pieces in writes:
        assert client.hear(deflater.compress(pieces)) == b"".join(pieces)


def test_nothing_is_sent_for_nothing() -> None:
    assert Deflater().compress([]) == Deflater().compress([b""]) == b""


def test_writing_goes_on_after_a_rest() -> None:
    deflater, client = Deflater(), Client()
    for _ in range(3):
        assert client.hear(deflater.compress([b"* 3 EXISTS\r\n"])) == b"* 3 EXISTS\r\n"
        deflater.rest()


def test_lists_become_small_and_what_is_compressed_already_does_not_grow() -> None:
    deflater = Deflater()
    assert len(deflater.compress([LINES])) < len(LINES) / 5
    assert len(deflater.compress([BASE64])) < len(BASE64) * 0.78
    assert len(deflater.compress([NOISE])) < len(NOISE) * 1.001 + 10


def test_the_end_is_told_and_plain_octets_follow_it() -> None:
    deflater, client = Deflater(), Client()
    sent = deflater.compress([b"* 1 EXISTS\r\n"]) + deflater.finish(b"a OK bye\r\n") + b"plain"
    assert client.hear(sent) == b"* 1 EXISTS\r\na OK bye\r\n"
    assert client.decompressor.eof
    assert client.decompressor.unused_data == b"plain"


@given(
    st.lists(st.one_of(st.binary(max_size=300), st.sampled_from([LINES[:5000], b"\0\0\xff\xff" * 9]))),
    st.sampled_from([zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_PARTIAL_FLUSH]),
    st.integers(1, 400),
)
@settings(max_examples=150, deadline=None)
def test_what_a_client_says_arrives_however_it_is_cut(said: list[bytes], flush: int, size: int) -> None:
    client, inflater = Client(), Inflater(RATIO)
    wire = b"".join(client.say(data, flush) for data in said)
    got = b""
    for at in range(0, len(wire), size):
        inflater.add(wire[at : at + size])
        got += taken(inflater)
    assert got == b"".join(said)
    assert not inflater.has_more


@given(st.lists(st.binary(max_size=80), max_size=8))
@settings(max_examples=200, deadline=None)
def test_any_octets_give_octets_or_a_fatal_violation(pieces: list[bytes]) -> None:
    inflater = Inflater(RATIO)
    refused = None
    try:
        for piece in pieces:
            inflater.add(piece)
            taken(inflater)
    except ProtocolViolation as error:
        refused = error
    assert refused is None or refused.fatal


def test_much_at_once_comes_in_pieces_and_nothing_is_lost() -> None:
    client, inflater = Client(), Inflater(RATIO)
    inflater.add(client.say(LINES * 4))
    assert len(inflater.take()) == PIECE_OCTETS
    assert inflater.has_more
    assert PIECE_OCTETS + len(taken(inflater)) == len(LINES) * 4


@pytest.mark.parametrize("flush", [zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_FINISH])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize("last", [b"b UNAUTHENTICATE\r\n", LINES + b"b UNAUTHENTICATE\r\n"])
def test_what_follows_the_last_command_is_plain(flush: int, size: int, last: bytes) -> None:
    client, inflater = Client(), Inflater(RATIO)
    wire = client.say(b"a NOOP\r\n") + client.say(last, flush) + b"c LOGIN ann secret\r\n"
    got, plain = b"", b""
    for at in range(0, len(wire), size):
        inflater.add(wire[at : at + size])
        while octets := inflater.take():
            if inflater.is_over:
                plain += octets
                break
            got += octets
            if got.endswith(b"UNAUTHENTICATE\r\n"):
                # The session runs the command before it reads on.
                inflater.end()
        if inflater.is_over:
            plain += wire[at + size :]
            break
    assert got == b"a NOOP\r\n" + last
    assert plain == b"c LOGIN ann secret\r\n"


def test_a_client_that_flushes_only_in_part_is_understood_too() -> None:
    client, inflater = Client(), Inflater(RATIO)
    inflater.add(client.say(b"b UNAUTHENTICATE\r\n", zlib.Z_PARTIAL_FLUSH))
    assert inflater.take() == b"b UNAUTHENTICATE\r\n"
    inflater.end()
    inflater.add(b"c LOGIN ann secret\r\n")
    assert inflater.take() == b"c LOGIN ann secret\r\n"


def test_octets_behind_the_end_of_the_stream_are_refused_while_compression_lasts() -> None:
    client, inflater = Client(), Inflater(RATIO)
    inflater.add(client.say(b"a NOOP\r\n", zlib.Z_FINISH) + b"c NOOP\r\n")
    assert inflater.take() == b"a NOOP\r\n"
    with pytest.raises(ProtocolViolation, match="has ended"):
        inflater.take()


def test_the_end_of_a_stream_behind_much_output_ends_it_too() -> None:
    """zlib gives what follows the end twice then, which once made inflating it never end."""
    client, inflater = Client(), Inflater(1100)
    inflater.add(client.say(b"x" * (PIECE_OCTETS + 100), zlib.Z_FINISH) + b"more")
    assert len(inflater.take()) == PIECE_OCTETS
    assert len(inflater.take()) == 100
    with pytest.raises(ProtocolViolation, match="has ended"):
        inflater.take()
    inflater.end()
    inflater.add(b" and more")
    assert inflater.take() == b"more and more"


def test_a_bomb_is_refused_after_a_few_mib() -> None:
    inflater = Inflater(RATIO)
    inflater.add(Client().say(b"\0" * 200_000_000))
    came: list[int] = []
    with pytest.raises(ProtocolViolation, match="imap_compression_ratio") as refused:
        came.extend(len(octets) for octets in iter(inflater.take, b""))
    assert refused.value.fatal
    assert sum(came) <= FREE_OCTETS * 1.5


def test_the_same_octets_pass_where_the_setting_allows_them() -> None:
    inflater = Inflater(1100)
    inflater.add(Client().say(b"\0" * 20_000_000))
    assert len(taken(inflater)) == 20_000_000
