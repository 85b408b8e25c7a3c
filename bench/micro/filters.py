"""Sieve: compiling, loading and running a script of a hundred rules, and what its cache holds."""

import gc
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from time import perf_counter

from bench import corpus, scripts
from bench.micro.script_cache import resident_kilobytes
from bench.micro.timing import Timing, time_call
from postino.sieve import Circumstances, compile_script, run, stored_script
from postino.sieve.message import SieveMessage

_OCTETS = 16_384
_TIMES = 300
_SCRIPTS = 500
_CIRCUMSTANCES = Circumstances(envelope_from="sender@client.example", envelope_to="one@bench.example")


def timings() -> Iterator[Timing]:
    """One script over one message, from octets and from what delivery has already."""
    source = scripts.script(1)
    script = compile_script(source)
    message = corpus.sized_message(1, _OCTETS)
    split = SieveMessage.of(message)
    header, body = bytes(split.header), bytes(split.body)
    yield time_call("sieve: compile 100 rules", partial(compile_script, source), octets=len(source))
    loading = partial(stored_script, script.stored, name="bench", octets=len(source))
    yield time_call("sieve: load 100 rules as stored", loading, octets=len(source))
    yield time_call("sieve: run 100 rules, 16 KB", partial(run, script, message, _CIRCUMSTANCES))

    def prepared() -> None:
        run(script, SieveMessage(header, body), _CIRCUMSTANCES)

    yield time_call("sieve: run 100 rules, 16 KB, header known apart", prepared)


def filter_figures() -> dict[str, float]:
    """For the report: medians in milliseconds, and kilobytes a compiled script takes."""
    source = scripts.script(1)
    script = compile_script(source)
    message = corpus.sized_message(1, _OCTETS)

    def milliseconds(work: Callable[[], object], times: int) -> float:
        found = []
        for _ in range(times):
            started = perf_counter()
            work()
            found.append(perf_counter() - started)
        return median(found) * 1000

    loading = partial(stored_script, script.stored, name="bench", octets=len(source))
    return {
        "sieve.run": milliseconds(partial(run, script, message, _CIRCUMSTANCES), _TIMES),
        "sieve.compile": milliseconds(partial(compile_script, source), _TIMES // 10),
        "sieve.load": milliseconds(loading, _TIMES // 10),
        "sieve.memory": _kilobytes_a_script(),
    }


def _kilobytes_a_script() -> float:
    stored = [(compile_script(source).stored, len(source)) for source in map(scripts.script, range(_SCRIPTS))]
    gc.collect()
    before = resident_kilobytes()
    held = [stored_script(one, name="bench", octets=octets) for one, octets in stored]
    gc.collect()
    return (resident_kilobytes() - before) / len(held)
