"""mailbox, mailboxid and special-use: whether mailboxes are there, and where fileinto goes.

RFC: 5490 §3.1 (mailboxexists), §3.2 (:create), 8579 §3 (specialuse_exists), §4 (:specialuse), 9042 §3
    (:mailboxid), §4 (mailboxidexists).
Not here: filing (basics/actions.py), making mailboxes (delivery/).
"""

from typing import TYPE_CHECKING, Final

from postino.sieve.texts import all_told_of, told_of
from postino.sieve.vocabulary import Check, Extension, MoreTags, TagSpec, Takes, TestSpec

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run


def _mailboxexists(compiling: "Compiling", bound: "Bound") -> Check:
    texts = bound.texts["mailbox_names"]

    def mailboxexists(run: "Run") -> bool:
        return all(run.surroundings.mailbox_exists(name) for name in all_told_of(texts, run))

    return mailboxexists


def _mailboxidexists(compiling: "Compiling", bound: "Bound") -> Check:
    texts = bound.texts["mailbox_ids"]

    def mailboxidexists(run: "Run") -> bool:
        return all(run.surroundings.mailbox_of_id(name) is not None for name in all_told_of(texts, run))

    return mailboxidexists


def _specialuse_exists(compiling: "Compiling", bound: "Bound") -> Check:
    uses = bound.texts["special_uses"]
    mailbox = bound.text("mailbox") if "mailbox" in bound.texts else None

    def specialuse_exists(run: "Run") -> bool:
        wanted = [use.lower() for use in all_told_of(uses, run)]
        if mailbox is None:
            return all(run.surroundings.special_use_mailbox(use) is not None for use in wanted)
        name = told_of(mailbox, run)
        if not run.surroundings.mailbox_exists(name):
            return False
        return {use.lower() for use in run.surroundings.special_uses(name)}.issuperset(wanted)

    return specialuse_exists


MAILBOX: Final = Extension(
    name="mailbox",
    tests=(
        TestSpec(name="mailboxexists", params=(("mailbox_names", Takes.STRINGS),), compile=_mailboxexists),
    ),
    more_tags=(MoreTags(to=("fileinto",), tags=(TagSpec(name="create"),)),),
)
MAILBOXID: Final = Extension(
    name="mailboxid",
    tests=(
        TestSpec(name="mailboxidexists", params=(("mailbox_ids", Takes.STRINGS),), compile=_mailboxidexists),
    ),
    more_tags=(MoreTags(to=("fileinto",), tags=(TagSpec(name="mailboxid", takes=Takes.STRING),)),),
)
SPECIAL_USE: Final = Extension(
    name="special-use",
    tests=(
        TestSpec(
            name="specialuse_exists",
            params=(("mailbox", Takes.STRING), ("special_uses", Takes.STRINGS)),
            optional=1,
            compile=_specialuse_exists,
        ),
    ),
    more_tags=(MoreTags(to=("fileinto",), tags=(TagSpec(name="specialuse", takes=Takes.STRING),)),),
)
