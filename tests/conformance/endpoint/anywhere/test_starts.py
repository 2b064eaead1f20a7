"""Where a stream begins: which parameter says it, and which beats which."""

import json

import pytest

from tests.conformance.endpoint.lines import vector
from tests.conformance.endpoint.reading import EVER, by_partition, positions, read, streaming, upto
from tests.conformance.endpoint.wire import Endpoint

SOME = 30


async def test_the_position_that_is_nearest_to_the_client_wins(endpoint: Endpoint) -> None:
    """`Last-Event-ID` beats `last_event_id` beats `offsets` beats `since_per_partition` beats `since`."""
    items = await read(endpoint, SOME, query={"since": EVER})
    end = vector(items[-1].id)
    old, new = items[SOME // 3].id, items[2 * SOME // 3].id
    beginning = {str(partition): EVER for partition in end}
    stages: list[tuple[dict[str, object], int]] = [
        ({"headers": {"Last-Event-ID": new}, "query": {"last_event_id": old}}, 2 * SOME // 3),
        ({"query": {"last_event_id": new, "offsets": positions(vector(old))}}, 2 * SOME // 3),
        (
            {"query": {"offsets": positions(vector(new)), "since_per_partition": json.dumps(beginning)}},
            2 * SOME // 3,
        ),
        ({"headers": {"Last-Event-ID": new}, "query": {"since": EVER}}, 2 * SOME // 3),
        ({"query": {"offsets": positions(vector(new)), "since": EVER}}, 2 * SOME // 3),
        ({"query": {"since_per_partition": json.dumps(beginning), "since": "2025-01-01T00:00:00Z"}}, -1),
    ]
    for asked, border in stages:
        async with streaming(endpoint, **asked) as stream:
            got = await upto(stream, end)
        assert by_partition(got) == by_partition(items[border + 1 :]), asked


async def test_since_before_everything_starts_at_the_earliest(endpoint: Endpoint) -> None:
    """In each way of writing a time, and by KafkaSSE's timestamps, which name a topic that must be this one:
    a foreign name is a 400.
    """
    end = vector((await read(endpoint, SOME, query={"since": EVER}))[-1].id)
    readings = []
    for since in (EVER, "2001-01-15T01:00:00+01:00", "2001-01-15T00:00:00.123456Z", "0001-01-01T00:00:00Z"):
        async with streaming(endpoint, query={"since": since}) as stream:
            readings.append(by_partition(await upto(stream, end)))
    async with streaming(endpoint, method="POST", body={"since": EVER}) as stream:
        readings.append(by_partition(await upto(stream, end)))
    assert all(reading == readings[0] for reading in readings)
    foreign = json.dumps([{"topic": "eqiad.mediawiki.recentchange", "partition": 0, "timestamp": 1}])
    await endpoint.problem(400, parameter="last_event_id", headers={"Last-Event-ID": foreign})


async def test_without_a_position_the_stream_is_live(endpoint: Endpoint) -> None:
    """What came before is not sent: the first article lies beyond all that was there when it was opened."""
    async with streaming(endpoint) as stream:
        try:
            (live,) = await stream.articles(1)
        except TimeoutError:
            pytest.skip("no article came while this test waited")
    partition, offset = live.place
    now = vector(live.id)
    async with streaming(endpoint, query={"since": EVER}) as stream:
        old = await upto(stream, {partition: offset})
    assert all(item.place[1] < offset for item in old if item.place[0] == partition)
    assert now[partition] == offset + 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_parameters_stand_in_a_query_or_in_a_body(endpoint: Endpoint, method: str) -> None:
    """A JSON body on GET too; null and empty lists are "not given", as Enterprise's SDKs send them."""
    body = {"since": EVER, "fields": None, "filters": [], "parts": [], "offsets": None}
    items = await read(endpoint, SOME, "ndjson", method=method, body=body)
    asked = await read(endpoint, SOME, "ndjson", query={"since": EVER})
    wanted = by_partition(asked)
    for partition, lines in by_partition(items).items():
        both = min(len(lines), len(wanted.get(partition, [])))
        assert lines[:both] == wanted.get(partition, [])[:both]
    await endpoint.problem(422, parameter="since", method=method, query={"since": EVER}, body={"since": EVER})
