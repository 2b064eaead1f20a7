"""`python -m deploy.kafka`: brokers until Ctrl-C; prints how to reach them, a `name=value` a line."""

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from deploy.kafka.artefacts import Unavailable
from deploy.kafka.brokers import Brokers


async def serve(folder: Path, count: int, *, secure: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Brokers(folder, count=count, secure=secure) as brokers:
        print(f"bootstrap={brokers.bootstrap}")
        if secure:
            print(f"username={brokers.username}")
            print(f"password={brokers.password}")
            print(f"ca_file={brokers.ca_file}")
        sys.stdout.flush()
        await stop.wait()


def main() -> int:
    parser = argparse.ArgumentParser("python -m deploy.kafka", description=__doc__)
    parser.add_argument("--count", type=int, choices=(1, 3), default=1, help="brokers (default 1)")
    parser.add_argument("--secure", action="store_true", help="SASL/SCRAM over TLS, and ACLs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="streamer-kafka-") as folder:
        try:
            asyncio.run(serve(Path(folder), options.count, secure=options.secure))
        except Unavailable as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
