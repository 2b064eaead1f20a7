"""`corpus erase`: physical removal of what was withdrawn, with a report that says so."""

import argparse
import time
from pathlib import Path
from typing import Final

import msgspec

from consumers.corpus.erase import erase, forget, withdraw
from consumers.corpus.state import State
from consumers.errors import UsageError

ID_DIGITS: Final = 19
"""What no page's id has."""
HELP: Final = "remove what was withdrawn from the files of the corpus, of its snapshots, exports and indices"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--page",
        nargs=2,
        metavar=("WIKI", "ID"),
        help="and all of this page, e.g. enwiki 42, until the feed, or `verify --repair`, tells of it anew",
    )
    parser.add_argument(
        "--forget", type=Path, metavar="PATH", help="first: what was written there is no more, and no sink"
    )


def run(options: argparse.Namespace) -> int:
    """Prints the report as JSON. 1 where some sink could not be erased."""
    with State(options.corpus) as state:
        if options.forget:
            forget(state, options.forget)
        if options.page:
            wiki, page = options.page
            if not (page.isascii() and page.isdecimal() and len(page) < ID_DIGITS):
                raise UsageError(f"--page {wiki} {page}: the second is the page's id, a number")
            withdraw(state, wiki, int(page), time.time_ns() // 1_000)
        report = erase(state)
    print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    return 0 if report.is_complete else 1
