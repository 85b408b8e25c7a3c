"""Names of lists that are kept outside of scripts, in one form.

RFC: 6134 §2.5 (absolute URIs, `:` for our URNs), §2.6 (addrbook).
Invariants: Surroundings gets `urn:ietf:params:sieve:addrbook:default` for the default address book, whatever
    its letters and percent signs.
Not here: which lists there are and who is on them (Surroundings), using them (extensions/extlists.py).
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from postino.sieve.texts import TextValue

if TYPE_CHECKING:
    from postino.sieve.run import Run

_URN: Final = "urn:ietf:params:sieve:"
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:[!#$&-;=?-Z_a-z~]|%[0-9A-Fa-f]{2})+")
_BOOK: Final = "addrbook:"


def list_name(text: str) -> str | None:
    """The name in its one form; None for what is no absolute URI."""
    whole = _URN + text[1:] if text.startswith(":") else text
    if _URI.fullmatch(whole) is None:
        return None
    if not whole.lower().startswith(_URN):
        return whole
    name = whole[len(_URN) :]
    if not name.lower().startswith(_BOOK):
        return _URN + name
    book, mark, extensions = name[len(_BOOK) :].partition("?")
    decoded = unquote(book)
    # The name of the default book has no case, those of others keep theirs.
    one_form = "default" if decoded.lower() == "default" else quote(decoded, safe="!$&'()*+,;=:@")
    return f"{_URN}{_BOOK}{one_form}{mark}{extensions}" if decoded else None


def known_list(run: "Run", text: str) -> str:
    """The name of a list there is. Raises RunTimeFault for others."""
    name = list_name(text)
    if name is None or not run.surroundings.has_list(name):
        raise run.fault(f"there is no list {text[:200]!r}")
    return name


def check_list_names(texts: Sequence[TextValue]) -> str:
    """What is wrong with constants among names of lists; empty for nothing."""
    for text in texts:
        if isinstance(text, str) and list_name(text) is None:
            return f"{text!r} cannot be the name of a list; they are URIs, such as :addrbook:default."
    return ""
