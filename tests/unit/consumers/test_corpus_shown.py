"""How far a long command is, said to people and to programs."""

import io
import json

from consumers.commands.shown import Shown


def test_a_program_is_told_in_lines() -> None:
    """At the beginning and at the end of each task, between them now and then."""
    stream = io.StringIO()
    with Shown(stream, is_terminal=False) as shown:
        shown.begin("reading", 100, "bytes")
        for done in (10, 50, 100):
            shown.at(done, 5)
    first, last = map(json.loads, stream.getvalue().splitlines())
    assert first == {"message": "reading", "done": 10, "total": 100, "unit": "bytes", "rows": 5}
    assert (last["done"], last["rows"]) == (100, 15)


def test_a_terminal_shows_a_bar() -> None:
    """Of each task, with its pages."""
    stream = io.StringIO()
    with Shown(stream, is_terminal=True) as shown:
        shown.begin("reading", 100, "bytes")
        shown.at(100, 1_234)
        shown.begin("closing the gap", 10, "s")
        shown.at(10, 0, asked=7)
    told = stream.getvalue()
    assert "reading" in told
    assert "1,234 pages" in told
    assert "7 asked" in told
