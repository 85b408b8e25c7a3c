"""enotify: tell somebody of a message by mail.

RFC: 5435 §3 (notify), §4 (valid_notify_method), §5 (notify_method_capability), 5436 §2 (mailto), 8580 §6.
Invariants: an address is told once of a message; notify never ends the implicit keep.
Not here: :encodeurl (extensions/variables.py), what is sent (delivery/).
"""

import re
from typing import TYPE_CHECKING, Final

from postino.sieve.actions import SendNotification
from postino.sieve.extensions.fcc import copy_target
from postino.sieve.extensions.vacation import header_address
from postino.sieve.mailto import is_mailto, mailto_recipients, why_bad_method
from postino.sieve.texts import value_of, values_of
from postino.sieve.vocabulary import Check, CommandSpec, Extension, Op, TagSpec, Takes, TestSpec

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_OPTION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*=[^\x00\r\n]*")
_CAPABILITIES: Final = {"online": "maybe", "fcc": "yes"}
_IMPORTANCE: Final = frozenset({"1", "2", "3"})


def _check(compiling: "Compiling", bound: "Bound") -> None:
    method = bound.text("method")
    if isinstance(method, str) and (wrong := why_bad_method(method)):
        if is_mailto(method):
            compiling.fault(bound.node, f"This cannot be notified: {wrong}.")
        else:
            # RFC 5435 §3.2: an error when it is run, so that scripts can ask valid_notify_method first.
            compiling.warn(bound.node, f"This will end the script when it is run: {wrong}.")
    importance = bound.texts.get("importance", ("2",))[0]
    if isinstance(importance, str) and importance not in _IMPORTANCE:
        compiling.fault(bound.node, ':importance is "1" (high), "2" or "3" (low).')
    sender = bound.texts.get("from", (None,))[0]
    if isinstance(sender, str) and header_address(sender) != 1:
        compiling.fault(
            bound.node, f":from takes one address, which {sender!r} is not; write me@example.org."
        )
    for option in bound.texts.get("options", ()):
        if isinstance(option, str) and _OPTION.fullmatch(option) is None:
            compiling.fault(bound.node, f"{option!r} is no option; they are written name=value.")


def _notify(compiling: "Compiling", bound: "Bound") -> Op:
    _check(compiling, bound)
    method = bound.text("method")
    message = bound.texts.get("message", ("",))[0]
    sender = bound.texts.get("from", ("",))[0]
    importance = bound.texts.get("importance", ("2",))[0]
    options = bound.texts.get("options", ())
    target = copy_target(compiling, bound)

    def notify(run: "Run") -> bool:
        run.place = bound.place
        uri = value_of(method, run)
        if wrong := why_bad_method(uri):
            raise run.fault(f"nobody can be notified: {wrong}")
        level = value_of(importance, run)
        if level not in _IMPORTANCE:
            raise run.fault(f"the importance of a notification is 1, 2 or 3, not {level[:20]!r}")
        named = [known for known in run.actions if isinstance(known, SendNotification)]
        if mailto_recipients(uri) <= {one for known in named for one in mailto_recipients(known.method)}:
            run.note("not notified again: these addresses are told of the message already")
            return False
        if len(named) >= run.budget.redirects:
            raise run.fault(f"more than {run.budget.redirects} notifications were asked for")
        author = value_of(sender, run)
        run.add(
            SendNotification(
                place=bound.place,
                method=uri,
                message=value_of(message, run),
                from_address=author if header_address(author) == 1 else "",
                importance=level,
                options=tuple(values_of(options, run)),
                fcc=target(run),
            ),
            ends_keep=False,
        )
        return False

    return notify


def _valid_notify_method(compiling: "Compiling", bound: "Bound") -> Check:
    uris = bound.texts["notification_uris"]
    return lambda run: not any(why_bad_method(uri) for uri in values_of(uris, run))


def _notify_method_capability(compiling: "Compiling", bound: "Bound") -> Check:
    compare = compiling.matching(bound, bound.texts["keys"]).values
    uri, capability = bound.text("notification_uri"), bound.text("notification_capability")

    def notify_method_capability(run: "Run") -> bool:
        method = value_of(uri, run)
        value = _CAPABILITIES.get(value_of(capability, run).lower())
        # RFC 8580 §6.1: a scheme alone may be asked about.
        is_known = method.lower() == "mailto:" or not why_bad_method(method)
        return is_known and value is not None and compare(run, (value,))

    return notify_method_capability


ENOTIFY: Final = Extension(
    name="enotify",
    commands=(
        CommandSpec(
            name="notify",
            params=(("method", Takes.STRING),),
            tags=(
                TagSpec(name="from", takes=Takes.STRING),
                TagSpec(name="importance", takes=Takes.STRING),
                TagSpec(name="options", takes=Takes.STRINGS),
                TagSpec(name="message", takes=Takes.STRING),
            ),
            compile=_notify,
        ),
    ),
    tests=(
        TestSpec(
            name="valid_notify_method",
            params=(("notification_uris", Takes.STRINGS),),
            compile=_valid_notify_method,
        ),
        TestSpec(
            name="notify_method_capability",
            params=(
                ("notification_uri", Takes.STRING),
                ("notification_capability", Takes.STRING),
                ("keys", Takes.STRINGS),
            ),
            matches=True,
            compile=_notify_method_capability,
        ),
    ),
)
