"""CPU per event against the number of clients: what there is beyond a write to each of them."""

from typing import Final

from tests.bench.fanout.bench import Bench
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

    def at(clients: int) -> Result:
        events = bench.events(DELIVERIES // clients)
        return bench.run("ours", Load(clients, events, warmup=20), SIZE)

    measures = {str(clients): lambda clients=clients: at(clients) for clients in counts}  # type: ignore[misc]
    rounds = in_turn(measures, bench.pairs, void=lambda result: result.void)
    per_event = {name: rounds.figures(name, lambda r: r.us_per_event) for name in measures}
    medians = {name: Spread(tuple(figures)).median for name, figures in per_event.items()}
    few, many = str(counts[1]), str(counts[-1])
    spread = ratios(
        rounds.figures(many, lambda r: r.us_per_delivery), rounds.figures(few, lambda r: r.us_per_delivery)
    )
    fixed, each = fitted([(int(name), us) for name, us in medians.items()])
    return Line(
        ROW,
        f"growth, 1 KB, {counts[0]} to {counts[-1]:,} clients",
        f"CPU per delivery, {int(many):,} ÷ {few} clients: {spread}",
        "flat",
        None,
        f"an event {short(fixed)} µs, and {short(each)} µs for each client; "
        + ", ".join(f"{int(name):,}: {short(us)} µs" for name, us in medians.items()),
        {"us_per_event": per_event, "fixed_us": fixed, "each_us": each, "ratio": spread.told()},
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
