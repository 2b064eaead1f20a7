"""HEAD, OPTIONS, and what every answer says, to browsers above all: on every route, and on every refusal."""

import asyncio
from collections.abc import Mapping
from email.message import Message
from http.client import parse_headers
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest
from harness.delivering import Delivering, bearer, delivering, metric, raw

from streamer.errors import LogUnavailable

ROUTES = {
    "/v2/articles": {"GET", "HEAD", "POST"},
    "/v2/status": {"GET", "HEAD"},
    "/v2/tickets": {"POST"},
}
PREFLIGHT = {
    "Origin": "https://partner.example",
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "authorization,last-event-id",
}


def assert_open(headers: Mapping[str, str] | Message) -> None:
    """Readable by a page of any origin, with what it must know to behave; never with cookies. Taken for what
    it says that it is, and not telling what it is made by.
    """
    assert headers["Access-Control-Allow-Origin"] == "*"
    exposed = {name.strip() for name in headers["Access-Control-Expose-Headers"].split(",")}
    assert exposed == {"RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate"}
    assert "Access-Control-Allow-Credentials" not in headers
    assert headers["Server"] == "streamer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Strict-Transport-Security" not in headers, "this is no TLS"


async def asked(
    server: Delivering, method: str, path: str = "/v2/articles", headers: dict[str, str] | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers, and what there is of a body within its head."""
    url = f"http://127.0.0.1:{server.port}{path}"
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
        session.request(method, url, headers=headers) as answer,
    ):
        return answer.status, answer.headers, b"" if answer.status == 200 else await answer.read()


async def test_a_preflight_passes(tmp_path: Path) -> None:
    """On every route, without a key, for each method and header that the contract has."""
    async with delivering(tmp_path) as server:
        for path, methods in ROUTES.items():
            for headers in (PREFLIGHT, {}):
                status, said, body = await asked(server, "OPTIONS", path, headers)
                assert (status, body) == (204, b"")
                assert_open(said)
                for name in ("Allow", "Access-Control-Allow-Methods"):
                    assert {method.strip() for method in said[name].split(",")} == {*methods, "OPTIONS"}
                allowed = {name.strip() for name in said["Access-Control-Allow-Headers"].lower().split(",")}
                wanted = {"authorization", "content-type", "last-event-id", "accept", "cache-control"}
                assert allowed == wanted
                assert said["Access-Control-Max-Age"] == "7200"
        status, said, _ = await asked(server, "OPTIONS", "/nothing", PREFLIGHT)
        assert status == 404
        assert_open(said)


async def test_every_answer_can_be_read_by_any_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream itself and each kind of refusal: ours, aiohttp's, the protocol's, a mistake, the log's."""

    async def unavailable(*_: object) -> None:
        raise LogUnavailable("for a moment")

    async def mistaken(*_: object) -> None:
        raise KeyError("mistake")

    async with delivering(tmp_path) as server:
        async with aiohttp.ClientSession() as session:
            async with session.get(server.url, headers=bearer(Origin="https://x.example")) as answer:
                assert answer.status == 200
                assert_open(answer.headers)
            async with session.post(server.url, headers=bearer(), data=b" " * 300_000) as answer:
                assert answer.status == 413
                assert_open(answer.headers)
        for status, method, path, headers in [
            (200, "GET", "/v2/status", bearer()),
            (201, "POST", "/v2/tickets", bearer()),
            (200, "GET", "/openapi.json", {}),
            (304, "GET", "/openapi.json", {"If-None-Match": "*"}),
            (200, "GET", "/", {}),
            (400, "GET", "/v2/articles?key=x", {}),
            (401, "GET", "/v2/articles", {}),
            (404, "GET", "/nothing", {}),
            (405, "DELETE", "/v2/articles", bearer()),
            (406, "GET", "/v2/articles", bearer(Accept="text/html")),
            (414, "GET", "/v2/articles?since=" + "x" * 9_000, bearer()),
            (417, "GET", "/v2/articles", bearer(Expect="miracles")),
            (422, "GET", "/v2/articles?since=x", bearer()),
        ]:
            got, said, _ = await asked(server, method, path, headers)
            assert got == status
            assert_open(said)
        for refusing, status in ((unavailable, 503), (mistaken, 500)):
            with monkeypatch.context() as patch:
                patch.setattr("streamer.deliver.articles.resolve", refusing)
                got, said, _ = await asked(server, "GET", headers=bearer())
            assert got == status
            assert_open(said)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"no HTTP\r\n\r\n")
        async with asyncio.timeout(30):
            answer_bytes = await reader.read()
        writer.close()
        assert b" 400 " in answer_bytes.splitlines()[0]
        assert_open(parse_headers(BytesIO(answer_bytes.partition(b"\r\n")[2])))


async def test_what_the_feeds_answers_depend_on(tmp_path: Path) -> None:
    """A cache is told so by problems, too: another `Accept` would have had another answer."""
    async with delivering(tmp_path) as server:
        for status, path, headers in [
            (200, "/v2/articles", bearer()),
            (400, "/v2/articles?key=x", {}),
            (401, "/v2/articles", {}),
            (406, "/v2/articles", bearer(Accept="text/html")),
            (422, "/v2/articles?since=x", bearer()),
        ]:
            for method in ("GET", "HEAD"):
                got, said, _ = await asked(server, method, path, headers)
                assert (got, said.get("Vary")) == (status, "Accept, Accept-Encoding")
        _, said, _ = await asked(server, "GET", "/v2/status", bearer())
        assert "Vary" not in said


async def test_head_is_the_get_without_its_body(tmp_path: Path) -> None:
    """The same status and headers, of a stream and of each refusal; no byte behind, and no stream held."""
    hop_by_hop = {"Date", "Connection", "Transfer-Encoding"}
    async with delivering(tmp_path, limits="limits = { requests_per_minute = 0 }") as server:
        for path, headers in [
            ("/v2/articles", bearer()),
            ("/v2/articles", bearer(Accept="application/x-ndjson")),
            ("/v2/articles", bearer(Accept="text/html")),
            ("/v2/articles", {}),
            ("/v2/articles?since=x", bearer()),
            ("/v2/articles?last_event_id=00000000.0:1", bearer()),
            ("/nothing", {}),
        ]:
            status, of_get, _ = await asked(server, "GET", path, headers)
            head_status, of_head, body = await asked(server, "HEAD", path, headers)
            assert (head_status, body) == (status, b"")
            assert {k: v for k, v in of_head.items() if k not in hop_by_hop} == {
                k: v for k, v in of_get.items() if k not in hop_by_hop
            }
        assert metric("streamer_deliver_connections", partner="acme", format="sse") == 0


async def test_a_head_leaves_the_connection_usable(tmp_path: Path) -> None:
    """What follows a HEAD, an OPTIONS or a refusal on the same connection is answered, in its order; also a
    pipelined one, and a HEAD whose body nobody reads.
    """
    async with delivering(tmp_path) as server, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        key = f"Authorization: {bearer()['Authorization']}\r\n"
        requests = [
            ("HEAD /v2/articles", key, b""),
            ("OPTIONS /v2/articles", "", b""),
            ("HEAD /v2/articles", key + "Content-Length: 4\r\n", b"junk"),
            ("GET /v2/articles?since=x", key, b""),
            ("POST /v2/articles", key + "Content-Length: 4\r\n", b"junk"),
            ("GET /v2/articles", "Content-Length: 4\r\n", b"junk"),
            ("DELETE /v2/articles", key + "Content-Length: 4\r\n", b"junk"),
            ("GET /v2/articles", key, b""),
        ]
        for line, head, body in requests:
            writer.write(f"{line} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode() + body)
        statuses = []
        for line, _, _ in requests:
            head_bytes = await reader.readuntil(b"\r\n\r\n")
            statuses.append(int(head_bytes.split()[1]))
            length = head_bytes.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            if length and not line.startswith("HEAD"):
                await reader.readexactly(int(length))
        assert statuses == [200, 204, 400, 422, 400, 401, 405, 200]
        await reader.readuntil(b":ok\n")
        writer.close()


async def test_a_body_is_waited_for_by_its_leave(tmp_path: Path) -> None:
    """`Expect: 100-continue` is answered before the body is sent."""
    async with delivering(tmp_path) as server, asyncio.timeout(30):
        head = "Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 14\r\n"
        async with raw(server, head) as (reader, writer):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b'{"since": "x"}')
            assert b" 422 " in await reader.readline()
