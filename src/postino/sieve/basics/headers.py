"""Tests of header fields: header, address, exists; and size.

RFC: 5228 §5.1 (address), §5.5 (exists), §5.7 (header), §5.9 (size).
Not here: the envelope (envelope.py), comparing (matching.py), which fields :index chooses (sources.py).
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from postino.sieve.message import addresses_in, decoded_value, parts_of
from postino.sieve.mime_options import reader_of
from postino.sieve.parts import PART_TAGS, AddressPart, part_of
from postino.sieve.sources import counted, is_plain, source_of
from postino.sieve.texts import constants, values_of
from postino.sieve.vocabulary import Check, Extension, Matching, TagSpec, Takes, TestSpec

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_NAME: Final = re.compile(r"[!-9;-~]+")
ADDRESS_FIELDS: Final = frozenset(
    {
        "from", "sender", "reply-to", "to", "cc", "bcc", "resent-from", "resent-sender", "resent-to",
        "resent-cc", "resent-bcc", "resent-reply-to", "return-path", "delivered-to", "x-original-to",
        "errors-to", "disposition-notification-to", "mail-followup-to", "mail-reply-to",
        "apparently-to", "author", "envelope-to", "x-envelope-to", "list-post", "return-receipt-to",
    }
)  # fmt: skip


def check_names(compiling: "Compiling", bound: "Bound", name: str = "header_names") -> None:
    """Warn of constants that cannot be names of fields: they match nothing (RFC 5228 §2.4.2.2)."""
    for text in bound.texts[name]:
        if isinstance(text, str) and _NAME.fullmatch(text) is None:
            compiling.warn(
                bound.node, f"{text!r} cannot be the name of a header field; write it without a colon."
            )


def _header(compiling: "Compiling", bound: "Bound") -> Check:
    check_names(compiling, bound)
    matching = compiling.matching(bound, bound.texts["keys"])
    texts = bound.texts["header_names"]
    fixed = constants(texts)
    compare = matching.values
    if fixed is not None and is_plain(bound):
        names = [name.lower() for name in fixed]
        folded = matching.folded
        if folded is not None and len(names) == 1:
            name, compare_folded = names[0], folded
            return lambda run: compare_folded(run, run.message.folded(name))
        return lambda run: compare(run, [value for name in names for value in run.message.values(name)])
    source = source_of(compiling, bound)
    read = reader_of(compiling, bound)

    def header(run: "Run") -> bool:
        names = [name.lower() for name in values_of(texts, run)]
        if read is None:
            return compare(run, [decoded_value(value) for value in counted(run, source(run, names))])
        params = values_of(read.params, run)
        return compare(
            run,
            [
                text
                for name in names
                for value in counted(run, source(run, (name,)))
                for text in read.texts(name, value, params)
            ],
        )

    return header


def _address(compiling: "Compiling", bound: "Bound") -> Check:
    check_names(compiling, bound)
    matching = compiling.matching(bound, bound.texts["keys"])
    texts = bound.texts["header_names"]
    for text in texts:
        if isinstance(text, str) and not _may_hold_addresses(text.lower(), bound):
            compiling.fault(
                bound.node, f"The field {text} does not hold addresses; use header instead of address."
            )
    part = part_of(bound)
    compare = matching.values
    fixed = constants(texts)
    if fixed is not None and is_plain(bound):
        return _plain_address([name.lower() for name in fixed], part, matching)
    source = source_of(compiling, bound)

    def address(run: "Run") -> bool:
        separator = run.circumstances.separator
        found: list[str] = []
        # RFC 5228 §5.1: no other fields are read as addresses, whatever variables hold.
        names = [name.lower() for name in values_of(texts, run)]
        names = [name for name in names if _may_hold_addresses(name, bound)]
        for value in counted(run, source(run, names)):
            found += parts_of(addresses_in(value), part, separator)
        return compare(run, found)

    return address


def _may_hold_addresses(name: str, bound: "Bound") -> bool:
    # RFC 5703 §4.2 has content-from as its example: with :mime, any field of a part is read as if.
    return name in ADDRESS_FIELDS or name.startswith("x-") or "mime" in bound.tags


def _plain_address(names: Sequence[str], part: AddressPart, matching: Matching) -> Check:
    """PERF: of fields known beforehand, the parts are found once for a message, and so is their folding."""
    compare, compare_folded = matching.values, matching.folded

    def address(run: "Run") -> bool:
        separator, parts_of_field = run.circumstances.separator, run.message.address_parts
        return compare(run, [value for name in names for value in parts_of_field(name, part, separator)])

    if compare_folded is None:
        return address

    def folded(run: "Run") -> bool:
        separator, message = run.circumstances.separator, run.message
        for name in names:
            if compare_folded(run, message.address_parts(name, part, separator, is_folded=True)):
                return True
        return False

    return folded


def _exists(compiling: "Compiling", bound: "Bound") -> Check:
    check_names(compiling, bound)
    texts = bound.texts["header_names"]
    source = source_of(compiling, bound)

    def exists(run: "Run") -> bool:
        return all(source(run, (name.lower(),)) for name in values_of(texts, run))

    return exists


def _size(compiling: "Compiling", bound: "Bound") -> Check:
    given = bound.one_of("over", "under")
    limit = bound.numbers.get(given, 0)
    if not given:
        compiling.fault(bound.node, "size takes :over or :under with a number: size :over 100K.")
    if given == "over":
        return lambda run: run.message.size > limit
    return lambda run: run.message.size < limit


HEADERS: Final = Extension(
    name="",
    tests=(
        TestSpec(
            name="header",
            params=(("header_names", Takes.STRINGS), ("keys", Takes.STRINGS)),
            matches=True,
            compile=_header,
        ),
        TestSpec(
            name="address",
            params=(("header_names", Takes.STRINGS), ("keys", Takes.STRINGS)),
            tags=PART_TAGS,
            matches=True,
            compile=_address,
        ),
        TestSpec(name="exists", params=(("header_names", Takes.STRINGS),), compile=_exists),
        TestSpec(
            name="size",
            tags=(
                TagSpec(name="over", takes=Takes.NUMBER, group="size"),
                TagSpec(name="under", takes=Takes.NUMBER, group="size"),
            ),
            compile=_size,
        ),
    ),
)
