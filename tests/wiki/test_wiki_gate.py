"""What the fixture does to what is asked: as the service would meet it."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from harness.mediawiki import Asked, EventLost, WikiFarm

WIKI = "enproof"
HOST = {"Host": "en.proof.example", "User-Agent": "proof/1 (proof@example.org)"}
DEADLINE_S = 60.0


@pytest.fixture
async def client(farm: WikiFarm) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with aiohttp.ClientSession(farm.endpoint, headers=HOST, timeout=timeout) as session:
        yield session


async def ask(client: aiohttp.ClientSession, **params: object) -> Any:
    given = {"action": "query", "format": "json", "formatversion": "2", "prop": "revisions|info"}
    async with client.get("/w/api.php", params=given | {k: str(v) for k, v in params.items()}) as answer:
        assert answer.status == 200
        return await answer.json()


async def made(farm: WikiFarm, title: str, words: str) -> int:
    """Saves it; the number of the revision."""
    answer = await farm.wikis[WIKI].act("Writer", "edit", title=title, text=words)
    return int(answer["edit"]["newrevid"])


async def test_a_wiki_is_found_by_its_host(farm: WikiFarm, client: aiohttp.ClientSession) -> None:
    """One endpoint for all, each with its language and licence; an unknown name is 404; all is counted."""
    for wiki in farm.wikis.values():
        headers = {"Host": wiki.server_name}
        params = {"action": "query", "meta": "siteinfo", "siprop": "general|rightsinfo", "format": "json"}
        async with client.get("/w/api.php", params=params, headers=headers) as answer:
            told = (await answer.json())["query"]
        assert told["general"]["wikiid"] == wiki.name
        assert told["general"]["lang"] == wiki.language
        assert told["rightsinfo"]["url"] == wiki.licence_url
        assert ("rtl" in told["general"]) == (wiki.language == "ar")
    async with client.get("/w/api.php", headers={"Host": "elsewhere.example"}) as answer:
        assert answer.status == 404
    assert farm.gate.requests == dict.fromkeys(farm.wikis, 1)


async def test_a_request_is_held_before_the_wiki_sees_it(
    farm: WikiFarm, client: aiohttp.ClientSession
) -> None:
    """What is written meanwhile is in its answer; others pass."""
    await made(farm, "Held", "before")
    with farm.gate.hold(lambda asked: asked.names("Held")) as hold:
        waiting = asyncio.ensure_future(ask(client, titles="Held"))
        await asyncio.wait_for(hold.arrived.wait(), DEADLINE_S)
        await ask(client, titles="Other")
        newest = await made(farm, "Held", "after")
        assert not waiting.done()
    answer = await waiting
    assert answer["query"]["pages"][0]["lastrevid"] == newest
    assert hold.met == 1


async def test_an_answer_is_held_and_grows_old(farm: WikiFarm, client: aiohttp.ClientSession) -> None:
    """What is written meanwhile is not in it."""
    old = await made(farm, "Held", "before")
    with farm.gate.hold(when="after") as hold:
        waiting = asyncio.ensure_future(ask(client, titles="Held"))
        await asyncio.wait_for(hold.arrived.wait(), DEADLINE_S)
        await made(farm, "Held", "after")
    answer = await waiting
    assert answer["query"]["pages"][0]["lastrevid"] == old


async def test_what_nobody_releases_is_told(farm: WikiFarm, client: aiohttp.ClientSession) -> None:
    """It is let go at its deadline, and fails the test."""
    hold = farm.gate.hold(deadline_s=0.1)
    await ask(client, titles="Held")
    assert hold.expired
    with pytest.raises(AssertionError, match="not released"):
        farm.gate.check()
    hold.expired = False


async def test_a_replica_that_stands_still_knows_nothing_newer(
    farm: WikiFarm, client: aiohttp.ClientSession
) -> None:
    """Neither revisions nor pages nor deletions, until it is released."""
    old = await made(farm, "Known", "before")
    await made(farm, "Deleted", "before")
    lag = farm.gate.lag(WIKI)
    newer = await made(farm, "Known", "after")
    await made(farm, "Unknown", "after")
    await farm.wikis[WIKI].act("Steward", "delete", title="Deleted")
    told = await ask(client, revids=f"{old}|{newer}")
    assert list(told["query"]["badrevids"]) == [str(newer)]
    assert told["query"]["pages"][0]["lastrevid"] == old
    told = await ask(client, titles="Unknown|Deleted")
    assert {page["title"]: page.get("missing", False) for page in told["query"]["pages"]} == {
        "Unknown": True,
        "Deleted": False,
    }
    lag.release()
    assert (await ask(client, titles="Known"))["query"]["pages"][0]["lastrevid"] == newer


async def test_a_replica_that_is_behind_catches_up(farm: WikiFarm, client: aiohttp.ClientSession) -> None:
    """What was asked for in vain is there some time later, and never was before."""
    loop = asyncio.get_running_loop()
    with farm.gate.lag(WIKI, 0.8):
        written = await made(farm, "Young", "words")
        began_s = loop.time()
        async with asyncio.timeout(DEADLINE_S):
            while "badrevids" in (await ask(client, revids=written))["query"]:
                await asyncio.sleep(0.05)
        assert loop.time() - began_s >= 0.8


async def test_a_wiki_is_down_and_comes_up(farm: WikiFarm, client: aiohttp.ClientSession) -> None:
    """By status, by reset; others answer."""
    farm.gate.down(WIKI)
    async with client.get("/w/api.php") as answer:
        assert answer.status == 503
    farm.gate.down(WIKI, "reset")
    with pytest.raises(aiohttp.ClientError):
        await ask(client, titles="X")
    async with client.get("/w/api.php?format=json", headers={"Host": "de.proof.example"}) as answer:
        assert answer.status == 200
    farm.gate.up(WIKI)
    await ask(client, titles="X")


async def test_an_answer_is_altered(farm: WikiFarm, client: aiohttp.ClientSession) -> None:
    """As JSON, where it matches, until it is released."""

    def renamed(answer: dict[str, Any]) -> dict[str, Any]:
        answer["query"]["pages"][0]["title"] = "Another"
        return answer

    def about_x(asked: Asked) -> bool:
        return asked.names("X")

    with farm.gate.alter(renamed, about_x):
        assert (await ask(client, titles="X"))["query"]["pages"][0]["title"] == "Another"
        assert (await ask(client, titles="Y"))["query"]["pages"][0]["title"] == "Y"
    assert (await ask(client, titles="X"))["query"]["pages"][0]["title"] == "X"


async def test_a_lost_event_is_missed(origin: Path, tmp_path: Path, rng: random.Random) -> None:
    """One that a wiki has counted and that never came fails whoever used the farm."""
    with pytest.raises(EventLost, match="came as number"):
        async with WikiFarm(tmp_path / "farm", origin=origin) as farm:
            assert await farm.do("create", WIKI, rng)
            await farm.settled()
            counter = farm.folder / f"sent-{WIKI}"
            counter.write_text(str(int(counter.read_text()) + 1))
            assert await farm.do("create", WIKI, rng)
