"""The clients that partners use read the feed live and resume it: sseclient-py, curl, aiohttp."""

import asyncio
import json
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import sseclient
from harness.delivering import bearer, delivering, streams_open

EVER = "since=2020-01-01T00:00:00Z"


def read_by_sseclient(url: str, count: int, last_id: str = "") -> tuple[list[int], str]:
    headers = bearer(**({"Last-Event-ID": last_id} if last_id else {}))
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as response:

        def chunks() -> Iterator[bytes]:
            while line := response.readline():
                yield line

        got: list[int] = []
        for event in sseclient.SSEClient(chunks()).events():
            if event.event == "message":
                got.append(json.loads(event.data)["event"]["sequence"])
                last_id = event.id or ""
            if len(got) == count:
                break
    return got, last_id


async def test_sseclient(tmp_path: Path) -> None:
    """Reads the past, then live, and resumes by the last id."""
    async with delivering(tmp_path) as server:
        await server.write([1] * 3)
        got, last_id = await asyncio.to_thread(read_by_sseclient, f"{server.url}?{EVER}", 2)
        assert got == [1, 2]
        await streams_open(0)
        reading = asyncio.create_task(asyncio.to_thread(read_by_sseclient, server.url, 3, last_id))
        await streams_open(1)
        await server.write([1] * 2)
        got, _ = await reading
        assert got == [3, 4, 5]


async def curl(count: int, *arguments: str) -> tuple[list[int], str]:
    process = await asyncio.create_subprocess_exec(
        "curl",
        "-sN",
        *arguments,
        "-H",
        f"Authorization: {bearer()['Authorization']}",
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    got: list[int] = []
    last_id = ""
    try:
        async with asyncio.timeout(10):
            while len(got) < count:
                line = (await process.stdout.readline()).decode()
                if line.startswith("id: "):
                    last_id = line[4:].strip()
                elif line.startswith("data: {"):
                    got.append(json.loads(line[6:])["event"]["sequence"])
    finally:
        process.kill()
        await process.communicate()
    return got, last_id


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("options", [(), ("--compressed",)])
async def test_curl(tmp_path: Path, options: tuple[str, ...]) -> None:
    """As in the README: -N, a key, and a Last-Event-ID to go on from; with `--compressed`, unpacked live."""
    async with delivering(tmp_path) as server:
        await server.write([1] * 3)
        got, last_id = await curl(2, *options, f"{server.url}?{EVER}")
        assert got == [1, 2]
        await streams_open(0)
        reading = asyncio.create_task(curl(3, *options, server.url, "-H", f"Last-Event-ID: {last_id}"))
        await streams_open(1)
        await server.write([1] * 2)
        got, _ = await reading
        assert got == [3, 4, 5]


async def test_aiohttp_ndjson(tmp_path: Path) -> None:
    """Line by line, by POST, live without a word before the first article."""
    async with (
        delivering(tmp_path) as server,
        aiohttp.ClientSession() as session,
        session.post(server.url, headers=bearer(Accept="application/x-ndjson")) as response,
    ):
        await server.write([1, 2])
        async with asyncio.timeout(10):
            lines = [json.loads(await response.content.readline()) for _ in range(2)]
        assert sorted(line["event"]["sequence"] for line in lines) == [1, 2]
