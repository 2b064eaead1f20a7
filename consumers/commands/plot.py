"""`corpus plot`."""

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from consumers.corpus.freshness import KEPT_S
from consumers.corpus.plot import SUFFIXES, plot
from consumers.corpus.state import State
from consumers.errors import UsageError

HELP: Final = "draw how fresh the corpus is: from the edit to its row, and over time"
HOUR_S: Final = 3_600
MOST_HOURS: Final = 24 * 366


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT", help=f"a picture ({', '.join(SUFFIXES)})")
    parser.add_argument(
        "--hours", type=float, default=KEPT_S / HOUR_S,
        help="back from now; so many are kept at the most (default: %(default).0f)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    if not 0 < options.hours <= MOST_HOURS:
        raise UsageError(f"--hours {options.hours}: more than none, and {MOST_HOURS} at the most")
    now_s = time.time()
    with State(options.corpus) as state:
        counts = state.freshness(now_s - options.hours * HOUR_S)
    plot(counts, options.out, options.corpus.name, datetime.fromtimestamp(now_s, UTC))
    print(options.out)
