"""Page lists of real wikis, longer than one answer may be, by the client and by the service."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from harness.feed import Feed
from harness.mediawiki import Wiki, WikiFarm
from harness.service import Service
from recording_setup import KEYS, write_partners

from streamer.config import MediaWikiSettings, Settings
from streamer.origin.answer import Found
from streamer.origin.mediawiki import Origin
from streamer.partners import PAGE_LISTS, hash_key
from streamer.plan import Plan

WIKI, WRITER, ROBOT = "enproof", "Writer", "Robot"
LIMIT = 500
"""Of one list in one answer, on a wiki as it is installed."""
KEY = "wrs_test_key_of_filed"
HUGE = "lorem ipsum dolor sit amet " * 50_000
DEADLINE_S = 60.0


def categories(count: int) -> str:
    return " ".join(f"[[Category:Of {number:04}]]" for number in range(count))


def named(count: int) -> tuple[str, ...]:
    return tuple(f"Category:Of {number:04}" for number in range(count))


async def save(wiki: Wiki, title: str, text: str, who: str = WRITER) -> int:
    return int((await wiki.act(who, "edit", title=title, text=text))["edit"]["newrevid"])


def settings_of(farm: WikiFarm) -> Settings:
    return Settings(
        mediawiki=MediaWikiSettings(
            endpoint=farm.endpoint, hosts=tuple(farm.allowed_hosts), requests_per_minute=60_000
        )
    )


@pytest.mark.parametrize("huge", [0, pytest.param(7, marks=pytest.mark.soak)])
async def test_lists_longer_than_an_answer(farm: WikiFarm, huge: int) -> None:
    """Over the wiki's limit of 500, and with texts beside them that are over its limit of 8 MiB together:
    each page comes with its whole lists.
    """
    wiki = farm.wikis[WIKI]
    sizes = {"Many": LIMIT + 20, "Bare": 0, **{f"Huge {n}": 90 for n in range(huge)}}
    revisions = {
        title: await save(wiki, title, (HUGE if "Huge" in title else "words") + categories(size), ROBOT)
        for title, size in sizes.items()
    }
    await save(wiki, "Template:Box", "{{Inner}}")
    await save(wiki, "Bare", "words {{Box}}")
    for title in ("To it", "User:Writer/To it"):
        await save(wiki, title, "#REDIRECT [[Bare]]")
    await farm.settled()
    revisions["Bare"] = 0
    plan = Plan(lists=frozenset(PAGE_LISTS))
    async with Origin(settings_of(farm), plan=lambda: plan) as origin, asyncio.timeout(DEADLINE_S):
        server = wiki.server_name
        answers = await asyncio.gather(
            *(origin.revision(WIKI, server, number) for number in revisions.values() if number),
            origin.title(WIKI, server, "Bare"),
        )
    found = {answer.page.title: answer for answer in answers if isinstance(answer, Found)}
    assert found.keys() == sizes.keys()
    for title, size in sizes.items():
        lists = found[title].page.lists
        assert lists["categories"] == named(size), title
        assert lists.keys() == set(PAGE_LISTS)
    bare = found["Bare"].page.lists
    assert bare["templates"] == ("Template:Box", "Template:Inner")
    assert bare["redirects"] == ("To it", "User:Writer/To it")
    asked = Counter(name for one in farm.gate.asked for name in one.params if name.endswith("continue"))
    assert asked["clcontinue"] >= 1 + bool(huge)


async def test_a_page_with_more_categories_than_an_answer_may_have_is_whole_for_who_asks(
    farm: WikiFarm, tmp_path: Path
) -> None:
    """From the edit to the partner; another partner gets the same article without them."""
    wiki = farm.wikis[WIKI]
    write_partners(tmp_path / "partners.toml")
    with (tmp_path / "partners.toml").open("a") as file:
        file.write(f'\n[filed]\nkeys = ["{hash_key(KEY)}"]\nlists = ["categories", "redirects"]\n')
    await save(wiki, "Much filed", categories(LIMIT + 1))
    await farm.settled()
    async with Service(tmp_path, farm.config()) as service:
        await service.event("connected to the stream")
        revision = await save(wiki, "Much filed", f"words {categories(LIMIT + 1)}")
        got = {}
        for name, key in (("filed", KEY), ("everything", KEYS["everything"])):
            url = f"http://127.0.0.1:{await service.port()}/v2/articles"
            stream = Feed(url, key, since="2020-01-01T00:00:00Z").events()
            async with asyncio.timeout(DEADLINE_S):
                async for event in stream:
                    if event.name == "message" and f'"identifier":{revision}' in event.data:
                        got[name] = event.article
                        break
            await stream.aclose()
    listed = got["filed"].pop("categories")
    assert [link["name"] for link in listed] == [*named(LIMIT + 1)]  # type: ignore[attr-defined] - of JSON
    assert got["filed"].pop("redirects") == []
    for article in got.values():
        article["article_body"].pop("text", None)  # type: ignore[attr-defined] - not everybody's
        article["event"].pop("offset")  # type: ignore[attr-defined] - each feed's own
    assert got["filed"] == got["everything"]
    assert [one for one in farm.gate.asked if "clcontinue" in one.params]
