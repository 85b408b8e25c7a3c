"""A simulated process: its tasks belong to it, and end with it as if it had never been.

What a task starts is its process's too, wherever in the program that happens: the loop's task factory asks the
context, which callbacks and timers inherit.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any


class Dead(BaseException):
    """Somebody who does not exist any more wanted something: a timer of the dead one rang, or a callback."""


_current: ContextVar["Process | None"] = ContextVar("process", default=None)


class Process:
    """One worker, or one command of an operator."""

    def __init__(self, name: str, now: Callable[[], float], note_fault: Callable[[str], None]) -> None:
        self.name = name
        self.now = now
        self.is_dead = False
        self.died_at = float("inf")
        self._note_fault = note_fault
        self._tasks: dict[asyncio.Task[Any], None] = {}
        # Nothing of whoever starts it, so that the world's own tasks are nobody's.
        self._context = Context()
        self._context.run(_current.set, self)

    def __repr__(self) -> str:
        return self.name

    @property
    def tasks(self) -> int:
        """How many are not done."""
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Have it do this."""
        return asyncio.get_running_loop().create_task(work, context=self._context.copy())

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function as its own."""
        return self._context.copy().run(function, *args)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """A task of it has begun."""
        self._tasks[task] = None
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if self.is_dead or task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, Exception):
            self._note_fault(f"{self.name}: {error!r} in {task.get_coro()}")

    async def die(self) -> None:
        """As by kill -9. Whatever the tasks do on their way out is to have no effect: see who asks `is_dead`."""
        self.is_dead = True
        self.died_at = self.now()
        self._cancel_timers()
        for _ in range(50):
            waiting = list(self._tasks)
            if not waiting:
                break
            for task in waiting:
                task.cancel()
            await asyncio.sleep(0)
        else:
            self._note_fault(f"{self.name} does not end: {list(self._tasks)}")
        self._cancel_timers()

    def _cancel_timers(self) -> None:
        loop: Any = asyncio.get_running_loop()
        for handle in list(loop._scheduled):
            if handle._context is not None and handle._context.get(_current) is self:
                handle.cancel()


def nobody() -> Context:
    """The context of what belongs to no process of ours."""
    return Context()


def make_task(
    loop: asyncio.AbstractEventLoop, work: Any, context: Context | None = None
) -> asyncio.Task[Any]:
    """The loop's task factory."""
    process = _current.get() if context is None else context.get(_current)
    if process is not None and process.is_dead:
        work.close()
        raise Dead(process.name)
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, context=context)
    if process is not None:
        process.adopt(task)
    return task
