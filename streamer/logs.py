"""Logs: one JSON object a fact on standard error, a constant message with its data as keys.

What an exception says is shown only where the exception is ours (its messages hold no keys, text or
people); of any other only the type and the places, since libraries quote what they were given. So do their
log lines: of those only the template is shown, without what was filled in. The same holds for what ends a
process or a thread: no traceback of Python's own is ever printed.
"""

import json
import logging
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Final

from streamer.errors import StreamerError
from streamer.model import rfc3339_ms

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

OURS: Final = "streamer"
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
KAFKA: Final = "aiokafka"
REPEAT_S: Final = 60.0
_QUIET: Final = ("aiohttp.access", KAFKA, "asyncio")

logger = logging.getLogger(__name__)


class Sparing(logging.Filter):
    """Of each place in Kafka's client one record every REPEAT_S: while a cluster is away it says the same
    several times a second, for each of its connections. `unsaid` counts those between.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now_s = now_s
        self._said_s: dict[tuple[str, int], float] = {}
        self._unsaid: Counter[tuple[str, int]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] != KAFKA:
            return True
        place, now_s = (record.pathname, record.lineno), self._now_s()
        if now_s - self._said_s.get(place, -REPEAT_S) < REPEAT_S:
            self._unsaid[place] += 1
            return False
        self._said_s[place] = now_s
        record.unsaid = self._unsaid.pop(place, 0)
        return True


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": rfc3339_ms(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if record.name.partition(".")[0] == OURS:
            entry["event"] = record.getMessage()
            entry |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        else:  # a message without arguments may be an f-string, filled in by its author
            entry["event"] = "a library says"
            entry["place"] = f"{record.filename}:{record.lineno}"
            if record.args:
                entry["template"] = str(record.msg)
            if unsaid := vars(record).get("unsaid"):
                entry["unsaid"] = unsaid
        if record.exc_info and record.exc_info[1] is not None:
            entry["error"] = describe(record.exc_info[1])
            entry["stack"] = _places(record.exc_info[1])
        return json.dumps(entry, ensure_ascii=False, default=_type_name)


def _type_name(value: object) -> str:
    return type(value).__name__


def describe(error: BaseException) -> str:
    """What may be shown of an error: our own words, or else only the type."""
    if isinstance(error, StreamerError):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(sorted({describe(inner) for inner in error.exceptions}))
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    return type(error).__name__


def _places(error: BaseException) -> list[str]:
    """Outermost first; of a group those of each error in it follow."""
    frames = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), lookup_lines=False)
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames]
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            places += _places(inner)
    return places


def set_up() -> None:
    """Once a process, by the command line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(Sparing())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.raiseExceptions = False  # what can't be written is not quoted beside it either
    logging.captureWarnings(True)
    sys.excepthook = _ended
    threading.excepthook = _thread_ended
    sys.unraisablehook = _unraisable


@contextmanager
def silent(name: str) -> Iterator[None]:
    """Of this library nothing is said: whoever asks tells what came of it."""
    library = logging.getLogger(name)
    level = library.level
    library.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        library.setLevel(level)


def _ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logger.critical("ended by a defect", exc_info=(kind, error, trace))


def _thread_ended(what: threading.ExceptHookArgs) -> None:
    if what.exc_value is not None:
        logger.critical("a thread ended by a defect", exc_info=what.exc_value)


def _unraisable(what: "UnraisableHookArgs") -> None:
    if what.exc_value is not None:
        logger.error("an error where none can be raised", exc_info=what.exc_value)
