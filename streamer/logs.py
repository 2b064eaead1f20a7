"""Logs: one JSON object a fact on standard error, a constant message with its data as keys.

What an exception says is shown only where the exception is ours (its messages hold no keys, text or
people); of any other only the type and the places, since libraries quote what they were given.
"""

import json
import logging
import sys
import traceback
from types import TracebackType
from typing import Final

from streamer.errors import StreamerError
from streamer.model import rfc3339_ms

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_QUIET: Final = ("aiohttp.access", "aiokafka", "asyncio")


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": rfc3339_ms(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        entry |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info and record.exc_info[1] is not None:
            entry["error"] = describe(record.exc_info[1])
            entry["stack"] = _places(record.exc_info[2])
        return json.dumps(entry, ensure_ascii=False, default=repr)


def describe(error: BaseException) -> str:
    """What may be shown of an error: our own words, or else only the type."""
    if isinstance(error, StreamerError):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(sorted({describe(inner) for inner in error.exceptions}))
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    return type(error).__name__


def _places(trace: TracebackType | None) -> list[str]:
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in traceback.extract_tb(trace)]


def set_up() -> None:
    """Once a process, by the command line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
