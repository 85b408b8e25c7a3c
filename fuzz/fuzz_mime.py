"""MIME index, facts, sections, text.

Oracle: any octets give an index within the limits whose ranges put together are the octets again; the index is the
same for a message in two pieces and survives the store; BODYSTRUCTURE and ENVELOPE are one strict IMAP value each;
BODY made from BODYSTRUCTURE is BODY made from the parts; every section lies inside the message; all text is text.
Run: python fuzz/fuzz_mime.py -max_total_time=20
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import run

from postino.core.limits import Limits
from postino.delivery.facts import derive_facts
from postino.imap.bodystructure import body_of, encode_bodystructure
from postino.imap.section import SectionText, section_range
from postino.mime.header import header_octets
from postino.mime.index import index_message, pack_index, walk
from postino.mime.preview import PREVIEW_CHARACTERS, preview_of
from postino.mime.text import body_text, header_text
from postino.mime.transfer import decode_transfer
from tests.support.mime_index import check_index
from tests.support.strict_imap_value import read_value

LIMITS = Limits(mime_depth=5, mime_parts=20, header_octets=2000)
SECTIONS = [(), (1,), (2,), (1, 1), (1, 2), (1, 1, 1), (2, 1)]


def test_one_input(octets: bytes) -> None:
    """Check one message."""
    root = index_message(octets, LIMITS)
    check_index(octets, root, LIMITS)
    check_index(octets, index_message(octets, Limits()), Limits())
    length = header_octets(octets)
    header, body = octets[:length], octets[length:]
    facts = derive_facts(header, body, LIMITS)
    assert facts.parts == pack_index(root)
    assert facts.size == len(octets)
    assert facts.bodystructure == encode_bodystructure(root)
    assert facts.preview == preview_of(root, octets)
    assert len(facts.preview.encode()) <= 4 * PREVIEW_CHARACTERS >= 4 * len(facts.preview)
    assert not any(character < " " or "\x7f" <= character < "\xa0" for character in facts.preview)
    assert body_of(facts.bodystructure) == encode_bodystructure(root, extended=False)
    for value in (facts.envelope, facts.bodystructure, body_of(facts.bodystructure)):
        assert read_value(value)[1] == len(value)
    for part in SECTIONS:
        for text in SectionText:
            found = section_range(root, part, text)
            assert found is None or 0 <= found[0] <= found[1] <= len(octets)
    for leaf in walk(root):
        decode_transfer(leaf.encoding, octets[leaf.body_start : leaf.end])
        assert isinstance(leaf.filename + leaf.charset, str)
    assert isinstance(body_text(root, octets) + header_text(header), str)


if __name__ == "__main__":
    run(test_one_input, "mime")
