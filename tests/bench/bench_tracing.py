"""What tracing costs a change: `python -m tests.bench.bench_tracing [--json FILE] [--changes N]`.

Through all four roles on the local log, with wikis that answer at once (streams and sizes of bench_pipeline):
off, with the default sample, and with all changes. A collector in a process of its own takes the spans. CPU
is the service's, with the exporter's thread. Rounds take turns, the median is told: machines are shared.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from streamer import loop
from streamer.config import Settings, TracingSettings
from streamer.metrics import REGISTRY
from streamer.tracing import opened
from tests.bench.bench_pipeline import throughput

CHANGES: Final = 5_000
ROUNDS: Final = 3
SIZE: Final = 2_000
SAMPLES: Final = {"off": 0.0, "one percent": 0.01, "all": 1.0}


class Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:  # the library's name
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def collect() -> None:
    """Until it is killed."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Sink) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


async def measured(folder: Path, endpoint: str, sample: float, changes: int) -> dict[str, float]:
    before = REGISTRY.get_sample_value("streamer_tracing_exported_spans_total") or 0
    async with opened(Settings(tracing=TracingSettings(endpoint if sample else "", sample))) as tracing:
        found = await throughput(folder, size=SIZE, count=changes, with_text=False, tracing=tracing)
    spans = (REGISTRY.get_sample_value("streamer_tracing_exported_spans_total") or 0) - before
    return {"cpu_ms_each": found["service_cpu_ms_each"], "spans_each": spans / changes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--changes", type=int, default=CHANGES)
    parser.add_argument("--collect", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.collect:
        collect()
    command = [sys.executable, "-m", "tests.bench.bench_tracing", "--collect"]
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in SAMPLES}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as collector:
        try:
            assert collector.stdout
            endpoint = f"http://127.0.0.1:{collector.stdout.readline().strip()}"
            for number in range(ROUNDS):
                for name, sample in SAMPLES.items():
                    with tempfile.TemporaryDirectory() as folder:
                        run = measured(Path(folder) / str(number), endpoint, sample, arguments.changes)
                        rounds[name].append(loop.run(run))
        finally:
            collector.kill()
    results = {
        name: {figure: statistics.median(one[figure] for one in found) for figure in found[0]}
        for name, found in rounds.items()
    }
    for name, figures in results.items():
        print(f"{name:12}", *(f"{figure} {value:8.3f}" for figure, value in figures.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
