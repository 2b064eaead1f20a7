"""The service, which says when it is asked (SIGUSR2) how many tasks it has.

    python -m tests.harness.told_tasks …        as `python -m streamer …`

Memory that is free and that an allocator only keeps is given back then, so that what is left is held.
"""

import asyncio
import ctypes
import gc
import json
import os
import signal
import sys
from itertools import count

from streamer.cli import main

_asked = count(1)


def tell(*_: object) -> None:
    """One line on standard error, as log events are: what `harness.service.Service` keeps."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    entry = {"event": "tasks", "number": next(_asked), "count": len(asyncio.all_tasks())}
    os.write(sys.stderr.fileno(), json.dumps(entry).encode() + b"\n")


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, tell)
    main()
