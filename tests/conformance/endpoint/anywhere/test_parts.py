"""Parts are tenths: together the whole, and nothing twice."""

from tests.conformance.endpoint.lines import Item, vector
from tests.conformance.endpoint.reading import EVER, by_partition, read, streaming, together, upto
from tests.conformance.endpoint.wire import Endpoint

SOME = 60
PARTS = 10


def of_part(part: int, partitions: int) -> range:
    return range(part * partitions // PARTS, (part + 1) * partitions // PARTS)


async def test_ten_parts_are_the_whole(endpoint: Endpoint) -> None:
    """Each has its tenth of the partitions and nothing else, `since` being allowed beside it."""
    whole = await read(endpoint, SOME, query={"since": EVER})
    end = vector(whole[-1].id)

    async def part(number: int) -> list[Item]:
        mine = {p: offset for p, offset in end.items() if p in of_part(number, len(end))}
        async with streaming(endpoint, query={"since": EVER, "parts": str(number)}) as stream:
            return await upto(stream, mine, only=True)

    parts = await together(*map(part, range(PARTS)))
    assert by_partition([item for got in parts for item in got]) == by_partition(whole)


async def test_parts_are_named_in_every_way(endpoint: Endpoint) -> None:
    """Repeated, with commas, in a body: the same partitions. One that is none is refused, as is a position
    in a part that was not asked for.
    """
    whole = await read(endpoint, SOME, query={"since": EVER})
    end = vector(whole[-1].id)
    wanted = set(of_part(1, len(end))) | set(of_part(2, len(end)))
    mine = {p: offset for p, offset in end.items() if p in wanted}
    asked: list[dict[str, object]] = [
        {"query": {"since": EVER, "parts": "1,2"}},
        {"path": endpoint.path + f"?since={EVER}&parts=1&parts=2"},
        {"method": "POST", "body": {"since": EVER, "parts": [2, 1]}},
    ]
    readings = []
    for one in asked:
        async with streaming(endpoint, **one) as stream:
            got = await upto(stream, mine, only=True)
        readings.append(by_partition(got))
    assert readings[0] == readings[1] == readings[2]
    for bad in ("10", "-1", "x", "1.5"):
        await endpoint.problem(422, parameter="parts", query={"parts": bad})
    elsewhere = f'{{"{of_part(3, len(end)).start}": 0}}'
    await endpoint.problem(422, parameter="offsets", query={"parts": "1", "offsets": elsewhere})
