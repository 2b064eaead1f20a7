"""A newcomer: one command, one curl line, articles with their content."""

import asyncio
import json
import re
import signal
from pathlib import Path

import aiohttp
import pytest
from harness.certificates import self_signed
from harness.schema import checked
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
                    found.append(checked(json.loads(raw[6:])))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return found


async def test_the_printed_line_shows_articles(tmp_path: Path) -> None:
    """The curl line works as printed, within a minute, content and licence included; so does the page's
    address.
    """
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
        page = await service.printed(r"http://\S+:\d+/\n")
        assert page.strip() == line.rpartition(" ")[2].removesuffix("v2/articles")
        async with aiohttp.ClientSession() as session, session.get(page.strip()) as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")
        assert not [line for line in service.lines if key[0] in line], "a key in the logs"
        assert await service.terminate() == 0


async def test_with_a_certificate_the_page_is_where_it_says(tmp_path: Path) -> None:
    """By https, as the feed is; both addresses are one server's."""
    pair = self_signed(tmp_path)
    tls = f'certificate = "{pair.certificate}"\nprivate_key = "{pair.private_key}"\n'
    config = f"[deliver]\nport = 0\nadmin_port = 0\n{tls}"
    async with Service(tmp_path, config, "quickstart", "--sandbox") as service:
        line = await service.printed("curl .*")
        page = await service.printed(r"https?://\S+:\d+/\n")
        assert page.strip() == line.rpartition(" ")[2].removesuffix("v2/articles")
        async with (
            aiohttp.ClientSession() as session,
            session.get(page.strip(), ssl=pair.trusting()) as answer,
        ):
            assert (answer.status, answer.content_type) == (200, "text/html")
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


async def test_a_second_one_leaves_the_first_alone(tmp_path: Path) -> None:
    """In the same folder it is refused by name; the log and the key of the first stay as they are."""
    text = "[deliver]\nport = 0\nadmin_port = 0\n"
    async with Service(tmp_path, text, "quickstart", "--sandbox") as first:
        line = await first.printed("curl .*")
        elsewhere = tmp_path / "second"
        elsewhere.mkdir()
        command = ("quickstart", "--sandbox", "--data", str(tmp_path / "data"))
        async with Service(elsewhere, text, *command) as second:
            assert await second.wait() == 2
            assert "another quickstart runs in" in second.lines[-1]
            assert "--data" in second.lines[-1]
        assert await first_articles(line, 1)
        assert await first.terminate() == 0


async def test_a_folder_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    """A file in its place: one line, no traceback."""
    (tmp_path / "taken").write_text("")
    async with Service(tmp_path, "", "quickstart", "--sandbox", "--data", "taken") as service:
        assert await service.wait() == 2
        assert service.lines == ["streamer: --data: taken cannot be used (File exists): name another"]


async def test_the_sandbox_says_where_it_is(tmp_path: Path) -> None:
    """On standard output, for people: stream, API, and the seed that tells the same story again."""
    async with Service(tmp_path, "", "sandbox", "--port", "0", "--seed", "42") as service:
        assert await service.printed(r"seed +42\n")
        assert re.search(r"stream +http://127\.0\.0\.1:\d+/v2/stream\n", service.stdout)
        assert await service.terminate() == 0


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
