"""Several deliver roles on one port and one log, each a process of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from harness.delivering import KEY, article_record, partners_toml
from harness.feed import Feed
from harness.service import Service, free_port

from streamer.config import LogSettings, Settings
from streamer.log.local import LocalLog
from streamer.runtime import Runtime, article_spec, topic_specs

CLIENTS = 12
ARTICLES = 30


def config(folder: Path, port: int, *, reuse_port: bool) -> str:
    (folder / "partners.toml").write_text(partners_toml(limits="limits = { requests_per_minute = 0 }"))
    return f"""
[log]
path = "{folder / "log.db"}"
[partners]
file = "{folder / "partners.toml"}"
[deliver]
port = {port}
admin_port = 0
heartbeat_s = 1
reuse_port = {str(reuse_port).lower()}
"""


def role(folder: Path, name: str, text: str) -> Service:
    (folder / name).mkdir()
    return Service(folder / name, text, "run", "--role", "deliver")


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[tuple[LocalLog, str]]:
    """With acme's topic in it, and its name."""
    settings = Settings(log=LogSettings(path=str(tmp_path / "log.db")))
    async with LocalLog(tmp_path / "log.db") as log:
        topic = Runtime(settings, log).topics.of_partner("acme")
        await log.ensure_topics([*topic_specs(settings), article_spec(settings, topic)])
        yield log, topic


async def has(service: Service) -> int:
    """How many streams."""
    return int((await service.metrics()).get('streamer_deliver_connections{format="sse",partner="acme"}', 0))


async def follow(url: str, begun: asyncio.Event) -> list[int]:
    """What one client is sent live, in order."""
    feed = Feed(url, KEY)
    got: list[int] = []
    async with aclosing(feed.events()) as events:
        async for event in events:
            if event.name == "heartbeat":
                begun.set()
            elif event.name == "message":
                got.append(event.article["event"]["sequence"])  # type: ignore[index] # an object
            if len(got) >= ARTICLES:
                return got
    raise AssertionError("the stream ended")


async def test_two_share_a_port(tmp_path: Path, log: tuple[LocalLog, str]) -> None:
    """Both get clients, and each client everything once."""
    port = free_port()
    text = config(tmp_path, port, reuse_port=True)
    written, topic = log
    async with role(tmp_path, "one", text) as one, role(tmp_path, "two", text) as two:
        for service in (one, two):
            assert await service.port() == port
        begun: list[asyncio.Event] = []
        clients: list[asyncio.Task[list[int]]] = []
        url = f"http://127.0.0.1:{port}/v2/articles"
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            while 0 in (counts := (await has(one), await has(two))) or sum(counts) < CLIENTS:
                if sum(counts) == len(clients):  # none yet, or the kernel gave all to one
                    begun += [asyncio.Event() for _ in range(CLIENTS)]
                    clients += [group.create_task(follow(url, event)) for event in begun[-CLIENTS:]]
                await asyncio.sleep(0.05)
            for event in begun:
                await event.wait()
            for sequence in range(1, ARTICLES + 1):
                await written.append([article_record(topic, 1 + sequence % 7, sequence, sequence)])
        for client in clients:
            assert sorted(client.result()) == list(range(1, ARTICLES + 1))


async def test_two_do_not_share_a_port_unasked(tmp_path: Path, log: tuple[LocalLog, str]) -> None:
    """The second says what is in use and what to do, and ends; the first serves on."""
    assert log
    port = free_port()
    async with role(tmp_path, "one", config(tmp_path, port, reuse_port=False)) as one:
        assert await one.port() == port
        async with role(tmp_path, "two", config(tmp_path, port, reuse_port=False)) as two:
            assert await two.wait() != 0
        said = two.stdout + "\n".join(two.lines)
        assert f"{port} on 127.0.0.1 is in use" in said
        assert one.running
