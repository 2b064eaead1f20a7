"""The wire contract before and around the stream: keys, statuses, positions, preamble, heartbeats."""

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiohttp
import pytest
from harness.delivering import (
    KEY,
    OTHER_KEY,
    Delivering,
    bearer,
    delivering,
    metric,
    partners_toml,
    problem,
    raw,
    serving,
)
from harness.feed import Feed
from harness.schema import checked

from streamer.config import DeliverSettings
from streamer.deliver.connection import Connection
from streamer.deliver.server import run_deliver
from streamer.errors import ConfigError, LogUnavailable, PortInUse
from streamer.log.base import Stored, TopicPartition
from streamer.log.local_reader import LocalReader
from streamer.model import rfc3339_ms
from streamer.partners import POLL_S, hash_key
from streamer.runtime import Runtime, article_spec

EVER = "2020-01-01T00:00:00Z"


async def first(server: Delivering, count: int, **feed: str) -> list[dict[str, object]]:
    """The first articles of a fresh connection."""
    got: list[dict[str, object]] = []
    async with asyncio.timeout(30):
        async for event in Feed(server.url, KEY, **feed).events():  # type: ignore[arg-type] # its strings
            if event.name == "message":
                got.append(event.article)
            if len(got) == count:
                break
    return got


async def test_keys(tmp_path: Path) -> None:
    """No key, a wrong one, another scheme and a key in the URL are refused, without telling the key."""
    async with delivering(tmp_path) as server:
        for headers in ({}, bearer("wrs_wrong"), {"Authorization": f"Basic {KEY}"}, bearer("")):
            body = await problem(server, 401, headers=headers)
            assert KEY not in json.dumps(body)
        async with aiohttp.ClientSession() as session, session.get(server.url) as answer:
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        body = await problem(server, 400, headers={}, params={"access_token": KEY})
        assert KEY not in json.dumps(body)


async def test_refusals_name_what_is_wrong(tmp_path: Path) -> None:
    """Each bad request gets its own status and, where a parameter is at fault, its name."""
    async with delivering(tmp_path) as server:
        await server.write(range(1, 4))
        for name, value in [
            ("since", "yesterday"),
            ("since", "2026-13-01T00:00:00Z"),
            ("since", "2999-01-01T00:00:00Z"),
            ("since", ""),
            ("fields", "nmae"),
            ("fields", "version"),
            ("fields", "name.*"),
            ("fields", "__proto__.x"),
            ("fields", "version." * 100 + "x"),
            ("fields", "name," + "\ud7ff"),
            ("fields", ",".join(["name"] * 300)),
            ("filters", "[{"),
            ("filters", '[{"field":"nmae","value":"x"}]'),
            ("filters", '[{"field":"name","value":1}]'),
            ("filters", '[{"field":"name","value":[]}]'),
            ("parts", "10"),
            ("parts", "x"),
            ("offsets", "{"),
            ("offsets", '{"0": "1"}'),
            ("offsets", '{"99": 1}'),
            ("since_per_partition", '{"0": "never"}'),
            ("on_gap", "maybe"),
            ("colour", "red"),
        ]:
            body = await problem(server, 422, params={name: value})
            assert body["parameter"] == name, (name, value)
        for when in (-1, 2**63, 99_999_999_999_999):
            kafkasse = json.dumps([{"topic": server.topic, "partition": 0, "timestamp": when}])
            body = await problem(server, 400, headers=bearer(**{"Last-Event-ID": kafkasse}))
        for text in ["x", "e7c14a09", "e7c14a09.0:-1", "e7c14a09.0:1,0:2", "[]", '[{"topic":1}]']:
            body = await problem(server, 400, headers=bearer(**{"Last-Event-ID": text}))
            assert body["parameter"] == "last_event_id"
        await problem(server, 400, params={"offsets": '{"0": -1}'})
        await problem(server, 400, params={"offsets": '{"0": 999999}'})
        await problem(server, 400, method="POST", data=b"{")
        await problem(server, 413, method="POST", data=b" " * 300_000)
        await problem(server, 414, params={"since": "x" * 9000})
        await problem(server, 406, headers=bearer(Accept="text/html"))
        await problem(server, 405, method="DELETE")
        async with aiohttp.ClientSession() as session, session.get(server.url + "/x") as answer:
            assert answer.status == 404
            assert answer.content_type == "application/problem+json"


async def test_positions_that_cannot_be_resumed(tmp_path: Path) -> None:
    """Another feed's id is a 400; one of a topic that was made anew a 410 with the earliest, or a gap."""
    async with delivering(tmp_path) as server:
        await server.write(range(1, 6))
        other = server.runtime.topics.of_partner("globex")
        await server.log.ensure_topics([article_spec(server.runtime.settings, other)])
        info = await server.log.topic(other)
        assert info is not None
        await problem(server, 400, headers=bearer(**{"Last-Event-ID": f"{info.epoch}.0:0"}))
        kafkasse = json.dumps([{"topic": other, "partition": 0, "offset": 0}])
        await problem(server, 400, headers=bearer(**{"Last-Event-ID": kafkasse}))
        gone = {"Last-Event-ID": "00000000.0:1"}
        body = await problem(server, 410, headers=bearer(**gone))
        assert isinstance(body["earliest"], str)
        assert len(await first(server, 5, last_id=body["earliest"])) == 5
        await problem(
            server,
            410,
            headers=bearer(**gone, Accept="application/x-ndjson"),
            params={"on_gap": "continue"},
        )
        feed = Feed(server.url + "?on_gap=continue", KEY, last_id="00000000.0:1")
        names = []
        async with asyncio.timeout(30):
            async for event in feed.events():
                names.append(event.name)
                if len(names) == 6:
                    break
        assert names == ["gap"] + ["message"] * 5


async def test_an_id_ahead_of_the_log_is_refused(tmp_path: Path) -> None:
    """Beyond the log's own end: 400, not silence."""
    async with delivering(tmp_path) as server:
        info = await server.log.topic(server.topic)
        assert info is not None
        await problem(server, 400, headers=bearer(**{"Last-Event-ID": f"{info.epoch}.0:7"}))


async def test_a_partner_without_a_topic_waits_and_is_told_to_come_back(tmp_path: Path) -> None:
    """Added seconds ago: 503 with Retry-After."""
    async with (
        delivering(tmp_path) as server,
        aiohttp.ClientSession() as session,
        session.get(server.url, headers=bearer(OTHER_KEY)) as answer,
    ):
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0


async def test_keys_are_never_repeated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """However broken the request that a key stands in, neither the answer nor the log says it."""
    caplog.set_level("DEBUG")
    key = KEY.encode()
    head = b"GET /v2/articles HTTP/1.1\r\nHost: x\r\n"
    async with delivering(tmp_path) as server:
        body = await problem(server, 400, params={KEY: "1"})
        assert KEY not in json.dumps(body)
        for request, status in [
            (head + b"Authorization: Bearer " + key + b"\xff\r\n\r\n", 401),
            (head + b"Authorization: Bearer " + key + b"\x00\r\n\r\n", 400),
            (head + b"Authorization: Bearer " + key * 2_000 + b"\r\n\r\n", 400),
            (head + b"Authorization Bearer " + key + b"\r\n\r\n", 400),
            (key + b" /v2/articles HTTP/1.1\r\n\r\n", 400),
            (head + b"Expect: " + key + b"\r\n\r\n", 417),
        ]:
            answer = await answer_to(server, request)
            assert f" {status} ".encode() in answer.partition(b"\r\n")[0], answer
            assert b"application/problem+json" in answer
            assert key not in answer
    assert KEY not in caplog.text


async def answer_to(server: Delivering, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    answer = b""
    async with asyncio.timeout(30):
        while not answer.endswith(b"}") and (chunk := await reader.read(65_536)):
            answer += chunk
    writer.close()
    return answer


async def test_a_mistake_of_ours_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody meant is a 500 in the contract's form, and costs that request alone."""

    async def mistaken(*_: object) -> None:
        raise KeyError("mistake")

    async with delivering(tmp_path) as server, raw(server) as (reader, _):
        await reader.readuntil(b":ok\n\r\n")
        with monkeypatch.context() as patch:
            patch.setattr("streamer.deliver.articles.resolve", mistaken)
            body = await problem(server, 500)
            assert "KeyError" not in json.dumps(body)
        await server.write([1])
        async with asyncio.timeout(30):
            assert b'"identifier":1' in await reader.readuntil(b"\n\n")


async def test_a_mistake_of_ours_in_a_stream_resets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once events were sent there is no answer left but a reset: a clean end would say that all is well."""

    async def mistaken(*_: object) -> None:
        raise KeyError("mistake")

    monkeypatch.setattr(Connection, "_catch_up", mistaken)
    async with delivering(tmp_path) as server, asyncio.timeout(30), raw(server) as (reader, _):
        with pytest.raises(ConnectionResetError):
            while await reader.read(65_536):
                pass


async def test_who_says_nothing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without a request, or with half a one, is closed; a stream on another lives on."""
    monkeypatch.setattr("streamer.deliver.protocol.HEAD_DEADLINE_S", 0.2)
    monkeypatch.setattr("streamer.deliver.protocol.KEEPALIVE_S", 0.2)
    async with (
        delivering(tmp_path, deliver=DeliverSettings(heartbeat_s=0.1)) as server,
        raw(server) as (stream, _),
        asyncio.timeout(30),
    ):
        for said in (b"", b"GET /v2/arti", b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\nGET /v2/arti"):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(said)
            await reader.read()
            writer.close()
        for _ in range(10):
            await stream.readuntil(b":hb\n")


async def test_more_sockets_than_the_server_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who only connects costs no more than the configuration says."""
    monkeypatch.setattr("streamer.deliver.server.SPARE_SOCKETS", 2)
    async with (
        delivering(tmp_path, deliver=DeliverSettings(max_connections=1)) as server,
        asyncio.timeout(30),
    ):
        idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await reader.read() == b""
        idle.append((reader, writer))
        idle[0][1].write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 404 " in await idle[0][0].readline()
        for _, writer in idle:
            writer.close()


async def test_limits(tmp_path: Path) -> None:
    """One connection more than allowed, or one request more: 429 with Retry-After."""
    limits = "limits = { connections = 1, requests_per_minute = 3 }"
    async with delivering(tmp_path, limits=limits) as server:
        async with raw(server) as (reader, _):
            await reader.readuntil(b":ok\n")
            body = await problem(server, 429)
            assert body["type"] == "urn:streamer:problem:too_many_connections"
        await problem(server, 422, params={"since": "x"})
        body = await problem(server, 429, params={"since": "x"})
        assert body["type"] == "urn:streamer:problem:too_many_requests"


async def test_more_connections_than_the_server_takes(tmp_path: Path) -> None:
    """503 with Retry-After once `max_connections` are open."""
    settings = DeliverSettings(max_connections=1)
    async with delivering(tmp_path, deliver=settings) as server, raw(server) as (reader, _):
        await reader.readuntil(b":ok\n")
        await problem(server, 503)


async def test_the_stream_begins_at_once_and_beats(tmp_path: Path) -> None:
    """Headers, preamble without a blank line, heartbeats: before any event, byte for byte."""
    async with delivering(tmp_path, deliver=DeliverSettings(heartbeat_s=0.05)) as server:
        async with asyncio.timeout(30), raw(server) as (reader, _):
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"200 OK" in head
            assert b"text/event-stream" in head
            assert await reader.readexactly(16 + 4 + 2) == b"10\r\nretry: 3000\n:ok\n\r\n"
            assert await reader.readexactly(9) == b"4\r\n:hb\n\r\n"
            assert await reader.readexactly(9) == b"4\r\n:hb\n\r\n"
        async with asyncio.timeout(30), raw(server, "Accept: application/x-ndjson\r\n") as (reader, _):
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"application/x-ndjson" in head
            assert await reader.readexactly(12) == b"1\r\n \r\n1\r\n \r\n"


async def test_an_event_on_the_wire(tmp_path: Path) -> None:
    """An article is unnamed, one line, with its partition, offset and the position after it as id."""
    async with delivering(tmp_path) as server:
        await server.write([7], text="a\u2028b\u0085c\u2029\n\r")
        async with asyncio.timeout(30), raw(server, target=f"/v2/articles?since={EVER}") as (reader, _):
            await reader.readuntil(b":ok\n\r\n")
            await reader.readline()
            event = await reader.readuntil(b"\n\n")
            id_line, data_line, *rest = event.split(b"\n")
            assert rest == [b"", b""]
            article = checked(json.loads(data_line.removeprefix(b"data: ")))
            assert article["article_body"]["wikitext"] == "a\u2028b\u0085c\u2029\n\r"
            assert "\u2028" not in data_line.decode()
            about = article["event"]
            info = await server.log.topic(server.topic)
            assert info is not None
            position = id_line.decode().removeprefix("id: ")
            assert position.startswith(info.epoch + ".")
            assert f"{about['partition']}:{about['offset'] + 1}" in position.partition(".")[2].split(",")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_parameters_in_a_body(tmp_path: Path, method: str) -> None:
    """Enterprise's SDKs put them there, on GET too, and read NDJSON; resume is by `offsets`."""
    async with delivering(tmp_path) as server:
        await server.write([1, 1, 1])
        body: dict[str, object] = {"since": EVER, "parts": [], "fields": None}
        lines: list[dict[str, object]] = []
        for wanted in (3, 2):
            async with (
                aiohttp.ClientSession() as session,
                session.request(
                    method, server.url, json=body, headers=bearer(Accept="application/x-ndjson")
                ) as answer,
            ):
                assert answer.status == 200
                lines = []
                async with asyncio.timeout(30):
                    while len(lines) < wanted:
                        line = await answer.content.readline()
                        assert line.strip()
                        lines.append(checked(json.loads(line)))
            about = lines[0]["event"]
            assert isinstance(about, dict)
            body = {"offsets": {str(about["partition"]): about["offset"] + 1}}
        assert [line["event"]["sequence"] for line in lines] == [2, 3]  # type: ignore[index] # objects


async def test_fields_choose_what_an_article_holds(tmp_path: Path) -> None:
    """Caught up and live, in both formats; what places and licenses a record stays, with its offset."""
    async with delivering(tmp_path) as server, asyncio.timeout(30):
        await server.write([7])
        target = f"/v2/articles?since={EVER}&fields=url&fields=version.identifier,visibility.*"
        async with raw(server, target=target) as (sse, _), aiohttp.ClientSession() as session:
            body = {"since": EVER, "fields": ["url", "version.identifier", "visibility.*"]}
            answer = await session.post(server.url, json=body, headers=bearer(Accept="application/x-ndjson"))
            assert answer.status == 200
            await sse.readuntil(b":ok\n\r\n")
            for sequence in (1, 2):
                await sse.readuntil(b"data: ")
                article = checked(json.loads(await sse.readline()))
                assert json.loads(await answer.content.readline()) == article
                assert article["version"] == {"identifier": 1000 + sequence}
                assert article["visibility"] == {"text": True, "editor": True, "comment": True}
                assert article["event"]["sequence"] == sequence
                assert article["event"]["offset"] == sequence - 1
                assert article["name"] == "Page 7"
                assert article.keys() == {
                    "name", "identifier", "url", "namespace", "is_part_of", "event", "version", "visibility",
                }  # fmt: skip
                await server.write([7])
            answer.close()


async def test_fields_are_refused_in_the_words_of_enterprise(tmp_path: Path) -> None:
    """Its SDKs' users look for them."""
    async with delivering(tmp_path) as server:
        body = await problem(server, 422, params={"fields": "version.nmae"})
        assert body["message"] == "field with name 'version.nmae' not found"
        body = await problem(server, 422, params={"fields": "version"})
        assert body["message"] == "use wildcard 'version.*' to select all fields from the object"
        for fields in (["version.sizes.*"], ["image.contentUrl"], ["event.partition"], []):
            async with (
                aiohttp.ClientSession() as session,
                session.post(server.url, json={"fields": fields}, headers=bearer()) as answer,
            ):
                assert answer.status == 200


async def test_parts_are_tenths(tmp_path: Path) -> None:
    """The ten parts together are the whole, and share nothing."""
    async with delivering(tmp_path) as server:
        await server.write(range(1, 41))
        found: list[object] = []
        for part in range(10):
            wanted = [sequence for partition, sequence in server.written if partition == part]
            if wanted:
                feed = Feed(f"{server.url}?since={EVER}&parts={part}", KEY)
                got: list[object] = []
                async with asyncio.timeout(30):
                    async for event in feed.events():
                        got.append(event.article["event"]["sequence"])  # type: ignore[index] # an object
                        if len(got) == len(wanted):
                            break
                assert got == wanted
                found += got
        assert sorted(found) == list(range(1, 41))  # type: ignore[type-var] # numbers


async def test_a_part_stays_a_part_when_it_is_live(tmp_path: Path) -> None:
    """What is appended while the client is connected is of its part alone, too."""
    async with delivering(tmp_path) as server:
        await server.write([7])
        ((part, _),) = server.written
        got: list[object] = []
        async with asyncio.timeout(30):
            async for event in Feed(f"{server.url}?since={EVER}&parts={part}", KEY).events():
                if event.name != "message":
                    continue
                got.append(event.article["event"]["sequence"])  # type: ignore[index] # an object
                if len(got) == 1:
                    await asyncio.sleep(0.1)  # it has caught up, and waits
                    await server.write(range(1, 41))
                wanted = [sequence for partition, sequence in server.written if partition == part]
                if got[-1] == wanted[-1]:
                    break
        assert got == wanted


async def test_a_cursor_tells_a_position_that_moves_without_articles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tombstones and ticks make no event, but the client's position follows them."""
    monkeypatch.setattr("streamer.deliver.outlet.CURSOR_S", 0.05)
    monkeypatch.setattr("streamer.deliver.hub.CURSOR_S", 0.05)
    async with delivering(tmp_path) as server:
        feed = Feed(server.url, KEY)
        async with asyncio.timeout(30):
            async with raw(server) as (reader, _):
                await reader.readuntil(b":ok\n\r\n")
                await server.write_silent([3])
                await reader.readline()
                feed._take((await reader.readuntil(b"\n\n")).split(b"\n")[:-1])
        info = await server.log.topic(server.topic)
        assert info is not None
        assert feed.last_id.startswith(info.epoch)
        await server.write([3])
        assert len(await first(server, 1, last_id=feed.last_id)) == 1


async def test_since_starts_at_its_time(tmp_path: Path) -> None:
    """By the time of the append, per partition; before the earliest record it starts there."""
    async with delivering(tmp_path) as server:
        await server.write(range(1, 21))
        await asyncio.sleep(0.01)
        now_ms = server.runtime.clock.now_ms()
        await asyncio.sleep(0.01)
        late = await server.write(range(1, 21))
        since = rfc3339_ms(now_ms)
        got = await first(server, 20, since=since)
        assert sorted(a["event"]["sequence"] for a in got) == late  # type: ignore[index] # objects
        assert len(await first(server, 40, since="0001-01-01T00:00:00+00:00")) == 40


async def test_a_revoked_key_loses_its_streams(tmp_path: Path) -> None:
    """`bye` with the reason `expired` on the open stream, 401 for the next."""
    async with delivering(tmp_path) as server:
        async with asyncio.timeout(30), raw(server) as (reader, _):
            await reader.readuntil(b":ok\n")
            server.file.write_text(partners_toml(acme="wrs_the-next-key"))
            end = await reader.read()
            while chunk := await reader.read():
                end += chunk
            assert b'event: bye\ndata: {"reason":"expired"}\n\n' in end
            assert end.endswith(b"0\r\n\r\n")
        await problem(server, 401)


async def test_all_streams_of_a_revoked_key_end_in_time(tmp_path: Path) -> None:
    """Within 5 s of the change of the file: live ones, one in catch-up, two that take no bytes; not the
    streams of the partner's other key, nor those of others.
    """
    other = "wrs_the-other-key"
    both = f'[acme]\nkeys = ["{hash_key(KEY)}", "{hash_key(other)}"]\n'
    globex = f'[globex]\nkeys = ["{hash_key(OTHER_KEY)}"]\n'
    text = "x" * 100_000
    async with delivering(tmp_path, poll_s=POLL_S) as server, AsyncExitStack() as stack:
        feed = server.runtime.topics.of_partner("globex")
        await server.log.ensure_topics([article_spec(server.runtime.settings, feed)])
        server.file.write_text(both + globex)
        await server.partners.changed(1)

        async def opened(key: str, target: str = "/v2/articles") -> asyncio.StreamReader:
            reader, writer = await stack.enter_async_context(
                raw(server, target=target, receive_buffer=4_096, key=key)
            )
            stack.callback(writer.close)
            await reader.readuntil(b":ok\n")
            return reader

        async def ended(reader: asyncio.StreamReader) -> None:
            with suppress(ConnectionError):
                while await reader.read(1 << 20):
                    pass

        cut = [await opened(KEY) for _ in range(3)]
        spared = [await opened(other), await opened(OTHER_KEY)]
        for _ in range(20):
            await server.write([1, 2], text=text)  # 4 MB: whoever takes nothing is in the middle of a write
        cut.append(await opened(KEY, f"/v2/articles?since={EVER}"))
        stalled, reading = cut[:2], cut[2:]
        async with asyncio.TaskGroup() as group:
            rest = [group.create_task(ended(reader)) for reader in (*reading, *spared)]
            await asyncio.sleep(0.2)
            began_s = asyncio.get_running_loop().time()
            server.file.write_text(both.replace(f'"{hash_key(KEY)}", ', "") + globex)
            while metric("streamer_deliver_connections", partner="acme", format="sse") > 1:
                await asyncio.sleep(0.02)
                assert asyncio.get_running_loop().time() - began_s < 30
            await asyncio.gather(*rest[: len(reading)], *map(ended, stalled))
            assert not any(task.done() for task in rest[len(reading) :])
            for task in rest[len(reading) :]:
                task.cancel()
        assert metric("streamer_deliver_connections", partner="globex", format="sse") == 1


async def test_a_partner_that_comes_back_resumes(tmp_path: Path) -> None:
    """Taken out of the file and put back with another key: its streams end, its ids stay good."""
    async with delivering(tmp_path) as server:
        await server.write([1])
        feed = Feed(server.url, KEY, since=EVER)
        async with asyncio.timeout(30):
            names = []
            async for event in feed.events():
                names.append(event.name)
                if event.name == "message":
                    server.file.write_text(f'[globex]\nkeys = ["{hash_key(OTHER_KEY)}"]\n')
            assert names[-1] == "bye"
            await problem(server, 401)
            generation = server.partners.generation
            server.file.write_text(partners_toml(acme="wrs_the-next-key"))
            await server.partners.changed(generation)
            await server.write([1])
            feed.key = "wrs_the-next-key"
            async for event in feed.events():
                assert event.article["event"]["sequence"] == 2  # type: ignore[index] # an object
                break


async def test_a_drain_says_bye_and_ends(tmp_path: Path) -> None:
    """Streams end cleanly on an event border, with the id that the client has, and the role returns."""
    async with delivering(tmp_path) as server, asyncio.timeout(30), raw(server) as (reader, _):
        await reader.readuntil(b":ok\n")
        await server.write([1])
        last_id = (await reader.readuntil(b"\n\n")).partition(b"id: ")[2].partition(b"\n")[0]
        server.runtime.draining.set()
        end = b""
        while chunk := await reader.read(65_536):
            end += chunk
        assert end.endswith(b'id: %b\nevent: bye\ndata: {"reason":"drain"}\n\n\r\n0\r\n\r\n' % last_id)


async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """PortInUse, alone, with the port and what to do."""
    async with delivering(tmp_path) as server:
        settings = server.runtime.settings
        taken = Runtime(
            type(settings)(log=settings.log, deliver=DeliverSettings(port=server.port)), server.log
        )
        with pytest.raises(PortInUse, match=str(server.port)):
            await run_deliver(taken, server.partners)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "example.org"])
async def test_an_open_bind_needs_tls(tmp_path: Path, host: str) -> None:
    """Keys never travel in the clear: another bind than loopback is refused without `behind_tls`."""
    async with delivering(tmp_path) as server:
        settings = server.runtime.settings
        open_bind = Runtime(type(settings)(log=settings.log, deliver=DeliverSettings(host=host)), server.log)
        with pytest.raises(ConfigError, match="behind_tls"):
            await run_deliver(open_bind, server.partners)


async def test_retention_that_overtook_a_position(tmp_path: Path) -> None:
    """A position before the earliest record: 410 with the earliest, or a gap and on from there."""
    now_ms = [1_795_000_000_000]
    async with delivering(tmp_path, log_clock=lambda: now_ms[0]) as server:
        await server.write([1, 1, 1])
        feed = Feed(server.url, KEY, since=EVER)
        async with asyncio.timeout(30):
            async for event in feed.events():
                feed.last_id = event.id
                break
        now_ms[0] += 31 * 24 * 3_600_000
        kept = await server.write([1, 1])
        await server.log.clean()
        partition = server.written[0][0]
        bounds = await server.log.bounds(TopicPartition(server.topic, partition))
        assert bounds == (3, 5)
        resume = bearer(**{"Last-Event-ID": feed.last_id})
        body = await problem(server, 410, headers=resume)
        assert body["type"] == "urn:streamer:problem:expired"
        assert f"{partition}:3" in str(body["earliest"])
        got = await first(server, 2, last_id=str(body["earliest"]))
        assert [a["event"]["sequence"] for a in got] == kept  # type: ignore[index] # objects
        await problem(server, 410, params={"offsets": f'{{"{partition}": 1}}'})
        feed.url += "?on_gap=continue"
        events = []
        async with asyncio.timeout(30):
            async for event in feed.events():
                events.append(event)
                if len(events) == 3:
                    break
        assert [event.name for event in events] == ["gap", "message", "message"]
        assert json.loads(events[0].data)["reason"] == "expired"


async def test_a_gap_says_where_each_partition_goes_on(tmp_path: Path) -> None:
    """Its id is the client's next one: partitions that start live are not taken back to their earliest."""
    now_ms = [1_795_000_000_000]
    async with delivering(tmp_path, log_clock=lambda: now_ms[0]) as server:
        pages = range(100, 120)
        await server.write(pages)
        now_ms[0] += 31 * 86_400_000
        await server.write(pages)
        await server.log.clean()
        partition, elsewhere = 0, dict.fromkeys(range(1, 10), 0)
        for p, _ in server.written:
            if p != partition:
                elsewhere[p] += 1
        feed = Feed(f'{server.url}?on_gap=continue&offsets={{"{partition}":0}}', KEY)
        async with asyncio.timeout(30):
            async for event in feed.events():
                assert event.name == "gap"
                break
        offsets = dict(pair.split(":") for pair in event.id.partition(".")[2].split(","))
        assert {p: int(offsets[str(p)]) for p in elsewhere} == elsewhere


async def test_a_resume_beyond_the_history_gets_the_newest_state(tmp_path: Path) -> None:
    """After compaction the newest record of each page that changed since, and the id goes over the holes."""
    now_ms = [1_795_000_000_000]
    async with delivering(tmp_path, log_clock=lambda: now_ms[0]) as server:
        await server.write([1, 1, 1])
        feed = Feed(server.url, KEY, since=EVER)
        async with asyncio.timeout(30):
            async for event in feed.events():
                feed.last_id = event.id
                break
        now_ms[0] += 8 * 3_600_000
        await server.write([1])  # 4: what compaction leaves of the four
        now_ms[0] += 8 * 3_600_000
        await server.write([1])
        await server.log.clean()
        got = await first(server, 2, last_id=feed.last_id)
        assert [a["event"]["sequence"] for a in got] == [4, 5]  # type: ignore[index] # objects


async def test_a_topic_made_anew_while_the_log_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A feed that has to read anew does not take the new topic's records for the old one's: `expired`."""
    read = LocalReader.read
    failing = False

    async def read_once_in_vain(self: LocalReader, **wishes: float) -> list[Stored]:
        nonlocal failing
        if failing and server.topic in {tp.topic for tp in self._cursors}:
            failing = False
            await server.log.delete_topic(server.topic)
            await server.log.ensure_topics([article_spec(server.runtime.settings, server.topic)])
            await server.write([1] * 6)
            raise LogUnavailable("for a moment")
        return await read(self, **wishes)  # type: ignore[arg-type] # handed through

    monkeypatch.setattr(LocalReader, "read", read_once_in_vain)
    async with delivering(tmp_path) as server:
        await server.write([1] * 3)
        async with asyncio.timeout(30), raw(server) as (reader, _):
            await reader.readuntil(b":ok\n")
            failing = True
            end = b""
            while chunk := await reader.read(65_536):
                end += chunk
            assert b'{"reason":"expired"}' in end
            assert b'"wikitext"' not in end


async def test_a_topic_made_anew_ends_its_streams(tmp_path: Path) -> None:
    """The epoch is another one: `bye`, and the next connection reads the new topic."""
    async with delivering(tmp_path) as server:
        async with asyncio.timeout(30), raw(server) as (reader, _):
            await reader.readuntil(b":ok\n")
            await server.log.delete_topic(server.topic)
            await server.log.ensure_topics([article_spec(server.runtime.settings, server.topic)])
            end = b""
            while chunk := await reader.read(65_536):
                end += chunk
            assert b'{"reason":"expired"}' in end
        await server.write([1])
        assert len(await first(server, 1, since=EVER)) == 1
        async with serving(server):
            pass
