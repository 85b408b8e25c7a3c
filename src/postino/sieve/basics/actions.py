"""keep, discard, redirect and fileinto, with what extensions add to them.

RFC: 5228 §4 (actions), 3894 §3 (:copy), 5232 §5 (:flags), 5490 §3.2 (:create), 8579 §4 (:specialuse), 6009
    and 6134 (redirect's tags).
Invariants: a redirect's address is one address; a mailbox has a name.
Not here: which tags there are (extensions/), doing it (delivery/).
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from postino.core.address import BadAddress, parse_address
from postino.mime.address import Mailbox, parse_address_list
from postino.sieve.actions import Discard, FileInto, Keep, Redirect, Target
from postino.sieve.flags import flags_in
from postino.sieve.list_names import check_list_names, known_list
from postino.sieve.redirect_options import redirect_options
from postino.sieve.texts import TextValue, told_of, value_of, values_of
from postino.sieve.vocabulary import CommandSpec, Extension, Op, Takes

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
MAX_MAILBOX: Final = 1000


def flags_of(given: Sequence[TextValue] | None, run: "Run") -> tuple[str, ...]:
    """The flags that go with what is kept: those of :flags, else the internal variable's."""
    if given is None:
        return run.current_flags()
    return tuple(flags_in(values_of(given, run)))


def _keep(compiling: "Compiling", bound: "Bound") -> Op:
    # PERF: here and below, functions hold what they need, not `bound`, which holds a part of the tree.
    place, flags = bound.place, bound.texts.get("flags")

    def keep(run: "Run") -> bool:
        run.place = place
        run.add(Keep(place=place, flags=flags_of(flags, run), edited=run.edited))
        return False

    return keep


def _discard(compiling: "Compiling", bound: "Bound") -> Op:
    place = bound.place

    def discard(run: "Run") -> bool:
        run.place = place
        run.add(Discard(place=place))
        return False

    return discard


def bad_mailbox(name: str) -> str:
    """Why nothing can be filed there; empty when nothing is wrong with the name."""
    if not name:
        return "a mailbox has a name"
    if _CONTROL.search(name) or len(name) > MAX_MAILBOX:
        return "a mailbox's name has no control characters and at most a thousand others"
    return ""


def _fileinto(compiling: "Compiling", bound: "Bound") -> Op:
    mailbox = bound.text("mailbox")
    if isinstance(mailbox, str) and (wrong := bad_mailbox(mailbox)):
        compiling.fault(bound.node, f"This is no name to file under: {wrong}.")
    ends_keep = "copy" not in bound.tags
    create = "create" in bound.tags
    mailbox_id = bound.text("mailboxid") if "mailboxid" in bound.tags else ""
    special_use = bound.text("specialuse") if "specialuse" in bound.tags else ""
    place, flags = bound.place, bound.texts.get("flags")

    def fileinto(run: "Run") -> bool:
        run.place = place
        name = value_of(mailbox, run)
        if wrong := bad_mailbox(name):
            raise run.fault(f"the message cannot be filed: {wrong}")
        target = Target(
            mailbox=name,
            create=create,
            mailbox_id=told_of(mailbox_id, run),
            special_use=told_of(special_use, run),
            flags=flags_of(flags, run),
        )
        run.add(FileInto(place=place, target=target, edited=run.edited), ends_keep=ends_keep)
        return False

    return fileinto


def good_address(text: str) -> str | None:
    """The address to send to, or None; a name may stand before it (RFC 5228 §2.4.2.3)."""
    text = text.strip()
    if "<" in text and text.endswith(">"):
        found = parse_address_list(text.encode("utf-8", "surrogateescape"))
        only = found[0] if len(found) == 1 else None
        if not isinstance(only, Mailbox) or only.route is not None:
            return None
        text = only.addr_spec
    try:
        address = parse_address(text)
    except BadAddress:
        return None
    return str(address) if address.domain else None


def _redirect(compiling: "Compiling", bound: "Bound") -> Op:
    text = bound.text("address")
    if "list" in bound.tags:
        if wrong := check_list_names([text]):
            compiling.fault(bound.node, wrong)
    elif isinstance(text, str) and good_address(text) is None:
        compiling.fault(
            bound.node, f"{text!r} is not an address mail can be sent to; write user@example.org."
        )
    ends_keep = "copy" not in bound.tags
    options = redirect_options(compiling, bound)
    place, is_list = bound.place, "list" in bound.tags

    def redirect(run: "Run") -> bool:
        run.place = place
        given = value_of(text, run)
        members: tuple[str, ...] = (given,)
        list_name = ""
        if is_list:
            list_name = known_list(run, given)
            members = run.surroundings.list_members(list_name)
            if not members:
                # RFC 6134 §2.3: also where the list can be asked, and not read.
                raise run.fault(f"the list {given!r} names nobody the message could be sent to")
        for member in members:
            address = good_address(member)
            if address is None:
                raise run.fault(f"{member!r} is not an address mail can be sent to")
            run.add(
                Redirect(
                    place=place,
                    address=address,
                    list_name=list_name,
                    edited=run.edited_to_send(),
                    notify=options.notify,
                    ret=options.ret,
                    by_seconds=options.by_seconds(run),
                    by_mode=options.by_mode,
                    by_trace=options.by_trace,
                ),
                ends_keep=ends_keep,
            )
        return False

    return redirect


ACTIONS: Final = Extension(
    name="",
    commands=(
        CommandSpec(name="keep", compile=_keep),
        CommandSpec(name="discard", compile=_discard),
        CommandSpec(name="redirect", params=(("address", Takes.STRING),), compile=_redirect),
    ),
)
FILEINTO: Final = Extension(
    name="fileinto",
    commands=(CommandSpec(name="fileinto", params=(("mailbox", Takes.STRING),), compile=_fileinto),),
)
