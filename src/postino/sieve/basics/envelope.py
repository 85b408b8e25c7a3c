"""The envelope test: what MAIL and RCPT said.

RFC: 5228 §5.4.
Not here: DSN and DELIVERBY parts (extensions/redirect_options.py).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from postino.sieve.parts import PART_TAGS, part_of
from postino.sieve.texts import values_of
from postino.sieve.vocabulary import Check, Extension, Takes, TestSpec

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

ENVELOPE_PARTS: Final[dict[str, Callable[["Run"], str]]] = {
    "from": lambda run: run.circumstances.envelope_from,
    "to": lambda run: run.circumstances.envelope_to,
    "auth": lambda run: run.circumstances.envelope_auth,
}
"""Parts that hold an address. An empty one is the null reverse-path, or was not given."""
OTHER_PARTS: Final[dict[str, tuple[str, Callable[["Run"], list[str]]]]] = {}
"""Parts by (extension, values), which are no addresses."""


def _envelope(compiling: "Compiling", bound: "Bound") -> Check:
    matching = compiling.matching(bound, bound.texts["keys"])
    texts = bound.texts["envelope_part"]
    for text in texts:
        if isinstance(text, str) and text.lower() not in ENVELOPE_PARTS:
            known = OTHER_PARTS.get(text.lower())
            if known is None:
                names = ", ".join([*ENVELOPE_PARTS, *OTHER_PARTS])
                compiling.fault(bound.node, f"The envelope has no part {text!r}; it has {names}.")
            elif not compiling.has(known[0]):
                compiling.fault(bound.node, f'The part {text!r} needs require "{known[0]}"; at the top.')
    part = part_of(bound)
    compare = matching.values

    def envelope(run: "Run") -> bool:
        found: list[str] = []
        for name in values_of(texts, run):
            address_of = ENVELOPE_PARTS.get(name.lower())
            if address_of is None:
                other = OTHER_PARTS.get(name.lower())
                if other is not None:
                    found += other[1](run)
                continue
            address = address_of(run)
            if not address:
                # RFC 5228 §5.4: the null reverse-path has the empty string for every part.
                if name.lower() == "from":
                    found.append("")
                continue
            local, _, domain = address.rpartition("@")
            value = part(
                local if domain and local else address, domain if local else "", run.circumstances.separator
            )
            if value is not None:
                found.append(value)
        return compare(run, found)

    return envelope


ENVELOPE: Final = Extension(
    name="envelope",
    tests=(
        TestSpec(
            name="envelope",
            params=(("envelope_part", Takes.STRINGS), ("keys", Takes.STRINGS)),
            tags=PART_TAGS,
            matches=True,
            compile=_envelope,
        ),
    ),
)
