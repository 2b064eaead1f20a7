"""What a corpus costs: `python -m tests.bench.bench_corpus [--json FILE] [--events N] [--catch-up N]`.

Events are applied as `corpus follow` does it, from the articles that a feed hands over to the commit of rows
and positions; beside it the naive way, one upsert a commit. Each in a process of its own. Articles of 2 kB
and of 17 kB, of real wikitext where the shared recordings are present, else invented; the text comes with the
event or is made of the wikitext. A rate for a core goes by processor time, less that of making the events, so
that a neighbour on the machine is not measured; beside it the clock's. Nothing is asserted.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from consumers.corpus.follow import Follower
from consumers.corpus.page import told
from consumers.corpus.state import State
from consumers.event import Article, Batch, Version
from consumers.wikitext.text import ANYWHERE, plain_text
from tests.bench.bench_log import Results
from tests.harness.wikitext import LANGUAGES, article

EVENTS: Final = 20_000
CATCH_UP: Final = 50_000
BATCH: Final = 1_000
"""What a feed hands over at once in a backlog."""
SIZES: Final = {"2 kB": 2_000, "17 kB": 17_000}
"""Of wikitext, in bytes."""
NEW_SHARE: Final = 0.5
"""Of events that are of a page which the corpus doesn't hold yet, in a catch-up."""
DISTINCT: Final = 200
"""Texts; each event's is its own by a mark at its beginning."""


def wikitexts(size: int) -> list[str]:
    """Of about that size each, with languages mixed as they are in the tests."""
    whole = "\n\n".join(real_wikitext() or [article(language) for language in LANGUAGES])
    rng = random.Random(1)
    found = []
    for _ in range(DISTINCT):
        start = rng.randrange(max(1, len(whole) - size))
        found.append((whole[start:] + whole)[:size].encode()[:size].decode(errors="ignore"))
    return found


def real_wikitext() -> list[str]:
    folder = Path(os.environ.get("STREAMER_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")
    files = [folder / "enterprise-article.ndjson"]
    found = []
    for file in files:
        if file.is_file():
            for line in file.read_bytes().splitlines():
                body = json.loads(line).get("article_body") or {}
                found += [body["wikitext"]] if body.get("wikitext") else []
    return found


@dataclass(slots=True)
class Backlog:
    """A feed that has all its events at once."""

    size: int
    events: int
    with_text: bool
    name: str = "bench"
    made_cpu_s: float = 0.0

    async def batches(self, position: str | None) -> AsyncGenerator[Batch, None]:
        assert position is None
        for batch in self.made():
            yield batch

    def made(self) -> Iterator[Batch]:
        """Pages come in any order; a share of the events is of pages that were there before."""
        begun = time.thread_time()
        articles = [self._article(text) for text in wikitexts(self.size)]
        received = sum(len(msgspec.json.encode(article)) for article in articles) // len(articles)
        rng = random.Random(2)
        pages = max(1, int(self.events * NEW_SHARE))
        for start in range(0, self.events, BATCH):
            events = []
            for number in range(start + 1, min(self.events, start + BATCH) + 1):
                article, page = articles[number % len(articles)], rng.randrange(pages) + 1
                version = Version(number, sha1=f"{number:040x}")
                event = replace(article.event, identifier=str(number), sequence=number)
                events.append(
                    replace(article, name=f"Page {page}", identifier=page, version=version, event=event)
                )
            self.made_cpu_s += time.thread_time() - begun
            yield Batch(events, str(start + len(events)), received * len(events))
            begun = time.thread_time()

    def _article(self, wikitext: str) -> Article:
        now = "2026-11-21T12:00:00.000Z"
        body = {"wikitext": wikitext}
        if self.with_text:
            body["text"] = plain_text(wikitext, ANYWHERE).text or ""
        made = {
            "name": "", "identifier": 1, "url": "https://en.wikipedia.example/wiki/Page",
            "namespace": {"identifier": 0}, "is_part_of": {"identifier": "enwiki"},
            "license": [{"name": "CC BY-SA 4.0", "url": "https://creativecommons.org/licenses/by-sa/4.0/"}],
            "event": {
                "identifier": "", "type": "update", "kind": "edit", "sequence": 1,
                "date_created": now, "date_published": now,
            },
            "article_body": body,
        }  # fmt: skip
        return msgspec.convert(made, Article)


def apply(folder: str, size: int, events: int, with_text: bool) -> Results:
    feed = Backlog(size, events, with_text)
    path = Path(folder) / f"{size}-{events}-{with_text}.db"
    with State(path, create=True) as state:
        follower = Follower(state, [feed])
        begun, cpu = time.perf_counter(), time.process_time()
        asyncio.run(follower.run(asyncio.Event()))
        cpu_s, took_s = time.process_time() - cpu - feed.made_cpu_s, time.perf_counter() - begun
        pages = sum(total.live for total in state.totals().values())
    tally = follower.tally
    return {
        "events_per_core_s": round(tally.events / cpu_s),
        "events_per_s": round(tally.events / took_s),
        "received_mb_per_core_s": round(tally.received_bytes / cpu_s / 1e6, 1),
        "file_bytes_per_page": round(path.stat().st_size / pages),
        "commits": tally.commits,
        "max_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def one_by_one(folder: str, size: int, events: int) -> Results:
    """The corpus's own rows, with a transaction for each event."""
    feed = Backlog(size, events, with_text=True)
    with State(Path(folder) / f"{size}-one-by-one.db", create=True) as state:
        begun, cpu, done = time.perf_counter(), time.process_time(), 0
        for batch in feed.made():
            for event in batch.events:
                done += 1
                state.commit([told(event)], {feed.name: str(done)})
        cpu_s, took_s = time.process_time() - cpu - feed.made_cpu_s, time.perf_counter() - begun
    return {"events_per_core_s": round(done / cpu_s), "events_per_s": round(done / took_s)}


def naive(folder: str, size: int, events: int, as_it_comes: bool) -> Results:
    """JSON of each event by one upsert a commit, the position in another table: what is written first. SQLite
    as it comes, or with the settings that the corpus has.
    """
    db = sqlite3.connect(Path(folder) / f"naive-{size}-{as_it_comes}.db", isolation_level=None)
    if not as_it_comes:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
    db.execute("CREATE TABLE page (wiki TEXT, page INTEGER, article TEXT, PRIMARY KEY (wiki, page))")
    db.execute("CREATE TABLE position (feed TEXT PRIMARY KEY, position TEXT)")
    feed = Backlog(size, events, with_text=True)
    begun, cpu, done = time.perf_counter(), time.process_time(), 0
    for batch in feed.made():
        for event in batch.events:
            done += 1
            db.execute("BEGIN")
            db.execute(
                "INSERT OR REPLACE INTO page VALUES (?, ?, ?)",
                (event.is_part_of.identifier, event.identifier, msgspec.json.encode(event).decode()),
            )
            db.execute("INSERT OR REPLACE INTO position VALUES ('bench', ?)", (str(done),))
            db.execute("COMMIT")
    cpu_s, took_s = time.process_time() - cpu - feed.made_cpu_s, time.perf_counter() - begun
    db.close()
    return {"events_per_core_s": round(done / cpu_s), "events_per_s": round(done / took_s)}


def measure(events: int, catch_up: int) -> Results:
    results: Results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, size in SIZES.items():
            results[f"{name}, text in the event"] = apart(apply, folder, size, events, True)
            results[f"{name}, text made here"] = apart(apply, folder, size, events // 4, False)
            results[f"{name}, one commit an event"] = apart(one_by_one, folder, size, events // 4)
            results[f"{name}, one upsert a commit"] = apart(naive, folder, size, events // 4, False)
            results[f"{name}, the same, SQLite as it comes"] = apart(naive, folder, size, events // 20, True)
        results[f"catch-up of {catch_up:,}, 2 kB"] = apart(apply, folder, SIZES["2 kB"], catch_up, True)
    return results


def apart(work: Any, *arguments: object) -> Results:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        results: Results = pool.submit(work, *arguments).result()
        return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--catch-up", type=int, default=CATCH_UP, help="a million takes minutes")
    arguments = parser.parse_args()
    results = measure(arguments.events, arguments.catch_up)
    for name, row in results.items():
        print(f"{name:40}" + "".join(f"  {key} {value:,}" for key, value in row.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    sys.exit(main())
