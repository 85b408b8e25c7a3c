"""copy: fileinto and redirect that leave the implicit keep in effect.

RFC: 3894 §3.
Not here: the commands (basics/actions.py), which look for :copy.
"""

from typing import Final

from postino.sieve.vocabulary import Extension, MoreTags, TagSpec

COPY: Final = Extension(
    name="copy", more_tags=(MoreTags(to=("fileinto", "redirect"), tags=(TagSpec(name="copy"),)),)
)
