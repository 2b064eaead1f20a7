"""What answers say of a partner's requests per minute, and that its keys share them."""

import re
from pathlib import Path

import aiohttp
from harness.delivering import KEY, Delivering, bearer, delivering

from streamer.deliver.openapi import document
from streamer.partners import hash_key

RESPONSES = document()["components"]["responses"]
SECOND_KEY = "wrs_another-key-of-acme"


def partners(requests_per_minute: int) -> str:
    return (
        f'[acme]\nkeys = ["{hash_key(KEY)}", "{hash_key(SECOND_KEY)}"]\n'
        f"limits = {{ requests_per_minute = {requests_per_minute} }}\n"
    )


async def left(
    server: Delivering, session: aiohttp.ClientSession, status: int, *, key: str = KEY, query: str = ""
) -> tuple[int, int] | None:
    """(quota, remaining) that the answer with this status tells; None: nothing."""
    async with session.get(server.url + query, headers=bearer(key)) as answer:
        assert answer.status == status
        if "RateLimit" not in answer.headers:
            assert "RateLimit-Policy" not in answer.headers
            return None
        policy = re.fullmatch(r'"requests";q=(\d+);w=60', answer.headers["RateLimit-Policy"])
        limit = re.fullmatch(r'"requests";r=(\d+);t=(\d+)', answer.headers["RateLimit"])
        assert policy
        assert limit
        return int(policy[1]), int(limit[1])


async def test_every_answer_to_a_known_key_tells_what_is_left(tmp_path: Path) -> None:
    """A stream, a problem, a 406 and a 429; not to a key that nobody has, nor on a route that asks for none.
    Two keys of a partner share one limit.
    """
    async with delivering(tmp_path) as server, aiohttp.ClientSession() as session:
        server.file.write_text(partners(4))
        await server.partners.changed(1)
        assert await left(server, session, 200) == (4, 3)
        assert await left(server, session, 422, query="?since=x", key=SECOND_KEY) == (4, 2)
        async with session.head(server.url, headers=bearer(Accept="text/html")) as answer:
            assert answer.status == 406
            assert answer.headers["RateLimit"].startswith('"requests";r=1;')
        assert await left(server, session, 401, key="wrs_nobody's") is None
        assert await left(server, session, 404, query="/nothing") is None
        assert await left(server, session, 200) == (4, 0)
        assert await left(server, session, 429) == (4, 0)
        assert await left(server, session, 429, key=SECOND_KEY) == (4, 0)


async def test_what_is_refused_before_the_key_is_not_counted(tmp_path: Path) -> None:
    """Another method or path, a URL that is too long, an expectation: no headers, and nothing is used up."""
    async with delivering(tmp_path) as server, aiohttp.ClientSession() as session:
        server.file.write_text(partners(2))
        await server.partners.changed(1)
        for status, method, query, more in [
            (405, "DELETE", "", {}),
            (404, "GET", "/nothing", {}),
            (414, "GET", f"?since={'x' * 9_000}", {}),
            (417, "GET", "", {"Expect": "miracles"}),
        ]:
            async with session.request(method, server.url + query, headers=bearer(**more)) as answer:
                assert answer.status == status
                assert not {"RateLimit", "RateLimit-Policy"} & answer.headers.keys()
                described = RESPONSES.get(f"Articles{status}", {"headers": {}})
                assert not {"RateLimit", "RateLimit-Policy"} & described["headers"].keys()
        assert await left(server, session, 422, query="?since=x") == (2, 1)


async def test_limits_are_reloaded_for_the_next_request(tmp_path: Path) -> None:
    """Raised, lowered and taken away: each is in force once the file is."""
    async with delivering(tmp_path) as server, aiohttp.ClientSession() as session:
        for limit, status, told in [(2, 200, (2, 1)), (60, 200, (60, 58)), (1, 429, (1, 0)), (0, 200, None)]:
            generation = server.partners.generation
            server.file.write_text(partners(limit))
            await server.partners.changed(generation)
            assert await left(server, session, status) == told
