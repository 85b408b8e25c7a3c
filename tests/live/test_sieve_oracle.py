"""The same scripts and messages through Postino and through Debian's `sieve-test`: the same is to be done.

See sieve_corpus/README.md.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from postino.sieve import BadScript, Script, compile_script, run
from postino.sieve.circumstances import Circumstances, NoSurroundings
from tests.support.sieve_messages import MESSAGES
from tests.support.sieve_test import NOT_COMPILED, RECIPIENT, SENDER, SieveTest, Verdict, of_evaluation

CORPUS = Path(__file__).parent / "sieve_corpus"
EXPLANATIONS = ("postino is right", "both are right")
WORDS_OF_THEIRS = {"location": "MS", "phase": "post", "name": "Pigeonhole Sieve", "host": "mx.example.org"}


class Case(NamedTuple):
    name: str
    script: str
    messages: tuple[str, ...]
    sender: str
    recipient: str
    explanation: str


def read_cases() -> list[Case]:
    cases = []
    for path in sorted((CORPUS / "cases").glob("*.txt")):
        for block in path.read_text(encoding="utf-8").split("=== ")[1:]:
            head, _, script = block.partition("\n---\n")
            name, *lines = head.splitlines()
            said = dict(line.split(":", 1) for line in lines)
            said = {key: value.strip() for key, value in said.items()}
            unknown = said.keys() - {"messages", "from", "to", *EXPLANATIONS}
            assert not unknown, f"{path.name}, {name}: {unknown}"
            cases.append(
                Case(
                    name,
                    script,
                    tuple(said.get("messages", " ".join(MESSAGES)).split()),
                    said.get("from", SENDER),
                    said.get("to", RECIPIENT),
                    next((said[key] for key in EXPLANATIONS if key in said), ""),
                )
            )
    return cases


CASES = read_cases()


def folder_of_scripts(name: str) -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in (CORPUS / name).glob("*.sieve")}


PERSONAL, GLOBAL = folder_of_scripts("scripts"), folder_of_scripts("global")


class Around(NoSurroundings):
    """What theirs has in its directory: two mailboxes, and the scripts to include."""

    def mailbox_exists(self, name: str) -> bool:
        return name.upper() == "INBOX" or name == "Archive"

    def script(self, name: str, *, is_global: bool) -> Script | None:
        found = (GLOBAL if is_global else PERSONAL).get(name)
        return None if found is None else compile_script(found.encode(), name=name)


AROUND = Around()


@pytest.fixture(scope="module")
def theirs() -> Iterator[SieveTest]:
    # Not in pytest's own directory, which the user whom sieve-test runs as may not enter.
    with tempfile.TemporaryDirectory(prefix="postino-sieve-") as folder:
        yield SieveTest(Path(folder), PERSONAL, GLOBAL)


def spam_percent(message: bytes) -> float | None:
    # As their configuration reads the field: a score out of ten.
    for line in message.split(b"\r\n"):
        if line.startswith(b"X-Spam-Score: "):
            return float(line.partition(b": ")[2]) * 10
    return None


def virus_value(message: bytes) -> int | None:
    for line in message.split(b"\r\n"):
        if line.startswith(b"X-Virus-Stars: "):
            return len(line.partition(b": ")[2])
    return None


def ours(case: Case, script: Script, message: bytes) -> Verdict:
    circumstances = Circumstances(
        envelope_from=case.sender,
        envelope_to=case.recipient,
        now=time.time(),
        addresses=("user@example.org",),
        environment=WORDS_OF_THEIRS,
        spam_percent=spam_percent(message),
        virus_value=virus_value(message),
    )
    evaluation = run(script, message, circumstances, AROUND)
    return of_evaluation(evaluation, message, may_edit="editheader" in script.requires)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_the_same_is_done_as_by_pigeonhole(case: Case, theirs: SieveTest) -> None:
    try:
        script = compile_script(case.script.encode())
    except BadScript as problem:
        script, complaint = None, str(problem)
    differing = []
    for name in case.messages:
        message = MESSAGES[name]
        mine = NOT_COMPILED if script is None else ours(case, script, message)
        may_edit = script is not None and "editheader" in script.requires
        peer = theirs.run(
            case.script, message, sender=case.sender, recipient=case.recipient, may_edit=may_edit
        )
        if peer is None:
            continue
        if mine != peer:
            differing.append(f"{name}:\n    ours   {mine}\n    theirs {peer}")
        if script is None or not peer.compiles:
            break
    told = "\n".join(differing) if script is not None else complaint
    if case.explanation:
        assert differing, f"they agree now: take out {case.explanation!r}"
    else:
        assert not differing, f"{case.script}\n{told}"
