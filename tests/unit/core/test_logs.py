"""Logs: one JSON object a fact, and nothing in it that is not ours to show."""

import json
import logging

from streamer.errors import ConfigError
from streamer.logs import JsonFormatter, describe


def formatted(message: str, error: BaseException | None = None, **extra: object) -> dict[str, object]:
    record = logging.LogRecord("streamer.x", logging.INFO, "f.py", 1, message, None, None)
    if error is not None:
        record.exc_info = (type(error), error, error.__traceback__)
    vars(record).update(extra)
    loaded: dict[str, object] = json.loads(JsonFormatter().format(record))
    return loaded


def test_data_are_keys_beside_a_constant_message() -> None:
    """`extra` becomes keys of the object; the message stays as written."""
    entry = formatted("committed", records=3, topic="wiki.changes.v1")
    assert entry["event"] == "committed"
    assert entry["records"] == 3
    assert entry["level"] == "info"


def test_a_foreign_exception_shows_its_type_only() -> None:
    """A library's message may quote what it was given: article text, a key. It stays out."""
    entry = formatted("failed", ValueError("secret article text"))
    assert entry["error"] == "ValueError"
    assert "secret" not in json.dumps(entry)


def test_our_own_errors_show_what_they_say() -> None:
    """Errors of the tree are written for operators, also inside groups."""
    error = ConfigError("log.path", "is a directory")
    assert describe(error) == "ConfigError: log.path: is a directory"
    assert "is a directory" in describe(ExceptionGroup("g", [error, KeyError("x")]))
