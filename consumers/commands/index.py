"""`corpus index DIR`: keeps a vector table of the corpus current."""

import argparse
import json
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from consumers.commands import filters

if TYPE_CHECKING:
    from consumers.corpus.index import Counts

HELP: Final = "keep a vector table of the corpus current: only passages that changed are embedded"
POLL_S: Final = 1.0


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="of the table; made where there is none")
    parser.add_argument(
        "--embedder",
        default="hashing",
        metavar="NAME",
        help="hashing (words and parts of words; the default), wordllama, or module:callable",
    )
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument("--once", action="store_true", help="end when the table is current (the default)")
    ends.add_argument("--follow", action="store_true", help="go on until it is stopped")
    parser.add_argument(
        "--ann", action="store_true", help="index the vectors of a large table: faster, not exact"
    )
    filters.arguments(parser, of_rows=False)


def run(options: argparse.Namespace) -> int:
    from consumers.corpus.embed import embedder  # noqa: PLC0415  # heavy, and not for `corpus --help`
    from consumers.corpus.index import Counts, Index  # noqa: PLC0415
    from consumers.corpus.snapshot import chosen_wikis  # noqa: PLC0415
    from consumers.corpus.state import State  # noqa: PLC0415

    chosen = filters.filters_of(options, duplicates=True)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    total = Counts()
    with State(options.corpus) as state:
        chosen_wikis(state, chosen)
        index = Index(state, options.folder, embedder(options.embedder), chosen, ann=options.ann)
        while not stopped.is_set():
            if counts := index.step():
                total = total.plus(counts)
                _show(total)
            elif options.follow:
                stopped.wait(POLL_S)
            else:
                break
        if total.pages:
            index.settle()
    print(json.dumps(total._asdict()))
    return 0


def _show(total: "Counts") -> None:
    print(
        f"{total.pages:,} pages; passages: {total.added:,} new, {total.removed:,} gone, {total.kept:,} kept",
        file=sys.stderr,
    )
