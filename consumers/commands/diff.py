"""`corpus diff`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from consumers.corpus import jsonl, snapshot
from consumers.corpus.diff import diff, diff_lines, patched
from consumers.corpus.state import State

HELP: Final = "writes what leads from one snapshot to another, or applies it"
OF_LINES: Final = (".jsonl", ".jsonl.gz", ".jsonl.zst")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", type=Path, metavar="A", help="a snapshot")
    parser.add_argument("after", type=Path, metavar="B", help="a later one; with --apply what leads to it")
    parser.add_argument(
        "out", type=Path, metavar="OUT",
        help=f"a folder to be made, or a file of JSON lines ({', '.join(OF_LINES)});"
        " with --apply: B, to be made",
    )  # fmt: skip
    parser.add_argument("--apply", action="store_true", help="makes B of A and the folder of a difference")


def run(options: argparse.Namespace) -> None:
    of_lines = options.out.name.endswith(OF_LINES) and not options.apply
    _record(options.corpus, options.out, jsonl.KIND if of_lines else snapshot.KIND)
    if options.apply:
        made = patched(options.before, options.after, options.out)
        told = {"snapshot": str(options.out), "rows": made.rows, "contents": made.contents}
    elif of_lines:
        rows, deletes = diff_lines(options.before, options.after, options.out)
        told = {"diff": str(options.out), "upserts": rows, "deletes": deletes}
    else:
        made = diff(options.before, options.after, options.out)
        deletes = made.change.deletes if made.change else 0
        told = {"diff": str(options.out), "upserts": made.rows, "deletes": deletes}
    print(json.dumps(told))


def _record(corpus: Path, out: Path, kind: str) -> None:
    """The snapshots may be far from their corpus."""
    if corpus.exists():
        with State(corpus) as state:
            snapshot.recorded(state, out, kind)
    else:
        print(
            f"corpus: there is no corpus at {corpus}, so `corpus erase` won't know of {out}", file=sys.stderr
        )
