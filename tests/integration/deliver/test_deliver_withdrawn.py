"""A withdrawn text is not served any more: on catch-up, from the retained window, live, and on a resume."""

import asyncio
import re
from contextlib import suppress
from pathlib import Path

import pytest
from harness.delivering import KEY, delivering, raw
from harness.feed import Feed, Received

from streamer.config import DeliverSettings
from streamer.log.base import Stored
from streamer.log.local_reader import LocalReader

EVER = "2020-01-01T00:00:00Z"


async def take(feed: Feed, count: int) -> list[Received]:
    got: list[Received] = []
    async with asyncio.timeout(30):
        async for event in feed.events():
            if event.name == "message":
                got.append(event)
            if len(got) == count:
                break
    feed.last_id = got[-1].id
    return got


def sequences(events: list[Received]) -> list[int]:
    return sorted(int(event.article["event"]["sequence"]) for event in events)  # type: ignore[index] # an object


async def test_catch_up_leaves_out_what_was_withdrawn(tmp_path: Path) -> None:
    """The text is gone from wherever a client starts; what is published anew above the cut-off is served."""
    async with delivering(tmp_path) as server:
        await server.write([1, 2, 3])
        feed = Feed(server.url, KEY, since=EVER)
        assert sequences(await take(feed, 3)) == [1, 2, 3]
        await server.withdraw(2)  # takes sequence 4
        await server.write([2])
        assert sequences(await take(Feed(server.url, KEY, since=EVER), 3)) == [1, 3, 5]


async def test_one_revision_can_be_withdrawn(tmp_path: Path) -> None:
    """Only the records of that revision; the page's others stay."""
    async with delivering(tmp_path) as server:
        await server.write([1, 1, 1])
        await server.withdraw(1, revision=1002)
        assert sequences(await take(Feed(server.url, KEY, since=EVER), 2)) == [1, 3]


async def test_hidden_comment_and_editor_are_left_out(tmp_path: Path) -> None:
    """The article is served, without them, and its visibility says so."""
    async with delivering(tmp_path) as server:
        await server.write([1, 2])
        await server.withdraw(1, ("comment", "editor"))
        events = await take(Feed(server.url, KEY, since=EVER), 2)
        by_page = {event.article["identifier"]: event.article for event in events}
        assert by_page[1]["version"] == {"identifier": 1001}
        assert by_page[1]["visibility"] == {"text": True, "editor": False, "comment": False}
        assert by_page[2]["version"]["comment"] == "why"  # type: ignore[index] # an object


@pytest.mark.usefixtures("way")
async def test_a_cut_off_in_the_same_commit_order_hides_live(tmp_path: Path) -> None:
    """A record below a cut-off that is already committed never reaches a live client."""
    async with delivering(tmp_path) as server:
        feed = Feed(server.url, KEY)
        await server.write([9])
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            feed.since = EVER
            reading = group.create_task(take(feed, 3))
            server.sequence = 100
            await server.withdraw(5)  # 101, for everything of page 5 below it
            server.sequence = 50
            await server.write([5])
            server.sequence = 200
            await server.write([5, 6])
        assert sequences(reading.result()) == [1, 201, 202]


@pytest.mark.usefixtures("way")
async def test_the_retained_window_forgets_at_once(tmp_path: Path) -> None:
    """What waits for a slow reader is judged again when a cut-off arrives; where that reset it amid
    a frame, it goes on by its last id.
    """
    async with (
        delivering(tmp_path) as server,
        asyncio.timeout(60),
        raw(server, receive_buffer=4096) as (reader, _),
    ):
        await reader.readuntil(b":ok\n")
        for _ in range(20):
            await server.write([1, 2], text="x" * 100_000)  # 4 MB, more than all buffers on the way
        fast = Feed(server.url, KEY, since=EVER)
        assert len(await take(fast, 40)) == 40
        await server.withdraw(1)
        assert len(await take(Feed(server.url, KEY, since=EVER), 20)) == 20
        await server.write([3])
        text = b""
        with suppress(ConnectionResetError):
            while b'"name":"Page 3"' not in text:
                text += await reader.read(1 << 20)
        whole = [event for event in text.split(b"\n\n")[:-1] if b"\ndata: " in event]
        pages = [int(re.findall(rb'"name":"Page (\d)"', event)[0]) for event in whole]
        if 3 not in pages:
            ids = re.findall(rb"id: (\S+)\ndata: ", b"\n".join(whole))
            feed = Feed(server.url, KEY, since=EVER, last_id=ids[-1].decode() if ids else "")
            pages += [
                event.article["identifier"] for event in await take(feed, 21 - len(pages) + pages.count(1))
            ]
    assert pages.count(2) == 20
    assert pages.count(3) == 1
    assert pages.count(1) <= 15  # what was in the buffers by then


def gate_of_cut_offs(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """While it is cleared, cut-offs that are committed are not applied."""
    gate = asyncio.Event()
    gate.set()
    read = LocalReader.read

    async def gated(self: LocalReader, **wishes: float) -> list[Stored]:
        records = await read(self, **wishes)  # type: ignore[arg-type] # handed through
        if any(tp.topic.endswith("withdrawals.v1") for tp in self._cursors):
            await gate.wait()
        return records

    monkeypatch.setattr(LocalReader, "read", gated)
    return gate


@pytest.mark.parametrize("target", ["/v2/articles", f"/v2/articles?since={EVER}"])
@pytest.mark.usefixtures("way")
async def test_articles_wait_for_the_cut_offs_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """While cut-offs that are already committed are not applied yet nothing is served, live or caught up,
    but heartbeats.
    """
    gate = gate_of_cut_offs(monkeypatch)
    monkeypatch.setattr("streamer.deliver.connection.CUTOFFS_S", 0.05)
    settings = DeliverSettings(heartbeat_s=0.05)
    async with delivering(tmp_path, deliver=settings) as server, asyncio.timeout(30):
        server.sequence = 100
        if "since" not in target:
            reading = raw(server)
            reader, _ = await reading.__aenter__()
            await reader.readuntil(b":ok\n\r\n")
        gate.clear()
        await server.withdraw(5)  # 101, for everything of page 5 below it
        server.sequence = 50
        await server.write([5, 6])
        if "since" in target:
            reading = raw(server, target=target)
            reader, _ = await reading.__aenter__()
            await reader.readuntil(b":ok\n\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.4):
                await reader.readuntil(b"\n\n")
        for _ in range(3):
            await reader.readuntil(b":hb\n\r\n")
        gate.set()
        event = await reader.readuntil(b"\n\n")
        assert b'"name":"Page 6"' in event
        assert b"Page 5" not in event
        await reading.__aexit__(None, None, None)


@pytest.mark.usefixtures("way")
async def test_what_is_retained_waits_for_cut_offs_that_are_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a slow reader has not taken yet is held back while a cut-off is committed and not applied."""
    gate = gate_of_cut_offs(monkeypatch)
    monkeypatch.setattr("streamer.deliver.withdrawals.MAX_LAG_S", 0.1)
    async with (
        delivering(tmp_path, deliver=DeliverSettings(heartbeat_s=0.05)) as server,
        asyncio.timeout(60),
        raw(server, receive_buffer=4096) as (reader, _),
    ):
        await reader.readuntil(b":ok\n")
        for _ in range(20):
            await server.write([1, 2], text="x" * 100_000)  # 4 MB, more than all buffers on the way
        assert len(await take(Feed(server.url, KEY, since=EVER), 40)) == 40
        gate.clear()
        await server.withdraw(1)
        await asyncio.sleep(0.5)
        text = b""
        while b":hb\n\r\n:hb\n" not in text.replace(b"4\r\n", b""):
            text += await reader.read(1 << 20)
        gate.set()
        await server.write([3])
        while b'"name":"Page 3"' not in text:
            text += await reader.read(1 << 20)
    assert text.count(b'"name":"Page 2"') == 20
    assert 1 <= text.count(b'"name":"Page 1"') <= 15
