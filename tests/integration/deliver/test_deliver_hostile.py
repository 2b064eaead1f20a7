"""Requests that nobody means well by: each a refusal with a name, and the server as it was."""

import asyncio
from pathlib import Path

import pytest
from harness.delivering import bearer, delivering, problem, raw

DEEP = "[" * 100_000


async def test_hostile_bodies_are_refused(tmp_path: Path) -> None:
    """Nested without end, not the encoding that they say, a bomb, bytes that are no text."""
    async with delivering(tmp_path) as server:
        await problem(server, 400, method="POST", data=DEEP.encode())
        await problem(server, 400, method="POST", data=b'{"offsets":' + DEEP.encode())
        await problem(server, 400, method="POST", data=b'{"offsets": {"0": 1e999}}')
        await problem(server, 422, method="POST", data=b'{"offsets": {"0": 1.5}}')
        await problem(server, 400, method="POST", data=b'{"offsets": {"0": 99999999999999999999999999}}')
        await problem(server, 400, method="POST", data=b'{"since": "\\ud800"}')
        gzipped = bearer(**{"Content-Encoding": "gzip"})
        await problem(server, 415, method="POST", data=b"no gzip at all", headers=gzipped)


async def test_hostile_queries_are_refused(tmp_path: Path) -> None:
    """The same in a URL and in Last-Event-ID."""
    async with delivering(tmp_path) as server:
        await problem(server, 422, params={"offsets": "[" * 2_600})
        await problem(server, 422, params={"parts": "9" * 5_000})
        await problem(server, 400, params={"last_event_id": "[" * 2_600})
        await problem(server, 400, params={"last_event_id": "e7c14a09.0:" + "9" * 5_000})
        nested = '[{"x":' + "[" * 7_000
        await problem(server, 400, headers=bearer(**{"Last-Event-ID": nested}))
        await problem(server, 401, headers=bearer("x" * 5_000))


@pytest.mark.parametrize(
    "bytes_",
    [
        b"GET /v2/articles HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /v2/articles HTTP/1.1\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
        b"POST /v2/articles HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ],
)
async def test_what_is_no_http_ends_the_connection(tmp_path: Path, bytes_: bytes) -> None:
    """A 400 or a close; others are served meanwhile."""
    async with delivering(tmp_path) as server, raw(server) as (other, _):
        await other.readuntil(b":ok\n\r\n")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(bytes_)
        async with asyncio.timeout(30):
            answer = await reader.read(64)
        assert answer.startswith(b"HTTP/1.") or not answer
        writer.close()
        await server.write([1])
        async with asyncio.timeout(30):
            assert b'"identifier":1' in await other.readuntil(b"\n\n")
