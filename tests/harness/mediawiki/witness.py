"""A partner who remembers all that it received, and holds it against what was withdrawn."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from harness.feed import Feed, Received

BEGINNING: Final = "2020-01-01T00:00:00Z"
WAIT_S: Final = 30.0

Page = int


@dataclass(frozen=True, slots=True)
class Seen:
    """One article as it came; `data` is all of it."""

    data: str
    article: dict[str, Any]

    @classmethod
    def of(cls, received: Received) -> "Seen":
        return cls(received.data, received.article)

    @property
    def page(self) -> Page:
        return int(self.article["identifier"])

    @property
    def kind(self) -> str:
        return str(self.article["event"]["kind"])

    @property
    def sequence(self) -> int:
        return int(self.article["event"]["sequence"])

    @property
    def revision(self) -> int:
        """0 where none is told, as of some deletions."""
        return int(self.article.get("version", {}).get("identifier", 0))

    @property
    def text(self) -> str | None:
        body = self.article.get("article_body")
        return None if body is None else str(body["wikitext"])


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """`canary` is a word of the text, the comment or the editor's name, found nowhere else."""

    canary: str
    by: Seen
    """The record that told a partner so."""
    restored: Seen | None = None
    """The record from which on it may be seen again."""

    def check_live(self, seen: Iterable[Seen]) -> None:
        """Of somebody who was there: it never came out after its withdrawal."""
        is_out = is_back = False
        for one in seen:
            is_back = is_back or one is self.restored
            assert not (is_out and not is_back and self.canary in one.data), f"{self.canary} came out: {one}"
            is_out = is_out or one is self.by

    def check_later(self, seen: Iterable[Seen]) -> None:
        """Of somebody who came after it: it is not there at all, but for what was published anew."""
        for one in seen:
            is_back = self.restored is not None and one.sequence >= self.restored.sequence
            assert is_back or self.canary not in one.data, f"{self.canary} came out again: {one}"


class Witness:
    """`follow` runs until it is cancelled, across breaks of the connection."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key
        self._came = asyncio.Event()
        self.seen: list[Seen] = []

    async def follow(self) -> None:
        feed = Feed(self._url, self._key, since=BEGINNING)
        async for received in feed.articles(asyncio.Event()):
            self.seen.append(Seen.of(received))
            self._came.set()

    async def until(self, number: int) -> None:
        """So many were received; raises TimeoutError."""
        async with asyncio.timeout(WAIT_S):
            while len(self.seen) < number:
                self._came.clear()
                await self._came.wait()

    async def told(self, page: Page, kinds: list[str], since: int) -> list[Seen]:
        """What was received of the page behind the first `since`, which is of these kinds, in this order."""
        try:
            async with asyncio.timeout(WAIT_S):
                while len(found := self._of(page, since)) < len(kinds):
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            pass
        assert [one.kind for one in found] == kinds, f"{[one.kind for one in found]}, not {kinds}"
        return found

    def _of(self, page: Page, since: int) -> list[Seen]:
        return [one for one in self.seen[since:] if one.page == page]

    async def from_the_beginning(self, pages: set[Page]) -> list[Seen]:
        """What a second client receives now, up to the last of what this one knows of the pages."""
        last = {one.page: one.sequence for one in self.seen if one.page in pages}
        found: list[Seen] = []
        feed = Feed(self._url, self._key, since=BEGINNING)
        async with asyncio.timeout(WAIT_S):
            async for received in feed.events():
                if received.name != "message":
                    continue
                one = Seen.of(received)
                found.append(one)
                if last.get(one.page) == one.sequence:
                    del last[one.page]
                if not last:
                    break
        return found
