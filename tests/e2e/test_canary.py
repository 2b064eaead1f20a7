"""The canary on the service: each of its four words is said when it is true, and nothing ends it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from harness.sandboxed import live_config
from harness.service import START_S, Service, free_port
from recording_setup import KEYS, write_partners

from streamer.sandbox.faults import Fault
from streamer.sandbox.server import Sandbox, SandboxOptions

WIKI = "ensandbox"
LIMIT_S, DEADLINE_S = 1.5, 5.0
LAG_S = 2.0


def arguments(port: int, *more: str) -> Sequence[str]:
    feed = f"http://127.0.0.1:{port}"
    return ("canary", "--feed", feed, "--wiki", WIKI, "--port", "0", "--interval", "0.1", *more)


def by_editing(sandbox: Sandbox) -> Sequence[str]:
    assert sandbox.world
    server = sandbox.world.wikis[WIKI].site.server_name
    timing = ("--limit", str(LIMIT_S), "--deadline", str(DEADLINE_S))
    return ("--page", "Canary", "--edit", f"{sandbox.endpoint}/w/api.php", "--server", server, *timing)


@asynccontextmanager
async def canary(folder: Path, *command: str) -> AsyncIterator[Service]:
    folder.mkdir()
    (folder / "key").write_text(KEYS["everything"], encoding="utf-8")
    async with Service(folder, "", *command, "--key-file", "key") as running:
        yield running


async def runs(running: Service) -> dict[str, float]:
    told = await running.metrics()
    words = ("arrived", "late", "lost", "failed")
    return {word: told[f'streamer_canary_runs_total{{outcome="{word}"}}'] for word in words}


async def until_more(running: Service, word: str) -> None:
    """Than there are now."""
    before = (await runs(running))[word]
    async with asyncio.timeout(START_S):
        while (await runs(running))[word] <= before:
            await asyncio.sleep(0.1)


async def test_it_tells_edits_that_arrive_from_late_lost_and_failed_ones_and_outlives_all(
    tmp_path: Path,
) -> None:
    """Late, while the wiki's replicas lag; lost, where what was written is never published; failed, while the
    wiki refuses edits and while nobody delivers; arrived again as soon as each is over. Beside it single
    runs: a line and an exit code each, 0 for what arrived, be it somebody else's edit, 1 for anything else.
    """
    write_partners(tmp_path / "partners.toml")
    port = free_port()
    async with Sandbox(SandboxOptions(seed=3, edits_per_s=0)) as sandbox:
        config = live_config(sandbox).replace("port = 0", f"port = {port}", 1)
        config = config.replace("timeout_s = 1.0", "timeout_s = 1.0\nmissing_retry_s = 3")
        editing = arguments(port, *by_editing(sandbox))
        async with (
            Service(tmp_path, config) as service,
            canary(tmp_path / "canary", *editing) as running,
        ):
            await service.event("connected to the stream")
            await until_more(running, "arrived")
            async with canary(tmp_path / "watching", *arguments(port, "--once", "--limit", "60")) as once:
                assert await once.wait() == 0
                assert once.stdout.startswith("arrived (")
                assert once.stdout.count("\n") == 1
            for word, fault in (
                ("late", Fault("replica_lag", seconds=LAG_S)),
                ("lost", Fault("text_missing")),
            ):
                sandbox.faults.add(fault)
                await until_more(running, word)
                sandbox.faults.clear()
            sandbox.faults.add(Fault("status", status=503))
            async with canary(
                tmp_path / "refused", *editing, "--once", "--limit", "60", "--deadline", "60"
            ) as once:
                assert await once.wait() == 1
                assert once.stdout == "failed: wiki: status_503\n"
            await until_more(running, "failed")
            assert str(running.told["a canary run is over"]["reason"]).startswith("wiki: ")
            sandbox.faults.clear()
            await until_more(running, "arrived")
            await service.kill()
            await until_more(running, "failed")
            assert str(running.told["a canary run is over"]["reason"]).startswith("feed: ")
            await service.start()
            await until_more(running, "arrived")
            assert running.told["the canary's stream is open"]["resumed"] is True
            told = await running.metrics()
            assert told["streamer_canary_last_arrival_timestamp_seconds"] > 1.7e9
            assert told["streamer_canary_seconds_count"] == sum(
                told[f'streamer_canary_runs_total{{outcome="{word}"}}'] for word in ("arrived", "late")
            )
            assert await running.terminate() == 0
            said = "\n".join(running.lines)
            assert KEYS["everything"] not in said
            assert "This page is edited" not in said
