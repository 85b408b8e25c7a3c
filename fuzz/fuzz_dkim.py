"""DKIM, ARC and Authentication-Results: fields, records, chains, whole messages.

Oracle: any octets are read or refused with a reason; what was read of Authentication-Results is written and read again;
a body gives the same hash whole and in pieces; a message that is not ours never passes, and its checks end.
Run: python fuzz/fuzz_dkim.py -max_total_time=20
"""

import contextlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import run

from postino.core.errors import ProtocolViolation
from postino.mailauth.arc.chain import verify_arc
from postino.mailauth.arc.fields import parse_seal
from postino.mailauth.authentication_results import AuthResult, parse_results, print_results
from postino.mailauth.dkim.canonicalization import BodyHash, Canonicalization
from postino.mailauth.dkim.key_record import parse_key_record
from postino.mailauth.dkim.reasons import SignatureRefused
from postino.mailauth.dkim.signature import parse_signature, without_signature
from postino.mailauth.dkim.verify import verify_dkim
from postino.mime.header import header_octets
from tests.support.dkim_examples import RFC6376_NAME, RFC6376_RECORD, RFC8463_RECORDS, answer

ZONE = {RFC6376_NAME: RFC6376_RECORD, **RFC8463_RECORDS}


def test_one_input(octets: bytes) -> None:
    """Check one input as everything it could be."""
    check_fields(octets)
    check_body(octets)
    at = header_octets(octets)
    header, body = octets[:at], (octets[at:],)
    for result in answer(verify_dkim(header, body, now=1_528_637_909), ZONE):
        result.as_method_result()
    chain = answer(verify_arc(header, body, now=1_528_637_909), ZONE)
    assert chain.result is not AuthResult.PASS


def check_fields(octets: bytes) -> None:
    """As the value of each field, and as a record."""
    for is_arc in (False, True):
        with contextlib.suppress(SignatureRefused):
            signature = parse_signature(octets, is_arc=is_arc)
            assert b"from" in signature.fields
            assert len(without_signature(octets)) < len(octets)
    with contextlib.suppress(ProtocolViolation):
        parse_seal(octets)
    with contextlib.suppress(SignatureRefused):
        parse_key_record(octets.decode("latin-1")).public_key()
    with contextlib.suppress(ProtocolViolation):
        results = parse_results(octets)
        field = print_results(results)
        assert field.count(b"\r\n") == len(field.splitlines())
        # Control characters, which the grammar lets into quoted strings, are written as blanks.
        if octets.decode().replace("\r", "").replace("\n", "").replace("\t", "").isprintable():
            again = parse_results(field.partition(b":")[2])
            assert [one.method for one in again.results] == [one.method for one in results.results]


def check_body(octets: bytes) -> None:
    """As a body."""
    for canonicalization in Canonicalization:
        whole, pieces = BodyHash(canonicalization), BodyHash(canonicalization)
        whole.update(octets)
        for start in range(0, len(octets), 7):
            pieces.update(octets[start : start + 7])
        assert whole.digest() == pieces.digest()
        assert whole.octets == pieces.octets


if __name__ == "__main__":
    run(test_one_input, "dkim")
