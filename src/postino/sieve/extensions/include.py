"""include: run another script inside this one, leave it with return, share variables with it.

RFC: 6609 §3.2 (include), §3.3 (return), §3.4 (global), §3.5 (other extensions).
Exposure: names of scripts come from users; they are looked up, never made into paths.
Invariants: no script runs inside itself; how deep and how many is limited; variables and matched pieces of
    one script are not seen by another unless they are global.
Not here: finding scripts (circumstances.py), the names that are shared (compiler.py).
"""

import re
from typing import TYPE_CHECKING, Final

from postino.sieve.loop import part_at
from postino.sieve.message import SieveMessage
from postino.sieve.texts import VARIABLE_NAME, constants
from postino.sieve.vocabulary import CommandSpec, Extension, Op, TagSpec, Takes

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run
    from postino.sieve.script import Script

_BAD_NAME: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_MOST_NAME: Final = 512
_SHARED: Final = "global."


def _include(compiling: "Compiling", bound: "Bound") -> Op:
    name = bound.text("script_name")
    if not isinstance(name, str):
        compiling.fault(bound.node, "include takes a script's name as it is, without variables.")
        name = ""
    elif not name or len(name) > _MOST_NAME or _BAD_NAME.search(name):
        compiling.fault(bound.node, "A script's name has no control characters, and 1 to 512 others.")
    is_global = "global" in bound.tags
    once, optional = "once" in bound.tags, "optional" in bound.tags
    key = f"global:{name}" if is_global else name
    script_name = name

    def include(run: "Run") -> bool:
        run.place = bound.place
        if once and (key in run.includes or key in run.included):
            return False
        if key in run.includes:
            raise run.fault(f"the script {script_name!r} includes itself")
        script = run.surroundings.script(script_name, is_global=is_global)
        if script is None:
            if optional:
                run.note(f"there is no script {script_name!r}, which may be missing")
                return False
            raise run.fault(f"there is no script {script_name!r} to include, or it has faults")
        if len(run.includes) > run.budget.include_depth:
            raise run.fault(f"scripts include one another more than {run.budget.include_depth} deep")
        if len(run.included) >= run.budget.includes:
            raise run.fault(f"more than {run.budget.includes} scripts were included")
        run.spend(1 + (script.octets >> 10))
        run.included.append(key)
        run.includes.append(key)
        ended = _execute(run, script)
        run.includes.pop()
        return ended

    return include


def _execute(run: "Run", script: "Script") -> bool:
    """Run it with variables of its own; true when all scripts are to end."""
    execute = script.execute if run.trace is None else script.traced_execute()
    own, matches, loops = run.variables, run.match_values, run.loops
    run.variables = {name: value for name, value in own.items() if name.startswith(_SHARED)}
    run.match_values, run.loops = (), []
    message, whole = run.message, run.whole_message
    is_part = bool(loops) and _see_part(run, loops[-1].path)
    ended = execute(run)
    if is_part:
        run.message, run.whole_message = message, whole
    private = {name: value for name, value in own.items() if not name.startswith(_SHARED)}
    shared = {name: value for name, value in run.variables.items() if name.startswith(_SHARED)}
    run.variables = private | shared
    run.match_values, run.loops = matches, loops
    if run.is_returning:
        run.is_returning = False
        return False
    return ended


def _see_part(run: "Run", path: tuple[int, ...]) -> bool:
    """Let the part a loop is at be the message (RFC 6609 §3.5); whether it is another one."""
    message = run.message
    part = part_at(message.root, path) if path else None
    if part is None:
        return False
    run.whole_message = run.whole_message or message
    run.message = SieveMessage(
        message.octets(part.header_start, part.body_start),
        message.octets(part.body_start, part.end),
        limits=message.limits,
    )
    run.spend((part.end - part.header_start) >> 8)
    return True


def _return(compiling: "Compiling", bound: "Bound") -> Op:
    def leave(run: "Run") -> bool:
        run.place = bound.place
        run.is_returning = True
        return True

    return leave


def _global(compiling: "Compiling", bound: "Bound") -> Op:
    if not compiling.has("variables"):
        compiling.fault(bound.node, 'global needs require "variables"; at the top of the script.')
    for name in constants(bound.texts["names"]) or [""]:
        lower = name.lower()
        if VARIABLE_NAME.fullmatch(name) is None:
            words = "global takes names of variables: letters, digits and _, no digit first."
            compiling.fault(bound.node, words)
        elif lower in compiling.set_names:
            compiling.fault(
                bound.node, f"{name} was set before it became global; put global in front of that."
            )
        compiling.shared.add(lower)
    return lambda run: False


INCLUDE: Final = Extension(
    name="include",
    commands=(
        CommandSpec(
            name="include",
            params=(("script_name", Takes.STRING),),
            tags=(
                TagSpec(name="personal", group="place"),
                TagSpec(name="global", group="place"),
                TagSpec(name="once"),
                TagSpec(name="optional"),
            ),
            compile=_include,
        ),
        CommandSpec(name="return", compile=_return),
        CommandSpec(name="global", params=(("names", Takes.STRINGS),), compile=_global),
    ),
)
