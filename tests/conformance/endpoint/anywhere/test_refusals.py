"""What is told in place of a stream: the status, the parameter at fault, and never more than that."""

import json

import pytest

from tests.conformance.endpoint.lines import epoch, vector
from tests.conformance.endpoint.reading import EVER, TYPES, covering, positions, read, streaming, together
from tests.conformance.endpoint.wire import Endpoint, answered

NEVER = "2999-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        ("since", "yesterday"),
        ("since", ""),
        ("since", "2026-13-01T00:00:00Z"),
        ("since", "2026-01-01 00:00"),
        ("since", NEVER),
        ("parts", "10"),
        ("parts", "x"),
        ("offsets", "{"),
        ("offsets", "[]"),
        ("offsets", '{"0": "1"}'),
        ("offsets", '{"0": true}'),
        ("offsets", '{"0": 1.5}'),
        ("offsets", '{"x": 1}'),
        ("offsets", '{"99999": 1}'),
        ("since_per_partition", '{"0": "never"}'),
        ("since_per_partition", '{"0": 1}'),
        ("since_per_partition", f'{{"0": "{NEVER}"}}'),
        ("filters", "{"),
        ("filters", "{}"),
        ("filters", '[{"field":"name"}]'),
        ("filters", '[{"field":"name","value":null}]'),
        ("filters", '[{"field":"name","value":[]}]'),
        ("filters", '[{"field":"name","value":{"a":1}}]'),
        ("filters", '[{"field":"name","value":1}]'),
        ("filters", '[{"field":"version.is_minor_edit","value":"true"}]'),
        ("filters", '[{"field":"nmae","value":"x"}]'),
        ("filters", '[{"field":"version","value":"x"}]'),
        ("filters", json.dumps([{"field": "name", "value": "x" * 1001}])),
        ("filters", json.dumps([{"field": "name", "value": "x"}] * 101)),
        ("fields", "nmae"),
        ("on_gap", "maybe"),
        ("colour", "red"),
    ],
)
async def test_a_parameter_that_makes_no_sense_is_named(
    endpoint: Endpoint, parameter: str, text: str
) -> None:
    """422, in a query and, where it is longer than a query may be, in a body."""
    if len(text) < 2_000:
        await endpoint.problem(422, parameter=parameter, query={parameter: text})
    else:
        await endpoint.problem(422, parameter=parameter, method="POST", body={parameter: json.loads(text)})


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "0",
        "e7c14a09",
        "e7c14a09.",
        "e7c14a09.0:-1",
        "e7c14a09.0:1,0:2",
        "e7c14a09.0:1,",
        "e7c14a09.99999:1",
        "E7C14A09.0:1",
        "e7c14a09.0:99999999999999999999",
        "[]",
        "[1]",
        "[{",
        '[{"topic":1}]',
        '[{"topic":"t","partition":-1,"offset":1}]',
        '[{"topic":"t","partition":0}]',
        '[{"topic":"t","partition":0,"offset":1,"timestamp":1}]',
        '[{"topic":"t","partition":0,"offset":1},{"topic":"u","partition":1,"offset":1}]',
        "e7c14a09." + ",".join(f"{p}:1" for p in range(700)),
    ],
)
async def test_a_malformed_position_is_a_bad_request(endpoint: Endpoint, text: str) -> None:
    """400, by the header and by the parameter."""
    await endpoint.problem(400, parameter="last_event_id", headers={"Last-Event-ID": text})
    await endpoint.problem(400, parameter="last_event_id", method="POST", body={"last_event_id": text})


async def test_a_position_that_cannot_be_is_a_bad_request(endpoint: Endpoint) -> None:
    """Negative, beyond the end, of an impossible time: 400, whatever form it has."""
    (item,) = await read(endpoint, 1, query={"since": EVER})
    partition, _ = item.place
    beyond = {p: offset if p != partition else 2**53 for p, offset in vector(item.id).items()}
    far = f"{epoch(item.id)}." + ",".join(f"{p}:{offset}" for p, offset in beyond.items())
    await together(
        endpoint.problem(400, parameter="last_event_id", headers={"Last-Event-ID": far}),
        *(
            endpoint.problem(400, parameter="offsets", query={"offsets": positions({partition: offset})})
            for offset in (2**53, -1, 2**63)
        ),
    )


async def test_a_position_in_a_feed_that_was_made_anew_is_gone(endpoint: Endpoint) -> None:
    """An epoch that no feed has any more: 410, and its `earliest` works; with on_gap=continue a `gap` that
    says where it goes on, and then the articles. NDJSON cannot say that: 410 whatever is asked for.
    """
    items = await read(endpoint, 5, query={"since": EVER})
    old = "0badc0de." + items[0].id.partition(".")[2]
    gone = {"headers": {"Last-Event-ID": old}}
    problem = await endpoint.problem(410, parameter="last_event_id", **gone)
    earliest = problem["earliest"]
    assert isinstance(earliest, str)
    assert epoch(earliest) == epoch(items[0].id)
    assert vector(earliest).keys() == vector(items[0].id).keys()
    async with streaming(endpoint, headers={"Last-Event-ID": earliest}) as stream:
        again = await covering(stream, items)
    assert all(again[item.place].data == item.data for item in items)
    await endpoint.problem(
        410,
        query={"on_gap": "continue"},
        headers={"Last-Event-ID": old, "Accept": TYPES["ndjson"]},
    )
    async with streaming(endpoint, query={"on_gap": "continue"}, **gone) as stream:
        (gap,) = await stream.take(lambda _: True)
        rest = await covering(stream, items)
    assert gap.name == "gap"
    assert gap.object["reason"] == "recreated"
    assert gap.id == gap.object["position"] == earliest
    assert all(rest[item.place].data == item.data for item in items)


async def test_keys(endpoint: Endpoint) -> None:
    """None, a wrong one, another scheme: 401 that says how to ask. In a URL: 400, for it stands in logs now.
    The key itself is in no answer (`told` looks).
    """
    for authorization in (
        "",
        "Bearer wrs_wrong",
        f"Basic {endpoint.key}",
        "Bearer",
        f"bearer x{endpoint.key}",
    ):
        headers = {"Authorization": authorization} if authorization else {}
        await endpoint.problem(401, headers=headers, key="")
    for name in ("access_token", "key", "token", "apikey"):
        await endpoint.problem(400, key="", query={name: str(endpoint.key)})
    async with endpoint.ask(headers={"Authorization": f"bearer   {endpoint.key}"}) as answer:
        assert answer.status == 200, "the scheme's name is not case-sensitive"


async def test_media_types(endpoint: Endpoint) -> None:
    """The better liked of two, SSE where it does not matter, 406 where neither will do."""
    for accept, wanted in [
        ("*/*", "sse"),
        ("text/*", "sse"),
        ("application/x-ndjson", "ndjson"),
        ("application/x-ndjson;q=0.4, text/event-stream;q=0.5", "sse"),
        ("text/event-stream;q=0.4, application/x-ndjson;q=0.5", "ndjson"),
        ("text/html, application/x-ndjson;q=0.1", "ndjson"),
        ("text/event-stream;q=0, */*", "ndjson"),
    ]:
        async with endpoint.ask(headers={"Accept": accept}) as answer:
            assert answer.status == 200, accept
            assert answer.header("content-type").startswith(TYPES[wanted]), accept  # type: ignore[index] # a format
    for accept in ("text/html", "application/json", "text/event-stream;q=0", "x"):
        await endpoint.problem(406, headers={"Accept": accept})


async def test_routes_and_methods(endpoint: Endpoint) -> None:
    """404 for no route, 405 with `Allow` for no method of it."""
    for path in (f"{endpoint.path}/x", "/v1/articles", f"{endpoint.path}//", "/%2e%2e/etc/passwd"):
        await endpoint.problem(404, path=path)
    for method in ("DELETE", "PUT", "PATCH"):
        async with endpoint.ask(method) as answer:
            await endpoint.told(answer, 405)
            assert {"get", "post"} <= answer.names("allow")


async def test_bodies_and_targets_that_are_too_much(endpoint: Endpoint) -> None:
    """413 and 414; and bodies that are no JSON object are 400."""
    await endpoint.problem(413, method="POST", body=b" " * 300_000)
    await endpoint.problem(414, query={"since": "x" * 9_000})
    for bad in (b"{", b"[]", b'"x"', b"\xff", b'{"since":"2001-01-15T00:00:00Z"} x', b"[" * 5_000):
        await endpoint.problem(400, method="POST", body=bad)


async def test_what_is_no_http(endpoint: Endpoint) -> None:
    """An answer in the contract's form that repeats nothing, or a closed connection."""
    for text in (
        b"GET /v2/articles HTTP/1.1\r\nHost: x\r\nAuthorization Bearer KEY\r\n\r\n",
        b"KEY /v2/articles HTTP/1.1\r\n\r\n",
        b"GET /v2/articles HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\x00\r\n\r\n",
    ):
        async with endpoint.connected() as (reader, writer):
            writer.write(text.replace(b"KEY", endpoint.key.encode()))
            try:
                answer = await answered(reader, writer)
            except (AssertionError, ConnectionError):
                assert reader.at_eof(), "neither an answer nor an end"
                continue
            assert answer.status in (400, 401)
            await endpoint.told(answer, answer.status)
