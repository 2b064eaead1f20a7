"""Another process that appends to the embedded log, as route does in production.

    python -m tests.bench.fanout.publisher FOLDER LOG [--fill RECORDS --size BYTES]

`--fill` first appends so many articles of that size, numbered from 0. Then records come by
tests.bench.fanout.ingest; what came in one piece is one commit. Prints its port once it listens.
"""

import argparse
import asyncio
import json
from itertools import count
from pathlib import Path
from typing import Final

from streamer.log.local import LocalLog
from streamer.loop import run
from tests.bench.fanout.articles import Shelf, numbered, values
from tests.bench.fanout.ingest import listen, port_of
from tests.bench.fanout.ours import settings_of, with_topics

COMMIT_RECORDS: Final = 200


async def main(folder: Path, path: Path, fill: int, size: int) -> None:
    async with LocalLog(path, retention_bytes=64 << 30) as log:
        shelf = Shelf.of(await with_topics(log, settings_of(folder, path)))
        await _fill(log, shelf, fill, size)
        numbers = count(fill)

        arrived: asyncio.Queue[list[bytes]] = asyncio.Queue()
        async with await listen(arrived.put_nowait) as server:
            print(json.dumps({"publish_port": port_of(server)}), flush=True)
            while True:
                await log.append([shelf.record(value, next(numbers)) for value in await arrived.get()])


async def _fill(log: LocalLog, shelf: Shelf, records: int, size: int) -> None:
    made = values(size) if records else []
    for start in range(0, records, COMMIT_RECORDS):
        numbers = range(start, min(records, start + COMMIT_RECORDS))
        await log.append([shelf.record(numbered(made[n % len(made)], n), n) for n in numbers])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--fill", type=int, default=0)
    parser.add_argument("--size", type=int, default=20_000)
    options = parser.parse_args()
    run(main(options.folder, options.log, options.fill, options.size))  # as the service does
