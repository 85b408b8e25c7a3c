"""The envelope test: what MAIL and RCPT said.

RFC: 5228 §5.4, 6009 §4 and §5 (parts that are no addresses), 6785 §4.6 (not for what IMAP does).
Not here: those other parts (extensions/envelope_parts.py).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from postino.sieve.parts import PART_NAMES, PART_TAGS, AddressPart, part_of
from postino.sieve.texts import value_of, values_of
from postino.sieve.vocabulary import Check, Extension, Takes, TestSpec
from postino.sieve.zones import check_zone, zone_minutes

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


def _check_parts(compiling: "Compiling", bound: "Bound") -> None:
    others = compiling.vocabulary.envelope_parts
    for text in bound.texts["envelope_part"]:
        if not isinstance(text, str) or text.lower() in ENVELOPE_PARTS:
            continue
        known = others.get(text.lower())
        if known is None:
            names = ", ".join([*ENVELOPE_PARTS, *others])
            compiling.fault(bound.node, f"The envelope has no part {text!r}; it has {names}.")
        elif not compiling.has(known[0]):
            compiling.fault(bound.node, f'The part {text!r} needs require "{known[0]}"; at the top.')
        elif part := bound.one_of(*PART_NAMES):
            compiling.fault(bound.node, f"The part {text!r} is no address and has no :{part}; remove it.")


def _envelope(compiling: "Compiling", bound: "Bound") -> Check:
    matching = compiling.matching(bound, bound.texts["keys"])
    _check_parts(compiling, bound)
    texts = bound.texts["envelope_part"]
    others = {
        name: part for name, (extension, part) in compiling.vocabulary.envelope_parts.items()
        if compiling.has(extension)
    }  # fmt: skip
    zone = bound.text("zone") if "zone" in bound.tags else None
    check_zone(compiling, bound)
    part = part_of(bound)
    compare, place = matching.values, bound.place

    def envelope(run: "Run") -> bool:
        if run.during_imap():
            run.place = place
            raise run.fault("envelope tests what was said at delivery; it cannot be used on what IMAP does")
        found: list[str] = []
        for name in values_of(texts, run):
            if name.lower() not in ENVELOPE_PARTS:
                other = others.get(name.lower())
                if other is not None:
                    minutes = zone_minutes(value_of(zone, run)) if zone is not None else None
                    found += other.values(run, minutes)
            elif not matching.counts or ENVELOPE_PARTS[name.lower()](run):
                # RFC 5231 §4.2: the null reverse-path does not count.
                found += envelope_values(run, name.lower(), part)
        return compare(run, found)

    return envelope


def envelope_values(run: "Run", name: str, part: AddressPart) -> Sequence[str]:
    """What :is and its like compare with of one of ENVELOPE_PARTS."""
    address = ENVELOPE_PARTS[name](run)
    if not address:
        # RFC 5228 §5.4: the null reverse-path has the empty string for every part.
        return ("",) if name == "from" else ()
    if address[0] == "@":
        # §5.4: a source route is no part of the address.
        address = address.partition(":")[2] or address
    local, _, domain = address.rpartition("@")
    value = part(local if domain and local else address, domain if local else "", run.circumstances.separator)
    return () if value is None else (value,)


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
