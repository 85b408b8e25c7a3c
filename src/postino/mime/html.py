"""Read HTML as text, for searching and previews; never for showing.

Exposure: unauthenticated text; each expression takes whatever it begins with to its end, so that time is
    linear for any input (an unclosed comment or script swallows the rest once).
Not here: sanitising HTML for a browser.
"""

import re
from html import unescape
from typing import Final

_UNSEEN: Final = re.compile(
    r"<!--(?:[^-]++|-(?!->))*+(?:-->|\Z)"
    r"|<([sS][cC][rR][iI][pP][tT]|[sS][tT][yY][lL][eE])(?=[\s/>])[^>]*+"
    r"(?:>(?:[^<]++|<(?!/(?i:\1)))*+(?:</(?i:\1)[^>]*+>?|\Z)|\Z)"
)
# Marks inside a word do not part it: <b>H</b>ello is found as Hello.
# PERF: a class for each letter lets the expression pass over other marks in half the time that (?i:) takes.
_INLINE_NAMES: Final = (
    *("a", "abbr", "b", "big", "code", "em", "font", "i", "mark", "o:p", "s", "small", "span", "strong"),
    *("sub", "sup", "tt", "u", "wbr"),
)
_ANY_INLINE: Final = "|".join(
    ["".join([f"[{letter}{letter.upper()}]" for letter in name]) for name in _INLINE_NAMES]
)
_INLINE: Final = re.compile(rf"</?(?:{_ANY_INLINE})(?=[\s/>])[^<>]*+>")
_TAG: Final = re.compile(r"<(?=[A-Za-z/!?])[^>]*+(?:>|\Z)")


def html_text(html: str) -> str:
    """The text of an HTML document, white space made single blanks."""
    text = _UNSEEN.sub(" ", html) if "<s" in html or "<S" in html or "<!" in html else html
    text = _TAG.sub(" ", _INLINE.sub("", text))
    if "&" in text:
        text = unescape(text)
    return " ".join(text.split())
