"""extracttext: the text of the part a loop is at, into a variable.

RFC: 5703 §7; 5229 §4.1 (modifiers).
Exposure: bodies of strangers' messages; decoding is linear, and counted by what is decoded.
Not here: setting variables (run.py).
"""

from typing import TYPE_CHECKING, Final

from postino.mime.charset import codec_name
from postino.mime.part import Part
from postino.mime.transfer import decode_transfer
from postino.sieve.extensions.variables import MODIFIER_TAGS, MODIFIERS
from postino.sieve.loop import part_at
from postino.sieve.vocabulary import CommandSpec, Extension, Op, TagSpec, Takes

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_MOST_OCTETS: Final = 4 * 1024 * 1024
"""Of a larger part, there is no text to be had."""


def _extracttext(compiling: "Compiling", bound: "Bound") -> Op:
    given, name = bound.text("name"), ""
    if not compiling.has("variables"):
        compiling.fault(bound.node, 'extracttext needs require "variables"; at the top of the script.')
    elif isinstance(given, str):
        name = compiling.settable(bound.node, given)
    else:
        compiling.fault(bound.node, "A variable's name stands in the script as it is, without ${ } in it.")
    if not compiling.loops:
        compiling.fault(bound.node, "extracttext stands inside foreverypart only.")
    most = bound.numbers.get("first")
    modifiers = [change for tag, change in MODIFIERS.items() if tag in bound.tags]

    def extracttext(run: "Run") -> bool:
        run.place = bound.place
        part = part_at(run.message.root, run.loops[-1].path)
        text = _text(run, part) if part is not None else ""
        text = run.bounded(text[:most] if most is not None else text)
        for change in modifiers:
            text = change(text)
        run.assign(name, text)
        return False

    return extracttext


def _text(run: "Run", part: Part) -> str:
    """A part's text; empty where RFC 5703 §7 wants nothing: what is no text, and what cannot be decoded."""
    octets = part.end - part.body_start
    if part.media_type != "text" or octets > _MOST_OCTETS:
        return ""
    run.spend(1 + (octets >> 6))
    decoded = decode_transfer(part.encoding, run.message.octets(part.body_start, part.end))
    codec = codec_name(part.charset) if part.charset else "utf-8"
    if decoded is None or codec is None:
        return ""
    try:
        # Mail that says it is ASCII and is not is nearly always UTF-8.
        return decoded.decode("utf-8" if codec == "ascii" else codec)
    except ValueError:
        return ""


EXTRACTTEXT: Final = Extension(
    name="extracttext",
    commands=(
        CommandSpec(
            name="extracttext",
            params=(("name", Takes.STRING),),
            tags=(*MODIFIER_TAGS, TagSpec(name="first", takes=Takes.NUMBER)),
            compile=_extracttext,
        ),
    ),
)
