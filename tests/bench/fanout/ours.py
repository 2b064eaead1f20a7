"""Ours, as a process: the role deliver with a real partner, key and headers; records come by TCP.

    python -m tests.bench.fanout.ours FOLDER [--log PATH]

Without a log of its own records come in here, by tests.bench.fanout.ingest, and go into a RecentLog. With
`--log` it follows an embedded log that another process writes (tests.bench.fanout.publisher).
Prints one line of JSON once it listens: its ports.
"""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Final

from streamer.config import DeliverSettings, LogSettings, Settings
from streamer.deliver.server import run_deliver
from streamer.log.base import Log
from streamer.log.local import LocalLog
from streamer.loop import run
from streamer.partners import PartnersWatch, hash_key
from streamer.runtime import Runtime, article_spec, topic_specs
from tests.bench.fanout.articles import Shelf
from tests.bench.fanout.ingest import listen, port_of
from tests.bench.fanout.recent_log import RecentLog

PARTNER: Final = "acme"
KEY: Final = "wrs_the-key-of-a-benchmark"
MAX_CONNECTIONS: Final = 100_000
NO_LIMITS: Final = "limits = { connections = 0, requests_per_minute = 0, bytes_per_second = 0 }"


def settings_of(folder: Path, log: Path | None) -> Settings:
    return Settings(
        log=LogSettings(path=str(log or folder / "unused.db"), retention_gb=64.0),
        deliver=DeliverSettings(port=0, max_connections=MAX_CONNECTIONS),
    )


async def with_topics(log: Log, settings: Settings) -> str:
    """Makes them; the partner's."""
    runtime = Runtime(settings, log)
    topic = runtime.topics.of_partner(PARTNER)
    await log.ensure_topics([*topic_specs(settings), article_spec(settings, topic)])
    return topic


async def main(folder: Path, log_path: Path | None) -> None:
    settings = settings_of(folder, log_path)
    file = folder / "partners.toml"
    file.write_text(f'[{PARTNER}]\nkeys = ["{hash_key(KEY)}"]\n{NO_LIMITS}\n', encoding="utf-8")
    async with _opened(log_path, settings) as (log, ingest_port):
        runtime = Runtime(settings, log)
        partners = PartnersWatch(file)

        def listening(port: int) -> None:
            print(json.dumps({"port": port, "publish_port": ingest_port}), flush=True)

        async with asyncio.TaskGroup() as group:
            group.create_task(partners.run())
            group.create_task(run_deliver(runtime, partners, on_listening=listening))


@asynccontextmanager
async def _opened(path: Path | None, settings: Settings) -> AsyncIterator[tuple[Log, int]]:
    """The log, and where records are taken; 0: nowhere."""
    if path is not None:
        async with LocalLog(path, retention_bytes=64 << 30) as local:
            await with_topics(local, settings)
            yield local, 0
        return
    log = RecentLog(Runtime(settings, None).clock)  # type: ignore[arg-type] # for its clock alone
    shelf = Shelf.of(await with_topics(log, settings))
    numbers = count()

    def take(values: list[bytes]) -> None:
        log.put([shelf.record(value, next(numbers)) for value in values])

    server = await listen(take)
    async with server:
        yield log, port_of(server)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--log", type=Path)
    options = parser.parse_args()
    run(main(options.folder, options.log))  # as the service does
