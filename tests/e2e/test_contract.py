"""What the whole pipeline gives a partner is what openapi.json says."""

import asyncio
from pathlib import Path

import aiohttp
from harness.contract import schema
from harness.feed import Feed
from harness.sandboxed import on_sandbox
from recording_setup import KEYS

ARTICLES = 60


async def read(
    url: str, partner: str, count: int, kinds: frozenset[str] = frozenset()
) -> list[dict[str, object]]:
    """So many articles at least, and until these kinds have come."""
    feed = Feed(url, KEYS[partner], since="2020-01-01T00:00:00Z")
    found: list[dict[str, object]] = []
    async for event in feed.articles(asyncio.Event()):
        schema("ServerSentEvent").validate({"event": event.name, "id": event.id, "data": event.data})
        found.append(event.article)
        kinds -= {event.article["event"]["kind"]}  # type: ignore[index] # an object
        if len(found) >= count and not kinds:
            break
    return found


async def test_articles_and_figures_are_as_described(tmp_path: Path) -> None:
    """Each article, whatever happened to its page and whatever is left out of it, has what the schema
    requires and nothing that it does not name; so has the status, whose accounts cover what came.
    """
    async with on_sandbox(tmp_path, edits_per_s=30) as (_, service), asyncio.timeout(60):
        url = f"http://127.0.0.1:{await service.port()}/v2/articles"
        feeds = await asyncio.gather(
            read(url, "everything", ARTICLES, frozenset({"create", "edit", "delete"})),
            read(f"{url}?fields=version.editor.name,article_body.wikitext", "everything", ARTICLES),
            read(url, "humans", 5),
        )
        for article in (article for feed in feeds for article in feed):
            schema("Article", closed=True).validate(article)
        headers = {"Authorization": f"Bearer {KEYS['everything']}"}
        async with (
            aiohttp.ClientSession() as session,
            session.get(url.replace("articles", "status"), headers=headers) as answer,
        ):
            status = await answer.json()
        schema("Status", closed=True).validate(status)
        accounts = status["completeness"]
        assert accounts["published"] >= ARTICLES
        assert accounts["missing"] == 0
        assert status["freshness"]["articles"] > 0
        assert 0 < status["freshness"]["p50_s"] <= status["freshness"]["p99_s"] < 60
