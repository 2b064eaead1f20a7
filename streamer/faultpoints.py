"""Named places where a test can kill, stop or fail a process; in production each is a call that does nothing.

    STREAMER_FAULTPOINTS="enrich.fetched=kill@3,log.commit.middle=fail@2-4" streamer run

    PLAN    POINT=ACTION[@WHEN], several with commas, each point once
    POINT   a label of `Point` below; what each one means stands there
    ACTION  kill    SIGKILL to the process itself
            stop    SIGSTOP to it: whoever stopped it lets it go on by SIGCONT
            fail    raises the error that this place can really have (points that have none refuse it)
    WHEN    N       the Nth time that the process is there (default 1)
            N-M     the Nth to the Mth time
            N+      from the Nth time on

`STREAMER_FAULTPOINTS_FILE=PATH`: a line `POINT ACTION N PID` is appended for each fault, before it happens,
so that a test can prove that it did. Times are counted by process, over all of its threads.

Only `streamer run` reads these variables (`arm`), it says so in a warning, and it refuses them under
`python -O`. A place is one for a commit, a request, a chunk or a slice, never one for a record: where nothing
is armed `reached` costs a fraction of a microsecond.
"""

import logging
import os
import re
import signal
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, get_args

from streamer.errors import ConfigError, LogUnavailable, OriginUnavailable

VARIABLE: Final = "STREAMER_FAULTPOINTS"
FILE_VARIABLE: Final = "STREAMER_FAULTPOINTS_FILE"

Role = Literal["source", "enrich", "route", "deliver", "log", "kafka", "cleaner"]
"""`log`: whoever commits to the local log; `kafka`: to a cluster; `cleaner`: whichever process cleans the
file."""
Engine = Literal["log", "kafka"]
COMMITTERS: Final = frozenset({"source", "enrich", "route"})
Action = Literal["kill", "stop", "fail"]
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
EVER: Final = 1 << 62
PLAN: Final = re.compile(r"(?P<action>[a-z]+)(@(?P<first>[1-9][0-9]{0,8})(?P<last>\+|-[1-9][0-9]{0,8})?)?")

logger = logging.getLogger(__name__)


def _io_error() -> Exception:
    return _sqlite_error("disk I/O error", sqlite3.SQLITE_IOERR)


def _disk_full() -> Exception:
    return _sqlite_error("database or disk is full", sqlite3.SQLITE_FULL)


def _sqlite_error(message: str, code: int) -> Exception:
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return error


def _no_answer() -> Exception:
    return OriginUnavailable("disconnected")


def _log_gone() -> Exception:
    return LogUnavailable("the log does not answer: a fault point says so")


def _broker_gone() -> Exception:
    return ConnectionResetError("the broker is gone: a fault point says so")


def _client_gone() -> Exception:
    return ConnectionResetError("the client is gone: a fault point says so")


class Point(Enum):
    """Each place once: its label, who gets there, what it means, and the error that it can have."""

    SOURCE_READING_BACK = "source.reading_back", "source", "a start reads what was told before", _log_gone
    SOURCE_READ = "source.read", "source", "events are read, nothing of them is committed"
    SOURCE_COMMITTING = "source.committing", "source", "records and position go to the log", _log_gone
    SOURCE_COMMITTED = (
        "source.committed",
        "source",
        "they are durable, the source has not noted it",
        _log_gone,
    )

    ENRICH_READING_BACK = "enrich.reading_back", "enrich", "a start reads what was published", _log_gone
    ENRICH_FETCHED = "enrich.fetched", "enrich", "a wiki has answered, nothing is made of it", _no_answer
    ENRICH_CUT_OFF_EARLY = "enrich.cut_off_early", "enrich", "a cut-off is durable, its change is still open"
    ENRICH_COMMITTING = "enrich.committing", "enrich", "records and position go to the log", _log_gone
    ENRICH_COMMITTED = "enrich.committed", "enrich", "they are durable, enrich has not noted it", _log_gone

    ROUTE_READ = "route.read", "route", "articles are read and not judged", _log_gone
    ROUTE_COMMITTING = "route.committing", "route", "all partners' records go to the log", _log_gone
    ROUTE_COMMITTED = "route.committed", "route", "they are durable, route has not noted it", _log_gone

    DELIVER_CATCHING_UP = (
        "deliver.catching_up",
        "deliver",
        "what a client missed is read, not sent",
        _log_gone,
    )
    DELIVER_WRITE_MIDDLE = "deliver.write.middle", "deliver", "the client has half of a frame", _client_gone
    DELIVER_WRITTEN = "deliver.written", "deliver", "the socket has taken whole frames", _client_gone

    LOG_CLAIMED = "log.claimed", "log", "a role's lanes are ours, nothing is read"
    LOG_COMMIT_MIDDLE = "log.commit.middle", "log", "records are in the transaction, positions not", _io_error
    LOG_COMMITTING = "log.committing", "log", "all that goes together is written, before COMMIT", _disk_full
    LOG_COMMITTED = "log.committed", "log", "behind COMMIT; no bell has rung, nobody was answered", _io_error

    KAFKA_CLAIMED = "kafka.claimed", "kafka", "the worker before is fenced, nothing is read", _log_gone
    KAFKA_COMMIT_MIDDLE = (
        "kafka.commit.middle",
        "kafka",
        "records are on their way to the brokers, positions not",
        _broker_gone,
    )
    KAFKA_COMMITTING = (
        "kafka.committing",
        "kafka",
        "the brokers have all that goes together, the transaction is open",
        _broker_gone,
    )
    KAFKA_COMMITTED = "kafka.committed", "kafka", "it is decided, the lane was not told", _broker_gone

    CLEAN_AGE_MIDDLE = (
        "clean.age.middle",
        "cleaner",
        "old records are deleted, the earliest still says them",
        _io_error,
    )
    CLEAN_COMPACT_MIDDLE = (
        "clean.compact.middle",
        "cleaner",
        "a key's older records are deleted in the slice",
        _io_error,
    )
    CLEAN_ROOM_MIDDLE = (
        "clean.room.middle",
        "cleaner",
        "records had to go for want of room, in the slice",
        _io_error,
    )
    CLEAN_BETWEEN = "clean.between", "cleaner", "a slice is durable, the next is to be done", _log_gone
    CLEAN_WAL = "clean.wal", "cleaner", "what was deleted still stands in the WAL", _io_error

    def __init__(
        self, label: str, role: Role, meaning: str, error: Callable[[], Exception] | None = None
    ) -> None:
        self.label = label
        self.role = role
        self.meaning = meaning
        self.error = error


LABELS: Final = {point.label: point for point in Point}


def points_of(role: Role, engine: Engine = "log") -> tuple[Point, ...]:
    """Those that a process of this one role passes. Not each at every run: there is something to read back
    only at a second start, and an early cut-off only for a revision that is hidden.
    """
    return tuple(
        point for point in Point if point.role == role or (point.role == engine and role in COMMITTERS)
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """`action` from the `first` to the `last` time."""

    action: Action
    first: int
    last: int


_plans: Final[dict[Point, Plan]] = {}
_times: Final[dict[Point, int]] = {}
_counting: Final = threading.Lock()
_told: int | None = None
"""A descriptor, appended to."""


def reached(point: Point) -> None:
    """The process is there. Returns, unless a plan says otherwise."""
    if _plans:
        _act(point)


def is_armed(point: Point) -> bool:
    """For a place that has to be made first: a write that is cut in two."""
    return point in _plans


def arm(environ: Mapping[str, str]) -> None:
    """Once, at the start of a process. ConfigError names the variable and what is allowed."""
    global _told  # noqa: PLW0603 - a process has one
    text = environ.get(VARIABLE, "")
    if not text:
        return
    if not __debug__:
        raise ConfigError(f"${VARIABLE}", "is for tests, and python -O is not: unset one of them")
    plans = parse(text)
    file = environ.get(FILE_VARIABLE, "")
    if file:
        try:
            _told = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigError(f"${FILE_VARIABLE}", f"can't be written: {error.strerror}") from None
    _plans.update(plans)
    logger.warning(
        "FAULT POINTS ARE ARMED: this process will be killed, stopped or failed on purpose",
        extra={"variable": VARIABLE, "plans": text},
    )


def parse(text: str) -> dict[Point, Plan]:
    """ConfigError for anything but a plan of each point."""
    plans: dict[Point, Plan] = {}
    for part in text.split(","):
        label, _, rest = part.strip().partition("=")
        point = LABELS.get(label)
        if point is None:
            raise ConfigError(f"${VARIABLE}", f"no point {label!r}; they are {', '.join(LABELS)}")
        if point in plans:
            raise ConfigError(f"${VARIABLE}", f"{label} stands there twice")
        plans[point] = _plan(point, rest)
    return plans


def _plan(point: Point, text: str) -> Plan:
    match = PLAN.fullmatch(text)
    action = next((known for known in ACTIONS if match and known == match["action"]), None)
    if match is None or action is None:
        raise ConfigError(
            f"${VARIABLE}",
            f"{point.label}={text}: allowed is {'|'.join(ACTIONS)}, with @N, @N-M or @N+ behind it",
        )
    if action == "fail" and point.error is None:
        raise ConfigError(f"${VARIABLE}", f"{point.label} has no error to fail with: only kill and stop")
    first = int(match["first"] or 1)
    last = match["last"]
    plan = Plan(action, first, EVER if last == "+" else int(last[1:]) if last else first)
    if plan.last < plan.first:
        raise ConfigError(f"${VARIABLE}", f"{point.label}={text}: the last time is before the first")
    return plan


def _act(point: Point) -> None:
    plan = _plans.get(point)
    if plan is None:
        return
    with _counting:
        time = _times[point] = _times.get(point, 0) + 1
        if not plan.first <= time <= plan.last:
            return
        if _told is not None:
            os.write(_told, f"{point.label} {plan.action} {time} {os.getpid()}\n".encode())
    if plan.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif plan.action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        assert point.error
        raise point.error()
