"""The character sets a SEARCH may be written in.

RFC: 9051 §6.4.4 (CHARSET) and §7.1 (BADCHARSET).
Exposure: the name comes from the client; only names in Python's own table are looked up.
"""

import codecs
import encodings.aliases
import re
from typing import Final

from postino.imap.bad_command import BadCommand

# Not character sets, or ones whose decoding is not linear in the input.
_UNFIT: Final = frozenset(
    {
        "base64_codec",
        "bz2_codec",
        "hex_codec",
        "idna",
        "mbcs",
        "oem",
        "punycode",
        "quopri_codec",
        "raw_unicode_escape",
        "rot_13",
        "undefined",
        "unicode_escape",
        "utf_7",
        "uu_codec",
        "zlib_codec",
    }
)
_PYTHON_NAMES: Final = {
    **{codec: codec for codec in encodings.aliases.aliases.values()},
    **encodings.aliases.aliases,
    "unicode_1_1_utf_8": "utf_8",
}
_NOT_NAME: Final = re.compile(r"[^a-z0-9]+")

BAD_CHARSET: Final = b"BADCHARSET (UTF-8 US-ASCII ISO-8859-1)"


def codec_of(charset: bytes) -> str:
    """Python's name of the codec. Raises BadCommand, to be answered NO [BADCHARSET]."""
    name = _NOT_NAME.sub("_", charset[:64].decode("ascii", "replace").lower()).strip("_")
    codec = _PYTHON_NAMES.get(name)
    # SECURITY: an unknown name must not reach codecs.lookup(), which remembers every miss for good.
    if codec is None or codec in _UNFIT:
        raise BadCommand("This character set is not known here; use UTF-8", status="NO", code=BAD_CHARSET)
    try:
        return codecs.lookup(codec).name
    except LookupError:
        raise BadCommand(
            "This character set is not known here; use UTF-8", status="NO", code=BAD_CHARSET
        ) from None
