"""`corpus diff`."""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from consumers.corpus import jsonl, snapshot
from consumers.corpus.diff import diff, diff_lines, patched
from consumers.corpus.sink import Kind, erased_through, recorded
from consumers.corpus.state import State

HELP: Final = "write what leads from one snapshot to another, or apply it"
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
    with _recorded(options, jsonl.KIND if of_lines else snapshot.KIND):
        print(json.dumps(_made(options, of_lines=of_lines)))


def _made(options: argparse.Namespace, *, of_lines: bool) -> dict[str, str | int]:
    if options.apply:
        made = patched(options.before, options.after, options.out)
        return {"snapshot": str(options.out), "rows": made.rows, "contents": made.contents}
    if of_lines:
        rows, deletes = diff_lines(options.before, options.after, options.out)
    else:
        made = diff(options.before, options.after, options.out)
        rows, deletes = made.rows, made.change.deletes if made.change else 0
    return {"diff": str(options.out), "upserts": rows, "deletes": deletes}


@contextmanager
def _recorded(options: argparse.Namespace, kind: Kind) -> Iterator[None]:
    """The snapshots may be far from their corpus, or not be as far erased as it is."""
    corpus, out = options.corpus, options.out
    if not corpus.exists():
        why = f"there is no corpus at {corpus}, so `corpus erase` won't know of {out}"
        print(f"corpus: {why}", file=sys.stderr)
        yield
        return
    with State(corpus) as state:
        through = min(erased_through(state, path) for path in (options.before, options.after))
        with recorded(state, out, kind, through):
            yield
