"""Clients that ask and never read: what they cost those who do, and what is held for them."""

import time
from typing import Final, NamedTuple

from tests.bench.fanout.bench import Bench, shown
from tests.bench.fanout.load import Load, Result
from tests.bench.fanout.memory import resident_bytes, socket_bytes
from tests.bench.fanout.pairs import in_turn, ratios
from tests.bench.fanout.process import Child
from tests.bench.fanout.table import Line

ROW: Final = "stalled"
CLIENTS: Final = 100
STALLED: Final = 100
SIZE: Final = 20_000
EVENTS: Final = 800
WARMUP: Final = 300
"""6 MB: more than the kernel holds for a client that takes nothing, so that the rest is the server's."""
GOAL: Final = 1.3
LOOK_S: Final = 0.1
MB: Final = 1e6


class Told(NamedTuple):
    result: Result
    resident: int
    """At the most."""
    sockets: int
    """At the most, above what there was before."""


def stalled(bench: Bench) -> Line:
    """Who is cut off, as too slow, no longer costs anything: how many were left at the end is told."""
    names = [name for name in ("ours", "Nchan") if name in bench.servers]
    measures = {
        (name, count): lambda name=name, count=count: _measured(bench, name, count)  # type: ignore[misc]
        for name in names
        for count in (0, STALLED)
    }
    keyed = {f"{name} {count}": measure for (name, count), measure in measures.items()}
    rounds = in_turn(keyed, bench.pairs, void=lambda told: told.result.void)
    spreads = {
        name: ratios(
            rounds.figures(f"{name} {STALLED}", lambda t: t.result.us_per_delivery),
            rounds.figures(f"{name} 0", lambda t: t.result.us_per_delivery),
        )
        for name in names
    }
    more = {
        name: [(one[f"{name} {STALLED}"].resident - one[f"{name} 0"].resident) / MB for one in rounds.counted]
        for name in names
    }
    left = [one[f"ours {STALLED}"].result.stalled_open for one in rounds.counted]
    return Line(
        ROW,
        f"{STALLED} stalled clients beside {CLIENTS}, 20 KB",
        f"CPU per live delivery, with ÷ without: ours {spreads['ours']}",
        f"≤ {GOAL}",
        spreads["ours"].median <= GOAL,
        f"memory {_most(more['ours'])} MB more; {min(left)} still open at the end; "
        + shown({name: spread for name, spread in spreads.items() if name != "ours"}, " ×"),
        {
            "ratios": {name: spread.told() for name, spread in spreads.items()},
            "resident_mb_more": more,
            "stalled_open": left,
            "socket_mb": {key: [one[key].sockets / MB for one in rounds.counted] for key in keyed},
            "us_per_delivery": {
                key: rounds.figures(key, lambda t: t.result.us_per_delivery) for key in keyed
            },
        },
    )


def _most(more: list[float]) -> str:
    return f"{max(more):.1f}"


def _measured(bench: Bench, name: str, count: int) -> Told:
    load = Load(CLIENTS, bench.events(EVENTS), WARMUP, stalled=count)
    with bench.room() as folder, bench.servers[name](folder, bench.cores.server) as server:
        sockets = socket_bytes()
        with bench.client.running(server, load, bench.records(SIZE)) as child:
            resident, most_sockets = _watched(child, server.pids)
            result = bench.client.result(child, load)
        return Told(result, resident, most_sockets - sockets)


def _watched(child: Child, pids: tuple[int, ...]) -> tuple[int, int]:
    """The most that was seen, until the load ends."""
    resident = sockets = 0
    while child.process.poll() is None:
        resident = max(resident, resident_bytes(pids))
        sockets = max(sockets, socket_bytes())
        time.sleep(LOOK_S)
    return resident, sockets
