"""An event loop whose clock jumps: five days of time-outs and retries pass as fast as the work between them.

    with VirtualTime(start=NOW) as time:
        time.run(scenario())          # asyncio.sleep(86_400) takes no time at all

When nothing is left to do now, the clock goes to the next timer at once. Work in threads (the store's commits) is
waited for in real time, during which the clock stands still. In which order threads end is chance all the same: for a
run that depends on its seed alone, `threads=False` has the loop do their work itself.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from postino.core.ids import Instant
from postino.store.store import Store

T = TypeVar("T")
_THREAD_WAIT_SECONDS = 5.0
_LONGEST_JUMP_SECONDS = 86_400.0 * 365
_POLL_TURNS = 64
"""How often the loop turns between two looks at real files and signals, while no thread works."""


class Stalled(AssertionError):
    """Everything waits, and no timer will end it."""


class _Selector(selectors.DefaultSelector):
    """Real events first; then real time while threads work; then a jump."""

    def __init__(self, time: "VirtualTime") -> None:
        super().__init__()
        self._time = time

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._time.turns += 1
        if not self._time.in_threads and timeout is not None and self._time.turns % _POLL_TURNS:
            # Nobody is there to wake us but our own timers.
            self._time.seconds += min(timeout, _LONGEST_JUMP_SECONDS)
            return []
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._time.in_threads:
            ready = super().select(_THREAD_WAIT_SECONDS)
            if not ready:
                raise Stalled(f"work in threads did not end in {_THREAD_WAIT_SECONDS:.0f} s")
            return ready
        if timeout is None:
            raise Stalled("every task waits for something that will never come")
        self._time.seconds += min(timeout, _LONGEST_JUMP_SECONDS)
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, time: "VirtualTime") -> None:
        self._virtual = time
        super().__init__(_Selector(time))

    def time(self) -> float:
        return self._virtual.seconds

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        if not self._virtual.threads:
            return self._run_here(func, args)
        future = super().run_in_executor(executor, func, *args)
        self._virtual.in_threads += 1
        future.add_done_callback(self._virtual.thread_done)
        return future

    def _run_here(self, func: Callable[..., T], args: tuple[Any, ...]) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()

        def run() -> None:
            if done.cancelled():
                return
            try:
                done.set_result(func(*args))
            except Exception as error:
                done.set_exception(error)

        # Not at once: what a thread has done is never there before the loop has turned.
        self.call_soon(run)
        return done

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        # It has a thread of its own wait for the others.
        self._virtual.in_threads += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._virtual.in_threads -= 1


class VirtualTime:
    """The clock of one simulated world; also a core.ports.Clock."""

    def __init__(self, start: Instant, *, threads: bool = True) -> None:
        self._start = start
        self.threads = threads
        self.turns = 0
        """How often the loop has turned."""
        self.seconds = 0.0
        """Monotonic, since the start."""
        self.in_threads = 0
        """Jobs that threads are at, for which the clock waits."""
        self._runner: asyncio.Runner | None = None

    def __enter__(self) -> "VirtualTime":
        self._runner = asyncio.Runner(loop_factory=lambda: _Loop(self))
        return self

    def __exit__(self, *_: object) -> None:
        assert self._runner is not None
        self._runner.close()

    def run(self, scenario: Coroutine[Any, Any, T]) -> T:
        """Run one to its end."""
        assert self._runner is not None
        return self._runner.run(scenario)

    def now(self) -> Instant:
        """The wall clock's, in whole seconds."""
        return Instant(self._start + int(self.seconds))

    def monotonic(self) -> float:
        """As time.monotonic."""
        return self.seconds

    def thread_done(self, _: object) -> None:
        """A job in a thread has ended."""
        self.in_threads -= 1

    def watch_store(self, store: Store) -> None:
        """Have the clock wait for this store's threads."""

        def counted(fn: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
            async def run(*args: Any, **options: Any) -> Any:
                # The clock stands still meanwhile: nobody would come to share the sync.
                options.pop("patience", None)
                self.in_threads += 1
                try:
                    return await fn(*args, **options)
                finally:
                    self.in_threads -= 1

            return run

        store.write = counted(store.write)  # type: ignore[method-assign,assignment]
