"""Server CPU per delivery: ours, Nchan's and the naive way's, in turn. And of gzip, where each compresses."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.fanout.articles import number_of
from tests.bench.fanout.bench import Bench, against, say, shown
from tests.bench.fanout.load import Load, Result
from tests.bench.fanout.pairs import Spread, in_turn
from tests.bench.fanout.process import Failed
from tests.bench.fanout.table import Line

US: Final = " µs"
GZIP: Final = 31
WARM_BURSTS: Final = 20


@dataclass(frozen=True, slots=True)
class Shape:
    row: str
    what: str
    size: int
    burst: int
    deliveries: int
    """Of a full run, about."""
    goal: float
    """Nchan ÷ ours, at least."""

    def title(self, clients: int) -> str:
        return f"{self.what}, {clients:,} clients"


SHAPES: Final = (
    Shape("fanout-1k", "fan-out, 1 KB, one in flight", 1_024, 1, 300_000, 1.25),
    Shape("fanout-1k-burst", "fan-out, 1 KB, bursts of 32", 1_024, 32, 800_000, 12),
    Shape("fanout-20k", "fan-out, 20 KB, one in flight", 20_000, 1, 80_000, 2.5),
    Shape("fanout-20k-burst", "fan-out, 20 KB, bursts of 8", 20_000, 8, 128_000, 5),
)
CLIENTS: Final = (200, 1_000)
GZIP_ROW: Final = "compression"
GZIP_CLIENTS: Final = 200
GZIP_GOAL: Final = 25.0


def fan_out(bench: Bench, shape: Shape, clients: int) -> Line:
    events = bench.events(shape.deliveries // clients, burst=shape.burst, least=2 * shape.burst)
    warmup = shape.burst * (WARM_BURSTS if shape.burst == 1 else 2)
    load = Load(clients, events, warmup, shape.burst)
    rounds = in_turn(bench.measures(load, shape.size), bench.pairs, void=lambda result: result.void)
    us = {name: rounds.figures(name, lambda r: r.us_per_delivery) for name in bench.servers}
    spreads = against(us)
    nchan = spreads.get("Nchan")
    return Line(
        shape.row,
        shape.title(clients),
        ", ".join(f"{name} ÷ ours {spread}" for name, spread in spreads.items()),
        f"Nchan ÷ ours ≥ {shape.goal:g}",
        None if nchan is None else nchan.median >= shape.goal,
        _per_delivery(us),
        {
            "clients": clients,
            "bytes": shape.size,
            "burst": shape.burst,
            "events": events,
            "us_per_delivery": us,
            "ratios": {name: spread.told() for name, spread in spreads.items()},
            "client_busy": {name: rounds.figures(name, lambda r: r.client_busy) for name in bench.servers},
            "void": rounds.void,
        },
    )


def _per_delivery(us: dict[str, list[float]]) -> str:
    medians = {name: Spread((Spread(tuple(figures)).median,)) for name, figures in us.items()}
    return f"CPU per delivery: {shown(medians, US)}"


def compression(bench: Bench) -> Line:
    """The naive way has a compressor for each connection; ours makes each block once."""
    events = bench.events(100, least=10)

    def measured(name: str) -> Result:
        with bench.room() as folder:
            kept = folder / "kept.gz"
            load = Load(GZIP_CLIENTS, events, warmup=2, gzip=True, keep=kept)
            result = bench.run(name, load, 20_000)
            inflated(kept, events + 2)
            return result

    names = ("ours", "naive")
    rounds = in_turn(
        {name: lambda name=name: measured(name) for name in names},  # type: ignore[misc]
        min(bench.pairs, 3),  # a compressor for each of two hundred takes its time
        void=lambda result: result.void,
    )
    us = {name: rounds.figures(name, lambda r: r.us_per_delivery) for name in names}
    spread = against(us)["naive"]
    return Line(
        GZIP_ROW,
        f"compression, 20 KB, {GZIP_CLIENTS} clients",
        f"per connection ÷ shared {spread}",
        f"≥ {GZIP_GOAL:g}",
        spread.median >= GZIP_GOAL,
        _per_delivery(us),
        {
            "us_per_delivery": us,
            "ratio": spread.told(),
            "wire_bytes": {
                name: rounds.figures(name, lambda r: r.body_bytes / r.deliveries) for name in names
            },
        },
    )


def inflated(path: Path, events: int) -> None:
    """Raises Failed unless the gzip stream holds so many articles, each once, in order per partition."""
    text = zlib.decompressobj(GZIP).decompress(path.read_bytes())
    numbers = [
        number_of(line[len(b"data: ") :]) for line in text.split(b"\n") if line.startswith(b'data: {"name"')
    ]
    if sorted(numbers) != list(range(events)):
        raise Failed(f"of {events} articles {len(numbers)} came, or not these, in the gzip stream")
    say(f"    one stream inflated: {len(numbers)} articles in {len(text):,} bytes")
