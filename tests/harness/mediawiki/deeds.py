"""What people do to a wiki, each kind a small function: scripted, random, and at times refused.

A deed picks its pages itself, by `rng` and by what the wiki holds now, and returns whether it was done.
"""

import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

from harness.mediawiki.editors import Refused, Wiki
from harness.mediawiki.founding import STEWARD, WRITER

ADDRESSES: Final = ("192.0.2.17", "198.51.100.4", "2001:db8::7")
TITLES: Final = (
    *(f"Page {number}" for number in range(8)),
    "القاهرة الكبرى",
    "東京タワー",
    "दिल्ली का इतिहास",
    "🦆 & 🦢 (ducks)",
    "Talk:Page 1",
    "User:Writer/Notes",
    "Étude n° 1: l'été",
    "Q?x=1+1",
)
WORDS: Final = ("river", "stone", "bridge", "lantern", "kettle", "граница", "水", "नदी", "كتاب", "Straße")


class Pages:
    """The titles that deeds are about, and which of them are there."""

    def __init__(self, wiki: Wiki, titles: tuple[str, ...] = TITLES) -> None:
        self._wiki = wiki
        self.titles = titles

    async def there(self, rng: random.Random) -> str:
        """A title with a page. Raises Refused where there is none."""
        return await self._pick(rng, missing=False)

    async def free(self, rng: random.Random) -> str:
        """A title without a page. Raises Refused where there is none."""
        return await self._pick(rng, missing=True)

    async def _pick(self, rng: random.Random, *, missing: bool) -> str:
        answer = await self._wiki.read(action="query", titles="|".join(self.titles))
        found = sorted(
            page["title"] for page in answer["query"]["pages"] if bool(page.get("missing")) == missing
        )
        if not found:
            raise Refused("nothing_there", "no page to do this to")
        return rng.choice(found)


Deed = Callable[[Wiki, random.Random, Pages], Awaitable[bool]]
DEEDS: Final[dict[str, Deed]] = {}
WEIGHTS: Final[dict[str, float]] = {}
"""How often a deed is drawn, against 1."""


def deed(weight: float = 1.0) -> Callable[[Deed], Deed]:
    def register(function: Deed) -> Deed:
        name = getattr(function, "__name__")  # noqa: B009 - a Callable need not have one
        DEEDS[name] = function
        WEIGHTS[name] = weight
        return function

    return register


def text(rng: random.Random, words: int = 40) -> str:
    return " ".join(rng.choices(WORDS, k=words)) + f". {rng.randrange(1 << 32):08x}"


async def save(wiki: Wiki, who: str, title: str, content: str, **more: object) -> dict[str, Any]:
    answer = await wiki.act(who, "edit", title=title, text=content, summary=f"by {who}", **more)
    edit: dict[str, Any] = answer["edit"]
    return edit


@deed(weight=6)
async def create(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    title = await pages.free(rng)
    await save(wiki, WRITER, title, text(rng), createonly=1)
    return True


@deed(weight=8)
async def edit(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    await save(wiki, WRITER, await pages.there(rng), text(rng), nocreate=1)
    return True


@deed()
async def move(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    source, target = await pages.there(rng), await pages.free(rng)
    await wiki.act(STEWARD, "move", **{"from": source, "to": target, "reason": "a better name"})
    return True


@deed()
async def delete(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    await wiki.act(STEWARD, "delete", title=await pages.there(rng), reason="not needed")
    return True


async def hide(
    wiki: Wiki, rng: random.Random, pages: Pages, *, what: str, suppress: str = "nochange"
) -> bool:
    """An older revision of a page that has one: a newest one's text can't be hidden."""
    title = await pages.there(rng)
    answer = await wiki.read(action="query", titles=title, prop="revisions", rvprop="ids", rvlimit=20)
    older = [revision["revid"] for revision in answer["query"]["pages"][0]["revisions"]][1:]
    if not older:
        raise Refused("nothing_there", "no older revision")
    answer = await wiki.act(
        STEWARD,
        "revisiondelete",
        type="revision",
        target=title,
        ids=rng.choice(older),
        hide=what,
        suppress=suppress,
        reason="private",
    )
    return bool(answer["revisiondelete"]["status"] == "Success")


@deed()
async def hide_text(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    return await hide(wiki, rng, pages, what="content")
