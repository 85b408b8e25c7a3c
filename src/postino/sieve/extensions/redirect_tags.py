"""redirect-dsn and redirect-deliverby: what a redirect asks of the way on.

RFC: 6009 §6 and §7.
Not here: checking the tags' values (redirect_options.py), sending (delivery/).
"""

from typing import Final

from postino.sieve.vocabulary import Extension, MoreTags, TagSpec, Takes

REDIRECT_DSN: Final = Extension(
    name="redirect-dsn",
    more_tags=(
        MoreTags(
            to=("redirect",),
            tags=(TagSpec(name="notify", takes=Takes.STRING), TagSpec(name="ret", takes=Takes.STRING)),
        ),
    ),
)
REDIRECT_DELIVERBY: Final = Extension(
    name="redirect-deliverby",
    more_tags=(
        MoreTags(
            to=("redirect",),
            tags=(
                TagSpec(name="bytimerelative", takes=Takes.NUMBER, group="time"),
                TagSpec(name="bytimeabsolute", takes=Takes.STRING, group="time"),
                TagSpec(name="bymode", takes=Takes.STRING),
                TagSpec(name="bytrace"),
            ),
        ),
    ),
)
