"""Turn octets of a named charset into text, whatever the name says.

RFC: 2045 §5.2 and 2046 §4.1.2 (charset parameter), 6532 §3 (UTF-8 where nothing is said).
Exposure: the name and the octets come from the message.
Invariants: decoding never fails; only codecs from a fixed list run, each in linear time.
"""

import codecs
import encodings.aliases
from functools import lru_cache
from typing import Final

# SECURITY: Python's codec search imports modules by name, remembers unknown names for ever and has
# codecs that are quadratic (idna, punycode) or are no charsets; so only names from this list reach it.
_NO_CHARSETS: Final = frozenset(
    b"base64_codec bz2_codec hex_codec quopri_codec rot_13 uu_codec zlib_codec idna punycode "
    b"unicode_escape raw_unicode_escape undefined unicode_internal mbcs oem".decode().split()
)
_KNOWN: Final = {
    alias: codec for alias, codec in encodings.aliases.aliases.items() if codec not in _NO_CHARSETS
}
_KNOWN.update({codec: codec for codec in set(_KNOWN.values())})
_KNOWN.update(
    # Names seen in mail that Python does not know, and names that in mail mean a larger charset.
    {name: f"cp{name[-4:]}" for name in _KNOWN if name.startswith("windows_125")}
    | {
        "ascii": "ascii",
        "us": "ascii",
        "ansi_x3.4_1968": "ascii",
        "ansi_x3.110_1983": "cp1252",
        "iso_8859_1": "cp1252",
        "iso8859_1": "cp1252",
        "latin_1": "cp1252",
        "latin1": "cp1252",
        "iso_8859_8_i": "iso8859_8",
        "iso_8859_8_e": "iso8859_8",
        "iso_8859_6_i": "iso8859_6",
        "gb2312": "gb18030",
        "gbk": "gb18030",
        "x_gbk": "gb18030",
        "ks_c_5601_1987": "cp949",
        "euc_kr": "cp949",
        "shift_jis": "cp932",
        "x_sjis": "cp932",
        "windows_31j": "cp932",
        "windows_874": "cp874",
        "tis_620": "cp874",
        "x_mac_roman": "mac_roman",
        "macintosh": "mac_roman",
        "unicode_1_1_utf_7": "utf_7",
        "utf_8_sig": "utf_8_sig",
        "koi8_r": "koi8_r",
        "koi8_u": "koi8_u",
        "big5_hkscs": "big5hkscs",
    }
)


@lru_cache(maxsize=256)
def codec_name(charset: str) -> str | None:
    """The Python codec for a charset's name in mail, or None when there is none that is safe."""
    name = charset.strip(" \t\"'").lower().replace("-", "_").replace(" ", "_")
    codec = _KNOWN.get(name) or _KNOWN.get(name.replace("_", "")) or _KNOWN.get(name.replace(".", "_"))
    if codec is None:
        return None
    try:
        return codecs.lookup(codec).name
    except LookupError:  # the alias table names codecs that some builds lack
        return None


def decode(octets: bytes, charset: str = "") -> str:
    """Decode `octets`; what the charset cannot be read as is read as UTF-8, or else as Windows-1252."""
    codec = codec_name(charset) if charset and len(charset) <= 64 else None
    if codec is not None and codec != "ascii":
        return octets.decode(codec, "replace")
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("cp1252", "replace")
