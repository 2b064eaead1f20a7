"""`make bench`: every benchmark in turn, each in a process of its own; tables here, JSON in build/bench/.
At the end the figures that have a goal beside it, as Markdown.

Nothing is asserted: machines are shared, so figures are to be compared within one run.
"""

import subprocess
import sys
from pathlib import Path

from tests.bench.table import read, table

OUT = Path("build/bench")
BENCHES = (
    "ingest",
    "log",
    "pipeline",
    "feeds",
    "settle",
    "text",
    "origin",
    "tracing",
    "corpus",
    "dump",
    "snapshot",
    "index",
    "kafka",
)


def main() -> None:
    chosen = sys.argv[1:] or BENCHES
    OUT.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        if name not in BENCHES:
            sys.exit(f"no benchmark {name!r}; there are {', '.join(BENCHES)}")
        print(f"── {name} " + "─" * (76 - len(name)), flush=True)
        subprocess.run(
            [sys.executable, "-m", f"tests.bench.bench_{name}", "--json", str(OUT / f"{name}.json")],
            check=True,
        )
    if goals := table(read(OUT, chosen)):
        print(f"── goals {'─' * 71}\n{goals}")


if __name__ == "__main__":
    main()
