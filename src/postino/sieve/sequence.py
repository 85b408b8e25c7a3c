"""Several scripts in a row: the server's, the domain's and the account's own, before and after.

RFC: none; the rule is that of other servers: the next script runs while the message is to be kept.
Not here: running one (run.py), finding them (delivery/filters/scripts.py).
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from postino.sieve.actions import Action, Edited, FileInto, Keep, Redirect, Remembered
from postino.sieve.budget import DEFAULT_BUDGET, Budget, Steady
from postino.sieve.circumstances import NO_SURROUNDINGS, Circumstances, Surroundings
from postino.sieve.evaluation import Evaluation, TraceLine
from postino.sieve.message import SieveMessage
from postino.sieve.run import is_same, run
from postino.sieve.script import Script

_NO_CIRCUMSTANCES: Final = Circumstances()


def run_sequence(
    scripts: Sequence[Script],
    message: bytes | SieveMessage,
    circumstances: Circumstances = _NO_CIRCUMSTANCES,
    surroundings: Surroundings = NO_SURROUNDINGS,
    *,
    budget: Budget = DEFAULT_BUDGET,
    steady: Steady | None = None,
    traced: bool = False,
) -> Evaluation:
    """Run scripts until one does not keep the message; `scripts` has at least one.

    Flags and edits of a script that keeps hold for the next. A script that has to be ended early keeps the
    message, so the next one runs; the first such fault is told.
    """
    if isinstance(message, bytes):
        message = SieveMessage.of(message)
    if len(scripts) == 1:
        return run(
            scripts[0], message, circumstances, surroundings, budget=budget, steady=steady, traced=traced
        )
    actions: list[Action] = []
    remembered: list[Remembered] = []
    trace: list[TraceLine] = []
    fault, steps = None, 0
    edited: Edited | None = None
    for script in scripts:
        one = run(script, message, circumstances, surroundings, budget=budget, steady=steady, traced=traced)
        remembered += one.remembered
        trace += one.trace
        steps += one.steps
        fault = fault or one.fault
        kept = next((action for action in one.actions if isinstance(action, Keep)), None)
        # A keep of an earlier script was only the way to this one.
        actions = [action for action in actions if not isinstance(action, Keep)]
        actions += [
            _with_edits(action, edited)
            for action in one.actions
            if not any(is_same(action, known) for known in actions)
        ]
        if kept is None:
            break
        if one.fault is None and kept.flags != circumstances.flags:
            circumstances = msgspec.structs.replace(circumstances, flags=kept.flags)
        if kept.edited is not None:
            edited = _both(edited, kept.edited)
            message = SieveMessage(
                kept.edited.header, message.body if kept.edited.body is None else kept.edited.body
            )
    return Evaluation(actions=actions, remembered=remembered, fault=fault, trace=trace, steps=steps)


def _both(earlier: Edited | None, edited: Edited) -> Edited:
    """What two scripts in a row made of the message; the second saw what the first had left."""
    if earlier is None or earlier.body is None or edited.body is not None:
        return edited
    return Edited(edited.header, earlier.body)


def _with_edits(action: Action, edited: Edited | None) -> Action:
    """The action on the message as earlier scripts left it."""
    if edited is None or not isinstance(action, Keep | FileInto | Redirect):
        return action
    both = edited if action.edited is None else _both(edited, action.edited)
    return msgspec.structs.replace(action, edited=both)
