"""What becomes of an open change, before its commit gives it a sequence."""

from dataclasses import dataclass
from typing import Final, Protocol

from consumers.wikitext.text import PlainText
from streamer.model import Change
from streamer.origin.answer import Answer, Found, SiteInfo
from streamer.origin.listing import Listing, More, Span
from streamer.origin.turns import LIVE
from streamer.tracing import Journey

MISSING_TRIES: Final = 3
"""Answers that a change gets to be about it, over `missing_retry_s` at least: a lagging replica looks like a
deletion, or like an older page.
"""


class Wikis(Protocol):
    """What enrich asks of the origin (streamer.origin); errors are OriginError's. `priority`: of
    streamer.origin.turns.
    """

    async def revision(
        self, wiki: str, server_name: str, revision: int, /, *, priority: int = LIVE
    ) -> Answer: ...
    async def title(self, wiki: str, server_name: str, title: str, /, *, priority: int = LIVE) -> Answer: ...
    async def page(self, wiki: str, server_name: str, page_id: int, /, *, priority: int = LIVE) -> Answer: ...
    async def deleted_page_id(
        self, wiki: str, server_name: str, title: str, log_id: int, time_ms: int, /
    ) -> tuple[int, ...]: ...
    async def html(self, wiki: str, server_name: str, revision: int, /) -> str | None:
        """Parsoid's, of exactly that revision; None where it can't be had soon."""
        ...

    async def probe(self, wiki: str, server_name: str, /) -> None:
        """One request, whether it is answered."""
        ...

    async def listing(self, wiki: str, server_name: str, span: Span, more: More = (), /) -> Listing:
        """What changed and what was logged in that time, behind all other questions."""
        ...

    def site(self, wiki: str, /) -> SiteInfo | None: ...
    def check_host(self, server_name: str, /) -> None: ...
    def failing_since_s(self, wiki: str, /) -> float | None:
        """The monotonic second of the wiki's first failure since its last answer; None: it answers."""
        ...

    @property
    def any_host_answers(self) -> bool: ...

    @property
    def has_backlog(self) -> bool:
        """The budget is used up, and live work has waited for it for some seconds."""
        ...

    def is_under_way(self, wiki: str, revision: int, /) -> bool:
        """Whether a request for that revision has been sent and is not answered."""
        ...


@dataclass(frozen=True, slots=True)
class Answered:
    """An article can be made, unless a removal is read before the commit."""

    found: Found
    plain: PlainText | None = None
    html: str | None = None
    from_html: PlainText | None = None
    """The plain text of that."""
    is_stale: bool = False
    """Still older than what is told of the page, though it was asked for often enough."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A deletion: the pages it was about, the first being the one it names."""

    page_ids: tuple[int, ...]
    missing_ms: int = 0
    """Of a replay: the wall clock just before the wiki first said so. It told of no deletion by itself."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The page or its text was no longer there."""


@dataclass(frozen=True, slots=True)
class Dead:
    code: str
    attempts: int
    withdrawn_page: int = 0
    """Cut off all the same: the page that was newest under the title of a deletion nobody can resolve."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """A newer edit of its page was waiting, and goes on (streamer.enrich.supersede)."""


Outcome = Answered | Removed | Gone | Dead | Superseded


@dataclass(slots=True, eq=False)
class Work:
    """One change between its reading and its commit."""

    offset: int
    change: Change
    read_no: int
    """How many changes had been read, this one included (streamer.enrich.memory.Removals)."""
    told_revision: int = 0
    """The highest revision that was told of its title before it: a page restated lower is a stale answer."""
    outcome: Outcome | None = None
    held_bytes: int = 0
    cutoff_written: bool = False
    """Of a visibility change: its cut-off went ahead of it."""
    is_found: bool = False
    """Of a visibility change: its revision was asked for, so that the change has the page, and of a replay
    what is hidden now."""
    journey: Journey | None = None
    """Of one that is traced."""
