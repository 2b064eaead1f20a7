"""HTTP around the stream: HEAD, OPTIONS, what browsers ask for, old clients, what is left of the limits."""

import re

import pytest

from tests.conformance.endpoint.lines import PREAMBLE
from tests.conformance.endpoint.reading import EVER, FORMATS, TYPES, Format
from tests.conformance.endpoint.wire import Answer, Endpoint

LIMIT = re.compile(r'"requests";q=(\d+);w=(\d+)')
LEFT = re.compile(r'"requests";r=(\d+);t=(\d+)')
EXPOSED = {"ratelimit", "ratelimit-policy", "retry-after", "www-authenticate"}


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("accepted", ["gzip", "identity"])
async def test_head_tells_what_get_would(endpoint: Endpoint, fmt: Format, accepted: str) -> None:
    """Status and headers, without a body, and the answer is over: no stream is held."""
    headers = {"Accept": TYPES[fmt], "Accept-Encoding": accepted}
    async with endpoint.ask(headers=headers) as get:
        wanted = told(get)
    async with endpoint.ask("HEAD", headers=headers) as head:
        assert told(head) == wanted
        assert head.status == 200
        assert not head.header("content-length")
    for query, status in [({"since": "x"}, 422), ({"colour": "red"}, 422)]:
        async with endpoint.ask("HEAD", query=query) as head:
            assert head.status == status
            assert head.header("content-type") == "application/problem+json"
    async with endpoint.ask("HEAD", key="") as head:
        assert head.status == 401
        assert head.header("www-authenticate")


def told(answer: Answer) -> dict[str, str]:
    """What does not change from one request to the next."""
    passing = {"date", "ratelimit", "transfer-encoding", "connection", "server"}
    return {name: value for name, value in answer.headers if name not in passing}


async def test_a_head_leaves_no_bytes(endpoint: Endpoint) -> None:
    """A second request on the same connection is answered, or the connection ends: nothing stands between."""
    async with endpoint.connected() as (reader, writer):
        lines = f"Host: x\r\nAuthorization: Bearer {endpoint.key}\r\n"
        writer.write(f"HEAD {endpoint.path} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
        await writer.drain()
        text = await reader.read()
        assert text.endswith(b"\r\n\r\n"), "HEAD was answered with a body"
        assert text.count(b"\r\n\r\n") == 1


async def test_options_needs_no_key(endpoint: Endpoint) -> None:
    """204 with `Allow`; a preflight is told methods, headers and for how long."""
    async with endpoint.ask("OPTIONS", key="") as answer:
        assert answer.status == 204
        assert {"get", "head", "post", "options"} <= answer.names("allow")
    preflight = {
        "Origin": "https://partner.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization, last-event-id",
    }
    async with endpoint.ask("OPTIONS", key="", headers=preflight) as answer:
        assert answer.status == 204
        assert answer.header("access-control-allow-origin") == "*"
        assert {"get", "head", "post"} <= answer.names("access-control-allow-methods")
        assert answer.names("access-control-allow-headers") >= {
            "authorization", "content-type", "last-event-id", "accept", "cache-control",
        }  # fmt: skip
        assert answer.header("access-control-max-age") == "7200"


async def test_pages_of_other_origins_may_read_every_answer(endpoint: Endpoint) -> None:
    """Streams and problems: any origin, never with credentials, and what they tell in headers is exposed."""
    asked: list[dict[str, object]] = [
        {},
        {"key": ""},
        {"query": {"since": "x"}},
        {"path": "/nothing"},
        {"method": "DELETE"},
        {"method": "HEAD"},
        {"query": {"key": "x"}},
    ]
    for one in asked:
        async with endpoint.ask(headers={"Origin": "https://partner.example"}, **one) as answer:  # type: ignore[arg-type] # its arguments
            assert answer.header("access-control-allow-origin") == "*", one
            assert not answer.header("access-control-allow-credentials")
            assert answer.names("access-control-expose-headers") >= EXPOSED


async def test_old_clients(endpoint: Endpoint) -> None:
    """HTTP/1.0: no chunks, and the end of the connection is the end."""
    async with endpoint.ask(version="1.0", query={"since": EVER}) as answer:
        assert answer.status == 200
        assert not answer.header("transfer-encoding")
        assert not answer.header("content-length")
        text = b""
        async for block in answer.blocks():
            text += block
            if text.count(b"\n\n") > 3:
                break
        assert text.startswith(PREAMBLE + b"id: ")


async def test_what_is_left_of_the_requests_is_told(endpoint: Endpoint) -> None:
    """Each request with a key takes one, a refused one too, and each answer says what is left. Skips where
    this key has no limit.
    """
    left = []
    for query in ({}, {"since": "x"}, {}, {"colour": "x"}):
        async with endpoint.ask("HEAD", query=query) as answer:
            if not answer.header("ratelimit-policy"):
                pytest.skip("the requests of this key are not limited")
            policy = LIMIT.fullmatch(answer.header("ratelimit-policy"))
            rate = LEFT.fullmatch(answer.header("ratelimit"))
            assert policy, answer.header("ratelimit-policy")
            assert rate, answer.header("ratelimit")
            assert int(policy[2]) == 60
            assert int(rate[1]) < int(policy[1])
            assert 0 < int(rate[2]) <= 60
            left.append(int(rate[1]))
    # the bucket fills while we ask; that it counts at all is for feeds of our own to show exactly
    assert left[0] >= left[-1] - 60
    async with endpoint.ask(key="") as answer:
        assert not answer.header("ratelimit"), "nobody's limit"


async def test_a_stream_ends_its_connection(endpoint: Endpoint) -> None:
    """No second request is taken up behind a stream; nothing is cached on the way."""
    async with endpoint.ask() as answer:
        assert answer.header("connection").lower() == "close"
        assert answer.header("cache-control") == "no-store"
