"""fcc: keep a copy of what vacation and notify send.

RFC: 8580 §3 (:fcc with :create, :flags, :specialuse), §5 (vacation), §6 (notify), 9042 §5 (:mailboxid).
Invariants: what says where and how to file stands only beside :fcc.
Not here: filing the copy (delivery/).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from postino.sieve.actions import Target
from postino.sieve.basics.actions import bad_mailbox
from postino.sieve.texts import told_of, value_of, values_of
from postino.sieve.vocabulary import Extension, MoreTags, TagSpec, Takes

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_OPTIONS: Final = ("create", "flags", "specialuse", "mailboxid")

FCC: Final = Extension(
    name="fcc",
    more_tags=(
        MoreTags(
            to=("vacation", "notify"),
            tags=(
                TagSpec(name="fcc", takes=Takes.STRING),
                TagSpec(name="create", extension="mailbox"),
                TagSpec(name="flags", takes=Takes.STRINGS, extension="imap4flags"),
                TagSpec(name="specialuse", takes=Takes.STRING, extension="special-use"),
                TagSpec(name="mailboxid", takes=Takes.STRING, extension="mailboxid"),
            ),
        ),
    ),
)


def copy_target(compiling: "Compiling", bound: "Bound") -> "Callable[[Run], Target | None]":
    """Where the copy goes, found when the command is run; notes what is wrong."""
    if "fcc" not in bound.tags:
        if option := bound.one_of(*_OPTIONS):
            compiling.fault(
                bound.node, f":{option} says how :fcc files; add :fcc with a mailbox, or remove it."
            )
        return lambda run: None
    mailbox = bound.text("fcc")
    if isinstance(mailbox, str) and (wrong := bad_mailbox(mailbox)):
        compiling.fault(bound.node, f"This is no name to file under: {wrong}.")
    flags = bound.texts.get("flags", ())

    def target(run: "Run") -> Target:
        name = value_of(mailbox, run)
        if wrong := bad_mailbox(name):
            raise run.fault(f"the copy cannot be filed: {wrong}")
        return Target(
            mailbox=name,
            create="create" in bound.tags,
            mailbox_id=told_of(bound.text("mailboxid"), run) if "mailboxid" in bound.tags else "",
            special_use=told_of(bound.text("specialuse"), run) if "specialuse" in bound.tags else "",
            flags=tuple(dict.fromkeys(flag for text in values_of(flags, run) for flag in text.split())),
        )

    return target
