"""HTML from the wiki to the partner: one has it, another doesn't."""

import asyncio
import hashlib
from pathlib import Path

import aiohttp
from harness.contract import schema
from harness.feed import Feed
from harness.sandboxed import live_config
from harness.service import Service

from streamer.origin.rendered import revision_of
from streamer.sandbox.faults import Fault
from streamer.sandbox.server import Sandbox, SandboxOptions

KEYS = {name: f"wrs_test_key_of_{name}" for name in ("rich", "plain")}
CONTENT = {"rich": '["wikitext", "text", "html"]', "plain": '["wikitext", "text"]'}
TEXT = "'''One''' of {{saying|words=what a template says}}.\n\n== Kinds ==\n* two\n* [[three]]"
ROOMY = "requests_per_minute = 6000", "requests_per_minute = 60000\nconcurrency = 12"
"""HTML's share is that of 15,000: each page finds a token."""
PAGES = 6
FAILING = 2
"""Of these."""


def partners() -> str:
    return "\n".join(
        f'[{name}]\nkeys = ["sha256:{hashlib.sha256(key.encode()).hexdigest()}"]\ncontent = {CONTENT[name]}\n'
        for name, key in KEYS.items()
    )


async def read(port: int, name: str, count: int) -> dict[str, dict[str, object]]:
    """By title."""
    feed = Feed(f"http://127.0.0.1:{port}/v2/articles", KEYS[name], since="2020-01-01T00:00:00Z")
    found: dict[str, dict[str, object]] = {}
    async for event in feed.articles(asyncio.Event()):
        schema("Article", closed=True).validate(event.article)
        found[str(event.article["name"])] = event.article
        if len(found) == count:
            break
    return found


async def create(sandbox: Sandbox, title: str) -> None:
    what = {"wiki": "ensandbox", "action": "create", "title": title, "text": TEXT}
    async with (
        aiohttp.ClientSession(sandbox.endpoint) as session,
        session.post("/sandbox/edit", json=what) as answer,
    ):
        assert answer.status == 200, await answer.text()


async def test_each_partner_has_the_text_of_what_it_has(tmp_path: Path) -> None:
    """The text of HTML tells what templates say, that of wikitext does not; where the wiki had no HTML, the
    first has what the second has, and as soon.
    """
    (tmp_path / "partners.toml").write_text(partners())
    options = SandboxOptions(seed=3, edits_per_s=0, pages_per_wiki=5, late_share=0)
    async with (
        Sandbox(options) as sandbox,
        Service(tmp_path, live_config(sandbox).replace(*ROOMY)) as service,
        asyncio.timeout(60),
    ):
        await service.event("connected to the stream")
        assert sandbox.world is not None
        for number in range(PAGES):
            if number == PAGES - FAILING:
                sandbox.faults.add(Fault("status", where="html", status=500))
            await create(sandbox, f"Page {number}")
            await service.until(lambda told, at=number + 1: _published(told) >= at)  # type: ignore[misc]
        port = await service.port()
        rich, plain = await asyncio.gather(read(port, "rich", PAGES), read(port, "plain", PAGES))
        told = await service.metrics()
    for number in range(PAGES):
        one, other = rich[f"Page {number}"], plain[f"Page {number}"]
        body, bare = one["article_body"], other["article_body"]
        assert isinstance(body, dict)
        assert isinstance(bare, dict)
        assert bare.keys() == {"wikitext", "text"}
        assert "what a template says" not in bare["text"]
        if number >= PAGES - FAILING:
            assert body == bare
            continue
        assert body.keys() == {"wikitext", "text", "html"}
        assert revision_of(body["html"]) == one["version"]["identifier"]  # type: ignore[index]
        assert "what a template says" in body["text"]
        assert "Kinds\n\n- two\n- three" in body["text"]
        assert "<" not in body["text"]
    outcomes = {name: value for name, value in told.items() if name.startswith("streamer_enrich_html_total")}
    assert sum(outcomes.values()) == PAGES
    assert outcomes['streamer_enrich_html_total{outcome="fetched"}'] == PAGES - FAILING


def _published(told: dict[str, float]) -> float:
    name = "streamer_enrich_published_total{"
    return sum(value for metric, value in told.items() if metric.startswith(name))
