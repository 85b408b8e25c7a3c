"""Write text into a header: encoded words where it has more than ASCII, lines folded.

RFC: 2047 §2 and §5 (encoded words), 5322 §2.1.1 (line lengths), §2.2.3 (folding).
Exposure: any text, from users' scripts and from the messages they are about.
Invariants: the result is ASCII without control characters, so it is one field whatever the text holds; no
    encoded word is longer than 75 characters or splits a character.
Not here: reading them (encoded_word.py).
"""

import base64
import re
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_NO_FIELD: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+")
_WORD_OCTETS: Final = 45
"""Of UTF-8 in one word: 60 characters of base64 and 12 around them."""
_LINE: Final = 76


def one_line(text: str, most: int) -> str:
    """`text` with control characters and line ends as blanks, cut at `most` characters."""
    line = _CONTROL.sub(" ", text[: most + 1]).strip()
    return line if len(line) <= most else f"{line[: most - 3]}..."


def without_controls(fields: bytes) -> bytes:
    """Fields that somebody wrote as such, without what no header has beside line ends (RFC 5322 §2.2)."""
    return _NO_FIELD.sub(b"", fields)


def header_text(name: str, text: str, most: int = 500) -> str:
    """The unstructured field `name` with `text`, folded, ended by CRLF."""
    line = one_line(text, most)
    # What would be taken for an encoded word is encoded, so that it is read as what it is.
    if line.isascii() and "=?" not in line:
        return _folded(name, line.split(" "))
    return _folded(name, _words(line))


def _words(text: str) -> list[str]:
    words: list[str] = []
    piece = b""
    for character in text:
        octets = character.encode()
        if len(piece) + len(octets) > _WORD_OCTETS:
            words.append(_word(piece))
            piece = b""
        piece += octets
    return [*words, _word(piece)]


def _word(octets: bytes) -> str:
    return f"=?utf-8?B?{base64.b64encode(octets).decode()}?="


def _folded(name: str, words: list[str]) -> str:
    lines = [f"{name}:"]
    for word in words:
        # A line that is only blanks would end the header in the eyes of some (RFC 5322 §2.2.3).
        if word and len(lines[-1]) + 1 + len(word) > _LINE and lines[-1].strip() != f"{name}:":
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join(lines) + "\r\n"
