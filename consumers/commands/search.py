"""`corpus search TEXT`: the nearest passages of a table that `corpus index` made."""

import argparse
import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from consumers.errors import UsageError
from consumers.terminal import visible, visible_line

HELP: Final = "show the passages of an index that are nearest to a text"
WIDTH: Final = 100


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text")
    parser.add_argument("--index", type=Path, required=True, metavar="DIR", help="what `corpus index` made")
    parser.add_argument("--embedder", metavar="NAME", help="where the index is of one of module:callable")
    parser.add_argument("--count", type=int, default=5, help="of passages (default: %(default)s)")
    parser.add_argument("--wiki", help="only of this one, e.g. enwiki")
    parser.add_argument("--json", action="store_true", help="one object a line, whole passages")


def run(options: argparse.Namespace) -> int:
    from consumers.corpus.embed import embedded, embedder, named  # noqa: PLC0415  # heavy
    from consumers.corpus.table import Table  # noqa: PLC0415

    if options.count < 1:
        raise UsageError(f"--count {options.count}: one passage at least")
    table = Table(options.index)
    chosen = embedder(options.embedder) if options.embedder else named(table.embedder)
    table.check(chosen)
    (vector,) = embedded(chosen, [options.text])
    for found in table.search(vector, options.count, options.wiki):
        row = found.row
        if options.json:
            print(json.dumps({"distance": found.distance, **row}, ensure_ascii=False))
            continue
        print(_text(found.distance, row))
    return 0


def _text(distance: float, row: Mapping[str, Any]) -> str:
    passage = textwrap.fill(visible(row["text"]), WIDTH, max_lines=4, placeholder=" …")
    lines = (
        f"{1 - distance:.3f}  {visible_line(' > '.join([row['title'], *row['path']]))}",
        f"       {visible_line(row['url'])}",
        textwrap.indent(passage, " " * 7),
        f"       {visible_line(row['attribution'])}\n",
    )
    return "\n".join(lines)
