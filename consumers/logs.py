"""Logs of the commands: on stderr, one JSON object a line for services, else a line to be read. Never a text,
a key or a title: what is logged has a constant message and bounded values.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Lines(logging.Formatter):
    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        more = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if not self._as_json:
            values = "".join(f" {key}={value}" for key, value in more.items())
            return f"corpus: {record.levelname.lower()}: {record.getMessage()}{values}"
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told = {"time": time, "level": record.levelname.lower(), "message": record.getMessage()}
        return json.dumps(told | more, default=str)


class _Stderr(logging.Handler):
    """Whatever stderr is at the time: a live display takes its place, so that lines appear above it."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{self.format(record)}\n")
        sys.stderr.flush()


def set_up(*, as_json: bool) -> None:
    """Ours from INFO on, others' warnings; once a process."""
    handler = _Stderr()
    handler.setFormatter(_Lines(as_json=as_json))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("consumers").setLevel(logging.INFO)
