"""`python -m deploy.kafka`: brokers until Ctrl-C; prints how to reach them, a `name=value` a line."""

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from deploy.kafka.artefacts import Unavailable
from deploy.kafka.brokers import Brokers


async def serve(folder: Path, count: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Brokers(folder, count=count) as brokers:
        print(f"bootstrap={brokers.bootstrap}", flush=True)
        await stop.wait()


def main() -> int:
    parser = argparse.ArgumentParser("python -m deploy.kafka", description=__doc__)
    parser.add_argument("--count", type=int, choices=(1, 3), default=1, help="brokers (default 1)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="streamer-kafka-") as folder:
        try:
            asyncio.run(serve(Path(folder), options.count))
        except Unavailable as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
