"""index: look at one of several fields of a name.

RFC: 5260 §6.
Not here: choosing it (sources.py).
"""

from typing import Final

from postino.sieve.vocabulary import Extension, MoreTags, TagSpec, Takes

INDEX: Final = Extension(
    name="index",
    more_tags=(
        MoreTags(
            to=("header", "address", "date"),
            tags=(TagSpec(name="index", takes=Takes.NUMBER), TagSpec(name="last")),
        ),
    ),
)
