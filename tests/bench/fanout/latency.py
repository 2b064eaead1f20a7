"""How long an event takes from who appends it to each client, at a rate; and while another client replays.

Ours is on the embedded log, which another process writes, as in production: the append, its commit and the
tailing of the log are part of it. Nchan's events are POSTed and stay in its memory; to compare with that,
ours is measured without a log of its own too, from a port to its memory.
"""

from contextlib import ExitStack
from typing import Final

from tests.bench.fanout.bench import Bench, say
from tests.bench.fanout.load import Load, Result
from tests.bench.fanout.pairs import Spread, in_turn, ratios, short
from tests.bench.fanout.servers import ours_following, publishing
from tests.bench.fanout.table import Line

ROW: Final = "latency"
CLIENTS: Final = 1_000
RATE: Final = 100.0
SIZE: Final = 1_024
EVENTS: Final = 1_000
GOAL_MS: Final = 10.0
IN_MEMORY: Final = "ours without a log"

CATCH_UP_ROW: Final = "catch-up"
LIVE_CLIENTS: Final = 200
LIVE_RATE: Final = 50.0
REPLAY_SIZE: Final = 20_000
MAX_LIVE_S: Final = 100.0
CATCH_UP_GOAL: Final = 1.5
SINCE: Final = "/v2/articles?since=2020-01-01T00:00:00Z"
MB: Final = 1_000_000
QUICK_MB: Final = 100


def latency(bench: Bench) -> Line:
    load = Load(CLIENTS, bench.events(EVENTS), warmup=20, rate=RATE)

    def on_disk() -> Result:
        with ExitStack() as stack:
            folder = stack.enter_context(bench.room())
            log, port = stack.enter_context(publishing(folder, bench.cores.load))
            server = stack.enter_context(ours_following(folder, bench.cores.server, log, port))
            return bench.client.run(server, load, bench.records(SIZE))

    measures = {"ours": on_disk, IN_MEMORY: lambda: bench.run("ours", load, SIZE)}
    if "Nchan" in bench.servers:
        measures["Nchan"] = lambda: bench.run("Nchan", load, SIZE)
    rounds = in_turn(measures, bench.pairs, void=lambda result: result.void)
    p99 = {name: Spread(tuple(rounds.figures(name, lambda r: r.p99_ms))) for name in measures}
    p50 = {name: Spread(tuple(rounds.figures(name, lambda r: r.p50_ms))) for name in measures}
    return Line(
        ROW,
        f"latency, {CLIENTS:,} clients, {RATE:.0f} events/s of 1 KB",
        f"ours p99 {p99['ours']} ms, without a log {p99[IN_MEMORY]} ms",
        f"≤ {GOAL_MS:g} ms",
        p99["ours"].median <= GOAL_MS,
        f"p50 {short(p50['ours'].median)} ms"
        + "".join(
            f"; {name} p50 {short(p50[name].median)} ms"
            + (f", p99 {p99[name]} ms" if name == "Nchan" else "")
            for name in p99
            if name != "ours"
        ),
        {
            "p50_ms": {name: spread.told() for name, spread in p50.items()},
            "p99_ms": {name: spread.told() for name, spread in p99.items()},
            "client_busy": {name: rounds.figures(name, lambda r: r.client_busy) for name in measures},
            "us_per_delivery": {name: rounds.figures(name, lambda r: r.us_per_delivery) for name in measures},
            "void": rounds.void,
        },
    )


def catch_up(bench: Bench, replay_mb: int) -> Line:
    """In turn with the replay and without, as long; deliver is started anew each time, the log stays."""
    size_mb = min(replay_mb, QUICK_MB) if bench.is_quick else replay_mb
    fill = size_mb * MB // REPLAY_SIZE
    most = int(MAX_LIVE_S * LIVE_RATE)
    taken: list[tuple[Result, Result]] = []
    with bench.room() as folder:
        say(f"    appending {size_mb} MB")
        with publishing(folder, bench.cores.load, fill=fill, size=REPLAY_SIZE) as (log, port):
            published = fill

            def run(events: int, replay: str) -> Result:
                nonlocal published
                load = Load(
                    LIVE_CLIENTS, events, warmup=10, rate=LIVE_RATE, first=published, replay=replay,
                    timeout_s=2 * MAX_LIVE_S,
                )  # fmt: skip
                with ours_following(folder, bench.cores.server, log, port) as server:
                    result = bench.client.run(server, load, bench.records(SIZE))
                published += result.events + load.warmup
                return result

            for _ in range(min(bench.pairs, 3) if bench.is_quick else bench.pairs):
                beside = run(most, SINCE)
                taken.append((beside, run(beside.events, "")))
    spread = ratios([beside.p99_ms for beside, _ in taken], [alone.p99_ms for _, alone in taken])
    rate = Spread(tuple(beside.replayed_bytes / MB / beside.wall_s for beside, _ in taken))
    whole = all(beside.replayed >= fill for beside, _ in taken)
    return Line(
        CATCH_UP_ROW,
        f"catch-up beside {LIVE_CLIENTS} live clients, {size_mb:,} MB replayed",
        f"live p99, with ÷ without: {spread}" + ("" if whole else f" (not whole within {MAX_LIVE_S:.0f} s)"),
        f"≤ {CATCH_UP_GOAL:g}",
        spread.median <= CATCH_UP_GOAL and whole,
        f"p99 with {Spread(tuple(b.p99_ms for b, _ in taken))} ms, without"
        f" {Spread(tuple(a.p99_ms for _, a in taken))} ms; {short(rate.median)} MB/s replayed",
        {
            "ratio": spread.told(),
            "with_p99_ms": [beside.p99_ms for beside, _ in taken],
            "without_p99_ms": [alone.p99_ms for _, alone in taken],
            "replayed_mb_s": rate.told(),
            "replayed_bytes": [beside.replayed_bytes for beside, _ in taken],
        },
    )
