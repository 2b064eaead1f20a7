"""What a dump costs: `python -m tests.bench.bench_dump [--json FILE]`.

Invented articles in eight languages as a dump, plain and as multistream bz2, read by one and by two processes
into a corpus; and what the reader takes alone, without the commits. Nothing is asserted: machines are shared,
compare ratios within one run.
"""

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from consumers.corpus.bootstrap import read
from consumers.corpus.pieces import opened, pieces
from consumers.corpus.state import State
from consumers.corpus.workers import Job, done
from tests.bench.bench_log import Results
from tests.harness.dumps import dump, multistream, page, revision
from tests.harness.wikitext import LANGUAGES, article

PAGES: Final = 2_000
PAGES_A_STREAM: Final = 100
TIMES: Final = 3
"""An article, and as much again of its words in another order, so that it packs as real ones do."""
FORMS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "plain": bytes,
    "multistream bz2": lambda xml: multistream(xml, PAGES_A_STREAM),
}
STARTED: Final = datetime(2026, 1, 1, tzinfo=UTC)


def invented(pages: int = PAGES) -> bytes:
    rng = random.Random(0)
    texts = [article(language) for language in LANGUAGES]
    words = [text.split(" ") for text in texts]
    return dump(
        page(number, f"Page {number}", revision(number, "\n\n".join([texts[at], *_shuffled(rng, words[at])])))
        for number, at in ((number, number % len(texts)) for number in range(1, pages + 1))
    )


def _shuffled(rng: random.Random, words: list[str]) -> list[str]:
    return [" ".join(rng.sample(words, len(words))) for _ in range(TIMES)]


def cpu_s() -> float:
    """Of this process and those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measure(pages: int = PAGES) -> Results:
    xml = invented(pages)
    results: Results = {"pages": pages, "kB of XML a page": round(len(xml) / pages / 1e3, 1)}
    with tempfile.TemporaryDirectory() as folder:
        for form, packed in FORMS.items():
            path = Path(folder) / f"{form}.xml"
            path.write_bytes(packed(xml))
            results[f"{form}: MB"] = round(path.stat().st_size / 1e6, 1)
            for processes in (1, 2):
                name = f"{form}, {processes} process{'es' if processes > 1 else ''}"
                for what, work in {"reader": _reader, "bootstrap": _bootstrap}.items():
                    start, used = time.perf_counter(), cpu_s()
                    assert work(path, processes) == pages
                    seconds = time.perf_counter() - start
                    results[f"{what}, {name}: pages/s"] = round(pages / seconds)
                    results[f"{what}, {name}: MB/s of XML"] = round(len(xml) / seconds / 1e6, 2)
                    results[f"{what}, {name}: CPU ms a page"] = round(1e3 * (cpu_s() - used) / pages, 2)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    results["memory of the largest process MB"] = round(peak / 1024)
    return results


def _reader(path: Path, processes: int) -> int:
    looked_at = opened(path)
    return sum(len(each.rows) for each in done(pieces(looked_at), Job(looked_at.site, 0), processes))


def _bootstrap(path: Path, processes: int) -> int:
    looked_at = opened(path)
    corpus = path.with_suffix(f".{processes}.db")
    with State(corpus, create=True) as state:
        return read(state, [looked_at], looked_at.site, started=STARTED, processes=processes).rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pages", type=int, default=PAGES)
    arguments = parser.parse_args()
    results = measure(arguments.pages)
    for name, value in results.items():
        print(f"{name:64} {value:>10}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
