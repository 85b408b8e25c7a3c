"""encoded-character: ${hex: 24} and ${unicode: 20ac} in strings.

RFC: 5228 §2.4.2.4.
Not here: decoding them (texts.py), which the compiler has done where this is required.
"""

from typing import Final

from postino.sieve.vocabulary import Extension

ENCODED_CHARACTER: Final = Extension(name="encoded-character")
