"""The body test: what each transform looks at; the examples of RFC 5173, named by section."""

import pytest

from postino.sieve import BadScript, Budget, SieveMessage, compile_script, run
from tests.unit.sieve.scripting import done, holds

NESTED = (
    b"From: Whomever\r\nTo: Someone\r\nSubject: whatever\r\n"
    b"Content-Type: multipart/mixed; boundary=outer\r\n"
    b"\r\n"
    b"This is a multi-part message in MIME format.\r\n"
    b"\r\n"
    b"--outer\r\n"
    b"Content-Type: multipart/alternative; boundary=inner\r\n"
    b"\r\n"
    b"This is a nested multi-part message in MIME format.\r\n"
    b"\r\n"
    b"--inner\r\n"
    b'Content-Type: text/plain; charset="us-ascii"\r\n'
    b"\r\n"
    b"Hello\r\n"
    b"\r\n"
    b"--inner\r\n"
    b'Content-Type: text/html; charset="us-ascii"\r\n'
    b"\r\n"
    b"<html><body>Hello</body></html>\r\n"
    b"\r\n"
    b"--inner--\r\n"
    b"\r\n"
    b"This is the end of the inner MIME multipart.\r\n"
    b"\r\n"
    b"--outer\r\n"
    b"Content-Type: message/rfc822\r\n"
    b"\r\n"
    b"From: Someone Else\r\n"
    b"Subject: hello request\r\n"
    b"\r\n"
    b"Please say Hello\r\n"
    b"\r\n"
    b"--outer--\r\n"
    b"\r\n"
    b"This is the end of the outer MIME multipart.\r\n"
)
HEADER_ONLY = b"From: ann@example.org\r\nSubject: x\r\n"
EMPTY = HEADER_ONLY + b"\r\n"


def part(fields: str, body: bytes) -> bytes:
    """A message of one part."""
    return f"From: ann@example.org\r\n{fields}\r\n\r\n".encode() + body


QUOTED = part("Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable",
              b"Gr=FC=DFe, MISS=\r\nILE\r\n")  # fmt: skip
BASE64 = part("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64",
              b"R3LDvMOfZSBtaXNzaWxl\r\n")  # fmt: skip
NUL = part("Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64", b"YQBi\r\n")
BAD = part(
    "Content-Type: text/plain; charset=x-none\r\nContent-Transfer-Encoding: x-none", b"caf\xe9 plain\r\n"
)
MP3 = part("Content-Type: audio/mp3\r\nContent-Transfer-Encoding: base64", b"AAEC/w==\r\n")
BROKEN = part("Content-Type: multipart/mixed; boundary=never", b"Words without a part\r\n")


@pytest.mark.parametrize(
    ("test", "message", "expected"),
    [
        # §4: without an empty line there is no body, not even an empty one.
        ('body :raw :is ""', HEADER_ONLY, False),
        ('body :raw :contains ""', HEADER_ONLY, False),
        ('body :content "" :contains ""', HEADER_ONLY, False),
        ('body :contains ""', HEADER_ONLY, False),
        ('body :raw :is ""', EMPTY, True),
        ('body :contains ""', EMPTY, True),
        ('body :content "" :contains ""', EMPTY, True),
        ('body :raw :is "a\r\nb\r\n"', EMPTY + b"a\r\nb\r\n", True),
        ('body :raw :matches "A*B??"', EMPTY + b"a\r\nb\r\n", True),
        ('body :raw :is "\r\na\r\n"', EMPTY + b"\r\na\r\n", True),
        # §5.1: undecoded, with delimiters and fields of parts, without the outermost header.
        ('body :raw :contains "MAKE MONEY FAST"', EMPTY + b"make money fast", True),
        ('body :raw :contains "subject"', EMPTY + b"words", False),
        ('body :raw :contains "--inner--"', NESTED, True),
        ('body :raw :contains "boundary=inner"', NESTED, True),
        ('body :raw :contains "boundary=outer"', NESTED, False),
        ('body :raw :contains "=FC=DF"', QUOTED, True),
        ('body :raw :contains "missile"', QUOTED, False),
        ('body :raw :contains "missile"', BASE64, False),
        ('body :raw :contains "without a part"', BROKEN, True),
        # §5.2: the example.
        ('body :content "multipart" :contains "MIME"', NESTED, True),
        ('body :content "text/plain" :contains "Hello"', NESTED, True),
        ('body :content "text/html" :contains "Hello"', NESTED, True),
        ('body :content "text/html" :contains "<html>"', NESTED, True),
        ('body :content "text" :contains "Hello"', NESTED, True),
        ('body :content "message/rfc822" :contains "Hello"', NESTED, True),
        ('body :content "message/rfc822" :contains "Please"', NESTED, False),
        ('body :content "message/rfc822" :contains "Content-Type"', NESTED, False),
        ('body :content "multipart" :contains "Hello"', NESTED, False),
        ('body :content "multipart" :contains "--inner"', NESTED, False),
        ('body :content "multipart" :contains "Content-Type"', NESTED, False),
        ('body :content "multipart" :contains "end of the inner"', NESTED, True),
        ('body :content "multipart" :contains "end of the outer"', NESTED, True),
        ('body :content "multipart/mixed" :contains "end of the inner"', NESTED, False),
        ('body :content "multipart" :matches "*format*end of*"', NESTED, False),
        ('body :content "text/plain" :matches "*Hello*Please*"', NESTED, False),
        # §5.2: which types.
        ('body :content "" :contains "Please say"', NESTED, True),
        ('body :content "TEXT/Plain" :contains "Hello"', NESTED, True),
        ('body :content "/plain" :contains ""', NESTED, False),
        ('body :content "text/" :contains ""', NESTED, False),
        ('body :content "/" :contains ""', NESTED, False),
        ('body :content "text/plain/x" :contains ""', NESTED, False),
        ('body :content "tex" :contains ""', NESTED, False),
        ('body :content ["image", "text"] :contains "Hello"', NESTED, True),
        ('body :content "message" :contains ""', NESTED, True),
        ('body :content "audio/mp3" :contains ""', MP3, True),
        ('body :content "audio/mp3" :contains ""', NESTED, False),
        # §5.2: decoded, in UTF-8.
        ('body :content "text" :contains ["missile", "coordinates"]', QUOTED, True),
        ('body :content "text" :contains "Gr\u00fc\u00dfe"', QUOTED, True),
        ('body :content "text" :contains "Gr\u00fc\u00dfe missile"', BASE64, True),
        ('body :content "text" :contains "plain"', BAD, True),
        ('body :content "application" :matches "a?b"', NUL, True),
        ('body :content "text" :contains "without a part"', BROKEN, True),
        # §5.3
        ('body :text :contains "missile"', QUOTED, True),
        ('body "Gr\u00fc\u00dfe missile"', BASE64, True),
        ('body :contains "Hello"', NESTED, True),
        ('body :contains "<html>"', NESTED, False),
        ('body :contains "Please say"', NESTED, True),
        ('body :contains "multi-part"', NESTED, False),
        ('body :contains ""', MP3, False),
        # Comparators.
        ('body :comparator "i;octet" :contains "hello"', NESTED, False),
    ],
)
def test_what_is_found(test: str, message: bytes, expected: bool) -> None:
    """The same in one piece and when it is asked again."""
    assert holds(test, "body", message=message) is expected
    asked = SieveMessage.of(message)
    assert [holds(test, "body", message=asked) for _ in range(2)] == [expected, expected]


def test_section_6_no_matched_pieces_but_variables_in_keys_and_types() -> None:
    """What was matched before stays."""
    head = 'require ["body", "variables", "fileinto"]; if header :matches "subject" "w*" {} '
    script = 'set "t" "text/html"; set "k" "hello"; if body :content "${t}" :matches "*${k}*" { fileinto "<${1}>"; }'
    assert done(head + script, NESTED) == ["fileinto <hatever>"]


def test_an_edited_body_is_another() -> None:
    """What was found before is not taken for what is there now."""
    script = (
        'require ["body", "replace", "fileinto"]; if body :contains "hello" { replace "Other words"; }'
        ' if body :contains "hello" { discard; } elsif body :contains "other" { fileinto "other"; }'
    )
    assert done(script, EMPTY + b"Hello\r\n") == ["fileinto other"]


def test_no_more_than_the_budget_is_looked_at() -> None:
    """And a message of nothing but parts ends."""
    script = compile_script(b'require "body"; if body :raw :contains "end" { discard; }')
    message = EMPTY + b"x" * 5000 + b"end"
    names = [
        type(run(script, message, budget=Budget(body_octets=most)).actions[0]).__name__
        for most in (4000, 6000)
    ]
    assert names == ["Keep", "Discard"]
    parts = part("Content-Type: multipart/mixed; boundary=b", b"--b\r\n\r\nx\r\n" * 3000)
    for transform in ("", ":raw", ':content ""'):
        assert not holds(f'body {transform} :contains "nothing"', "body", message=parts)


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ('body :raw :text "a"', ":text"),
        ('body :raw :content "text" "a"', ":content"),
        ('body :content "a"', "body"),
        ("body", "body"),
        ('body :raw "from" "a"', "body"),
        ('body :all "a"', "all"),
    ],
)
def test_bad_tests(test: str, words: str) -> None:
    """Told while compiling."""
    with pytest.raises(BadScript) as bad:
        compile_script(f'require "body"; if {test} {{ keep; }}'.encode())
    assert any(words in fault.words for fault in bad.value.faults), bad.value.faults
