"""Every way to ask for another partner's feed: refused, or exactly the own one."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from harness.delivering import KEY, OTHER_KEY, Delivering, article_record, delivering, problem
from harness.onslaught import OF_GLOBEX, Answer, eavesdropping, thrown

from streamer.config import DeliverSettings
from streamer.partners import hash_key
from streamer.runtime import article_spec

EVER = "2020-01-01T00:00:00Z"
ACME = b"Authorization: Bearer " + KEY.encode() + b"\r\n"
STATUSES = {400, 401, 403, 404, 405, 410, 422}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Delivering]:
    """With articles of both partners, globex's marked."""
    limits = "limits = { connections = 0, requests_per_minute = 0 }"
    async with delivering(tmp_path, limits=limits, deliver=DeliverSettings(heartbeat_s=0.1)) as server:
        topic = server.runtime.topics.of_partner("globex")
        await server.log.ensure_topics([article_spec(server.runtime.settings, topic)])
        await server.write(range(1, 41))
        await server.log.append(
            [article_record(topic, page, 1, 900 + page, text=OF_GLOBEX.decode()) for page in range(60)]
        )
        yield server


async def everything(server: Delivering, request: bytes) -> tuple[Answer, bytes]:
    """The answer, and what a stream brings until its first heartbeat: it has caught up then."""
    (answer,) = await thrown(server.port, request, expected=1)
    if not answer.is_stream:
        return answer, answer.body
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 24)
    writer.write(request)
    async with asyncio.timeout(30):
        got = await reader.readuntil(b":hb\n")
    writer.transport.abort()
    return answer, got


async def is_own_or_refused(server: Delivering, request: bytes) -> None:
    with eavesdropping():
        answer, got = await everything(server, request)
    assert OF_GLOBEX not in got, request
    assert server.runtime.topics.of_partner("globex").encode() not in got, request
    if not answer.is_stream:
        assert answer.status in STATUSES or b"/v2/status" in request, (answer, request)


def get(target: str, *, auth: bytes = ACME, host: str = "x", more: bytes = b"") -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: {host}\r\n".encode() + auth + more + b"\r\n"


async def test_what_the_marks_are_for(server: Delivering) -> None:
    """Globex itself gets its marked articles by such a request, and acme its own."""
    auth = ACME.replace(KEY.encode(), OTHER_KEY.encode())
    _, got = await everything(server, get(f"/v2/articles?since={EVER}", auth=auth))
    assert got.count(OF_GLOBEX) == 60
    _, got = await everything(server, get(f"/v2/articles?since={EVER}"))
    assert got.count(b"data: ") == 40
    assert OF_GLOBEX not in got


async def test_another_ones_positions(server: Delivering) -> None:
    """Its ids, its topic's name, both at once, offsets that only it has: in the header and as parameters."""
    mine = await server.log.topic(server.topic)
    other = await server.log.topic(server.runtime.topics.of_partner("globex"))
    assert mine
    assert other
    entries = [{"topic": name, "partition": 0, "offset": 0} for name in (mine.name, other.name)]
    ids = [
        f"{other.epoch}.0:0",
        f"{other.epoch}.{','.join(f'{p}:0' for p in range(10))}",
        f"{mine.epoch}.0:0,{other.epoch}.1:0",
        msgspec.json.encode(entries[1:]).decode(),
        msgspec.json.encode(entries).decode(),
        msgspec.json.encode([{"topic": f"{other.name} ", "partition": 0, "offset": 0}]).decode(),
        msgspec.json.encode(
            [{"topic": server.runtime.topics.articles, "partition": 0, "offset": 0}]
        ).decode(),
    ]
    for text in ids:
        for on_gap in ("fail", "continue"):
            request = get(f"/v2/articles?on_gap={on_gap}", more=f"Last-Event-ID: {text}\r\n".encode())
            await is_own_or_refused(server, request)
            await problem(server, 400, method="POST", data=msgspec.json.encode({"last_event_id": text}))
    ends = zip(await server.log.all_bounds(other.name), await server.log.all_bounds(mine.name), strict=True)
    beyond = [(partition, theirs.end) for partition, (theirs, own) in enumerate(ends) if theirs.end > own.end]
    await problem(server, 400, params={"offsets": json.dumps(dict(beyond[:1]))})


TARGETS = (
    "/v2/articles/../articles", "//v2/articles", "/v2//articles", "/v2/articles/globex",
    "/v2/articles.globex",
    "/v2%2farticles", "/v2/%61rticles", "/v2/articles%00", "/v2/articles;partner=globex", "/V2/Articles",
    "http://globex/v2/articles", "http://globex@x/v2/articles", "/v2/articles/%2e%2e/status",
    "/v2/./articles",
    "/v2/articles?partner=globex", "/v2/articles?topic=wiki.articles.v1.globex", "/v2/articles?name=globex",
    "/v2/articles?user=globex&since=2020-01-01T00:00:00Z", "/v2/status?partner=globex",
    "/page/../v2/articles",
    '/v2/articles?fields=["partner","topic"]', "/v2/articles?fields=event.*&since=2020-01-01T00:00:00Z",
    '/v2/articles?filters=[{"field":"event.topic","value":"wiki.articles.v1.globex"}]&since=2020-01-01T00:00:00Z',
    "/v2/status", "/v2/articles?since=2020-01-01T00:00:00Z",
)  # fmt: skip
HEADERS = (
    b"X-Forwarded-Host: globex\r\n", b"X-Forwarded-User: globex\r\n", b"X-Forwarded-For: 127.0.0.1\r\n",
    b"Forwarded: for=globex;host=globex\r\n", b"X-Original-URL: /v2/articles?partner=globex\r\n",
    b"X-Partner: globex\r\n", b"X-HTTP-Method-Override: POST\r\n", b"Cookie: partner=globex\r\n",
    b"Proxy-Authorization: Bearer " + OTHER_KEY.encode() + b"\r\n",
    b"X-Api-Key: " + OTHER_KEY.encode() + b"\r\n",
    b"Authorization: Bearer " + OTHER_KEY.encode() + b"\r\n", b"Authorization : Bearer x\r\n",
)  # fmt: skip


async def test_other_paths_and_parameters(server: Delivering) -> None:
    """However the path is written, and whatever a parameter names."""
    for target in TARGETS:
        await is_own_or_refused(server, get(target))


async def test_other_headers(server: Delivering) -> None:
    """What a proxy, or somebody who plays one, says of whose request it is."""
    for more in HEADERS:
        await is_own_or_refused(server, get(f"/v2/articles?since={EVER}", host="globex", more=more))


async def test_keys_that_nearly_are(server: Delivering) -> None:
    """Parts of one, more than one, other letters, other schemes: 401, or a 400 where it is no header."""
    key = OTHER_KEY
    wrong = [
        key[:-1], key[1:], key + "x", key.upper(), key.replace("_", "-"), key.replace("e", "\u0435"),
        key + "\u00a0",
        f"{key},{KEY}", f"{key} {KEY}", f'"{key}"', f"<{key}>", f"{key}\t{KEY}",
        key.replace("t", "%74"), key * 2,
        "globex", "", " ", "null", "*", "'", "sha256:" + "0" * 64, "\u202e" + key, key + "\x00",
        key + "\r\n x",
    ]  # fmt: skip
    for text in (*wrong, hash_key(key), hash_key(key).removeprefix("sha256:")):
        auth = b"Authorization: Bearer " + text.encode() + b"\r\n"
        answer, _ = await everything(server, get(f"/v2/articles?since={EVER}", auth=auth))
        assert answer.status in {400, 401}, text
        assert answer.status == 400 or answer.headers["www-authenticate"].startswith("Bearer")
    for scheme in ("Basic", "Digest", "Token", "Bearer:", "", "Bear er", "Negotiate"):
        auth = f"Authorization: {scheme} {key}\r\n".encode()
        answer, _ = await everything(server, get(f"/v2/articles?since={EVER}", auth=auth))
        assert answer.status == 401, scheme
    for scheme in ("bearer", "BEARER", "Bearer  ", " Bearer"):
        auth = f"Authorization: {scheme} {KEY}  \r\n".encode()
        answer, got = await everything(server, get(f"/v2/articles?since={EVER}", auth=auth))
        assert answer.is_stream, scheme
        assert got.count(b"data: ") == 40


async def test_a_ticket_is_its_partners_alone(server: Delivering) -> None:
    """Globex's ticket opens globex's feed, and acme's key beside it opens neither; one that is pieced
    together of two opens nothing.
    """
    tickets = []
    for key in (KEY, OTHER_KEY):
        auth = ACME.replace(KEY.encode(), key.encode())
        (answer,) = await thrown(
            server.port, b"POST /v2/tickets HTTP/1.1\r\nHost: x\r\n" + auth + b"\r\n", expected=1
        )
        assert answer.status == 201
        tickets.append(str(answer.problem["ticket"]))
    mine, other = tickets
    _, got = await everything(server, get(f"/v2/articles?since={EVER}&ticket={other}", auth=b""))
    assert got.count(OF_GLOBEX) == 60
    _, got = await everything(server, get(f"/v2/articles?since={EVER}&ticket={mine}", auth=b""))
    assert OF_GLOBEX not in got
    assert got.count(b"data: ") == 40
    await is_own_or_refused(server, get(f"/v2/articles?since={EVER}&ticket={other}"))
    await is_own_or_refused(server, get(f"/v2/articles?since={EVER}&ticket={mine}&ticket={other}", auth=b""))
    for cut in range(1, len(mine), 3):
        answer, _ = await everything(
            server, get(f"/v2/articles?since={EVER}&ticket={other[:cut]}{mine[cut:]}", auth=b"")
        )
        assert answer.status in {400, 401} or mine[:cut] == other[:cut] or mine[cut:] == other[cut:], cut


async def test_a_key_in_the_wrong_place_is_not_repeated(server: Delivering) -> None:
    """As a parameter's name, a field's, a part of one, or a value: refused, and with a mark in its place."""
    key = "wrs_aKeyWithoutDashes0123"
    table = f'[acme]\nkeys = ["{hash_key(KEY)}"]\nlimits = {{ requests_per_minute = 0 }}\nfields = ["name"]\n'
    server.file.write_text(table)
    await server.partners.changed(1)
    long, free = "x" * 1_001, f"version.scores.{key}"
    refused: list[tuple[int, dict[str, object]]] = [
        (422, {key: 1}),
        (422, {f"x.{key}": 1}),
        (422, {"fields": [key]}),
        (422, {"fields": [f"version.{key}"]}),
        (422, {"fields": [f"{key}.*"]}),
        (422, {"fields": key}),
        (403, {"fields": [free]}),
        (422, {"filters": [{"field": key, "value": 1}]}),
        (422, {"filters": [{"field": f"name.{key}", "value": 1}]}),
        (422, {"filters": [{"field": f"{free}.*", "value": 1}]}),
        (422, {"filters": [{"field": free, "value": []}]}),
        (422, {"filters": [{"field": free, "value": long}]}),
        (422, {"filters": [{"field": free, "value": {}}]}),
        (422, {"filters": [{"field": "identifier", "value": key}]}),
        (422, {"filters": [{key: "name", "value": 1}]}),
        (403, {"filters": [{"field": free, "value": 1}]}),
        *((422, {name: key}) for name in ("since", "filters", "parts", "offsets", "on_gap")),
        (422, {"parts": [key]}),
        (422, {"offsets": {key: 1}}),
        (422, {"since_per_partition": {"0": key}}),
        (400, {"last_event_id": key}),
    ]
    for status, body in refused:
        said = await problem(server, status, method="POST", data=msgspec.json.encode(body))
        assert "wrs_" not in json.dumps(said), body
    said = await problem(server, 422, method="POST", data=msgspec.json.encode({"fields": [f"version.{key}"]}))
    assert said["detail"] == "field with name '?' not found"
