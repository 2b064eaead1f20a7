"""`/v2/stream/{a,b}` over HTTP: each connection walks the feed at its own pace and is cut after a while."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime
from typing import Final

from aiohttp import web

from streamer.sandbox.api import agent_refused
from streamer.sandbox.faults import FaultBox
from streamer.sandbox.feed import BadId, Cursor, Feed, frame, resume, since
from streamer.sandbox.spoil import refusal, reset, spoil

READ: Final = 256
"""Entries at a time: what a slow reader holds in memory."""


class Bell:
    """Wakes all who wait; what came before one began to wait is for the caller to look up."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.cuts = 0
        self.abort = False
        """Whether the last cut was a reset."""
        self.silences = 0
        self.silent_until_s = 0.0
        """On the loop's clock: until then whoever is connected hears nothing, and is not told."""

    def ring(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    def cut(self, *, abort: bool = False) -> None:
        self.cuts += 1
        self.abort = abort
        self.ring()

    def silence(self, seconds: float) -> None:
        """The connections of now stay open without a byte for so long, as behind a router that has forgotten
        them; later ones are served.
        """
        self.silences += 1
        self.silent_until_s = asyncio.get_running_loop().time() + seconds
        self.ring()

    def waiter(self) -> asyncio.Event:
        return self._event


class Streams:
    def __init__(
        self,
        feed: Feed,
        bell: Bell,
        faults: FaultBox,
        requests: Counter[str],
        known: Collection[str],
        *,
        cut_after_s: float,
        from_start: bool,
        on_connect: Callable[[], None],
    ) -> None:
        """`from_start`: without an id a reader gets all from the first event on, as recordings need."""
        self._feed = feed
        self._bell = bell
        self._faults = faults
        self._requests = requests
        self._known = known
        self._cut_after_s = cut_after_s
        self._from_start = from_start
        self._on_connect = on_connect
        self.connections = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self._requests["stream"] += 1
        if agent_refused(request):
            self._requests["stream_refused"] += 1
            return web.Response(status=403, text="Please set a User-Agent that names you.\n")
        fault = self._faults.draw("stream")
        if fault:
            self._requests[f"fault:{fault.kind}"] += 1
            if fault.kind == "ratelimited":
                return refusal(429, fault)
            spoilt = await spoil(request, fault)
            if spoilt is not None:
                return spoilt
        streams = [name for name in request.match_info["streams"].split(",") if name]
        unknown = [name for name in streams if name not in self._known]
        if unknown or not streams:
            return web.json_response({"message": f"Unknown streams: {', '.join(unknown)}"}, status=404)
        try:
            cursor = self._cursor(request, streams)
        except ValueError as error:
            self._requests["stream_bad_id"] += 1
            return web.json_response({"message": str(error)}, status=400)
        self._on_connect()
        as_lines = "application/json" in request.headers.get("Accept", "")
        kind = "application/json" if as_lines else "text/event-stream; charset=utf-8"
        response = web.StreamResponse(headers={"Content-Type": kind, "Cache-Control": "no-cache"})
        self.connections += 1
        try:
            await response.prepare(request)
            await self._run(request, response, cursor, as_lines=as_lines)
        except ConnectionResetError:
            self._requests["stream_gone"] += 1
        finally:
            self.connections -= 1
        return response

    def _cursor(self, request: web.Request, streams: list[str]) -> Cursor:
        feed = self._feed
        last_event_id = request.headers.get("Last-Event-ID") or request.query.get("last_event_id")
        start = request.query.get("since")
        if last_event_id:
            self._requests["stream_resumed"] += 1
            starts = resume(feed, last_event_id)
        elif start:
            starts = since(feed, streams, _time_ms(start))
        elif self._from_start:
            starts = since(feed, streams, 0)
        else:
            starts = {}
        return Cursor(streams, starts, feed.end)

    async def _run(
        self, request: web.Request, response: web.StreamResponse, cursor: Cursor, *, as_lines: bool
    ) -> None:
        cuts, silences = self._bell.cuts, self._bell.silences
        if not as_lines:
            await response.write(b":ok\n\n")
        ends_at_s = asyncio.get_running_loop().time() + self._cut_after_s
        while self._bell.cuts == cuts:
            if self._bell.silences != silences:
                await self._hush(cuts)
                silences = self._bell.silences
                continue
            waiter = self._bell.waiter()
            entries = self._feed.read(cursor.sequence, READ)
            if entries:
                taken = cursor.take(entries)
                frames = (
                    entry.data + b"\n" if as_lines else frame(number, entry.data) for number, entry in taken
                )
                if chunk := b"".join(frames):
                    await response.write(chunk)
                if asyncio.get_running_loop().time() < ends_at_s:
                    continue
            try:
                async with asyncio.timeout_at(ends_at_s):
                    await waiter.wait()
            except TimeoutError:
                self._requests["stream_cut"] += 1
                return
        self._requests["stream_cut"] += 1
        if self._bell.abort:
            reset(request)

    async def _hush(self, cuts: int) -> None:
        """Until the silence is over, however often it is prolonged; a cut ends it."""
        loop = asyncio.get_running_loop()
        while self._bell.cuts == cuts and loop.time() < self._bell.silent_until_s:
            waiter = self._bell.waiter()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._bell.silent_until_s):
                    await waiter.wait()


def _time_ms(text: str) -> int:
    """RFC 3339, or milliseconds; raises BadId."""
    if text.isdecimal():
        return int(text)
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        raise BadId(f"since: {text!r} is no time") from None
