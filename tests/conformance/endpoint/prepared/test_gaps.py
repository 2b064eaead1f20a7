"""What can't be resumed is said, and from where it can: never a hole in silence."""

import json
from collections.abc import Awaitable, Callable

from tests.conformance.endpoint.articles import Varied
from tests.conformance.endpoint.lines import epoch, vector
from tests.conformance.endpoint.reading import EVER, TYPES, by_partition, positions, read, streaming
from tests.conformance.endpoint.service import Prepared

NDJSON = {"Accept": TYPES["ndjson"]}


async def test_an_expired_position(prepared: Prepared) -> None:
    """410 with an `earliest` that works, by id, offsets and NDJSON; `gap` with on_gap=continue, whose id is
    the client's next one; and what was not expired can still be resumed.
    """
    await prepared.write(Varied(page) for page in range(20))
    items = await read(prepared.endpoint, 20, query={"since": EVER})
    first, last = items[0].id, items[-1].id
    await prepared.expire()
    await prepared.write(Varied(page) for page in range(20))
    kept = by_partition(await read(prepared.endpoint, 20, query={"since": EVER}))
    endpoint = prepared.endpoint
    resuming = {"headers": {"Last-Event-ID": first}}
    problem = await endpoint.problem(410, parameter="last_event_id", **resuming)
    assert problem["type"] == "urn:streamer:problem:expired"
    earliest = str(problem["earliest"])
    assert vector(earliest) == vector(last), "all before it was deleted, all behind it is there"
    assert by_partition(await read(endpoint, 20, headers={"Last-Event-ID": earliest})) == kept
    assert by_partition(await read(endpoint, 20, headers={"Last-Event-ID": last})) == kept
    offsets = positions(vector(first))
    await endpoint.problem(410, parameter="offsets", query={"offsets": offsets})
    await endpoint.problem(
        410, query={"offsets": offsets, "on_gap": "continue"}, headers=NDJSON, parameter="offsets"
    )
    await endpoint.problem(410, query={"on_gap": "continue"}, headers={**NDJSON, "Last-Event-ID": first})
    async with streaming(endpoint, query={"on_gap": "continue"}, **resuming) as stream:
        gap, *rest = await stream.take(lambda found: len(found) == 21)
    assert (gap.name, gap.object["reason"]) == ("gap", "expired")
    assert vector(gap.id) == vector(earliest)
    assert by_partition(rest) == kept


async def test_a_gap_in_some_partitions_alone(prepared: Prepared) -> None:
    """Who asks for an expired offset of one partition is told; partitions that start live stay live."""
    await prepared.write(Varied(page) for page in range(20))
    items = await read(prepared.endpoint, 20, query={"since": EVER})
    await prepared.expire()
    partition, _ = items[0].place
    end = vector(items[-1].id)
    query = {"offsets": positions({partition: 0}), "on_gap": "continue"}
    await prepared.endpoint.problem(410, parameter="offsets", query={"offsets": query["offsets"]})
    async with streaming(prepared.endpoint, query=query) as stream:
        gap, *_ = await stream.take(lambda found: found[-1].name == "gap")
        assert vector(gap.id) == end
        await prepared.write([Varied(1)])
        (item,) = await stream.articles(1)
        assert item.place[1] == end[item.place[0]]


async def test_a_feed_that_was_made_anew(prepared: Prepared) -> None:
    """Live streams end with `bye: expired`; the old ids are 410, and the ids of the new one have another
    epoch, with which all is as in any feed.
    """
    endpoint = prepared.endpoint
    await prepared.write(Varied(page) for page in range(10))
    items = await read(endpoint, 10, query={"since": EVER})
    async with streaming(endpoint, headers={"Last-Event-ID": items[-1].id}) as stream:
        await prepared.recreate()
        *_, bye = await stream.end()
        assert (bye.name, bye.object, stream.torn) == ("bye", {"reason": "expired"}, False)
    await prepared.write(Varied(page) for page in range(5))
    problem = await endpoint.problem(410, headers={"Last-Event-ID": items[4].id})
    assert problem["type"] == "urn:streamer:problem:recreated"
    assert epoch(str(problem["earliest"])) == await prepared.epoch() != epoch(items[0].id)
    again = await read(endpoint, 5, headers={"Last-Event-ID": str(problem["earliest"])})
    assert {epoch(item.id) for item in again} == {await prepared.epoch()}
    async with streaming(
        endpoint, headers={"Last-Event-ID": items[4].id}, query={"on_gap": "continue"}
    ) as stream:
        gap, *rest = await stream.take(lambda found: len(found) == 6)
    assert (gap.name, gap.object["reason"]) == ("gap", "recreated")
    assert by_partition(rest) == by_partition(again)


async def test_a_position_of_another_feed(
    prepared: Prepared, prepare: Callable[..., Awaitable[Prepared]]
) -> None:
    """400, as an id and by its topic: never 410, which would say that it was once right; never its data."""
    other = await prepare()
    await other.write([Varied(1)])
    await prepared.write([Varied(1)])
    (item,) = await read(other.endpoint, 1, query={"since": EVER})
    for position in (
        item.id,
        json.dumps([{"topic": other.topic, "partition": 0, "offset": 0}]),
        json.dumps([{"topic": other.topic, "partition": 0, "timestamp": 0}]),
    ):
        for query in ({}, {"on_gap": "continue"}):
            await prepared.endpoint.problem(
                400, parameter="last_event_id", headers={"Last-Event-ID": position}, query=query
            )


async def test_what_was_withdrawn_is_not_resumed(prepared: Prepared) -> None:
    """From the beginning and from a border before it: everything but the withdrawn text."""
    await prepared.write(Varied(page) for page in range(20))
    items = await read(prepared.endpoint, 20, query={"since": EVER})
    await prepared.withdraw(7)
    hidden = prepared.page(7)
    await prepared.write([Varied(30)])
    for after, asked in [(0, {"query": {"since": EVER}}), (3, {"headers": {"Last-Event-ID": items[2].id}})]:
        left = [item for item in items[after:] if item.object["identifier"] != hidden]
        async with streaming(prepared.endpoint, **asked) as stream:  # type: ignore[arg-type] # its arguments
            got = await stream.articles(len(left) + 1)
        assert [item.object["identifier"] for item in got].count(hidden) == 0
        wanted = by_partition(left)
        new = by_partition(got)
        assert all(lines == new[partition][: len(lines)] for partition, lines in wanted.items())
