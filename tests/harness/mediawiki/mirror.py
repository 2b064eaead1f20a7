"""What a partner holds that applies what it receives, and nothing else."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.feed import Feed
from harness.mediawiki.truth import Truth

POLL_S: Final = 0.1

Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Held:
    sequence: int
    title: str
    deleted: bool
    sha1: str | None


class Mirror:
    def __init__(self) -> None:
        self.pages: dict[Key, Held] = {}
        self.newest: dict[Key, Mapping[str, Any]] = {}
        """The articles themselves."""
        self.versions: dict[Key, list[Mapping[str, Any]]] = {}
        """Of each page, in the order in which they came."""

    async def follow(self, feed: Feed) -> None:
        """Until it is cancelled, across all breaks."""
        async for event in feed.articles(asyncio.Event()):
            self.apply(event.article)

    def apply(self, article: Mapping[str, Any]) -> None:
        """By sequence alone; what came late never replaces the page. Raises AssertionError where a page's
        records are out of order.
        """
        event = article["event"]
        key = article["is_part_of"]["identifier"], article["identifier"]
        held = self.pages.get(key)
        assert held is None or event["sequence"] > held.sequence, f"{key} goes back to {event['sequence']}"
        if event.get("late"):
            return
        wikitext = article.get("article_body", {}).get("wikitext")
        deleted = event["type"] == "delete"
        self.newest[key] = article
        self.versions.setdefault(key, []).append(article.get("version", {}))
        self.pages[key] = Held(
            event["sequence"],
            article["name"],
            deleted,
            None if deleted or wikitext is None else hashlib.sha1(wikitext.encode()).hexdigest(),
        )

    async def differs_from(
        self, truth: Mapping[Key, Truth], *, timeout_s: float
    ) -> dict[Key, tuple[Held | None, Truth]]:
        """What differs still when the time is over; empty as soon as nothing does."""
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while True:
            wrong = {
                key: (self.pages.get(key), wanted)
                for key, wanted in truth.items()
                if not _equal(self.pages.get(key), wanted)
            }
            if not wrong or asyncio.get_running_loop().time() > deadline_s:
                return wrong
            await asyncio.sleep(POLL_S)


def _equal(held: Held | None, wanted: Truth) -> bool:
    return held is not None and (held.title, held.deleted, held.sha1) == (
        wanted.title,
        wanted.deleted,
        wanted.sha1,
    )
