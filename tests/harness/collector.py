"""A collector of traces as OTLP/HTTP has it: takes what is posted, decodes it, keeps it."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Collected:
    """Ids in hexadecimal; times in Unix nanoseconds."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, str | int]
    failed: bool


@dataclass
class Collector:
    port: int
    spans: list[Collected] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def until(self, holds: Callable[[list[Collected]], bool]) -> None:
        """Waits for what was collected to be so; a failure tells what was there instead."""
        try:
            async with asyncio.timeout(PATIENCE_S), self._changed:
                await self._changed.wait_for(lambda: holds(self.spans))
        except TimeoutError:
            raise AssertionError("\n".join(map(str, self.spans))) from None

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body.startswith(b"\x1f\x8b"):
            body = gzip.decompress(body)
        self.raw.append(body)
        self.headers.append(dict(request.headers))
        asked = ExportTraceServiceRequest.FromString(body)
        async with self._changed:
            for resource in asked.resource_spans:
                service = _values(resource.resource.attributes)["service.name"]
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        self.spans.append(
                            Collected(
                                service=str(service),
                                name=span.name,
                                trace=span.trace_id.hex(),
                                id=span.span_id.hex(),
                                parent=span.parent_span_id.hex(),
                                start_ns=span.start_time_unix_nano,
                                end_ns=span.end_time_unix_nano,
                                attributes=_values(span.attributes),
                                failed=span.status.code == span.status.STATUS_CODE_ERROR,
                            )
                        )
            self._changed.notify_all()
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")


def _values(pairs: Any) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        found[pair.key] = getattr(pair.value, kind)
    return found


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    app = web.Application()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    collector = Collector(0)
    app.router.add_post("/v1/traces", collector.take)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        collector.port = runner.addresses[0][1]
        yield collector
    finally:
        await runner.cleanup()
