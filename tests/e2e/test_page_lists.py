"""Page lists come and go with the partner that asks for them, while the service runs."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from harness.feed import Feed
from harness.sandboxed import on_sandbox
from harness.service import Service
from recording_setup import KEYS, until_routed_from_the_start
from test_bad_input import accounted, write

from streamer.log.local import LocalLog
from streamer.partners import hash_key
from streamer.sandbox.server import Sandbox

KEY = "wrs_test_key_of_filed"
TEXT = "words [[Category:Birds]] [[Category:Mammals of {}]] {{{{Infobox}}}}"
Articles = Mapping[str, dict[str, object]]


async def received(service: Service, key: str, names: set[str]) -> Articles:
    """By title, once all of these have come."""
    url = f"http://127.0.0.1:{await service.port()}/v2/articles"
    found: dict[str, dict[str, object]] = {}
    stream = Feed(url, key, since="2020-01-01T00:00:00Z").events()
    async with asyncio.timeout(40):
        async for event in stream:
            if event.name == "message":
                found[str(event.article["name"])] = event.article
                if names <= found.keys():
                    break
    await stream.aclose()
    return found


async def edit(sandbox: Sandbox, service: Service, title: str, number: int) -> int:
    """How often categories were asked for with it."""
    before = sandbox.requests["categories"]
    await write(sandbox, title, TEXT.format(title))
    await accounted(service, number)
    return sandbox.requests["categories"] - before


async def applied(service: Service, times: int) -> None:
    reloads = 'streamer_partners_reloads_total{result="applied"}'
    await service.until(lambda told: told.get(reloads, 0) == times)


async def test_lists_come_and_go_with_who_asks_for_them(tmp_path: Path) -> None:
    """Not asked of the wiki before a partner has them in its table, nor after it is gone; who does not have
    them gets the same as ever.
    """
    partners = tmp_path / "partners.toml"
    async with on_sandbox(tmp_path) as (sandbox, service):
        assert await edit(sandbox, service, "Before", 1) == 0
        usual = partners.read_text()
        partners.write_text(f'{usual}\n[filed]\nkeys = ["{hash_key(KEY)}"]\nlists = ["categories"]\n')
        await applied(service, 1)
        log = LocalLog(tmp_path / "streamer.db", clean_every_s=3600)
        await until_routed_from_the_start(log, partners=len(KEYS) + 1)
        assert await edit(sandbox, service, "During", 2) == 1
        assert sandbox.requests["templates"] == 0
        filed = (await received(service, KEY, {"During"}))["During"]
        wiki = filed["url"].removesuffix("During")  # type: ignore[attr-defined] - a JSON string
        assert filed["categories"] == [
            {"name": "Category:Birds", "url": f"{wiki}Category:Birds"},
            {"name": "Category:Mammals of During", "url": f"{wiki}Category:Mammals_of_During"},
        ]
        assert "templates" not in filed
        partners.write_text(usual)
        await applied(service, 2)
        assert await edit(sandbox, service, "After", 3) == 0
        everything = await received(service, KEYS["everything"], {"Before", "During", "After"})
        assert {frozenset(article) for article in everything.values()} == {frozenset(everything["Before"])}
        assert "categories" not in everything["During"]
        assert everything["During"]["version"] == filed["version"]
        assert await service.terminate() == 0
