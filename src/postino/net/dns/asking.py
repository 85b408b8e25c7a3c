"""Run a check that needs the DNS: ask its questions, give it the answers, until it is done.

RFC: 6376 §6.1.2 (no answer now is told apart from no record).
Invariants: the questions of one step are asked at once; each ends within the resolver's own time-out.
Not here: checks (mailauth/), the DNS itself (resolver.py).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from postino.core.errors import DnsFailure
from postino.core.ports import Resolver
from postino.mailauth.questions import Check, TxtAnswer, TxtQuestion

T = TypeVar("T")


async def answer(check: Check[T], resolver: Resolver, *, in_thread: bool = False) -> T:
    """What the check comes to. `in_thread` for one that reads a large body, which takes time."""
    answers: Sequence[TxtAnswer] | None = None
    while True:
        if in_thread:
            step = await asyncio.to_thread(_step, check, answers)
        else:
            step = _step(check, answers)
        if isinstance(step, _Done):
            return step.value
        answers = await asyncio.gather(*(_ask(question, resolver) for question in step))


@dataclass(frozen=True, slots=True)
class _Done(Generic[T]):
    """What a check returned; StopIteration cannot leave a thread."""

    value: T


def _step(check: Check[T], answers: Sequence[TxtAnswer] | None) -> Sequence[TxtQuestion] | _Done[T]:
    try:
        return next(check) if answers is None else check.send(answers)
    except StopIteration as done:
        return _Done(done.value)


async def _ask(question: TxtQuestion, resolver: Resolver) -> TxtAnswer:
    try:
        return (await resolver.txt(question.name)).records
    except DnsFailure:
        return None
