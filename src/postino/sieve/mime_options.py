"""What of a MIME field a header test looks at: its type, its subtype, both, or parameters.

RFC: 5703 §4.1 (:type, :subtype, :contenttype, :param); 2231 (parameters in pieces and charsets).
Exposure: fields of strangers' parts; parsing them is linear and never fails.
Not here: which parts' fields (sources.py), the tags (extensions/mime.py).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from postino.mime.encoded_word import decode_header_text
from postino.mime.parameters import parse_content_type, parse_disposition
from postino.sieve.texts import TextValue

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling

OPTIONS: Final = ("type", "subtype", "contenttype", "param")


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """One use of such a tag."""

    option: str
    params: Sequence[TextValue] = ()

    def texts(self, name: str, value: bytes, params: Sequence[str]) -> list[str]:
        """The texts to compare of one field; none when it could not be read."""
        if name == "content-type":
            content = parse_content_type(value)
            if content is None:
                return []
            kind, subtype, given = content
            both = f"{kind}/{subtype}"
        else:
            read = parse_disposition(value)
            if read is None:
                return []
            kind, given = read
            if name != "content-disposition":
                kind = ""
            subtype, both = "", kind
        match self.option:
            case "type":
                return [kind]
            case "subtype":
                return [subtype]
            case "contenttype":
                return [both]
            case _:
                wanted = {param.lower() for param in params}
                return [decode_header_text(text) for key, text in given if key.removesuffix("*") in wanted]


def reader_of(compiling: "Compiling", bound: "Bound") -> Reader | None:
    """How the test reads its fields; None for whole values."""
    option = bound.one_of(*OPTIONS)
    if not option:
        return None
    if "mime" not in bound.tags:
        compiling.fault(bound.node, f":{option} counts for :mime, which is not there; add it.")
    return Reader(option=option, params=bound.texts.get("param", ()))
