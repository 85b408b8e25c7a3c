"""One line on standard error for each thing an operator asks about, as JSON or as text.

Invariants: values under names that may hold a secret are never printed; the level can change while
    the server runs, for every logger there is; an error is written before the call for it returns.
Not here: which events there are (servers/, delivery/ name them where they happen).
"""

import asyncio
import re
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import msgspec

from postino.core.harmless import HARMFUL

# PERF: structlog's development renderer imports rich when it finds it, which would cost every worker
# 5 MB and the start 100 ms; we do not use that renderer, so it must not find it.
_had_rich: Final = sys.modules.get("rich")
if _had_rich is None:
    sys.modules["rich"] = cast("Any", None)
try:
    import structlog
finally:
    if _had_rich is None:
        del sys.modules["rich"]

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50, "exception": 40}
SECRET_NAMES: Final = frozenset(
    {"password", "passwd", "secret", "token", "credentials", "initial_response", "response", "auth", "key"}
)


class LogLevel:
    """The level every logger of this process obeys."""

    def __init__(self, name: str) -> None:
        self.number = LEVELS[name]

    def set(self, name: str) -> None:
        """Change it for all."""
        self.number = LEVELS[name]

    def __call__(self, logger: "WrappedLogger", method: str, event: "EventDict") -> "EventDict":
        """Drop what is less important (a structlog processor)."""
        if LEVELS.get(method, 50) < self.number:
            raise structlog.DropEvent
        return event


class _Lines:
    """Where finished lines go: to the file once in each turn of the event loop, together.

    Outside of a loop, and for what may be a program's last words, at once.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._waiting: list[bytes] = []

    def _soon(self, line: bytes) -> None:
        # PERF: a write for each line would be 2 us of the 150 a message takes (bench: smtp).
        waiting = self._waiting
        waiting.append(line)
        if len(waiting) == 1:
            try:
                asyncio.get_running_loop().call_soon(self._flush)
            except RuntimeError:
                self._flush()

    def _now(self, line: bytes) -> None:
        self._waiting.append(line)
        self._flush()

    def _flush(self) -> None:
        lines, self._waiting = self._waiting, []
        if lines:
            self._file.write(b"".join(lines))
            self._file.flush()

    # The names structlog calls.
    debug = info = warning = _soon
    error = critical = exception = _now


def make_logger(level: LogLevel, log_format: str, file: BinaryIO | None = None) -> "FilteringBoundLogger":
    """A logger to `file` (standard error). `log_format` is `json`, `text` or `auto`."""
    out = file if file is not None else sys.stderr.buffer
    as_text = log_format == "text" or (log_format == "auto" and out.isatty())
    render = _render_text if as_text else _render_json

    # PERF: one processor, since structlog's loop over several costs as much as what they do.
    def finish(logger: "WrappedLogger", method: str, event: "EventDict") -> bytes:
        level(logger, method, event)
        if not SECRET_NAMES.isdisjoint(event):
            _hide_secrets(event)
        if "exc_info" in event:
            event = structlog.processors.format_exc_info(logger, method, event)
        name = event.pop("event", "")
        return render({"time": _time_text(), "level": method, "event": name, **event})

    logger = structlog.wrap_logger(
        _Lines(out),
        processors=[finish],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS["debug"]),
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return cast("FilteringBoundLogger", logger.bind())


def _hide_secrets(event: "EventDict") -> None:
    for name in event:
        if name in SECRET_NAMES:
            event[name] = "[hidden]"


def _time_text() -> str:
    milliseconds = time.time_ns() // 1_000_000
    return f"{_second_text(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=2)
def _second_text(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)


_UNSHOWN: Final = re.compile(f"[{HARMFUL}]")


def _render_json(event: "EventDict") -> bytes:
    try:
        line = _ENCODER.encode(event)
    except UnicodeEncodeError:
        # A surrogate, which stands for an octet that is no text, must not cost the line.
        line = _ENCODER.encode({name: _without_surrogates(value) for name, value in event.items()})
    if not line.isascii() or b"\x7f" in line:
        # SECURITY: what a client sent writes no line of its own on the screen of who reads the log.
        line = _UNSHOWN.sub(lambda found: f"\\u{ord(found[0]):04x}", line.decode()).encode()
    return line + b"\n"


def _without_surrogates(value: object) -> object:
    shown = value if isinstance(value, str | int | float | None) else str(value)
    return shown.encode("utf-8", "replace").decode() if isinstance(shown, str) else shown


def _render_text(event: "EventDict") -> bytes:
    moment, level, name = event.pop("time"), event.pop("level"), event.pop("event")
    exception = event.pop("exception", "")
    fields = " ".join(f"{key}={_shown(value)}" for key, value in event.items())
    line = f"{moment} {level:<7} {name:<20} {fields}".rstrip()
    return (f"{line}\n{exception}\n" if exception else f"{line}\n").encode("utf-8", "backslashreplace")


def _shown(value: object) -> str:
    text = (
        ",".join(map(str, value))
        if isinstance(value, Iterable) and not isinstance(value, str)
        else str(value)
    )
    # What a client sent must stay on its line, and be told from what we say.
    return text if text.isprintable() and " " not in text and text else repr(text)
