"""CPU per event against the number of clients: what there is beyond a write to each of them."""

from typing import Final

from tests.bench.fanout.bench import Bench, shown
from tests.bench.fanout.load import Load, Result
from tests.bench.fanout.pairs import Spread, in_turn, ratios, short
from tests.bench.fanout.table import Line

ROW: Final = "growth"
CLIENTS: Final = (50, 200, 1_000, 4_000)
QUICK_MOST: Final = 1_000
DELIVERIES: Final = 200_000
SIZE: Final = 1_024


def growth(bench: Bench) -> Line:
    most = QUICK_MOST if bench.is_quick else bench.most_clients
    counts = [clients for clients in CLIENTS if clients <= most]

    names = [name for name in ("ours", "Nchan") if name in bench.servers]

    def at(name: str, clients: int) -> Result:
        events = bench.events(DELIVERIES // clients)
        return bench.run(name, Load(clients, events, warmup=20), SIZE)

    measures = {
        f"{name} {clients}": lambda name=name, clients=clients: at(name, clients)  # type: ignore[misc]
        for name in names
        for clients in counts
    }
    rounds = in_turn(measures, bench.pairs, void=lambda result: result.void)
    few, many = counts[1], counts[-1]
    spreads = {
        name: ratios(
            rounds.figures(f"{name} {many}", lambda r: r.us_per_delivery),
            rounds.figures(f"{name} {few}", lambda r: r.us_per_delivery),
        )
        for name in names
    }
    per_event = {key: rounds.figures(key, lambda r: r.us_per_event) for key in measures}
    ours = {clients: Spread(tuple(per_event[f"ours {clients}"])).median for clients in counts}
    fixed, each = fitted(list(ours.items()))
    return Line(
        ROW,
        f"growth, 1 KB, {counts[0]} to {many:,} clients",
        f"CPU per delivery, {many:,} ÷ {few} clients: {shown(spreads)}",
        "flat",
        None,
        f"ours: an event {short(fixed)} µs, and {short(each)} µs for each client; "
        + ", ".join(f"{clients:,}: {short(us)} µs" for clients, us in ours.items()),
        {
            "us_per_event": per_event,
            "fixed_us": fixed,
            "each_us": each,
            "ratios": {name: spread.told() for name, spread in spreads.items()},
        },
    )


def fitted(points: list[tuple[int, float]]) -> tuple[float, float]:
    """(fixed, each) of the line `fixed + each * clients`, least squares of the relative errors: else the
    largest number of clients alone would decide. Raises ZeroDivisionError for a single one.
    """
    weights = [1 / us**2 for _, us in points]
    total = sum(weights)
    mean_x = sum(w * x for w, (x, _) in zip(weights, points, strict=True)) / total
    mean_y = sum(w * y for w, (_, y) in zip(weights, points, strict=True)) / total
    covered = sum(w * (x - mean_x) * (y - mean_y) for w, (x, y) in zip(weights, points, strict=True))
    each = covered / sum(w * (x - mean_x) ** 2 for w, (x, _) in zip(weights, points, strict=True))
    return mean_y - each * mean_x, each
