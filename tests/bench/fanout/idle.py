"""What a connection costs while nothing happens: the server's memory with thousands of them, and without."""

import time
from typing import Final

from tests.bench.fanout.bench import Bench, shown
from tests.bench.fanout.memory import resident_bytes, socket_bytes
from tests.bench.fanout.pairs import Spread, in_turn
from tests.bench.fanout.table import Line

ROW: Final = "idle"
CLIENTS: Final = 5_000
QUICK_CLIENTS: Final = 1_000
GOAL_BYTES: Final = 1_024
SETTLE_S: Final = 1.0
"""For what the server does behind the last answer."""


def idle(bench: Bench) -> Line:
    clients = min(QUICK_CLIENTS if bench.is_quick else CLIENTS, bench.most_clients)

    def bytes_each(name: str) -> tuple[float, float]:
        with bench.room() as folder, bench.servers[name](folder, bench.cores.server) as server:
            with bench.client.idle(server, 10, folder):  # what the first ones need is needed once
                time.sleep(SETTLE_S)
            before, sockets = resident_bytes(server.pids), socket_bytes()
            with bench.client.idle(server, clients, folder):
                time.sleep(SETTLE_S)
                after = resident_bytes(server.pids)
                return (after - before) / clients, (socket_bytes() - sockets) / clients

    measures = {name: lambda name=name: bytes_each(name) for name in bench.servers}  # type: ignore[misc]
    rounds = in_turn(measures, min(bench.pairs, 3))
    each = {name: Spread(tuple(rounds.figures(name, lambda r: r[0]))) for name in bench.servers}
    kernel = {name: rounds.figures(name, lambda r: r[1]) for name in bench.servers}
    return Line(
        ROW,
        f"idle connection, {clients:,} of them",
        f"ours {each['ours']} bytes each",
        "≤ 1 KB",
        each["ours"].median <= GOAL_BYTES,
        shown({name: spread for name, spread in each.items() if name != "ours"}, " bytes"),
        {
            "clients": clients,
            "resident_bytes_each": {name: spread.told() for name, spread in each.items()},
            "socket_buffer_bytes_each": kernel,
        },
    )
