"""Spans to a collector by OTLP/HTTP, in a thread of OpenTelemetry's SDK (the extra `tracing`).

A collector that is slow, down or wrong costs spans and nothing else: at most QUEUE_SPANS wait, what comes
beyond them is dropped and counted. The SDK's variables hold for what is no setting of ours: headers, timeout,
compression and certificates (OTEL_EXPORTER_OTLP_*), what the service is called (OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES), the pause between batches (OTEL_BSP_SCHEDULE_DELAY).
"""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Final, Self

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags

from streamer.logs import silent
from streamer.metrics import TRACING_DROPPED, TRACING_EXPORTED
from streamer.tracing import LIBRARY, Span

QUEUE_SPANS: Final = 4_096
"""Some megabytes at most, and minutes of what a percent of all edits makes."""
BATCH_SPANS: Final = 512
CLOSE_S: Final = 0.5
"""Of the end of a process, within what streamer.pipeline keeps of `drain_s` for closing."""
TELL_EVERY_S: Final = 60.0
SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)

logger = logging.getLogger(__name__)


class _Ids(IdGenerator):
    """Those that the span to be made has."""

    def __init__(self) -> None:
        self.trace = 0
        self.span = 0

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.span


class _Counted(SpanExporter):
    """Counts what becomes of spans, and says where the collector takes none. In the SDK's thread."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.done = 0
        self.is_left = False
        """By the end of the process: nobody listens any more."""
        self._told_s = -TELL_EVERY_S

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self.done += len(spans)
            if result is SpanExportResult.SUCCESS:
                TRACING_EXPORTED.inc(len(spans))
            elif not self.is_left:
                TRACING_DROPPED.labels("refused").inc(len(spans))
                self._tell()
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def _tell(self) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            logger.warning("the collector (tracing.endpoint) takes no spans, they are dropped")


class Exporting:
    """Enter it, `put` spans from the loop's thread, leave it: what is left is sent within CLOSE_S."""

    def __init__(self, url: str, exporter: SpanExporter | None = None) -> None:
        """`url`: where spans are posted. `exporter` instead of OTLP's."""
        self._quiet = ExitStack()
        self._counted = _Counted(exporter or OTLPSpanExporter(endpoint=url))
        self._processor = BatchSpanProcessor(
            self._counted, max_queue_size=2 * QUEUE_SPANS, max_export_batch_size=BATCH_SPANS
        )
        self._ids = _Ids()
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # what is put was chosen before, not by a variable of one process
            resource=_resource(),
            shutdown_on_exit=False,
            id_generator=self._ids,
        )
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("streamer")
        self._put = 0
        self._left = ExitStack()

    def put(self, span: Span) -> None:
        if self._put - self._counted.done >= QUEUE_SPANS:
            TRACING_DROPPED.labels("full").inc()
            return
        self._put += 1
        self._ids.trace, self._ids.span = span.trace, span.id
        parent = trace.set_span_in_context(NonRecordingSpan(_place(span.trace, span.parent)))
        made = self._tracer.start_span(
            span.name,
            parent,
            attributes=span.attributes,
            links=[Link(_place(*each)) for each in span.links],
            start_time=span.start_ns,
        )
        if span.failed:
            made.set_status(Status(StatusCode.ERROR))
        made.end(span.end_ns)

    async def __aenter__(self) -> Self:
        self._quiet.enter_context(silent(LIBRARY))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """A thread that a collector holds is left behind: it ends with the process."""
        with self._quiet:
            ended, loop = asyncio.Event(), asyncio.get_running_loop()

            def close() -> None:
                self._provider.shutdown()
                with suppress(RuntimeError):  # the loop has not waited for it
                    loop.call_soon_threadsafe(ended.set)

            threading.Thread(target=close, name="tracing closes", daemon=True).start()
            try:
                async with asyncio.timeout(CLOSE_S):
                    await ended.wait()
            except TimeoutError:
                self._left = self._quiet.pop_all()
                self._counted.is_left = True
                self._counted.shutdown()  # which ends its pause between two tries
                left = self._put - self._counted.done
                TRACING_DROPPED.labels("closed").inc(left)
                logger.warning("spans were left behind at the end", extra={"spans": left})

    def flush(self) -> None:
        """Waits until all that was put has been sent."""
        self._processor.force_flush()


def _place(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=SAMPLED)


def _resource() -> Resource:
    """What the environment says of the service beats what we say."""
    said = OTELResourceDetector().detect().attributes
    return Resource.create({"service.name": "streamer", **said})
