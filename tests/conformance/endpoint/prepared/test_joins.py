"""Who joins late, while records are written, has no hole and nothing twice."""

import asyncio
import random

from tests.conformance.endpoint.articles import Varied
from tests.conformance.endpoint.lines import Item, vector
from tests.conformance.endpoint.reading import EVER, FORMATS, read, streaming
from tests.conformance.endpoint.service import Prepared

JOINS = 100
BATCHES = 40


async def test_a_hundred_joins(prepared: Prepared, rng: random.Random) -> None:
    """Half live, half from the beginning, in both formats, each at a moment of its own: per partition what
    a connection got is exactly the log's, from its first article on.
    """
    reached = [asyncio.Event() for _ in range(BATCHES)]
    joined = asyncio.Semaphore(0)
    total = 0
    last = prepared.page_in_each_partition()

    async def write() -> None:
        nonlocal total
        for batch in range(BATCHES):
            count = rng.randrange(1, 12)
            await prepared.write(Varied(rng.randrange(200)) for _ in range(count))
            total += count
            reached[batch].set()
            await asyncio.sleep(0.01)
        for _ in range(JOINS):
            await joined.acquire()
        # every connection gets to see that the end has come, in whatever partition it is
        await prepared.write(Varied(page, text="the end") for page in last)

    async def join(number: int) -> list[Item]:
        await reached[rng.randrange(BATCHES)].wait()
        fmt, query = FORMATS[number % 2], {"since": EVER} if number % 4 < 2 else {}
        async with streaming(prepared.endpoint, fmt, query=query, gzip=number % 3 == 0) as stream:
            await stream.begun()
            joined.release()
            ends = 0

            def over(found: list[Item]) -> bool:
                nonlocal ends
                ends += b'"the end"' in found[-1].data
                return ends == len(last)

            return await stream.take(over, within_s=60)

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        joins = [group.create_task(join(number)) for number in range(JOINS)]
    whole = await read(prepared.endpoint, total + len(last), query={"since": EVER})
    log = {p: [item.data for item in whole if item.place[0] == p] for p in range(len(last))}
    for number, task in enumerate(joins):
        got: dict[int, list[bytes]] = {p: [] for p in log}
        for item in task.result():
            if item.name == "message":
                got[item.place[0]].append(item.data)
        for partition, lines in got.items():
            wanted = log[partition][-len(lines) :] if number % 4 >= 2 and lines else log[partition]
            assert lines == wanted, f"connection {number}, partition {partition}"
            # a live one has at least what was written behind its join
            assert len(lines) >= sum(b'"the end"' in line for line in log[partition])


async def test_ids_are_one_order_however_a_client_came(prepared: Prepared) -> None:
    """Two that are live at the same time get the same ids, one of them having caught up first."""
    await prepared.write(Varied(page) for page in range(50))
    async with (
        streaming(prepared.endpoint) as live,
        streaming(prepared.endpoint, query={"since": EVER}) as caught_up,
    ):
        await live.beat()
        await caught_up.articles(50)
        await caught_up.beat()
        await prepared.write(Varied(page) for page in range(30))
        ours, theirs = await live.articles(30), await caught_up.articles(30)
    assert [item.id for item in ours] == [item.id for item in theirs]
    assert vector(ours[-1].id) == vector(theirs[-1].id)
