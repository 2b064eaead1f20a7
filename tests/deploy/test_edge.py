"""deploy/nginx by a real nginx in front of `deliver`: whatever deliver promises holds for who comes by the
edge.
"""

import asyncio
import json
import re
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
import pytest
from clients.curl import running
from harness.browsing import chromium, connect, titles, watched
from harness.delivering import KEY, OTHER_KEY, bearer, delivering, metric, raw, streams_open
from harness.edge import Edge, edge

from streamer.config import DeliverSettings
from streamer.deliver import topic

PATIENCE_S = 60.0
TEXT = "x" * 100_000
HOPS = {"Date", "Connection", "Keep-Alive", "Transfer-Encoding"}
"""What an answer says of this connection alone."""


@dataclass
class Reader:
    """curl's standard output as it comes; unpacked where the answer is."""

    process: asyncio.subprocess.Process
    packed: bool = False
    text: bytes = b""
    _unpack: "zlib._Decompress" = field(default_factory=lambda: zlib.decompressobj(31))

    async def until(self, end: bytes) -> bytes:
        """All until then, `end` too; waits for it."""
        async with asyncio.timeout(PATIENCE_S):
            while end not in self.text:
                assert await self._more(), f"ended without {end!r}: {self.text[-300:]!r}"
        before, _, self.text = self.text.partition(end)
        return before + end

    async def rest(self) -> tuple[bytes, int]:
        """Until its end; with curl's exit code, 0 where the answer was whole."""
        async with asyncio.timeout(PATIENCE_S):
            while await self._more():
                pass
            return self.text, await self.process.wait()

    async def _more(self) -> bool:
        assert self.process.stdout is not None
        data = await self.process.stdout.read(65_536)
        self.text += self._unpack.decompress(data) if self.packed else data
        return bool(data)


@asynccontextmanager
async def curl(front: Edge, *more: str, packed: bool = False) -> AsyncIterator[Reader]:
    """GET /v2/articles with the key."""
    options = [
        *more,
        "-H",
        f"Authorization: Bearer {KEY}",
        *(["-H", "Accept-Encoding: gzip"] if packed else []),
    ]
    async with running(front.curl(*options, f"{front.url}/v2/articles")) as process:
        yield Reader(process, packed)


# ── streams ────────────────────────────────────────────────────────────────────────────────────


async def test_events_come_one_by_one_until_bye(tmp_path: Path) -> None:
    """Over HTTP/1.1 and HTTP/2, packed or not, as SSE and as NDJSON, each article has arrived before the next
    is written; a stream resumes by its last id; who leaves is gone from deliver; a drain's `bye` comes and
    the answer is whole. The access log knows the route, and neither query nor key.
    """
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(delivering(tmp_path))
        front = await stack.enter_async_context(edge(tmp_path, server.port))
        readers = [
            await stack.enter_async_context(curl(front, http, packed=packed))
            for http in ("--http1.1", "--http2")
            for packed in (False, True)
        ]
        lines = await stack.enter_async_context(curl(front, "--http2", "-H", "Accept: application/x-ndjson"))
        for reader in readers:
            await reader.until(b":ok\n")
        await streams_open(4)
        last_id = b""
        for number in range(1, 4):
            await server.write([number])
            for reader in readers:
                event = await reader.until(b"\n\n")
                assert f'"Page {number}"'.encode() in event
                last_id = re.findall(rb"^id: (.*)$", event, re.MULTILINE)[-1]
            assert f'"Page {number}"'.encode() in await lines.until(b"\n")
        async with curl(front, "--http2", "--tls-max", "1.2") as leaving:
            await leaving.until(b":ok\n")
            await streams_open(5)
        await streams_open(4)
        await server.write([4])
        async with curl(
            front,
            "--http2",
            "-G",
            "-d",
            "parts=0,1,2,3,4,5,6,7,8,9",
            "-H",
            f"Last-Event-ID: {last_id.decode()}",
        ) as resumed:
            assert b'"Page 4"' in await resumed.until(b"\n\n")
        await streams_open(4)
        server.runtime.draining.set()
        for reader in readers:
            rest, code = await reader.rest()
            assert rest.endswith(b'event: bye\ndata: {"reason":"drain"}\n\n')
            assert code == 0
        rest, code = await lines.rest()
        assert (rest.count(b"\n"), code) == (1, 0)
        log = front.log()
    assert log.count('"path":"/v2/articles"') == 7
    assert '"protocol":"HTTP/2.0"' in log
    assert {line["tls"] for line in map(json.loads, log.splitlines())} == {"TLSv1.2", "TLSv1.3"}
    assert not re.search(r"wrs_|parts|Bearer|last_event", log, re.IGNORECASE)


async def test_a_reload_cuts_nothing_and_streams_are_spread(tmp_path: Path) -> None:
    """Two processes behind one edge have as many streams each. With new settings read, streams that are open
    go on, new ones come by the new settings; who drains is not asked again, and what a client then asks goes
    to the other.
    """
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    async with AsyncExitStack() as stack:
        a, b = [await stack.enter_async_context(delivering(folder)) for folder in folders]
        front = await stack.enter_async_context(edge(tmp_path, a.port, b.port))
        readers = []
        for count in range(1, 5):
            readers.append(await stack.enter_async_context(curl(front, "--http2")))
            await readers[-1].until(b":ok\n")
            await streams_open(count)
        await a.write([1])
        await b.write([2])
        seen = [await reader.until(b"\n\n") for reader in readers]
        assert sorted(b'"Page 1"' in one for one in seen) == [False, False, True, True]
        of_a = [reader for reader, one in zip(readers, seen, strict=True) if b'"Page 1"' in one]
        of_b = [reader for reader in readers if reader not in of_a]
        await front.reload([a.port])
        await b.write([3])
        for reader in of_b:
            assert b'"Page 3"' in await reader.until(b"\n\n")
        async with curl(front, "--http1.1") as late:
            await late.until(b":ok\n")
            await a.write([4])
            assert b'"Page 4"' in await late.until(b"\n\n")
        await front.reload([a.port, b.port])
        a.runtime.draining.set()
        for reader in of_a:
            assert (await reader.rest())[0].endswith(b'"drain"}\n\n')
        for count in (
            3,
            4,
        ):  # by whichever worker: the one that has not met the closed port asks the other, too
            readers.append(await stack.enter_async_context(curl(front, "--http1.1")))
            await readers[-1].until(b":ok\n")
            await streams_open(count)
        await b.write([5])
        for reader in (*of_b, *readers[-2:]):
            assert b'"Page 5"' in await reader.until(b"\n\n")


async def test_who_comes_while_one_process_drains_is_served_by_the_other(tmp_path: Path) -> None:
    """GET and POST alike, also by a connection that nginx has to the one that drains, which answers 503: no
    client sees that, and none counts as failed.
    """
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    settings = DeliverSettings(heartbeat_s=120.0, drain_s=600.0)
    async with AsyncExitStack() as stack:
        a, b = [await stack.enter_async_context(delivering(folder, deliver=settings)) for folder in folders]
        front = await stack.enter_async_context(edge(tmp_path, a.port, b.port))
        readers = [await stack.enter_async_context(curl(front)) for _ in range(2)]
        for reader in readers:
            await reader.until(b":ok\n")
        await streams_open(2)
        await a.write([1], text=TEXT * 20)
        await b.write([2])
        for reader in readers:  # nginx is to have fewer at a, and to ask it first
            if b'"Page 1"' in await reader.until(b"\n\n"):
                reader.process.kill()
        await streams_open(1)
        connector = aiohttp.TCPConnector(ssl=front.trusting(), limit=1)  # one worker of nginx
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        assert (await answer_of(session, f"{front.url}/openapi.json", {}))[0] == 200
        catching_up = "/v2/articles?since=2020-01-01T00:00:00Z"
        stuck, _ = await stack.enter_async_context(raw(a, target=catching_up, receive_buffer=4096))
        await stuck.readuntil(b"xxx")  # amid an article: as long as it is there the drain goes on
        failed = metric("streamer_deliver_connects_total", outcome="failed")
        a.runtime.draining.set()
        for method in ("POST", "GET", "POST", "GET", "POST", "GET"):
            async with session.request(method, f"{front.url}/v2/articles", headers=bearer()) as answer:
                assert answer.status == 200, await answer.text()
        assert metric("streamer_deliver_connects_total", outcome="failed") == failed
        assert metric("streamer_deliver_connections", partner="acme", format="sse") >= 2


async def test_who_is_refused_closes_the_feed_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partner whose feed is not there yet asks and asks, and hears that of both processes: nginx takes
    neither for a server that fails, and another partner is served.
    """
    monkeypatch.setattr(topic, "WAIT_S", 0.2)
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    async with AsyncExitStack() as stack:
        a, b = [await stack.enter_async_context(delivering(folder)) for folder in folders]
        front = await stack.enter_async_context(edge(tmp_path, a.port, b.port))
        connector = aiohttp.TCPConnector(ssl=front.trusting())
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        url = f"{front.url}/v2/articles"
        refused = await asyncio.gather(*(answer_of(session, url, bearer(OTHER_KEY)) for _ in range(20)))
        assert {json.loads(body)["type"] for _, _, body in refused} == {"urn:streamer:problem:not_ready"}
        async with session.get(url, headers=bearer()) as answer:
            assert answer.status == 200, await answer.text()


def broken_hello() -> bytes:
    """A ClientHello whose list of groups is of another length than it says."""
    context, sent = ssl.create_default_context(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost").do_handshake()
    hello = bytearray(sent.read())
    hello[hello.index(b"\x00\x0a\x00") + 5] ^= 1
    return bytes(hello)


async def test_logs_know_nobody_whatever_goes_wrong(tmp_path: Path) -> None:
    """Where connections run out, where a handshake is broken, and of a path that is none of ours: neither log
    has a query, what that path was, or an address.
    """
    async with (
        delivering(tmp_path) as server,
        edge(tmp_path, server.port, connections=9) as front,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=front.trusting(), limit=0, force_close=True)
        ) as session,
        AsyncExitStack() as held,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(broken_hello())
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.read()  # why not
        writer.close()
        assert (await answer_of(session, f"{front.url}/wrs_pasted", {}))[0] == 404
        url = f"{front.url}/v2/articles?parts=0"
        while (answer := await held.enter_async_context(session.get(url, headers=bearer()))).status == 200:
            pass
        assert answer.status == 503  # a stream takes two connections, and one was left
        log = front.log()
    assert '"path":"other","status":"404"' in log
    assert '"path":"/v2/articles","status":"503"' in log
    assert not re.search(r"wrs_|parts|client:", log)


async def test_who_takes_nothing_is_cut_and_resumes(tmp_path: Path) -> None:
    """What nginx holds for a client is bounded, so deliver feels that it is slow and cuts it; the client sees
    an error, or an end that is none of an answer, and its last id brings the rest.
    """
    settings = DeliverSettings(retained_mb=1.0, heartbeat_s=120.0)
    async with delivering(tmp_path, deliver=settings) as server, edge(tmp_path, server.port) as front:
        before = metric("streamer_deliver_ended_streams_total", partner="acme", reason="slow")
        tls = front.trusting()
        by_edge = replace(server, port=front.port)
        async with asyncio.timeout(PATIENCE_S), raw(by_edge, receive_buffer=4096, tls=tls) as (slow, _):
            await slow.readuntil(b":ok\n")
            await streams_open(1)
            written = 0
            while metric("streamer_deliver_ended_streams_total", partner="acme", reason="slow") == before:
                await server.write(range(1, 11), text=TEXT)
                written += 10
            sent = b""
            with suppress(OSError):
                while chunk := await slow.read(65_536):
                    sent += chunk
            assert not sent.endswith(b"0\r\n\r\n")
        whole = sent[: sent.rindex(b"\n\n")]  # nginx's chunks have borders of their own, within events too
        ids = re.findall(rb"^id: (\S+)", re.sub(rb"\r\n[0-9a-f]+\r\n", b"", whole), re.MULTILINE)
        assert 0 < len(ids) < written
        async with curl(front, "--http2", "-H", f"Last-Event-ID: {ids[-1].decode()}") as reader:
            for _ in range(written - len(ids)):
                await reader.until(b"\n\n")


# ── refusals ───────────────────────────────────────────────────────────────────────────────────


async def answer_of(
    session: aiohttp.ClientSession, url: str, headers: Mapping[str, str], data: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    method = "GET" if data is None else "POST"
    async with session.request(method, url, headers=headers, data=data) as answer:
        return answer.status, dict(answer.headers), await answer.read()


async def test_refusals_pass_as_they_are(tmp_path: Path) -> None:
    """What deliver refuses arrives with its status, body and every header, and with HSTS; a client can't tell
    who is in front but by that.
    """
    limits = "limits = { connections = 0, requests_per_minute = 18 }"
    asked: list[tuple[str, dict[str, str], bytes | None]] = [
        ("/v2/articles", {}, None),
        ("/v2/articles?since=never", bearer(), None),
        ("/v2/articles?since=" + "x" * 9_000, bearer(), None),
        ("/v2/articles", bearer(**{"Last-Event-ID": "00000000.0:1"}), None),
        ("/v2/articles", bearer(Accept="text/html"), None),
        ("/v2/articles", bearer(), b" " * 300_000),
        ("/nothing", {}, None),
        ("/", {"Accept-Encoding": "gzip"}, None),
        ("/openapi.json", {}, None),
        ("/v2/articles", bearer(), None),  # while it has all the streams that it takes
    ]
    settings = DeliverSettings(max_connections=1)
    async with (
        delivering(tmp_path, limits=limits, deliver=settings) as server,
        edge(tmp_path, server.port) as front,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=front.trusting()), auto_decompress=False
        ) as session,
        AsyncExitStack() as stack,
    ):
        statuses = []
        for path, headers, data in asked:
            if path == asked[-1][0] and len(statuses) == len(asked) - 1:
                holding = await stack.enter_async_context(curl(front))
                await holding.until(b":ok\n")
            direct = await answer_of(session, f"http://127.0.0.1:{server.port}{path}", headers, data)
            by_edge = await answer_of(session, front.url + path, headers, data)
            assert by_edge[0] == direct[0]
            assert by_edge[2] == direct[2]
            told = {k: v for k, v in direct[1].items() if k not in HOPS and not k.startswith("RateLimit")}
            assert told.items() <= by_edge[1].items()
            assert by_edge[1]["Strict-Transport-Security"] == "max-age=31536000"
            assert ("RateLimit" in direct[1]) == ("RateLimit" in by_edge[1])
            statuses.append(direct[0])
        assert statuses == [401, 422, 414, 410, 406, 413, 404, 200, 200, 503]
        while (too_many := await answer_of(session, front.url + "/v2/status", bearer()))[0] == 200:
            pass
        assert too_many[0] == 429
        assert int(too_many[1]["Retry-After"]) > 0
        assert json.loads(too_many[2])["type"] == "urn:streamer:problem:too_many_requests"


async def test_what_nginx_refuses_is_a_problem_too(tmp_path: Path) -> None:
    """No server to be reached, no TLS, a path, a header or a body beyond all bounds: each by status, type and
    message as deliver would say it, with what a browser needs to read it.
    """
    async with (
        edge(tmp_path, 9) as front,  # "discard": nobody listens there
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=front.trusting())) as session,
    ):
        for status, code, url, headers, data in [
            (503, "unreachable", front.url, {}, None),
            (400, "bad_request", front.url.replace("https", "http"), {}, None),
            (400, "bad_request", front.url, {"X": "x" * 40_000}, None),
            (414, "uri_too_long", f"{front.url}/?x={'x' * 40_000}", {}, None),
            (413, "request_entity_too_large", front.url, {}, b"x" * 600_000),
        ]:
            found, told, body = await answer_of(session, url, headers, data)
            assert found == status
            assert told["Content-Type"] == "application/problem+json"
            assert told["Access-Control-Allow-Origin"] == "*"
            problem = json.loads(body)
            assert problem["type"] == f"urn:streamer:problem:{code}"
            assert problem["status"] == status
            assert problem["detail"] == problem["message"]
            assert ("Retry-After" in told) == (status == 503)


# ── people ─────────────────────────────────────────────────────────────────────────────────────


async def test_the_page_lives_behind_the_edge(tmp_path: Path) -> None:
    """In Chromium over HTTP/2: the page loads, takes a key, and shows articles as they come."""
    async with (
        chromium() as browser,
        delivering(tmp_path) as server,
        edge(tmp_path, server.port) as front,
        watched(browser, ignore_https_errors=True) as seen,
    ):
        await seen.page.goto(f"https://127.0.0.1:{front.port}/")
        await connect(seen.page, KEY)
        await server.write([1, 2])
        assert sorted(await titles(seen.page, 2)) == ["Page 1", "Page 2"]
        assert '"protocol":"HTTP/2.0"' in front.log()
