"""`corpus jsonl`."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Final

from consumers.commands import filters
from consumers.corpus.jsonl import jsonl, told
from consumers.corpus.state import State

HELP: Final = "write the corpus, or what changed in it, as lines of JSON"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", help="which is not there yet (.gz, .zst: compressed); -: stdout"
    )
    parser.add_argument(
        "--since", type=int, metavar="CHANGED",
        help="only what changed after that number, which a snapshot and an export name; what is gone, or not"
        " taken any more, as a line with `is_deleted`",
    )  # fmt: skip
    filters.arguments(parser)


def run(options: argparse.Namespace) -> int | None:
    chosen = filters.filters_of(options, duplicates=True)
    to_stdout = options.file == "-"
    with State(options.corpus) as state:
        if to_stdout:
            try:
                made = told(state, sys.stdout.buffer, chosen, options.since, options.validation)
                sys.stdout.buffer.flush()
            except BrokenPipeError:  # whoever reads has enough
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return 1
        else:
            made = jsonl(state, Path(options.file), chosen, options.since, options.validation)
    summary = json.dumps({"jsonl": options.file, **made._asdict()})
    print(summary, file=sys.stderr if to_stdout else sys.stdout)
    return None
