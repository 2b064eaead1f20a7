"""Deeds of those who keep a wiki in order: what moves, goes, comes back and must not be seen."""

import random
from typing import Final

from harness.mediawiki.deed import Pages, deed, save, text
from harness.mediawiki.editors import Refused, Wiki
from harness.mediawiki.founding import STEWARD, WRITER

HIDDEN: Final = "rev_deleted != 0"
SHOWN: Final = "rev_deleted = 0"
PROTECTIONS: Final[dict[str, list[tuple[str, str]]]] = {
    "edit=sysop|move=sysop": [("edit", "sysop"), ("move", "sysop")],
    "edit=autoconfirmed|move=all": [("edit", "autoconfirmed")],
    "edit=all|move=all": [],
}


# ── places ─────────────────────────────────────────────────────────────────────────────────────


@deed(weight=2)
async def move(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """With a redirect left behind."""
    return await _move(wiki, await pages.there(rng), await pages.free(rng))


@deed()
async def move_without_redirect(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    return await _move(wiki, await pages.there(rng), await pages.free(rng), noredirect=1)


@deed()
async def move_there_and_back(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """The second move goes over the redirect that the first one left: that is deleted."""
    source, target = await pages.there(rng), await pages.free(rng)
    return await _move(wiki, source, target) and await _move(wiki, target, source)


async def _move(wiki: Wiki, source: str, target: str, **more: object) -> bool:
    await wiki.act(STEWARD, "move", **{"from": source, "to": target, "reason": "a better name", **more})
    return True


@deed()
async def merge(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """The history of one page into that of another; the first becomes a redirect."""
    source = await pages.free(rng)
    await save(wiki, WRITER, source, text(rng), createonly=1)
    target = await pages.free(rng)
    await save(wiki, WRITER, target, text(rng), createonly=1)
    await wiki.act(STEWARD, "mergehistory", **{"from": source, "to": target, "reason": "the same"})
    return True


# ── being there ────────────────────────────────────────────────────────────────────────────────


@deed(weight=2)
async def delete(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    return await _delete(wiki, await pages.there(rng))


async def _delete(wiki: Wiki, title: str) -> bool:
    await wiki.act(STEWARD, "delete", title=title, reason="not needed")
    return True


@deed(weight=2)
async def undelete(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """Where no page is: under its old id, with its old revisions."""
    return await _undelete(wiki, await pages.gone(rng))


@deed()
async def undelete_onto(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """A page is deleted and written anew, then the old one's revisions are put under the new one's."""
    title = await pages.there(rng)
    await _delete(wiki, title)
    await save(wiki, WRITER, title, text(rng), createonly=1)
    return await _undelete(wiki, title)


async def _undelete(wiki: Wiki, title: str) -> bool:
    await wiki.act(STEWARD, "undelete", title=title, reason="needed after all")
    return True


@deed()
async def delete_suppressed(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """So that other administrators can't see it either."""
    title = await pages.there(rng)
    await wiki.act(STEWARD, "proofsuppress", title=title, reason="dangerous")
    return True


@deed()
async def undelete_suppressed(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """With all restrictions taken away."""
    title = await pages.gone(rng)
    await wiki.act(STEWARD, "proofsuppress", title=title, restore=1, reason="harmless")
    return True


@deed()
async def protect(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """Otherwise than it is: from administrators only to nobody at all."""
    title = await pages.there(rng)
    answer = await wiki.read(action="query", titles=title, prop="info", inprop="protection")
    [page] = answer["query"]["pages"]
    now = sorted((entry["type"], entry["level"]) for entry in page["protection"])
    protections = rng.choice([given for given, means in PROTECTIONS.items() if means != now])
    await wiki.act(STEWARD, "protect", title=title, protections=protections, reason="calm")
    return True


# ── what can be seen ───────────────────────────────────────────────────────────────────────────


@deed()
async def hide_text(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """Of an older revision: MediaWiki doesn't hide a newest one's."""
    return await _hide_one(wiki, rng, pages, "content", newest=False)


@deed()
async def hide_comment(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """Of a newest revision."""
    return await _hide_one(wiki, rng, pages, "comment", newest=True)


@deed()
async def hide_user(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """Of a newest revision."""
    return await _hide_one(wiki, rng, pages, "user", newest=True)


@deed()
async def hide_all(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """Of an older revision."""
    return await _hide_one(wiki, rng, pages, "content|comment|user", newest=False)


@deed()
async def suppress(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """All of an older revision, from administrators too."""
    return await _hide_one(wiki, rng, pages, "content|comment|user", newest=False, suppress="yes")


@deed()
async def suppress_newest(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    return await _hide_one(wiki, rng, pages, "comment|user", newest=True, suppress="yes")


@deed(weight=2)
async def show(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """All of a revision that was hidden or suppressed, the newest or an older one."""
    newest = rng.random() < 0.5
    try:
        title, revision = await pages.revision(rng, newest=newest, where=HIDDEN)
    except Refused:
        title, revision = await pages.revision(rng, newest=not newest, where=HIDDEN)
    return await _hide(wiki, title, revision, show="content|comment|user", suppress="no")


async def _hide_one(
    wiki: Wiki, rng: random.Random, pages: Pages, what: str, *, newest: bool, suppress: str = "nochange"
) -> bool:
    title, revision = await pages.revision(rng, newest=newest, where=SHOWN)
    return await _hide(wiki, title, revision, hide=what, suppress=suppress)


async def _hide(wiki: Wiki, title: str, revision: int, **what: str) -> bool:
    answer = await wiki.act(
        STEWARD, "revisiondelete", type="revision", target=title, ids=revision, reason="private", **what
    )
    return bool(answer["revisiondelete"]["status"] == "Success")
