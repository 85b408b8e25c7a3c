"""subaddress: the parts :user and :detail of an address.

RFC: 5233 §4.
Not here: taking addresses apart (parts.py); which sign separates is the domain's setting (circumstances.py).
"""

from typing import Final

from postino.sieve.vocabulary import Extension, MoreTags, TagSpec

SUBADDRESS: Final = Extension(
    name="subaddress",
    more_tags=(
        MoreTags(
            to=("address", "envelope"),
            tags=(TagSpec(name="user", group="address part"), TagSpec(name="detail", group="address part")),
        ),
    ),
)
