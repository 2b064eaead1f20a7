"""An article that is made smaller."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from consumers.wikitext.structure import Section
from consumers.wikitext.text import PlainText
from streamer.enrich import article, fitting
from streamer.enrich.article import Stamp, article_of
from streamer.enrich.outcome import Answered
from streamer.model import Visibility, encode_value

Make = Callable[..., Any]
SHOWN, STAMP = Visibility(), Stamp(1, 1)


@pytest.fixture
def answered(found: Make) -> Answered:
    lists = {"categories": ("Category:" + "c" * 900,), "redirects": ("R",)}
    section = Section([], 0, "s" * 1_000, "0" * 32)
    plain = PlainText("t" * 1_000, "a" * 100, [section], [])
    return Answered(
        found(5, 1, content="w" * 1_000, lists=lists), plain, "h" * 1_000, PlainText("of HTML", "x")
    )


@pytest.mark.parametrize("limit", range(1_000, 10_000, 250))
def test_what_is_left_is_as_if_no_more_had_been_there(
    change: Make, answered: Answered, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """To the byte; and a text of megabytes is counted through once, however often it is made smaller."""
    counted: list[int] = []
    counts = article.maintenance_tags
    monkeypatch.setattr(article, "maintenance_tags", lambda *a: counted.append(1) or counts(*a))
    monkeypatch.setattr(fitting, "MAX_RECORD_BYTES", fitting.MARGIN_BYTES + limit)
    edit = change("edit", 5)
    fits = fitting.fitting(edit, answered, SHOWN, STAMP, None)
    assert counted == [1]
    values = [
        encode_value(
            article_of(
                edit, each.found, SHOWN, STAMP, plain=each.plain, html=each.html, from_html=each.from_html
            )
        )
        for each in fitting._smaller(answered)
    ]
    assert (fits and fits[1]) == next((value for value in values if len(value) <= limit), None)


def test_hidden_text_has_nothing_to_lose(change: Make, answered: Answered) -> None:
    fits = fitting.fitting(change("edit", 5), answered, Visibility(text=False), STAMP, None)
    assert fits is not None
    assert "article_body" not in msgspec.json.decode(fits[1])
