"""Header fields and their values: selection, encoded words, parameters, dates.

Oracle: fields lie in order inside the header; a selection and its opposite share no octet and, with the empty line,
are all of it; every value is text, parameters, a date or none; a date that is read is written and read the same; a
base subject holds no line end and comes out no longer; references are ids without blanks.
Run: python fuzz/fuzz_header.py -max_total_time=20
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import run

from postino.core.ids import Instant
from postino.mime.base_subject import base_subject
from postino.mime.collation import sort_key
from postino.mime.dates import format_date, parse_date
from postino.mime.encoded_word import decode_header_text
from postino.mime.header import LISTED_FIELDS, field_selector, fields, raw_fields
from postino.mime.parameters import parse_content_type, parse_disposition, parse_token, strip_comments
from postino.mime.sort_keys import first_address, references

FEW = frozenset({b"a", b"date", b"content-type"})
SELECTORS = [(field_selector(names), field_selector(names, True)) for names in (FEW, LISTED_FIELDS)]


def test_one_input(octets: bytes) -> None:
    """Check one header."""
    last = 0
    found = fields(octets)
    for _, start, end, value_start in found:
        assert last <= start < value_start <= end <= len(octets)
        last = end
    assert [octets[start:end] for _, start, end, _ in found] == [whole for whole, _, _ in raw_fields(octets)]
    for select, others in SELECTORS:
        selected = select(octets)
        assert len(octets) - 2 <= len(selected) + len(others(octets)) <= len(octets)
        assert select(selected) == selected
    for _, _, value in raw_fields(b"x:" + octets)[:1]:
        text = decode_header_text(value)
        base, _ = base_subject(text)
        assert "\n" not in base
        assert len(base) <= len(sort_key(text))
        assert all(isinstance(key, str) for key in first_address(value))
    for ref in references(octets, octets).split(" "):
        assert not set(ref) & set(" \t\r\n\0")
    for value in (octets, b"text/plain;" + octets):
        parse_content_type(value)
        parse_disposition(value)
        parse_token(value)
        strip_comments(value)
    sent = parse_date(octets)
    if sent is not None and sent[0] > -62_000_000_000:
        assert parse_date(format_date(Instant(sent[0])).encode()) == (sent[0], sent[0] // 86400)


if __name__ == "__main__":
    run(test_one_input, "header")
