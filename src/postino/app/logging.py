"""One line on standard error for each thing an operator asks about, as JSON or as text.

Invariants: values under names that may hold a secret are never printed; the level can change while
    the server runs, for every logger there is.
Not here: which events there are (servers/, delivery/ name them where they happen).
"""

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import msgspec

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


def make_logger(level: LogLevel, log_format: str, file: BinaryIO | None = None) -> "FilteringBoundLogger":
    """A logger to `file` (standard error). `log_format` is `json`, `text` or `auto`."""
    out = file if file is not None else sys.stderr.buffer
    as_text = log_format == "text" or (log_format == "auto" and out.isatty())
    render = _render_text if as_text else _render_json
    logger = structlog.wrap_logger(
        structlog.BytesLogger(out),
        processors=[level, _hide_secrets, structlog.processors.format_exc_info, _stamp, render],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS["debug"]),
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return cast("FilteringBoundLogger", logger.bind())


def _hide_secrets(logger: "WrappedLogger", method: str, event: "EventDict") -> "EventDict":
    for name in event:
        if name in SECRET_NAMES:
            event[name] = "[hidden]"
    return event


def _stamp(logger: "WrappedLogger", method: str, event: "EventDict") -> "EventDict":
    now = datetime.now(UTC)
    first = {"time": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z", "level": method}
    return {**first, "event": event.pop("event", ""), **event}


def _render_json(logger: "WrappedLogger", method: str, event: "EventDict") -> bytes:
    return msgspec.json.encode(event, enc_hook=str)


def _render_text(logger: "WrappedLogger", method: str, event: "EventDict") -> bytes:
    time, level, name = event.pop("time"), event.pop("level"), event.pop("event")
    exception = event.pop("exception", "")
    fields = " ".join(f"{key}={_shown(value)}" for key, value in event.items())
    line = f"{time} {level:<7} {name:<20} {fields}".rstrip()
    return (f"{line}\n{exception}" if exception else line).encode("utf-8", "backslashreplace")


def _shown(value: object) -> str:
    text = (
        ",".join(map(str, value))
        if isinstance(value, Iterable) and not isinstance(value, str)
        else str(value)
    )
    # What a client sent must stay on its line, and be told from what we say.
    return text if text.isprintable() and " " not in text and text else repr(text)
