"""What a deed is, and the pages it is done to."""

import random
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

from harness.mediawiki.editors import Refused, Wiki

PLAIN: Final = tuple(f"Page {number}" for number in range(8))
FOREIGN: Final = ("القاهرة الكبرى", "東京タワー", "दिल्ली का इतिहास", "🦆 & 🦢 (ducks)", "Étude n° 1: l'été")
ELSEWHERE: Final = ("Talk:Page 1", "User:Writer/Notes", "Q?x=1+1")
WORDS: Final = ("river", "stone", "bridge", "lantern", "kettle", "граница", "水", "नदी", "كتاب", "Straße")

Place = tuple[int, str]
"""Namespace and database key."""


class Pages:
    """The titles that deeds are about, and which of them are there. Each choice raises Refused where there is
    nothing to choose from.
    """

    def __init__(self, wiki: Wiki, titles: Collection[str] = (*PLAIN, *FOREIGN, *ELSEWHERE)) -> None:
        self._wiki = wiki
        self._given = titles
        self._titles: dict[Place, str] = {}

    async def there(self, rng: random.Random) -> str:
        """A title with a page."""
        return await self._pick(rng, "SELECT page_namespace, page_title FROM page")

    async def gone(self, rng: random.Random) -> str:
        """A title without a page, and with one in the archive."""
        return await self._pick(
            rng,
            "SELECT DISTINCT ar_namespace, ar_title FROM archive WHERE NOT EXISTS"
            " (SELECT 1 FROM page WHERE page_namespace = ar_namespace AND page_title = ar_title)",
        )

    async def free(self, rng: random.Random, among: Collection[str] | None = None) -> str:
        """A title without a page."""
        titles = await self._known()
        there = self._places("SELECT page_namespace, page_title FROM page")
        return _one(
            rng,
            [
                title
                for place, title in titles.items()
                if place not in there and (among is None or title in among)
            ],
        )

    async def revision(self, rng: random.Random, *, newest: bool, where: str = "1") -> tuple[str, int]:
        """A page's title and its newest revision, or an older one, that also fulfils `where`."""
        titles = await self._known()
        rows = self._wiki.rows(
            "SELECT page_namespace, page_title, rev_id FROM revision JOIN page ON rev_page = page_id"
            f" WHERE (rev_id = page_latest) = ? AND {where} ORDER BY rev_id",
            newest,
        )
        found = [(_place(namespace, key), number) for namespace, key, number in rows]
        place, number = _one(rng, [entry for entry in found if entry[0] in titles])
        return titles[place], number

    async def _pick(self, rng: random.Random, query: str) -> str:
        titles = await self._known()
        return _one(rng, [titles[place] for place in sorted(self._places(query)) if place in titles])

    async def _known(self) -> dict[Place, str]:
        """As this wiki spells them: it has its own names for namespaces."""
        if not self._titles:
            answer = await self._wiki.read(action="query", titles="|".join(self._given))
            for page in answer["query"]["pages"]:
                title, namespace = page["title"], page["ns"]
                key = title.partition(":")[2] if namespace else title
                self._titles[namespace, key.replace(" ", "_")] = title
        return self._titles

    def _places(self, query: str) -> set[Place]:
        return {_place(namespace, key) for namespace, key in self._wiki.rows(query)}


def _place(namespace: int, key: str | bytes) -> Place:
    return namespace, key.decode() if isinstance(key, bytes) else key


def _one(rng: random.Random, choices: list[Any]) -> Any:
    if not choices:
        raise Refused("nothing_there", "there is no page to do this to")
    return rng.choice(choices)


Deed = Callable[[Wiki, random.Random, Pages], Awaitable[bool]]
"""Whether it was done; raises Refused where the wiki, or the state of its pages, doesn't allow it."""
DEEDS: Final[dict[str, Deed]] = {}
WEIGHTS: Final[dict[str, float]] = {}
"""How often a deed is drawn, against 1."""


def deed(weight: float = 1.0) -> Callable[[Deed], Deed]:
    """Registers a function under its own name."""

    def register(function: Deed) -> Deed:
        name: str = function.__name__  # type: ignore[attr-defined]
        DEEDS[name] = function
        WEIGHTS[name] = weight
        return function

    return register


def text(rng: random.Random, words: int = 40) -> str:
    """Never the same twice."""
    return " ".join(rng.choices(WORDS, k=words)) + f". {rng.randrange(1 << 48):012x}"


async def save(wiki: Wiki, who: str, title: str, content: str, **more: object) -> dict[str, Any]:
    answer = await wiki.act(who, "edit", title=title, text=content, summary=f"by {who}", **more)
    edit: dict[str, Any] = answer["edit"]
    return edit
