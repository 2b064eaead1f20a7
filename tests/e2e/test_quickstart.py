"""A newcomer: one command, one curl line, articles with their content."""

import asyncio
import json
import re
import signal
from pathlib import Path

import pytest
from harness.service import Service

ARTICLES = 5
OPEN = 'streamer_deliver_connections{format="sse",partner="demo"}'


async def first_articles(line: str, count: int) -> list[dict[str, object]]:
    """Types the printed line into a shell and reads its first articles."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f"exec {line}", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout
    found: list[dict[str, object]] = []
    try:
        async with asyncio.timeout(60):
            while len(found) < count:
                raw = await process.stdout.readline()
                assert raw, "the feed ended"
                if raw.startswith(b'data: {"name"'):
                    found.append(json.loads(raw[6:]))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return found


async def test_the_printed_line_shows_articles(tmp_path: Path) -> None:
    """The curl line that quickstart prints works as it stands, within a minute, content and licence included."""
    async with Service(
        tmp_path, "[deliver]\nport = 0\nadmin_port = 0\n", "quickstart", "--sandbox"
    ) as service:
        line = await service.printed("curl .*")
        assert "INVENTED" in service.stdout
        articles = await first_articles(line, ARTICLES)
        for article in articles:
            event = article["event"]
            assert isinstance(event, dict)
            if event["type"] == "update":
                assert article["license"]
                body = article["article_body"]
                assert isinstance(body, dict)
                assert isinstance(body["wikitext"], str)
        key = re.search(r"wrs_[\w-]+", line)
        assert key
        assert not [line for line in service.lines if key[0] in line], "a key in the logs"
        assert await service.terminate() == 0


async def test_without_wikimedia_it_says_so_loudly(tmp_path: Path) -> None:
    """Where the stream can't be reached the sandbox takes over, and says why."""
    unreachable = '[source]\nurl = "http://127.0.0.1:9/v2/stream"\n[deliver]\nport = 0\nadmin_port = 0\n'
    async with Service(tmp_path, unreachable, "quickstart") as service:
        await service.printed("curl .*")
        assert "SANDBOX" in service.stdout
        assert "127.0.0.1:9 cannot be reached" in service.stdout
        assert await service.terminate() == 0


async def test_live_or_nothing(tmp_path: Path) -> None:
    """With --live an unreachable stream is an error that names the way out."""
    unreachable = '[source]\nurl = "http://127.0.0.1:9/v2/stream"\n'
    async with Service(tmp_path, unreachable, "quickstart", "--live") as service:
        assert await service.wait() == 2
        assert "--sandbox" in service.lines[-1]


@pytest.mark.parametrize("signal_twice", [False, True])
async def test_a_drain_is_no_failure(tmp_path: Path, signal_twice: bool) -> None:
    """SIGTERM ends it with 0, also while a client reads, also when it comes twice."""
    async with Service(
        tmp_path, "[deliver]\nport = 0\nadmin_port = 0\n", "quickstart", "--sandbox"
    ) as service:
        reading = asyncio.create_task(first_articles(await service.printed("curl .*"), 10_000))
        await service.event("connected to the stream")
        await service.until(lambda metrics: metrics.get(OPEN, 0) > 0)
        if signal_twice:
            service.signal(signal.SIGTERM)
        assert await service.terminate() == 0
        with pytest.raises(AssertionError, match="the feed ended"):
            await reading
