"""Comparators a script has to require: numbers, and letters of all scripts.

RFC: 4790 §9.1 (i;ascii-numeric), 5051 (i;unicode-casemap), 5228 §2.7.3 (the names of such extensions).
Not here: folding (folding.py) and comparing (matching.py).
"""

from typing import Final

from postino.sieve.vocabulary import Extension

NUMERIC: Final = Extension(name="comparator-i;ascii-numeric")
UNICODE: Final = Extension(name="comparator-i;unicode-casemap")
