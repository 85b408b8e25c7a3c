"""The corpus is the same octets at every run, and is what mail looks like on the wire."""

import re
from email import message_from_bytes
from email.policy import default

import pytest

from bench import corpus


def test_message_is_the_same_at_every_call() -> None:
    assert corpus.message(4711) == corpus.message(4711)
    assert corpus.message(4711) != corpus.message(4712)


def test_messages_have_no_bare_line_ends() -> None:
    for number in range(1, 200):
        assert not re.search(rb"\r(?!\n)|(?<!\r)\n", corpus.message(number))


def test_corpus_has_every_kind_of_structure() -> None:
    kinds = {
        message_from_bytes(corpus.message(number), policy=default).get_content_type()
        for number in range(1, 60)
    }
    assert kinds == {"text/plain", "multipart/alternative", "multipart/mixed"}


@pytest.mark.parametrize("octets", [4096, 61_440])
def test_sized_message_is_about_as_large_as_asked(octets: int) -> None:
    assert abs(len(corpus.sized_message(1, octets)) - octets) < 160


def test_load_gives_the_messages_from_the_cache_file(tmp_path) -> None:
    made = corpus.load(tmp_path, 20)
    assert made == [corpus.message(number) for number in range(1, 21)]
    assert corpus.load(tmp_path, 20) == made
