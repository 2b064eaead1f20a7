"""Logs: one JSON object a fact, and nothing in it that is not ours to show."""

import json
import logging

from streamer.errors import ConfigError
from streamer.logs import KAFKA, REPEAT_S, JsonFormatter, Sparing, describe


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


def test_kafkas_client_says_each_thing_once_a_minute() -> None:
    """By its place; how often it went unsaid comes with the next. Others' records and ours all pass."""
    now_s = 100.0
    sparing = Sparing(lambda: now_s)

    def said(name: str, line: int) -> tuple[bool, object]:
        record = logging.LogRecord(name, logging.ERROR, "f.py", line, "gone: %s", ("x",), None)
        passes = sparing.filter(record)
        return passes, json.loads(JsonFormatter().format(record)).get("unsaid")

    assert said(f"{KAFKA}.conn", 1) == (True, None)
    for _ in range(7):
        assert said(f"{KAFKA}.conn", 1)[0] is False
    assert said(KAFKA, 2) == (True, None)
    assert [said(name, 1)[0] for name in ("streamer.log", "aiohttp.server") * 2] == [True] * 4
    now_s += REPEAT_S
    assert said(f"{KAFKA}.conn", 1) == (True, 7)
