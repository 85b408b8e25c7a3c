"""editheader: addheader and deleteheader.

RFC: 5293 §4 (addheader), §5 (deleteheader), §6 (what may not be changed), §7 (who sees what); 5703 §5
    (Original-Subject and Original-From).
Invariants: octets of other fields stay; loop and login checks of this and other servers cannot be fooled.
Not here: putting fields in and out (editing.py).
"""

import re
from typing import TYPE_CHECKING, Final

from postino.mime.encode_header import header_text
from postino.mime.header import fields
from postino.sieve.editing import edit, may_edit, with_field, without_ranges
from postino.sieve.message import decoded_value
from postino.sieve.texts import TextValue, value_of
from postino.sieve.vocabulary import CommandSpec, Extension, Op, TagSpec, Takes

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_NAME: Final = re.compile(r"[!-9;-~]+")
_MOST_NAME: Final = 70
_MOST_VALUE: Final = 8192
_TRACE: Final = frozenset(
    {
        "received", "return-path", "delivered-to", "original-subject", "original-from", "received-spf",
        "authentication-results", "arc-seal", "arc-message-signature", "arc-authentication-results",
    }
)  # fmt: skip
"""Neither added nor deleted: loops are seen, and mail is trusted, by what these say."""
_NEVER_DELETED: Final = _TRACE | {"auto-submitted"}


def _check_name(compiling: "Compiling", bound: "Bound", name: TextValue) -> None:
    if isinstance(name, str) and not _is_name(name):
        compiling.fault(
            bound.node, f"{name!r} cannot be the name of a header field; write it without a colon."
        )


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and len(name) <= _MOST_NAME


def _named(run: "Run", text: TextValue) -> str:
    name = value_of(text, run)
    if not _is_name(name):
        raise run.fault(f"{name[:_MOST_NAME]!r} cannot be the name of a header field")
    return name


def _addheader(compiling: "Compiling", bound: "Bound") -> Op:
    name_text, value_text = bound.text("field_name"), bound.text("value")
    _check_name(compiling, bound, name_text)
    last = "last" in bound.tags

    def addheader(run: "Run") -> bool:
        run.place = bound.place
        name, value = _named(run, name_text), value_of(value_text, run)
        if len(value) > _MOST_VALUE:
            raise run.fault(f"a header field can have {_MOST_VALUE} characters and not more")
        if name.lower() in _TRACE:
            run.note(f"not done: {name} is not for scripts to add")
        elif may_edit(run):
            field = header_text(name, value, _MOST_VALUE).encode()
            edit(run, with_field(run.message.header, field, last=last))
        return False

    return addheader


def _deleteheader(compiling: "Compiling", bound: "Bound") -> Op:
    name_text = bound.text("field_name")
    _check_name(compiling, bound, name_text)
    patterns = bound.texts.get("value_patterns")
    compare = compiling.matching(bound, patterns).values if patterns is not None else None
    index = bound.numbers.get("index", 0)
    if "index" in bound.tags and index < 1:
        compiling.fault(bound.node, ":index counts from 1.")
    if "last" in bound.tags and "index" not in bound.tags:
        compiling.fault(bound.node, ":last counts for :index, which is not there; add it or remove :last.")
    position = -index if "last" in bound.tags else index - 1

    def deleteheader(run: "Run") -> bool:
        run.place = bound.place
        name = _named(run, name_text).lower()
        if name in _NEVER_DELETED:
            run.note(f"not done: {name} is not for scripts to delete")
            return False
        header = run.message.header
        run.spend(len(header) >> 8)
        found = [(start, end, value) for known, start, end, value in fields(header) if known == name.encode()]
        if index:
            found = [found[position]] if -len(found) <= position < len(found) else []
        if compare is not None:
            run.spend(sum([end - value for _, end, value in found]) >> 4)
            found = [one for one in found if compare(run, [decoded_value(header[one[2] : one[1]])])]
        if found and may_edit(run):
            edit(run, without_ranges(header, [(start, end) for start, end, _ in found]))
        return False

    return deleteheader


EDITHEADER: Final = Extension(
    name="editheader",
    commands=(
        CommandSpec(
            name="addheader",
            params=(("field_name", Takes.STRING), ("value", Takes.STRING)),
            tags=(TagSpec(name="last"),),
            compile=_addheader,
        ),
        CommandSpec(
            name="deleteheader",
            params=(("field_name", Takes.STRING), ("value_patterns", Takes.STRINGS)),
            optional_last=True,
            matches=True,
            tags=(TagSpec(name="index", takes=Takes.NUMBER), TagSpec(name="last")),
            compile=_deleteheader,
        ),
    ),
)
