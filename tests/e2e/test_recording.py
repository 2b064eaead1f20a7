"""A recording through all four roles: each partner gets what an independent script reads in the file."""

import hashlib
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from harness.feed import Feed, Received
from harness.recording import write_recording
from harness.service import Service
from recording_oracle import expected
from recording_setup import KEYS, LOCAL, config, write_partners

from streamer.sandbox.server import Sandbox, SandboxOptions

Row = tuple[str, int, str, str | None]


def row_of(event: Received) -> Row:
    """The event as the oracle tells it."""
    return row_of_article(event.article)


def row_of_article(article: Mapping[str, object]) -> Row:
    its = article["event"]
    body = article.get("article_body") or {}
    assert isinstance(its, dict)
    assert isinstance(body, dict)
    text = body.get("wikitext")
    digest = hashlib.sha256(text.encode()).hexdigest() if isinstance(text, str) else None
    identifier = article["identifier"]
    assert isinstance(identifier, int)
    return its["identifier"], identifier, its["kind"], digest


def assert_equal(got: Sequence[Row], wanted: Sequence[Row], partner: str) -> None:
    """Same identifiers each once, same order in each page, same kind and content."""
    names = [row[0] for row in got]
    assert len(names) == len(set(names)), f"{partner}: doubled {len(names) - len(set(names))}"
    missing = {row[0] for row in wanted} - set(names)
    beyond = set(names) - {row[0] for row in wanted}
    assert not missing, f"{partner}: {len(missing)} of {len(wanted)} missing"
    assert not beyond, f"{partner}: {len(beyond)} that it must not get"
    assert dict(by_page(got)) == dict(by_page(wanted)), partner


def by_page(rows: Sequence[Row]) -> dict[int, list[Row]]:
    pages: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        pages[row[1]].append(row)
    return pages


async def read_all(feed: Feed, count: int) -> list[Row]:
    """At least `count` articles and then until a heartbeat says that nothing more is there."""
    rows: list[Row] = []
    stream = feed.events()
    async for event in stream:
        if event.name == "message":
            rows.append(row_of(event))
        elif event.name == "heartbeat" and len(rows) >= count:
            break
    await stream.aclose()
    return rows


async def run_through(recording: Path, folder: Path, speed: str, log: str = LOCAL) -> None:
    wanted = expected(recording)
    total = len(wanted["everything"])
    write_partners(folder / "partners.toml")
    async with Sandbox(SandboxOptions(recording=recording)) as sandbox:
        text = config(recording, sandbox.endpoint, speed=speed, log=log)
        async with Service(folder, text) as service:
            url = f"http://127.0.0.1:{await service.port()}/v2/articles"
            await service.until(lambda metrics: routed(metrics) >= 3 * total, timeout_s=100)
            admitted = (await service.committed("source"))["admitted"]
            outcomes = await service.committed("enrich")
            assert admitted == total
            assert outcomes.pop("admitted") == admitted
            assert sum(outcomes.values()) == admitted
            assert outcomes.get("published") == total, outcomes
            for partner, rows in wanted.items():
                counts = await service.committed("route", partner)
                assert sum(counts.values()) == total, (partner, counts)
                assert counts["published"] == len(rows), (partner, counts)
                feed = Feed(url, KEYS[partner], since="2020-01-01T00:00:00Z")
                assert_equal(await read_all(feed, len(rows)), rows, partner)
            assert await service.terminate() == 0, service.lines[-5:]


def routed(metrics: dict[str, float]) -> float:
    return sum(
        value
        for name, value in metrics.items()
        if name.startswith("streamer_committed_changes_total{") and 'role="route"' in name
    )


async def test_own_recording_reaches_each_partner_exactly(tmp_path: Path, rng: random.Random) -> None:
    """Each partner gets what its rules say, once, in order per page, with the right content; counts agree."""
    recording = tmp_path / "own.sse"
    write_recording(recording, rng)
    await run_through(recording, tmp_path, "full")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("speed", ["full", "recorded"])
async def test_real_recording_reaches_each_partner_exactly(
    shared_data: Path, tmp_path: Path, speed: str
) -> None:
    """The same for 66 seconds of 73 real wikis, at once and at the pace at which they were recorded."""
    await run_through(shared_data / "recentchange-2021.sse", tmp_path, speed)
