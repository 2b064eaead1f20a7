"""What came of a run. Pure: what was written, what arrived and when → a verdict."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType

Outcome = Literal["arrived", "late", "lost", "failed"]
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
WRITTEN: Final = ("create", "edit")


class _Version(Struct, frozen=True):
    identifier: int = 0


class _Body(Struct, frozen=True):
    wikitext: str = ""


class _Event(Struct, frozen=True):
    kind: str
    sequence: int
    date_created: datetime
    late: bool = False


class _Article(Struct, frozen=True):
    event: _Event
    identifier: int = 0
    version: _Version | UnsetType = UNSET
    article_body: _Body | UnsetType = UNSET


_articles: Final = msgspec.json.Decoder(_Article)


@dataclass(frozen=True, slots=True)
class Arrival:
    """An edit as the feed tells it. `at_s` is our monotonic clock, `at_ms` our wall's; `text` is "" where the
    feed sends none.
    """

    page: int
    revision: int
    text: str
    sequence: int
    edited_ms: int
    is_late: bool
    at_s: float
    at_ms: int


@dataclass(frozen=True, slots=True)
class Written:
    """An edit of ours; `sent_s` is when it was sent, by our monotonic clock."""

    revision: int
    text: str
    sent_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is of a few words: text, order, deadline, or what failed. `seconds`: edit to arrival."""

    outcome: Outcome
    reason: str = ""
    seconds: float | None = None


def read(data: bytes, *, at_s: float, at_ms: int) -> Arrival | None:
    """None for what is no edit: a removal, a move, a page restated. Raises msgspec.DecodeError for what is no
    article of ours.
    """
    article = _articles.decode(data)
    event = article.event
    if event.kind not in WRITTEN or article.version is UNSET:
        return None
    body = article.article_body
    return Arrival(
        page=article.identifier,
        revision=article.version.identifier,
        text="" if body is UNSET else body.wikitext,
        sequence=event.sequence,
        edited_ms=int(event.date_created.timestamp() * 1000),
        is_late=event.late,
        at_s=at_s,
        at_ms=at_ms,
    )


def judge_written(written: Written, arrival: Arrival, last_sequence: int, limit_s: float) -> Verdict:
    """Of the edit that was waited for; `last_sequence` is that of the page's record before it, 0 for none."""
    seconds = max(0.0, arrival.at_s - written.sent_s)
    if arrival.text != written.text:
        return Verdict("lost", "text", seconds)
    if arrival.sequence <= last_sequence and not arrival.is_late:
        return Verdict("lost", "order", seconds)
    return _in_time(seconds, limit_s)


def judge_seen(arrival: Arrival, limit_s: float) -> Verdict:
    """Of somebody's edit, by the time that the wiki gave it."""
    return _in_time(max(0.0, (arrival.at_ms - arrival.edited_ms) / 1000), limit_s)


def _in_time(seconds: float, limit_s: float) -> Verdict:
    return Verdict("arrived" if seconds <= limit_s else "late", "", seconds)
