"""`corpus snapshot`."""

import argparse
import json
from pathlib import Path
from typing import Final

from consumers.commands import filters
from consumers.corpus.manifest import NAME
from consumers.corpus.snapshot import snapshot
from consumers.corpus.state import State

HELP: Final = "write the corpus of this moment as Parquet files, with a manifest"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="which is not there yet")
    filters.arguments(parser)
    parser.add_argument(
        "--duplicates", action="store_true", help="also pages whose text is that of another one"
    )


def run(options: argparse.Namespace) -> None:
    chosen = filters.filters_of(options, duplicates=options.duplicates)
    with State(options.corpus) as state:
        made = snapshot(state, options.folder, chosen, options.validation)
    print(
        json.dumps(
            {
                "snapshot": str(options.folder),
                "manifest": str(options.folder / NAME),
                "rows": made.rows,
                "left_out": made.left_out,
                "changed": made.changed,
                "contents": made.contents,
            }
        )
    )
