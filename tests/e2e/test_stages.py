"""What the stages say of themselves: once all is drained, whatever one received has become something."""

import asyncio
import re
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Mapping
from pathlib import Path

import aiohttp
from harness.feed import Feed
from harness.hostile import changed, edit, send
from harness.prometheus import program
from harness.sandboxed import on_sandbox
from harness.service import Service
from harness.stages import STAGES, by_stage, in_hand
from recording_setup import KEYS, PARTITIONS, until_routed_from_the_start
from test_bad_input import accounted, write

from streamer.log.local import LocalLog
from streamer.metrics_table import SECTIONS, rows
from streamer.sandbox.server import Sandbox

EDITS = 12
PARTNERS = len(KEYS)
CONNECTS = ("accepted", "refused", "failed")
SAMPLE = re.compile(r"^(\w+?)(?:_bucket|_sum|_count)?\{(.*)\} \S+$", re.MULTILINE)


def is_drained(told: Mapping[str, float]) -> bool:
    """The source has told what became of all, route is through for all partners, nothing is in hand."""
    dropped = by_stage(told, "discarded", "source", "not_json") + by_stage(
        told, "discarded", "source", "categorize"
    )
    routed = by_stage(told, "received", "route")
    return dropped == 2 and routed == PARTNERS * EDITS and not any(in_hand(told, stage) for stage in STAGES)


async def read(service: Service, partner: str, count: int, *more: str) -> None:
    """So many articles from the beginning, of a stream of their own."""
    url = f"http://127.0.0.1:{await service.port()}/v2/articles{''.join(more)}"
    stream = Feed(url, KEYS[partner], since="2020-01-01T00:00:00Z").events()
    async with asyncio.timeout(60):
        async for event in stream:
            count -= event.name == "message"
            if not count:
                break
    await stream.aclose()


async def status(service: Service, key: str, query: str = "") -> int:
    url = f"http://127.0.0.1:{await service.port()}/v2/articles{query}"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session,
        session.get(url) as got,
    ):
        return got.status


async def said(*command: str, given: str) -> tuple[int | None, str]:
    """Exit code, and all that was written."""
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=STDOUT)
    out, _ = await process.communicate(given.encode())
    return process.returncode, out.decode()


def undeclared(text: str) -> set[str]:
    """Label values that are exposed, and that are none of those which the table of metrics has."""
    bounds = {
        row.name: row.labels for _, _, modules in SECTIONS for module in modules for row in rows(module)
    }
    found = set()
    for name, labels in SAMPLE.findall(text):
        for label, value in re.findall(r'(\w+)="([^"]*)"', labels):
            bound = bounds[name].get(label, "le")
            if isinstance(bound, tuple) and value not in bound:
                found.add(f"{name}: {label}={value}")
    return found


async def drive(sandbox: Sandbox, service: Service) -> None:
    """Edits, events that become nothing, streams and refusals."""
    await until_routed_from_the_start(LocalLog(Path(service.folder / "streamer.db"), clean_every_s=3600))
    send(sandbox, b"{no JSON", changed(edit(sandbox), type="categorize"))
    for number in range(EDITS):
        await write(sandbox, f"Talk:Page {number}" if number % 4 == 0 else f"Page {number}", "Some words.")
    await accounted(service, EDITS)
    await read(service, "everything", EDITS)
    assert await status(service, "wrs_of_nobody") == 401
    assert await status(service, KEYS["words"], "?nonsense=1") == 422


async def test_what_was_received_is_sent_or_discarded(tmp_path: Path) -> None:
    """Of each stage of a service that has nothing left to do: an article for each partner at route, a reading
    for each stream at deliver. What was lost to a fault is told apart; connects are told by outcome; promtool
    finds nothing to say, and no label has a value that is not in the table.
    """
    promtool = program("promtool")
    async with on_sandbox(tmp_path) as (sandbox, service):
        await drive(sandbox, service)
        await service.until(is_drained)
        told = await service.metrics()
        assert by_stage(told, "sent", "enrich") == EDITS
        assert by_stage(told, "sent", "source") == by_stage(told, "received", "source") - by_stage(
            told, "discarded", "source"
        )
        assert (
            told['streamer_discarded_records_total{intentional="false",reason="not_json",stage="source"}']
            == 1
        )
        assert by_stage(told, "discarded", "source", 'intentional="false"') == 1
        assert by_stage(told, "discarded", "enrich") == 0
        assert 0 < by_stage(told, "discarded", "route", 'reason="filtered"') < PARTNERS * EDITS
        assert by_stage(told, "discarded", "route", 'intentional="false"') == 0
        assert by_stage(told, "received", "deliver") >= EDITS
        assert told["streamer_accounting_difference_changes"] == 0
        assert [told[f'streamer_deliver_connects_total{{outcome="{outcome}"}}'] for outcome in CONNECTS] == [
            1,
            2,
            0,
        ]
        open_since = "streamer_enrich_oldest_open_timestamp_seconds"
        assert [told[f'{open_since}{{partition="{number}"}}'] for number in range(PARTITIONS)] == [
            0
        ] * PARTITIONS
        assert told['streamer_deliver_ended_streams_total{partner="everything",reason="slow"}'] == 0
        status_code, text = await service.admin("metrics")
        assert status_code == 200
        assert not undeclared(text)
        assert await said(promtool, "check", "metrics", given=text) == (0, "")
        assert await service.terminate() == 0
