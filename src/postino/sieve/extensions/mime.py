"""mime: header, address and exists look at a part, or at every part.

RFC: 5703 §4 (:mime, :anychild, :type, :subtype, :contenttype, :param).
Not here: finding the fields (sources.py), reading them (mime_options.py), loops (extensions/foreverypart.py).
"""

from typing import Final

from postino.sieve.vocabulary import Extension, MoreTags, TagSpec, Takes

MIME: Final = Extension(
    name="mime",
    more_tags=(
        MoreTags(to=("header", "address", "exists"), tags=(TagSpec(name="mime"), TagSpec(name="anychild"))),
        MoreTags(
            to=("header",),
            tags=(
                TagSpec(name="type", group="mime option"),
                TagSpec(name="subtype", group="mime option"),
                TagSpec(name="contenttype", group="mime option"),
                TagSpec(name="param", takes=Takes.STRINGS, group="mime option"),
            ),
        ),
    ),
)
