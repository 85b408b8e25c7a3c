"""Sieve: compile scripts, run them over messages, get actions. Pure, and usable without the server.

    from postino.sieve import compile_script, evaluate

    script = compile_script(b'if header :contains "subject" "offer" { discard; }')
    for action in evaluate(script, message, envelope_from="ann@example.org", envelope_to="bob@example.org"):
        print(action.place, action)

RFC: 5228 and the extensions of extensions/.
Not here: doing what was decided (delivery/).
"""

from collections.abc import Mapping, Sequence

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
    ReportAbuse,
    SendNotification,
    Target,
    Vacation,
)
from postino.sieve.budget import DEFAULT_BUDGET, Budget
from postino.sieve.circumstances import (
    NO_ENVIRONMENT,
    NO_SURROUNDINGS,
    Circumstances,
    Surroundings,
    ZoneMinutes,
)
from postino.sieve.compile import compile_script, extension_names, stored_script
from postino.sieve.evaluation import Evaluation, TraceLine
from postino.sieve.faults import BadScript, Fault, RunTimeFault
from postino.sieve.language.parser import parse
from postino.sieve.language.printer import show
from postino.sieve.message import SieveMessage
from postino.sieve.run import run
from postino.sieve.script import Script
from postino.sieve.sequence import run_sequence

__all__ = [
    "DEFAULT_BUDGET",
    "NO_ENVIRONMENT",
    "NO_SURROUNDINGS",
    "Action",
    "BadScript",
    "Budget",
    "Circumstances",
    "Discard",
    "Edited",
    "Evaluation",
    "Fault",
    "FileInto",
    "Hold",
    "Keep",
    "Place",
    "Redirect",
    "Reject",
    "Remembered",
    "ReportAbuse",
    "RunTimeFault",
    "Script",
    "SendNotification",
    "SieveMessage",
    "Surroundings",
    "Target",
    "TraceLine",
    "Vacation",
    "compile_script",
    "evaluate",
    "extension_names",
    "parse",
    "run",
    "run_sequence",
    "show",
    "stored_script",
]


def evaluate(
    script: Script,
    message: bytes | SieveMessage,
    *,
    envelope_from: str = "",
    envelope_to: str = "",
    envelope_auth: str = "",
    now: float = 0.0,
    zone_minutes: ZoneMinutes = 0,
    addresses: Sequence[str] = (),
    environment: Mapping[str, str] = NO_ENVIRONMENT,
    surroundings: Surroundings = NO_SURROUNDINGS,
    budget: Budget = DEFAULT_BUDGET,
) -> list[Action]:
    """What the script wants done with a message (octets with CRLF line ends), in order.

    `now` is in seconds since 1970, `zone_minutes` east of UTC, or a function that
    gives them for a moment. The implicit keep is the last action where it
    holds; it is the only one of a script that had to be ended early. Never raises for what the message is.
    run() gives more: the fault, a trace, what it cost.
    """
    circumstances = Circumstances(
        envelope_from=envelope_from,
        envelope_to=envelope_to,
        envelope_auth=envelope_auth,
        now=now,
        zone_minutes=zone_minutes,
        addresses=tuple(addresses),
        environment=environment,
    )
    return list(run(script, message, circumstances, surroundings, budget=budget).actions)
