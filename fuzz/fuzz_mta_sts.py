"""MTA-STS records and policies, and TLS report records, of other domains.

Oracle: any octets give a policy or BadPolicy, any texts a record or none; what is in a policy or record that
was taken has the form others rely on (a host pattern, an id, an address without a control character); a
policy printed in the usual form is read back the same.
Run: python fuzz/fuzz_mta_sts.py -max_total_time=20
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import json

from common import run

from postino.mailauth import mta_sts, tlsrpt


def policy(octets: bytes) -> None:
    """Read a policy."""
    try:
        found = mta_sts.parse_policy(octets)
    except mta_sts.BadPolicy:
        return
    assert 0 <= found.max_age <= mta_sts.LONGEST_AGE
    assert len(found.mx) <= mta_sts.MOST_PATTERNS
    assert found.mx or found.mode is mta_sts.Mode.NONE
    for pattern in found.mx:
        assert pattern.isascii()
        assert pattern == pattern.lower()
        host = pattern.replace("*", "any", 1)
        assert found.allows(host), pattern
    lines = ["version: STSv1", f"mode: {found.mode.value}", f"max_age: {found.max_age}"]
    text = "\r\n".join(lines + [f"mx: {pattern}" for pattern in found.mx])
    assert mta_sts.parse_policy(text.encode()) == found
    assert json.loads(tlsrpt.sts_policy("example.net", octets.decode(), found.mx))["policy-type"] == "sts"


def records(octets: bytes) -> None:
    """Read TXT records, each ended by a NUL."""
    texts = octets.decode("utf-8", "replace").split("\0")
    policy_id = mta_sts.parse_record(texts)
    assert policy_id is None or (policy_id.isascii() and policy_id.isalnum() and len(policy_id) <= 32)
    found = tlsrpt.parse_record(texts)
    if found is None:
        return
    assert found.mail or found.https
    for address in found.mail:
        assert address.isascii()
        assert address.isprintable()
        assert " " not in address
        assert address.count("@") == 1
    assert all(url.lower().startswith("https:") for url in found.https)


def test_one_input(data: bytes) -> None:
    """The first octet says what it is."""
    if data[:1] == b"p":
        policy(data[1:])
    else:
        records(data[1:])


if __name__ == "__main__":
    run(test_one_input, "mta_sts")
