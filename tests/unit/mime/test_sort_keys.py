"""First addresses and references, as SORT and THREAD compare them."""

import pytest

from postino.mime.collation import sort_key
from postino.mime.sort_keys import MAX_REFERENCES, first_address, normal_id, references

ADDRESSES = [
    (None, ("", "")),
    (b"", ("", "")),
    (b"ann@example.org", ("ANN", "ANN@EXAMPLE.ORG")),
    (b"Ann <ann@example.org>, bob@example.org", ("ANN", "ANN")),
    (b'"Smith, Ann" <ann@example.org>', ("ANN", "SMITH, ANN")),
    (b"=?utf-8?q?=C3=89mile?= <emile@example.org>", ("EMILE", sort_key("Émile"))),
    (b'"" <ann@example.org>', ("ANN", "ANN@EXAMPLE.ORG")),
    # ENVELOPE begins with the group, and its name is where an address has its mailbox.
    (b"friends: ann@example.org;", ("FRIENDS", "FRIENDS")),
    (b"undisclosed-recipients:;", ("UNDISCLOSED-RECIPIENTS", "UNDISCLOSED-RECIPIENTS")),
    (b"nobody", ("NOBODY", "NOBODY")),
    (b"ann@example.org (Ann)", ("ANN", "ANN")),
]


@pytest.mark.parametrize(("value", "keys"), ADDRESSES)
def test_first_address(value, keys):
    assert first_address(value) == keys
    if value:
        # Long fields are read apart from short ones.
        assert first_address(value + b", x@example.org" * 500) == keys


@pytest.mark.parametrize(
    ("refs", "in_reply_to", "kept"),
    [
        (None, None, ""),
        (b" <a@x> <b@x>\r\n <c@x>", b"<d@x>", "a@x b@x c@x"),
        (b"", b"<d@x> <e@x>", "d@x"),
        (b"garbage", b"Ann's message of <d@x>", "d@x"),
        (None, b"Ann's letter", ""),
        (None, b"<not an id>", ""),
        (b"<a@x><b@x>,<c@x>", None, "a@x b@x c@x"),
        # RFC 5256 §3: quoting makes no difference
        (b'<"01KF8JCEOCBS0045PS"@xxx.yyy.com>', None, "01KF8JCEOCBS0045PS@xxx.yyy.com"),
        (b"<01KF8JCEOCBS0045PS@xxx.yyy.com>", None, "01KF8JCEOCBS0045PS@xxx.yyy.com"),
        (b'<"a\\"b c"@x> <d@x>', None, 'a"bc@x d@x'),
        (b"<folded\r\n .id@x>", None, "folded.id@x"),
        (b"<\xc3\xa9@x>", None, "é@x"),
        (b"<a\0@x>", None, "a@x"),
    ],
)
def test_references(refs, in_reply_to, kept):
    assert references(refs, in_reply_to) == kept


def test_many_references_keep_the_first_and_the_latest():
    kept = references(b" ".join(b"<%d@x>" % n for n in range(1000)), None).split(" ")
    assert len(kept) == MAX_REFERENCES
    assert (kept[0], kept[1], kept[-1]) == ("0@x", f"{1001 - MAX_REFERENCES}@x", "999@x")


def test_hostile_references_take_linear_time():
    for piece in (b"<", b"<a@", b"<@@", b'<"', b"<a", b"\\"):
        references(piece * 100_000, piece * 100_000)


def test_own_ids_are_spelled_as_in_references():
    assert normal_id(b'"a"@x') == references(b'<"a"@x>', None) == "a@x"
