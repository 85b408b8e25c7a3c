"""Tokens: what strings, numbers, comments and texts mean (RFC 5228 §2.3, §2.4, §8.1)."""

import pytest

from postino.sieve import BadScript
from postino.sieve.language.lexer import Kind, tokens_of


def read(script: str) -> list[tuple[Kind, str, int]]:
    tokens, faults = tokens_of(script.encode(), "script", 100_000)
    assert faults == []
    assert tokens[-1].kind is Kind.END
    return [(token.kind, token.text, token.number) for token in tokens[:-1]]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('""', ""),
        ('"a"', "a"),
        (r'"\""', '"'),
        (r'"\\"', "\\"),
        (r'"\a"', "a"),  # §2.4.2: a backslash before anything else is undefined, and dropped
        ('"a\r\nb"', "a\r\nb"),
        ('"grüße"', "grüße"),
        ('"/* not a comment */ # neither"', "/* not a comment */ # neither"),
        ("text:\r\nHello\r\n.\r\n", "Hello\r\n"),
        ("TEXT:\r\nHello\r\n.\r\n", "Hello\r\n"),
        ("text: # why\r\nHello\r\n.\r\n", "Hello\r\n"),
        ("text:\n.\n", ""),
        ("text:\r\n..\r\n..two\r\n. not the end\r\n.\r\n", ".\r\n.two\r\n. not the end\r\n"),
        ("text:\r\na\r\n.", "a\r\n"),
    ],
)
def test_strings(written: str, text: str) -> None:
    assert read(written) == [(Kind.TEXT, text, 0)]


@pytest.mark.parametrize(
    ("written", "number"),
    [("0", 0), ("007", 7), ("10", 10), ("1k", 1024), ("1K", 1024), ("2M", 2 << 20), ("3g", 3 << 30)],
)
def test_numbers(written: str, number: int) -> None:
    assert read(written) == [(Kind.NUMBER, written, number)]


def test_comments_and_white_space_part_tokens() -> None:
    assert read('if # until the end of the line "\r\n/* a * / ** \r\n */:Is[') == [
        (Kind.IDENTIFIER, "if", 0),
        (Kind.TAG, "is", 0),
        (Kind.SPECIAL, "[", 0),
    ]


def test_places_count_lines_and_characters_from_one() -> None:
    tokens, _ = tokens_of('keep;\r\n  "ü" stop'.encode(), "script", 100)
    assert [(token.line, token.column) for token in tokens] == [(1, 1), (1, 5), (2, 3), (2, 7), (2, 11)]


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b'keep;\n"\xff";', "line 2, column 2: This is not UTF-8"),
        (b"keep;\n \0", "line 2, column 2: The script has the octet NUL"),
        (b"k" * 200, "line 1, column 1: The script has 200 octets, of 100 at most"),
    ],
)
def test_what_is_no_text_is_refused_as_a_whole(octets: bytes, words: str) -> None:
    with pytest.raises(BadScript) as refused:
        tokens_of(octets, "script", 100)
    assert str(refused.value).startswith(words)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('keep; "no end', "line 1, column 7: This string has no end"),
        ("/* no end", "line 1, column 1: This comment has no end"),
        ("text:\r\nno end\r\n", "line 1, column 1: This text: has no end"),
        ("10x", "line 1, column 1: 10x is not a number"),
        ("keep ; ü", "line 1, column 8: ü does not belong here"),
        ("keep; ²", "line 1, column 7: ² does not belong here"),
        ("\N{KELVIN SIGN}eep;", "line 1, column 1: \N{KELVIN SIGN} does not belong here"),
        ("99999999999999999999999", "line 1, column 1: 99999999999999999999999 is too large a number"),
    ],
)
def test_faults_have_a_place(script: str, words: str) -> None:
    _, faults = tokens_of(script.encode(), "script", 1000)
    assert str(faults[0]).startswith(words)


def test_a_byte_order_mark_is_no_part_of_the_script() -> None:
    assert tokens_of(b"\xef\xbb\xbfkeep;", "script", 100)[0][0].text == "keep"
