"""One script being run over one message: its state, its budget, what it decided.

RFC: 5228 §2.10.2 (implicit keep), §2.10.3 (same action twice), §2.10.6 (errors), 5229 §3 (variables).
Invariants: every command and comparison is counted, so each script ends; what was decided is only added to.
Not here: what commands do (basics/, extensions/), several scripts (sequence.py).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from postino.sieve.actions import (
    Action,
    Discard,
    Edited,
    FileInto,
    Hold,
    Keep,
    Place,
    Redirect,
    Reject,
    Remembered,
    Vacation,
)
from postino.sieve.budget import DEFAULT_BUDGET, Budget, Steady
from postino.sieve.circumstances import NO_SURROUNDINGS, Circumstances, Surroundings
from postino.sieve.evaluation import Evaluation, TraceLine
from postino.sieve.faults import RunTimeFault
from postino.sieve.message import SieveMessage

if TYPE_CHECKING:
    from postino.sieve.loop import Loop
    from postino.sieve.script import Script

_BETWEEN_LOOKS: Final = 2000
_NO_CIRCUMSTANCES: Final = Circumstances()
_MOST_TRACE: Final = 5000


class Run:
    """The state. `left` counts down to the next look(): who works subtracts, and calls it below 0."""

    __slots__ = (
        "_deadline",
        "_granted",
        "_steady",
        "actions",
        "before_enclose",
        "budget",
        "circumstances",
        "edited",
        "flags",
        "included",
        "includes",
        "is_answered",
        "is_enclosed",
        "is_kept",
        "is_returning",
        "leaving",
        "left",
        "loops",
        "match_values",
        "message",
        "original",
        "place",
        "redirects",
        "remembered",
        "surroundings",
        "trace",
        "variables",
        "whole_message",
    )

    def __init__(
        self,
        message: SieveMessage,
        circumstances: Circumstances,
        surroundings: Surroundings,
        budget: Budget,
        steady: Steady | None,
        *,
        traced: bool,
    ) -> None:
        self.message = message
        self.original = message
        """As it came."""
        self.circumstances = circumstances
        self.surroundings = surroundings
        self.budget = budget
        self.actions: list[Action] = []
        self.is_kept = True
        """The implicit keep is in effect."""
        self.is_answered = False
        """`vacation` was run, which it may be once (RFC 5230 §4.7)."""
        self.is_returning = False
        """`return` was run: only the included script ends (extensions/include.py)."""
        self.flags: list[str] = list(circumstances.flags)
        """The internal variable of imap4flags."""
        self.variables: dict[str, str] = {}
        """By lower-case name; `global.x` for those shared between scripts."""
        self.match_values: Sequence[str] = ()
        self.remembered: list[Remembered] = []
        self.edited: Edited | None = None
        """What the message has become; None: as it came."""
        self.is_enclosed = False
        self.before_enclose: Edited | None = None
        """With `is_enclosed`, what `edited` was then."""
        self.whole_message: SieveMessage | None = None
        """The message while an included script sees one part of it as `message` (RFC 6609 §3.5)."""
        self.loops: list[Loop] = []
        """The foreverypart loops that run, inner ones last (extensions/foreverypart.py)."""
        self.leaving = 0
        """How many loops a break has still to end."""
        self.includes: list[str] = []
        """Scripts being run, inner ones last (extensions/include.py)."""
        self.included: list[str] = []
        """Scripts that were included so far, each time."""
        self.redirects = 0
        self.place = Place("", 1)
        self.trace: list[TraceLine] | None = [] if traced else None
        self._steady = steady
        self._deadline = steady() + budget.seconds if steady is not None else 0.0
        self._granted = self.left = min(_BETWEEN_LOOKS, budget.steps)

    def spend(self, steps: int) -> None:
        """Count work that depends on how long something is."""
        self.left -= steps
        if self.left < 0:
            self.look()

    def look(self) -> None:
        """Go on, or raise RunTimeFault when the budget is used up."""
        used = self._granted - self.left
        if used > self.budget.steps:
            raise self.fault(f"the script did more than {self.budget.steps} steps for this message")
        if self._steady is not None and self._steady() > self._deadline:
            raise self.fault(f"the script took more than {self.budget.seconds:g} seconds for this message")
        self._granted = min(used + _BETWEEN_LOOKS, self.budget.steps)
        self.left = self._granted - used

    @property
    def steps(self) -> int:
        """How much was done."""
        return self._granted - self.left

    def fault(self, words: str) -> RunTimeFault:
        """What ends the script here; to be raised."""
        return RunTimeFault(self.place, words)

    def note(self, words: str) -> None:
        """A line of the trace, where one is wanted."""
        if self.trace is not None and len(self.trace) < _MOST_TRACE:
            self.trace.append(TraceLine(self.place, words))

    def bounded(self, text: str) -> str:
        """A made string, cut to the budget's length (RFC 5229 §3)."""
        most = self.budget.variable_octets
        self.spend(len(text) >> 8)
        if len(text) * 4 <= most or len(octets := text.encode("utf-8", "surrogateescape")) <= most:
            return text
        return octets[:most].decode("utf-8", "ignore")

    def assign(self, name: str, value: str) -> None:
        """Set a variable, by its lower-case name."""
        if name not in self.variables and len(self.variables) >= self.budget.variables:
            raise self.fault(f"the script sets more than {self.budget.variables} variables")
        self.variables[name] = self.bounded(value)

    def variable(self, name: str) -> str:
        """A variable's value or the n-th matched piece; empty for what was not set."""
        if name.isdigit():
            number = int(name)
            return self.match_values[number] if number < len(self.match_values) else ""
        if name.startswith("env."):
            # Of vnd.dovecot.environment: items of the environment, whose dashes no variable can have.
            items, item = self.circumstances.environment, name[len("env.") :]
            return items.get(item) or items.get(item.replace("_", "-"), "")
        return self.variables.get(name, "")

    def add(self, action: Action, *, ends_keep: bool = True) -> None:
        """Decide something; the same thing twice is done once."""
        if ends_keep:
            self.is_kept = False
        self.conflicts(action)
        for number, known in enumerate(self.actions):
            if is_same(known, action):
                # The later one says which flags (RFC 5232 §5.1).
                if isinstance(action, Keep | FileInto):
                    self.actions[number] = action
                return
        if len(self.actions) >= self.budget.actions:
            raise self.fault(f"more than {self.budget.actions} actions were taken for this message")
        if isinstance(action, Redirect) and not self._is_of_list(action):
            self.redirects += 1
            if self.redirects > self.budget.redirects:
                raise self.fault(f"the message was sent on more than {self.budget.redirects} times")
        self.actions.append(action)

    def conflicts(self, action: Action) -> None:
        """Raise RunTimeFault when it cannot be done beside what was decided (RFC 5429 §2.4)."""
        if isinstance(action, Reject) and (
            self.is_answered
            or any(isinstance(known, Keep | FileInto | Redirect | Reject | Hold) for known in self.actions)
        ):
            raise self.fault(
                "a message that was kept, filed, sent on, answered or held cannot be refused too"
            )
        if isinstance(action, Keep | FileInto | Vacation | Redirect | Hold) and any(
            isinstance(known, Reject) for known in self.actions
        ):
            raise self.fault(
                "a message that was refused cannot be kept, filed, sent on, answered or held too"
            )

    def _is_of_list(self, action: Redirect) -> bool:
        # A whole list counts as one; how many it may have, the number of actions says.
        return bool(action.list_name) and any(
            isinstance(known, Redirect) and known.list_name == action.list_name for known in self.actions
        )

    def during_imap(self) -> bool:
        """Whether the script runs because of what IMAP did to a message, not of a delivery (RFC 6785)."""
        return bool(self.circumstances.environment.get("imap.cause"))

    def is_outgoing(self) -> bool:
        """Whether the message is one that the account submits."""
        return self.circumstances.environment.get("vnd.postino.direction") == "outgoing"

    def edited_to_send(self) -> Edited | None:
        """What redirect sends; enclosing a message does not change it (RFC 5703 §6)."""
        return self.before_enclose if self.is_enclosed else self.edited

    def current_flags(self) -> tuple[str, ...]:
        """The internal variable's."""
        return tuple(self.flags)

    def result(self, end: Place) -> Evaluation:
        """What was decided; `end` is where an implicit keep comes from."""
        actions = list(self.actions)
        if self.is_kept:
            actions.append(Keep(place=end, flags=self.current_flags(), edited=self.edited, is_implicit=True))
        return Evaluation(
            actions=actions, remembered=self.remembered, trace=self.trace or (), steps=self.steps
        )

    def failed(self, fault: RunTimeFault) -> Evaluation:
        """What is done of a script that had to be ended: the message is kept as it came, nothing else."""
        self.place = fault.place
        self.note(f"ended: {fault.words}")
        return Evaluation(
            actions=[Keep(place=fault.place, is_implicit=True)],
            fault=fault,
            trace=self.trace or (),
            steps=self.steps,
        )


def is_same(known: Action, action: Action) -> bool:
    """Whether doing both would do one thing twice."""
    if type(known) is not type(action):
        return False
    match known, action:
        case (Keep(), Keep()) | (Discard(), Discard()):
            return True
        case FileInto(), FileInto():
            one, other = known.target, action.target
            return (one.mailbox, one.mailbox_id, one.special_use) == (
                other.mailbox,
                other.mailbox_id,
                other.special_use,
            )
        case Redirect(), Redirect():
            return (known.address.lower(), known.list_name) == (action.address.lower(), action.list_name)
        case _:
            return False


def run(
    script: "Script",
    message: bytes | SieveMessage,
    circumstances: Circumstances = _NO_CIRCUMSTANCES,
    surroundings: Surroundings = NO_SURROUNDINGS,
    *,
    budget: Budget = DEFAULT_BUDGET,
    steady: Steady | None = None,
    traced: bool = False,
) -> Evaluation:
    """Run one script over one message. Never raises for what script and message are.

    `steady` makes the budget's time count; `traced` has each step told, which takes some three times as long.
    """
    if isinstance(message, bytes):
        message = SieveMessage.of(message)
    state = Run(message, circumstances, surroundings, budget, steady, traced=traced)
    state.includes.append(script.name)
    execute = script.traced_execute() if traced else script.execute
    try:
        execute(state)
    except RunTimeFault as fault:
        return state.failed(fault)
    return state.result(script.end)
