"""Spans of an edit's way, one trace a change; off, and of no cost, unless `tracing.endpoint` is set.

    source ──► enrich ──► route ──► deliver       the last two of each partner
                 ├ replay      of a change that no source told: when it was appended
                 ├ wait        until the first question is asked
                 ├ origin      each request with it; links to other changes that shared the request
                 ├ text, html
                 └ commit

A trace's id is the change's identifier without hyphens (streamer.traceparent), the span that the
header `traceparent` names is the source's, and the ids of spans that have others below them are made from
the trace's: so processes that never talk agree on all of it. Which changes are sampled follows from the id
too. Spans are made once all they tell of is over; until then only sampled changes keep times.

Nothing here imports OpenTelemetry: streamer.otlp does, and is imported where an endpoint is set.
"""

import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from hashlib import blake2b
from time import time_ns
from typing import Final, Literal, TypeVar
from uuid import UUID

from streamer.config import Settings
from streamer.errors import ConfigError
from streamer.log.base import Headers, Record, Stored
from streamer.model import Change
from streamer.traceparent import RANDOM_PART, TRACE_PART, sampled_from

Stage = Literal["source", "enrich", "route", "deliver"]
Attributes = Mapping[str, str | int]
"""Never a title, a user, a text, a key or an address."""
T = TypeVar("T")

LINKS_MOST: Final = 50
"""As many as may share a request with usual limits."""
LIBRARY: Final = "opentelemetry"
NOT_INSTALLED: Final = "is set, and what it needs isn't installed: pip install 'streamer[tracing]'"


@dataclass(frozen=True, slots=True)
class Span:
    """Times are Unix nanoseconds. `parent` 0: the trace's root."""

    name: str
    trace: int
    id: int
    parent: int
    start_ns: int
    end_ns: int
    attributes: Attributes
    links: Sequence[tuple[int, int]] = ()
    """Trace and span of each."""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes a span below that of enrich."""

    name: str
    start_ns: int
    end_ns: int
    attributes: Attributes = field(default_factory=dict)
    links: Sequence[tuple[int, int]] = ()
    failed: bool = False


@dataclass(slots=True, eq=False)
class Journey:
    """What enrich keeps of a sampled change."""

    trace: int
    read_ns: int
    appended_ns: int
    steps: list[Step] = field(default_factory=list)
    outcome: str = ""
    """As it was counted; of a dead letter its code is beside it."""
    code: str = ""

    async def step(self, name: str, work: Awaitable[T]) -> T:
        start_ns = time_ns()
        try:
            return await work
        finally:
            self.steps.append(Step(name, start_ns, time_ns()))

    def ended(self, before: Mapping[str, int], after: Mapping[str, int], codes: Sequence[str]) -> None:
        """By what was counted for it."""
        counted = (outcome for outcome in after if outcome != "admitted" and after[outcome] > before[outcome])
        self.outcome = next(counted, "")
        self.code = codes[-1] if self.outcome == "deadletter" and codes else ""


JOURNEY: Final[ContextVar[Journey | None]] = ContextVar("journey", default=None)
"""Of the change that the running task asks for."""


@dataclass(slots=True, eq=False)
class Delivery:
    """Of a sampled article that waits for its first write to a live client."""

    tracing: "Tracing"
    trace: int
    partner: str
    wiki: str
    size: int
    read_ns: int

    def written(self) -> None:
        self.tracing.delivered(self)


class Tracing:
    """What the stages tell. All of it from the loop's thread."""

    def __init__(self, sample: float, put: Callable[[Span], None]) -> None:
        """`sample`: the part of all changes, above 0."""
        self._from = sampled_from(sample)
        self._from_bytes = self._from.encode()
        self._put = put

    def now_ns(self) -> int:
        return time_ns()

    def trace_of(self, traceparent: str) -> int:
        """0: it is not sampled."""
        return _number(traceparent[TRACE_PART]) if traceparent[RANDOM_PART] >= self._from else 0

    def _trace_in(self, headers: Headers) -> int:
        for name, value in headers:
            if name == "traceparent":
                return _number(value[TRACE_PART]) if value[RANDOM_PART] >= self._from_bytes else 0
        return 0

    # ── source ─────────────────────────────────────────────────────────────────────────────────

    def sourced(self, records: Iterable[Record], read_ns: Callable[[str], int]) -> None:
        """Committed just now; `read_ns` tells by its identifier when a change was read."""
        end_ns = time_ns()
        for record in records:
            if trace := self._trace_in(record.headers):
                start_ns = read_ns(str(UUID(int=trace)))
                about = _of_record("source", record)
                self._put(Span("source", trace, root_of(trace), 0, start_ns, end_ns, about))

    # ── enrich ─────────────────────────────────────────────────────────────────────────────────

    def journey(self, change: Change, record: Stored) -> Journey | None:
        """None: it is not sampled."""
        trace = self.trace_of(change.traceparent)
        return Journey(trace, time_ns(), record.timestamp_ms * 1_000_000) if trace else None

    def asked(self, journeys: Sequence[Journey], by: str, outcome: str, batch: int, took_s: float) -> None:
        """A request that ended just now, for `batch` things, these among them."""
        end_ns = time_ns()
        start_ns = end_ns - int(took_s * 1_000_000_000)
        attributes: Attributes = {"by": by, "outcome": outcome, "batch_size": batch}
        journeys = list(dict.fromkeys(journeys))
        places = [(journey.trace, span_of(journey.trace, "enrich")) for journey in journeys]
        for journey in journeys:
            links = [place for place in places if place[0] != journey.trace][:LINKS_MOST]
            failed = outcome != "ok"
            journey.steps.append(Step("origin", start_ns, end_ns, attributes, links, failed=failed))

    def enriched(self, change: Change, journey: Journey, size: int, began_ns: int) -> None:
        """Its outcome was committed just now; `size` bytes of content were fetched, the commit began then."""
        end_ns, trace = time_ns(), journey.trace
        own, root = span_of(trace, "enrich"), root_of(trace)
        attributes: dict[str, str | int] = {
            "stage": "enrich",
            "wiki": change.wiki,
            "kind": change.kind,
            "outcome": journey.outcome,
            "size_bytes": size,
        }
        if journey.code:
            attributes["code"] = journey.code
        if change.replays:  # nobody else tells of its beginning
            at_ns = min(journey.appended_ns, journey.read_ns)
            told: Attributes = {"stage": "enrich", "wiki": change.wiki, "kind": change.kind}
            self._put(Span("replay", trace, root, 0, at_ns, at_ns, told))
        failed = journey.outcome == "deadletter"
        self._put(Span("enrich", trace, own, root, journey.read_ns, end_ns, attributes, failed=failed))
        steps = journey.steps
        asked_ns = min((step.start_ns for step in steps), default=began_ns)
        wait = Step("wait", journey.read_ns, max(journey.read_ns, asked_ns))
        for step in (wait, *steps, Step("commit", began_ns, end_ns)):
            self._put(
                Span(
                    step.name,
                    trace,
                    _any_id(),
                    own,
                    step.start_ns,
                    step.end_ns,
                    {"stage": "enrich", **step.attributes},
                    step.links,
                    step.failed,
                )
            )

    # ── route and deliver ──────────────────────────────────────────────────────────────────────

    def routed(self, partner: str, records: Iterable[Record], began_ns: int) -> None:
        """Committed to the partner's topic just now; their pass began then."""
        end_ns = time_ns()
        for record in records:
            if record.headers and (trace := self._trace_in(record.headers)):
                own, parent = span_of(trace, "route", partner), span_of(trace, "enrich")
                attributes: Attributes = {
                    **_of_record("route", record),
                    "partner": partner,
                    "size_bytes": len(record.value or b""),
                }
                self._put(Span("route", trace, own, parent, began_ns, end_ns, attributes))

    def delivery(self, partner: str, record: Stored) -> Delivery | None:
        """Of a record that was read just now; None: it is not sampled."""
        trace = self._trace_in(record.headers)
        if not trace:
            return None
        size = len(record.value or b"")
        return Delivery(self, trace, partner, _wiki(record.key), size, time_ns())

    def delivered(self, delivery: Delivery) -> None:
        partner, trace = delivery.partner, delivery.trace
        attributes: Attributes = {
            "stage": "deliver",
            "wiki": delivery.wiki,
            "partner": partner,
            "size_bytes": delivery.size,
        }
        parent = span_of(trace, "route", partner)
        self._put(Span("deliver", trace, _any_id(), parent, delivery.read_ns, time_ns(), attributes))


def root_of(trace: int) -> int:
    """The span that `traceparent` names."""
    return trace & 0xFFFF_FFFF_FFFF_FFFF


def span_of(trace: int, *what: str) -> int:
    """The same in all processes, and never 0."""
    named = f"{trace:032x}|{'|'.join(what)}"
    return int.from_bytes(blake2b(named.encode(), digest_size=8).digest()) or 1


def _any_id() -> int:
    """Of a span that has none below it. Not for secrets."""
    return random.getrandbits(64) or 1


def _number(digits: str | bytes) -> int:
    """0 where it is none: a header may be anybody's."""
    try:
        return int(digits, 16)
    except ValueError:
        return 0


def _wiki(key: str) -> str:
    return key.partition(":")[0]


def _of_record(stage: Stage, record: Record) -> dict[str, str | int]:
    kind = next((value.decode() for name, value in record.headers if name == "kind"), "")
    return {"stage": stage, "wiki": _wiki(record.key), "kind": kind}


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Tracing | None]:
    """None: off. Raises ConfigError where what it needs is not installed."""
    wanted = settings.tracing
    if not wanted.is_on or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        yield None
        return
    try:
        from streamer.otlp import Exporting  # noqa: PLC0415 - of an extra, and of cost
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != LIBRARY:
            raise
        raise ConfigError("tracing.endpoint", NOT_INSTALLED) from None
    try:
        exporting = Exporting(wanted.url)
    except (ValueError, OSError) as error:
        raise ConfigError("$OTEL_*", f"a variable of OpenTelemetry's is wrong: {error}") from None
    async with exporting:
        yield Tracing(wanted.sample, exporting.put)
