"""Spans: whose they are, that off is off, and that a collector disturbs nobody."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from streamer import otlp
from streamer.config import Settings, TracingSettings
from streamer.errors import ConfigError
from streamer.log.base import Record, Stored
from streamer.metrics import REGISTRY
from streamer.model import Change, identifier_of_revision
from streamer.otlp import Exporting
from streamer.traceparent import traceparent_of
from streamer.tracing import Journey, Span, Tracing, opened

PARTNER = "acme"
NOWHERE = "http://127.0.0.1:9/v1/traces"


def change_of(revision: int = 5, **over: Any) -> Change:
    identifier = identifier_of_revision("enwiki", revision)
    fields = {"kind": "edit", "wiki": "enwiki", "server_name": "en.example.org", "title": "Secret"}
    times = {"namespace": 0, "edited_ms": 1, "upstream_ms": 2}
    return Change(
        **{**fields, **times, "identifier": identifier, "traceparent": traceparent_of(identifier), **over}
    )


def record_of(change: Change, key: str) -> Record:
    headers = (
        ("ce_id", change.identifier.encode()),
        ("kind", change.kind.encode()),
        ("traceparent", change.traceparent.encode()),
    )
    return Record("topic", 0, key, b"{}", headers)


def stored_of(record: Record) -> Stored:
    return Stored(record.topic, record.partition, 7, 1_000, record.key, record.value, record.headers)


def enrich(tracing: Tracing, change: Change) -> Journey | None:
    """What the stage does with one."""
    journey = tracing.journey(change, stored_of(record_of(change, "enwiki")))
    if journey is not None:
        tracing.asked([journey], "revision", "ok", 1, 0.001)
        journey.outcome = "published"
        tracing.enriched(change, journey, 11, tracing.now_ns())
    return journey


def dropped(reason: str) -> float:
    return REGISTRY.get_sample_value("streamer_tracing_dropped_spans_total", {"reason": reason}) or 0


def names(exporter: InMemorySpanExporter) -> list[str]:
    return [span.name for span in exporter.get_finished_spans()]


class Held(SpanExporter):
    """A collector that answers once it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.go.wait()
        self.taken += len(spans)
        return SpanExportResult.SUCCESS


class Broken(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if len(spans) > 1:
            raise OSError("what a library was given")
        return SpanExportResult.FAILURE


def a_span(number: int = 1) -> Span:
    return Span("text", 1 << 64, number, 2, 1, 2, {"stage": "enrich"})


# ── whose spans they are ───────────────────────────────────────────────────────────────────────


async def test_processes_that_never_talk_make_one_trace() -> None:
    """Each with an SDK of its own: ids and parents fit, and the root is what `traceparent` names."""
    exporters = [InMemorySpanExporter() for _ in range(4)]
    change, partner_key = change_of(), "enwiki:9"
    async with (
        Exporting(NOWHERE, exporters[0]) as source,
        Exporting(NOWHERE, exporters[1]) as enriching,
        Exporting(NOWHERE, exporters[2]) as routing,
        Exporting(NOWHERE, exporters[3]) as delivering,
    ):
        Tracing(1.0, source.put).sourced([record_of(change, "enwiki")], lambda _: 5)
        assert enrich(Tracing(1.0, enriching.put), change)
        article = record_of(change, partner_key)
        Tracing(1.0, routing.put).routed(PARTNER, [article], 6)
        delivery = Tracing(1.0, delivering.put).delivery(PARTNER, stored_of(article))
        assert delivery
        delivery.written()
        for one in (source, enriching, routing, delivering):
            one.flush()
    spans = {span.name: span for exporter in exporters for span in exporter.get_finished_spans()}
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {
        change.identifier.replace("-", "")
    }
    above = {span.context.span_id: name for name, span in spans.items()}
    assert {name: span.parent and above[span.parent.span_id] for name, span in spans.items()} == {
        "source": None,
        "enrich": "source",
        "wait": "enrich",
        "origin": "enrich",
        "commit": "enrich",
        "route": "enrich",
        "deliver": "route",
    }
    assert f"{spans['source'].context.span_id:016x}" == change.traceparent[36:52]
    assert spans["source"].start_time == 5
    assert dict(spans["route"].attributes or {}) == {
        "stage": "route", "wiki": "enwiki", "kind": "edit", "partner": PARTNER, "size_bytes": 2,
    }  # fmt: skip
    assert not any("Secret" in span.to_json() for span in spans.values())


def test_all_roles_choose_the_same_changes() -> None:
    """By the trace's id alone, whatever flag somebody gave it; what has no trace that is one has none."""
    spans: list[Span] = []
    tracing = Tracing(0.2, spans.append)
    changes = [change_of(revision) for revision in range(300)]
    for change in changes:
        tracing.sourced([record_of(change, "enwiki")], lambda _: 1)
        enrich(tracing, change)
        article = record_of(change, "enwiki:9")
        tracing.routed(PARTNER, [article], 1)
        if delivery := tracing.delivery(PARTNER, stored_of(article)):
            delivery.written()
    by_stage: dict[str, set[int]] = {}
    for span in spans:
        by_stage.setdefault(str(span.attributes["stage"]), set()).add(span.trace)
    assert set(by_stage) == {"source", "enrich", "route", "deliver"}
    assert len({frozenset(traces) for traces in by_stage.values()}) == 1
    assert 20 < len(by_stage["source"]) < 120
    whole = Tracing(1.0, spans.append)
    for broken in ("", "00-", "00-" + "x" * 32 + "-1-01", "\x00" * 60):
        assert whole.trace_of(broken) == 0
        assert whole.delivery(PARTNER, stored_of(record_of(change_of(traceparent=broken), "a:1"))) is None


def test_those_that_share_a_request_are_linked() -> None:
    """Each has a span of it, with the others as links, and none to itself; a failure is one."""
    spans: list[Span] = []
    tracing = Tracing(1.0, spans.append)
    changes = [change_of(revision) for revision in (5, 6, 7)]
    made = [tracing.journey(change, stored_of(record_of(change, "enwiki"))) for change in changes]
    journeys = [journey for journey in made if journey]
    tracing.asked([*journeys, journeys[0]], "revision", "status_429", 50, 0.25)
    tracing.enriched(changes[0], journeys[0], 0, tracing.now_ns())
    asked = [span for span in spans if span.name == "origin"]
    enriched = next(span for span in spans if span.name == "enrich")
    (origin,) = asked
    assert origin.failed
    assert dict(origin.attributes) == {
        "stage": "enrich", "by": "revision", "outcome": "status_429", "batch_size": 50,
    }  # fmt: skip
    assert [trace for trace, _ in origin.links] == [journeys[1].trace, journeys[2].trace]
    assert origin.end_ns - origin.start_ns == 250_000_000
    assert enriched.id not in {span for _, span in origin.links}


def test_what_no_source_told_of_has_a_root_all_the_same() -> None:
    """A replay begins with what appended it."""
    spans: list[Span] = []
    change = change_of(kind="refresh", replays="edit", cause="replay")
    enrich(Tracing(1.0, spans.append), change)
    root, enriched = spans[0], spans[1]
    assert (root.name, root.parent, f"{root.id:016x}") == ("replay", 0, change.traceparent[36:52])
    assert (enriched.name, enriched.parent) == ("enrich", root.id)
    assert root.start_ns == 1_000_000_000


# ── off is off ─────────────────────────────────────────────────────────────────────────────────


def test_without_an_endpoint_nothing_is_imported() -> None:
    """Not a module of OpenTelemetry in a process with all roles, nor is there anybody to tell."""
    program = """
import asyncio, sys
from streamer import cli, pipeline
from streamer.config import Settings
from streamer.tracing import opened
async def main():
    async with opened(Settings()) as tracing:
        assert tracing is None
asyncio.run(main())
print([name for name in sys.modules if name.startswith(("opentelemetry", "google.protobuf", "requests"))])
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("endpoint", "sample", "disabled"), [("", 1.0, ""), ("http://x", 0.0, ""), ("http://x", 1.0, "true")]
)
async def test_what_turns_it_off(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, sample: float, disabled: str
) -> None:
    """No endpoint, nothing to record, or the SDK's own switch."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", disabled)
    async with opened(Settings(tracing=TracingSettings(endpoint, sample))) as tracing:
        assert tracing is None


async def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sets an endpoint without the packages is told what to install."""
    monkeypatch.delitem(sys.modules, "streamer.otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigError, match=r"tracing\.endpoint: .*pip install 'streamer\[tracing\]'"):
        async with opened(Settings(tracing=TracingSettings("http://127.0.0.1:4318"))):
            pass


async def test_a_wrong_variable_of_the_sdk_is_a_mistake_with_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a traceback."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "-1")
    with pytest.raises(ConfigError, match=r"OTEL_\*: .*schedule_delay"):
        async with opened(Settings(tracing=TracingSettings("http://127.0.0.1:4318"))):
            pass


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("https://tracing.example/otlp/", "https://tracing.example/otlp/v1/traces"),
        ("https://tracing.example/v1/traces", "https://tracing.example/v1/traces"),
    ],
)
def test_an_endpoint_is_as_the_sdk_has_it(endpoint: str, url: str) -> None:
    """The base; the path of traces is added where it is not there."""
    assert TracingSettings(endpoint).url == url


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4318", "grpc://collector:4317", "http://user:pw@collector"])
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    """Before anything starts. Secrets go into OTEL_EXPORTER_OTLP_HEADERS."""
    with pytest.raises(ValueError, match="endpoint"):
        TracingSettings(endpoint)


# ── the collector ──────────────────────────────────────────────────────────────────────────────


async def test_what_waits_for_a_slow_collector_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the queue spans are dropped and counted; what waited is sent once it answers."""
    monkeypatch.setattr(otlp, "QUEUE_SPANS", 300)
    before, held = dropped("full"), Held()
    async with Exporting(NOWHERE, held) as exporting:
        for number in range(330):
            exporting.put(a_span(number + 1))
        assert dropped("full") - before == 30
        held.go.set()
        exporting.flush()
    assert held.taken == 300


async def test_what_a_collector_refuses_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Also where the exporter raises; said once, in our words."""
    before = dropped("refused")
    async with Exporting(NOWHERE, Broken()) as exporting:
        exporting.put(a_span())
        exporting.flush()
        exporting.put(a_span(2))
        exporting.put(a_span(3))
        exporting.flush()
    assert dropped("refused") - before == 3
    assert [record.name for record in caplog.records] == ["streamer.otlp"]


async def test_a_collector_that_hangs_holds_up_no_end() -> None:
    """The process leaves, and says how many spans it leaves behind."""
    before, held = dropped("closed"), Held()
    async with Exporting(NOWHERE, held) as exporting:
        exporting.put(a_span())
    assert dropped("closed") - before == 1
    held.go.set()
