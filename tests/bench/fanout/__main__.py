"""Deliveries beside Nchan's and the naive way's: `make bench-fanout`.

    python -m tests.bench.fanout [--quick] [--rows NAME,…] [--pairs N] [--json FILE] [--catch-up-mb MB]

Nchan (Debian's nginx and libnginx-mod-nchan), the usual way with aiohttp (tests.bench.fanout.naive) and ours
(the role deliver, tests.bench.fanout.ours) in turn, a fresh server for each repetition, pinned to a core and
the load client (load.c) to another. What is compared is the server's CPU per delivery, from
/proc/PID/task/*/schedstat; a line gives the median of the paired ratios and their range. A repetition whose
client was more than 90 % busy is void. Every stream is checked to have every article once, in order.
Progress goes to standard error, the table to standard output. Only loopback; nothing is asserted.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

from tests.bench.fanout.bench import Bench, say
from tests.bench.fanout.deliveries import CLIENTS, GZIP_ROW, SHAPES, compression, fan_out
from tests.bench.fanout.feeds import ROW as FEEDS_ROW
from tests.bench.fanout.feeds import distinct_feeds
from tests.bench.fanout.growth import ROW as GROWTH_ROW
from tests.bench.fanout.growth import growth
from tests.bench.fanout.idle import ROW as IDLE_ROW
from tests.bench.fanout.idle import idle
from tests.bench.fanout.latency import CATCH_UP_ROW, catch_up, latency
from tests.bench.fanout.latency import ROW as LATENCY_ROW
from tests.bench.fanout.load import Client, compiled, compiler_missing
from tests.bench.fanout.pairs import AllVoid
from tests.bench.fanout.process import Cores, Failed, raise_descriptors
from tests.bench.fanout.servers import Start, naive, nchan, nchan_missing, ours
from tests.bench.fanout.stalled import ROW as STALLED_ROW
from tests.bench.fanout.stalled import stalled
from tests.bench.fanout.table import Line, table

BUILD: Final = Path("build")
PAIRS: Final = 5
QUICK_PAIRS: Final = 1
CATCH_UP_MB: Final = 1_000
ROWS: Final = (
    *(shape.row for shape in SHAPES),
    CATCH_UP_ROW,
    IDLE_ROW,
    GZIP_ROW,
    STALLED_ROW,
    LATENCY_ROW,
    GROWTH_ROW,
    FEEDS_ROW,
)

Measure = Callable[[], Line | list[Line]]


def measures(bench: Bench, rows: Iterable[str], catch_up_mb: int) -> list[tuple[str, str, Measure]]:
    """What is to be done, in the order of the table: row, title, and how."""
    of_row: dict[str, list[tuple[str, Measure]]] = {
        shape.row: [
            (shape.title(clients), partial(fan_out, bench, shape, clients))
            for clients in CLIENTS
            if clients <= bench.most_clients
        ]
        for shape in SHAPES
    }
    of_row |= {
        CATCH_UP_ROW: [(CATCH_UP_ROW, partial(catch_up, bench, catch_up_mb))],
        IDLE_ROW: [(IDLE_ROW, partial(idle, bench))],
        GZIP_ROW: [(GZIP_ROW, partial(compression, bench))],
        STALLED_ROW: [(STALLED_ROW, partial(stalled, bench))],
        LATENCY_ROW: [(LATENCY_ROW, partial(latency, bench))],
        GROWTH_ROW: [(GROWTH_ROW, partial(growth, bench))],
        FEEDS_ROW: [(FEEDS_ROW, partial(distinct_feeds, bench.folder, is_quick=bench.is_quick))],
    }
    return [(row, title, measure) for row in rows for title, measure in of_row[row]]


def measured(bench: Bench, rows: Iterable[str], catch_up_mb: int) -> Iterable[Line]:
    """A row that fails is told, and the others go on."""
    for row, title, measure in measures(bench, rows, catch_up_mb):
        began_s = time.monotonic()
        try:
            found = measure()
        except AllVoid as error:
            found = Line(row, title, f"void: {error}")
        except (Failed, OSError, subprocess.SubprocessError) as error:
            say(f"{title} failed: {error}")
            found = Line(row, title, "failed, see standard error")
        for line in [found] if isinstance(found, Line) else found:
            say(f"{line.what}: {line.measured} ({time.monotonic() - began_s:.0f} s)")
            yield line


def rows_of(text: str) -> tuple[str, ...]:
    """Named ones, in the order of the table. Raises argparse.ArgumentTypeError."""
    names = {name for name in text.split(",") if name}
    if unknown := names - set(ROWS):
        raise argparse.ArgumentTypeError(f"no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    return tuple(row for row in ROWS if row in names)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="bench-fanout", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one pair, fewer events: two minutes or three")
    parser.add_argument("--rows", type=rows_of, default=ROWS, metavar="NAME,…", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--pairs", type=int, help=f"default: {PAIRS}, with --quick {QUICK_PAIRS}")
    parser.add_argument("--catch-up-mb", type=int, default=CATCH_UP_MB, help=f"default: {CATCH_UP_MB}")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if missing := compiler_missing():
        print(f"bench-fanout: {missing}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that all is taken down
    servers: dict[str, Start] = {"ours": ours, "Nchan": nchan, "naive": naive}
    if missing := nchan_missing():
        say(f"{missing}; what needs it is skipped")
        del servers["Nchan"]
    cores = Cores.of_this_machine()
    if cores.server == cores.load:
        say("one core: servers and load share it, so that figures are worth less")
    descriptors = raise_descriptors()
    pairs = options.pairs or (QUICK_PAIRS if options.quick else PAIRS)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-fanout-", ignore_cleanup_errors=True) as name:
        client = Client(compiled(BUILD), cores.load)
        bench = Bench(Path(name), client, cores, servers, pairs, descriptors, options.quick)
        if bench.most_clients < max(CLIENTS):
            say(f"{descriptors} open files are too few for all rows: raise `ulimit -Hn`")
        lines = list(measured(bench, options.rows, options.catch_up_mb))
    print(table(lines))
    say(f"took {time.monotonic() - began_s:.0f} s")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        told = {"pairs": pairs, "quick": options.quick, "lines": [asdict(line) for line in lines]}
        options.json.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
