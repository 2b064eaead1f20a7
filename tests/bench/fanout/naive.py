"""The usual way with aiohttp, as a process: a queue, a coroutine, and a StreamResponse.write for each event.

    python -m tests.bench.fanout.naive

Framed and encoded by each client's coroutine, as libraries for server-sent events do; for a client that takes
gzip a compressor of its own, flushed after each event. Records come by tests.bench.fanout.ingest. Prints one
line of JSON once it listens: its ports.
"""

import asyncio
import json
import zlib
from itertools import count

from aiohttp import web
from uvloop import new_event_loop

from tests.bench.fanout.ingest import listen, port_of

GZIP_WBITS = 31
Event = tuple[int, str]


class Broadcast:
    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[Event]] = set()
        self._numbers = count()

    def publish(self, values: list[bytes]) -> None:
        for value in values:
            event = (next(self._numbers), value.decode())
            for queue in self._queues:
                queue.put_nowait(event)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        deflate = None
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            response.headers["Content-Encoding"] = "gzip"
            deflate = zlib.compressobj(wbits=GZIP_WBITS)
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._queues.add(queue)  # before the first byte: what is published behind it comes
        try:
            await response.prepare(request)
            await response.write(packed(b": ok\n\n", deflate))
            while True:
                number, text = await queue.get()
                await response.write(packed(f"id: {number}\ndata: {text}\n\n".encode(), deflate))
        finally:
            self._queues.discard(queue)


def packed(data: bytes, deflate: "zlib._Compress | None") -> bytes:
    return data if deflate is None else deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)


async def main() -> None:
    broadcast = Broadcast()
    app = web.Application()
    app.router.add_get("/", broadcast.stream)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    async with await listen(broadcast.publish) as ingest:
        print(json.dumps({"port": runner.addresses[0][1], "publish_port": port_of(ingest)}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())
