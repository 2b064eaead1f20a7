"""A browser's EventSource on the wire: a key is given for a ticket, the ticket for a stream."""

import asyncio
import json
import time
from datetime import datetime
from pathlib import Path

import aiohttp
import pytest
from harness.delivering import KEY, Delivering, bearer, delivering, partners_toml, raw, streams_open

from streamer.config import DeliverSettings
from streamer.partners import hash_key

SECRET = "shared by all that stand behind one address"


async def ask(
    server: Delivering,
    method: str,
    path: str,
    *,
    headers: dict[str, str] | None = None,
    body: object = None,
) -> tuple[int, dict[str, object]]:
    """Status and JSON of an answer that ends; {} for a stream."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
        session.request(
            method, f"http://127.0.0.1:{server.port}{path}", headers=headers, json=body
        ) as answer,
    ):
        if answer.status == 200 or method == "HEAD":
            return answer.status, {}
        said: dict[str, object] = await answer.json(content_type=None)
        return answer.status, said | {"cache": answer.headers.get("Cache-Control")}


async def ticket_of(server: Delivering, *, key: str = KEY, valid_s: int = 3_600) -> str:
    status, said = await ask(server, "POST", "/v2/tickets", headers=bearer(key), body={"valid_s": valid_s})
    assert status == 201
    assert said["cache"] == "no-store"
    assert said["valid_s"] == valid_s
    expires = datetime.fromisoformat(str(said["expires_at"]))
    assert -5 < expires.timestamp() - server.runtime.clock.now_ms() / 1_000 - valid_s <= 1
    return str(said["ticket"])


async def test_a_ticket_opens_streams_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """GET and HEAD of /v2/articles, in either format, with all parameters; it counts as a request of its
    partner; it makes no tickets, reads no status, goes with no key, and never stands in a log.
    """
    caplog.set_level("DEBUG")
    async with delivering(tmp_path, limits="limits = { requests_per_minute = 30 }") as server:
        await server.write([1])
        ticket = await ticket_of(server)
        target = f"/v2/articles?ticket={ticket}&since=2020-01-01T00:00:00Z"
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{server.port}{target}") as answer:
                assert answer.status == 200
                assert answer.headers["RateLimit"].startswith('"requests";r=28;')
                await answer.content.readuntil(b"\n\n")
            ndjson = {"Accept": "application/x-ndjson"}
            async with session.get(f"http://127.0.0.1:{server.port}{target}", headers=ndjson) as answer:
                assert json.loads(await answer.content.readline())["name"] == "Page 1"
        assert await ask(server, "HEAD", target) == (200, {})
        for status, method, path, headers in [
            (401, "POST", f"/v2/articles?ticket={ticket}", {}),
            (422, "POST", f"/v2/articles?ticket={ticket}", bearer()),
            (401, "POST", f"/v2/tickets?ticket={ticket}", {}),
            (401, "GET", f"/v2/status?ticket={ticket}", {}),
            (400, "GET", target, bearer()),
            (422, "GET", f"{target}&ticket={ticket}", {}),
            (422, "GET", f"/v2/articles?ticket={ticket}&since=x", {}),
            (401, "GET", "/v2/articles?ticket=", {}),
            (401, "GET", f"/v2/articles?ticket={ticket[:-1]}0{ticket[-1]}", {}),
            (401, "GET", "/v2/articles", bearer(ticket)),
            (400, "GET", f"/v2/articles?ticket={KEY}", {}),
        ]:
            got, said = await ask(server, method, path, headers=headers)
            assert got == status, (method, path, said)
            assert ticket not in json.dumps(said)
    assert ticket not in caplog.text
    assert ticket[-64:] not in caplog.text


async def test_what_is_asked_of_a_ticket(tmp_path: Path) -> None:
    """`valid_s` in the query, the body or not at all; all else is refused by its name; a key is needed."""
    async with delivering(tmp_path) as server:
        for path, body in [("/v2/tickets", None), ("/v2/tickets?valid_s=3600", None), ("/v2/tickets", {})]:
            status, said = await ask(server, "POST", path, headers=bearer(), body=body)
            assert (status, said["valid_s"]) == (201, 3_600)
        for status, path, body in [
            (422, "/v2/tickets?valid_s=0", None),
            (422, "/v2/tickets", {"valid_s": 86_401}),
            (422, "/v2/tickets", {"valid_s": "soon"}),
            (422, "/v2/tickets", {"since": "x"}),
            (422, "/v2/tickets?valid_s=1", {"valid_s": 1}),
            (400, "/v2/tickets", []),
        ]:
            assert (await ask(server, "POST", path, headers=bearer(), body=body))[0] == status
        assert (await ask(server, "POST", "/v2/tickets"))[0] == 401
        assert (await ask(server, "GET", "/v2/tickets", headers=bearer()))[0] == 405


async def test_a_tickets_stream_outlives_it_and_ends_with_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expiry is asked at the beginning of a stream; the key is asked all the time, whichever of two it is."""
    other = "wrs_the-other-key"
    both = f'[acme]\nkeys = ["{hash_key(KEY)}", "{hash_key(other)}"]\n'
    async with delivering(tmp_path) as server, asyncio.timeout(60):
        server.file.write_text(both)
        await server.partners.changed(1)
        short = await ticket_of(server, valid_s=60)
        longer, others = await ticket_of(server), await ticket_of(server, key=other)
        async with (
            raw(server, target=f"/v2/articles?ticket={short}", key="") as (by_short, _),
            raw(server, target=f"/v2/articles?ticket={longer}", key="") as (by_longer, _),
            raw(server, target=f"/v2/articles?ticket={others}", key="") as (by_other, _),
        ):
            for reader in (by_short, by_longer, by_other):
                await reader.readuntil(b":ok\n\r\n")
            assert (await ask(server, "HEAD", f"/v2/articles?ticket={short}"))[0] == 200
            real_ns = time.time_ns
            monkeypatch.setattr(time, "time_ns", lambda: real_ns() + 61_000_000_000)
            assert (await ask(server, "HEAD", f"/v2/articles?ticket={short}"))[0] == 401
            await server.write([1])
            for reader in (by_short, by_longer, by_other):
                assert b'"identifier":1' in await reader.readuntil(b"\n\n")
            server.file.write_text(partners_toml(acme=other))
            for reader in (by_short, by_longer):
                assert b'event: bye\ndata: {"reason":"expired"}\n\n' in await reader.read()
            await streams_open(1)
            await server.write([1])
            assert b'"identifier":1' in await by_other.readuntil(b"\n\n")
        assert (await ask(server, "GET", f"/v2/articles?ticket={longer}"))[0] == 401
        assert (await ask(server, "HEAD", f"/v2/articles?ticket={others}"))[0] == 200


async def test_processes_with_the_same_secret_take_each_others_tickets(tmp_path: Path) -> None:
    """Behind one address; with secrets of their own they don't."""
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    for folder in "abc":
        (tmp_path / folder).mkdir()
    async with (
        delivering(tmp_path / "a", deliver=DeliverSettings(ticket_secret=SECRET)) as one,
        delivering(tmp_path / "b", deliver=DeliverSettings(ticket_secret_file=str(file))) as other,
        delivering(tmp_path / "c") as apart,
    ):
        ticket = await ticket_of(one)
        assert (await ask(other, "HEAD", f"/v2/articles?ticket={ticket}"))[0] == 200
        assert (await ask(apart, "HEAD", f"/v2/articles?ticket={ticket}"))[0] == 401
