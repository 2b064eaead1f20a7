"""Changes a second through all four roles on the local log, and the latency that they add.

    python -m tests.bench.bench_pipeline [--json FILE]

Throughput: the API is stubbed in the process (it answers at once), one partner, one client that reads
everything. Latency: the sandbox wiki, idle budget; from the answer to an edit to its frame at a client.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

import aiohttp

from streamer.config import (
    DeliverSettings,
    LogSettings,
    MediaWikiSettings,
    PartnersSettings,
    Settings,
    SourceSettings,
)
from streamer.deliver.server import run_deliver
from streamer.enrich.stage import run_enrich
from streamer.log.open import open_log
from streamer.metrics import COMMITTED
from streamer.origin.answer import Answer, Found, Missing, PageAnswer, RevisionAnswer, SiteInfo
from streamer.origin.mediawiki import Origin
from streamer.partners import PartnersWatch
from streamer.partners_edit import add_partner
from streamer.route.stage import run_route
from streamer.runtime import Runtime, topic_specs
from streamer.sandbox.server import Sandbox, SandboxOptions
from streamer.source.stage import run_source

PARAGRAPH = (
    "'''A page''' about [[something|some things]] that is ''long'' enough, with a reference<ref>{{cite web"
    "|url=https://example.org/x|title=A title}}</ref> and a list.\n\n"
    "* One [[item]]\n* Another {{nowrap|item}}\n\n== Heading ==\n\n"
)


class Stub:
    """A wiki that answers at once with a text of `size` characters."""

    any_host_answers = True

    def __init__(self, size: int) -> None:
        self._text = (PARAGRAPH * (size // len(PARAGRAPH) + 1))[:size]
        self._site = SiteInfo(
            wiki="enwiki",
            server_name="en.wikipedia.org",
            name="Wikipedia",
            language="en",
            direction="ltr",
            namespaces={0: ""},
            licence_name="CC BY-SA 4.0",
            licence_url="https://creativecommons.org/licenses/by-sa/4.0/",
            article_path="/wiki/$1",
            script_path="/w",
            server="https://en.wikipedia.org",
            fetched_ms=0,
        )

    async def revision(self, wiki: str, _server: str, revision: int, /) -> Answer:
        site = self._site if wiki == "enwiki" else None
        if site is None:
            return Missing(0)
        page = PageAnswer(
            revision % 5_000 + 1, 0, f"Page {revision % 5_000}", revision, "wikitext", "en", "ltr"
        )
        return Found(
            site,
            page,
            RevisionAnswer(
                revision, revision - 1, 0, False, len(self._text), "0" * 40, self._text, "wikitext"
            ),
            int(time.time() * 1000),
        )

    async def title(self, wiki: str, server: str, _title: str, /) -> Answer:
        return await self.revision(wiki, server, 1)

    async def page(self, wiki: str, server: str, page_id: int, /) -> Answer:
        return await self.revision(wiki, server, page_id)

    async def deleted_page_id(self, *_: object) -> tuple[int, ...]:
        return ()

    async def probe(self, *_: object) -> None: ...

    def site(self, _wiki: str, /) -> SiteInfo | None:
        return self._site

    def check_host(self, _server: str, /) -> None: ...

    def failing_since_s(self, _wiki: str, /) -> float | None:
        return None


def recording(file: Path, count: int) -> None:
    with file.open("w", encoding="utf-8") as out:
        for n in range(count):
            row = {
                "$schema": "/mediawiki/recentchange/1.0.0",
                "meta": {
                    "id": f"00000000-0000-4000-8000-{n:012d}",
                    "dt": "2026-09-21T13:20:17Z",
                    "domain": "en.wikipedia.org",
                    "stream": "mediawiki.recentchange",
                    "topic": "eqiad.mediawiki.recentchange",
                    "partition": 0,
                    "offset": n,
                },
                "type": "edit",
                "namespace": 0,
                "title": f"Page {(n + 100) % 5_000}",
                "timestamp": 1_790_000_000,
                "user": "Somebody",
                "bot": False,
                "minor": False,
                "revision": {"old": n + 99, "new": n + 100},
                "length": {"old": 1, "new": 2},
                "server_name": "en.wikipedia.org",
                "wiki": "enwiki",
            }
            out.write(json.dumps(row) + "\n")


async def consume(url: str, key: str, count: int, since: bool) -> int:
    """Reads `count` articles; the bytes."""
    headers = {"Authorization": f"Bearer {key}"}
    params = {"since": "2020-01-01T00:00:00Z"} if since else {}
    seen = total = 0
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers=headers, params=params) as response,
    ):
        async for chunk in response.content.iter_any():
            seen += chunk.count(b'data: {"name"')
            total += len(chunk)
            if seen >= count:
                break
    return total


async def throughput(folder: Path, *, size: int, count: int, with_text: bool) -> dict[str, float]:
    folder.mkdir()
    recording(folder / "r.jsonl", count)
    partners_file = folder / "partners.toml"
    key = add_partner(partners_file, "bench")
    settings = Settings(
        source=SourceSettings(url=f"file:{folder / 'r.jsonl'}", streams=("recentchange",)),
        log=LogSettings(path=str(folder / "log.db")),
        deliver=DeliverSettings(port=0),
        partners=PartnersSettings(file=str(partners_file)),
    )
    async with open_log(settings) as log:
        runtime = Runtime(settings, log)
        await log.ensure_topics(topic_specs(settings))
        partners = PartnersWatch(partners_file)
        bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        cpu_s = time.process_time()
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(partners.run()),
                group.create_task(run_deliver(runtime, partners, on_listening=bound.set_result)),
                group.create_task(run_route(runtime, partners)),
                group.create_task(run_enrich(runtime, Stub(size), with_text=with_text)),
                group.create_task(run_source(runtime)),
            ]
            url = f"http://127.0.0.1:{await bound}/v2/articles"
            await consume(url, key, count, since=True)
            took_s = time.monotonic() - began_s
            published = COMMITTED.totals("enrich").get("published", 0)
            for task in tasks:
                task.cancel()
    return {
        "changes_per_s": count / took_s,
        "main_process_cpu_ms_each": (time.process_time() - cpu_s) / count * 1000,
        "published": published,
    }


async def latency(folder: Path, edits: int) -> dict[str, float]:
    folder.mkdir()
    partners_file = folder / "partners.toml"
    key = add_partner(partners_file, "bench")
    async with Sandbox(SandboxOptions(seed=1, edits_per_s=0.02)) as sandbox:
        settings = Settings(
            source=SourceSettings(url=sandbox.stream_url),
            mediawiki=MediaWikiSettings(
                hosts=("*.sandbox.example",), endpoint=sandbox.endpoint, requests_per_minute=6_000
            ),
            log=LogSettings(path=str(folder / "log.db")),
            deliver=DeliverSettings(port=0),
            partners=PartnersSettings(file=str(partners_file)),
        )
        async with open_log(settings) as log, Origin(settings) as origin:
            runtime = Runtime(settings, log)
            await log.ensure_topics(topic_specs(settings))
            partners = PartnersWatch(partners_file)
            bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(partners.run()),
                    group.create_task(run_deliver(runtime, partners, on_listening=bound.set_result)),
                    group.create_task(run_route(runtime, partners)),
                    group.create_task(run_enrich(runtime, origin)),
                    group.create_task(run_source(runtime)),
                ]
                took = await measured(sandbox, f"http://127.0.0.1:{await bound}/v2/articles", key, edits)
                for task in tasks:
                    task.cancel()
    took.sort()
    return {
        "edits": len(took),
        "p50_ms": statistics.median(took) * 1000,
        "p99_ms": took[int(len(took) * 0.99) - 1] * 1000,
        "max_ms": took[-1] * 1000,
    }


async def measured(sandbox: Sandbox, url: str, key: str, edits: int) -> list[float]:
    """From the answer to the edit request to the frame with its mark at the client."""
    took: list[float] = []
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {key}"}
        async with session.get(url, headers=headers) as response:
            reader = response.content
            for number in range(edits + 5):
                mark = f"bench-mark-{number:06d}"
                edit = {
                    "wiki": "ensandbox",
                    "title": f"Bench {number}",
                    "action": "create",
                    "text": mark * 100,
                }
                async with session.post(f"{sandbox.endpoint}/sandbox/edit", json=edit) as answer:
                    assert answer.status == 200, await answer.text()
                edited_s = time.monotonic()
                seen = b""
                while mark.encode() not in seen:
                    seen = seen[-200_000:] + await reader.readany()
                if number >= 5:  # the first ones pay for what is set up once
                    took.append(time.monotonic() - edited_s)
    return took


async def run(folder: Path) -> dict[str, dict[str, float]]:
    return {
        "2 kB wikitext, no text": await throughput(folder / "a", size=2_000, count=20_000, with_text=False),
        "17 kB pages, with text": await throughput(folder / "b", size=17_000, count=3_000, with_text=True),
        "added latency": await latency(folder / "c", 200),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        results = asyncio.run(run(Path(name)))
    for title, figures in results.items():
        print(title)
        for measure, value in figures.items():
            print(f"    {measure:<28} {value:>12,.2f}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
