"""The picture of freshness: what it is of, and that it is one."""

import re
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from harness.partner_pages import page, told
from msgspec.structs import replace

from consumers.cli import main
from consumers.corpus.freshness import Fresh, age_of, step_of
from consumers.corpus.plot import POINTS, course, plot
from consumers.corpus.state import State
from consumers.errors import UsageError

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
BEGAN = 1_790_000_040


def minutes(count: int, age_s: float = 2.0) -> list[Fresh]:
    return [Fresh(BEGAN + 60 * number, age_of(step_of(age_s)), 10) for number in range(count)]


def words(svg: Path) -> str:
    """All that is written in it: as comments, where letters are drawn."""
    return " ".join(re.findall(r"<!-- (.*?) -->", svg.read_text("utf-8")))


def test_a_course_is_of_minutes_put_together() -> None:
    """No more points than asked for; the ages of a stretch are those of all its events; a stretch in which
    nothing was applied has no point.
    """
    assert course([]) == []
    assert [point.at.timestamp() for point in course(minutes(3))] == [BEGAN, BEGAN + 60, BEGAN + 120]
    long = course(minutes(10_080))
    assert POINTS / 2 < len(long) <= POINTS
    mixed = course([Fresh(BEGAN, 1.0, 89), Fresh(BEGAN, 5.0, 10), Fresh(BEGAN, 100.0, 1)])
    assert [point.ages_s for point in mixed] == [(1.0, 5.0, 5.0)]
    assert len(course([*minutes(2), Fresh(BEGAN + 600, 1.0, 1)])) == 3


def test_a_picture_says_what_it_shows(tmp_path: Path) -> None:
    """Of what, as of when, shares with their ages, units on both axes; a name is not taken for a formula."""
    plot(minutes(300), tmp_path / "p.svg", "my_$corpus$.db", NOW)
    assert ET.parse(tmp_path / "p.svg").getroot().tag.endswith("svg")
    said = words(tmp_path / "p.svg")
    for words_of in (
        "Freshness of my_$corpus$.db as of 2026-11-29 12:00 UTC (events: 3,000)",
        "half within 2.24 s",
        "share of events (%)",
        "age when it was applied (log scale)",
        "when it was applied (UTC)",
        "in steps of 2 min",
        " 1 s ",
    ):
        assert words_of in said
    plot(minutes(300), tmp_path / "q.svg", "my_$corpus$.db", NOW)
    assert (tmp_path / "q.svg").read_bytes() == (tmp_path / "p.svg").read_bytes()


@pytest.mark.parametrize("age_s", [0, 0.3, 1e9])
def test_any_ages_can_be_shown(tmp_path: Path, age_s: float) -> None:
    """One event is enough, also of a clock that is wrong."""
    plot(minutes(1, age_s), tmp_path / "p.png", "corpus.db", NOW)
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert not list(tmp_path.glob("*.partial"))


def test_the_command_draws_what_was_applied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the corpus named, replacing an older picture; one that followed no feed has nothing to show."""
    corpus, out = tmp_path / "c.db", tmp_path / "p.svg"
    command = ["--corpus", str(corpus), "plot", str(out)]
    with State(corpus, create=True):
        pass
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert "nothing to show" in capsys.readouterr().err
    out.write_text("older")
    with State(corpus) as state:
        now_us = int(datetime.now(UTC).timestamp() * 1e6)
        for number in range(1, 6):
            event = replace(told(page("en", number), now_us + number), happened=now_us - 3_000_000)
            state.commit([event])
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 0
    assert "Freshness of c.db" in words(out)
    assert "(events: 5)" in words(out)


def test_a_picture_of_another_kind_is_refused(tmp_path: Path) -> None:
    """By the name of its file."""
    with pytest.raises(UsageError, match=r"\.png"):
        plot(minutes(1), tmp_path / "p.gif", "corpus.db", NOW)
