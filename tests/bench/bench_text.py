"""What text costs: `python -m tests.bench.bench_text [--json FILE]`.

Plain text of the invented articles of the tests, alone and with sections and infoboxes: the time of one
processor for each, in the worker's own code, and what an answer of the worker takes from question to answer.
Nothing is asserted: machines are shared, compare ratios within one run.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from consumers.wikitext.text import Make, plain_text
from streamer.enrich.textpool import TextPool
from tests.bench.bench_log import Results
from tests.harness.wikitext import LANGUAGES, article

ROUNDS: Final = 60
LONG: Final = 20
"""Of an article: as long as a long one."""
MAKES: Final = {
    "text": Make(),
    "text and sections": Make(sections=True),
    "text, sections, infoboxes": Make(sections=True, infoboxes=True),
    "infoboxes": Make(text=False, infoboxes=True),
}


def best_s(work: Callable[[], object]) -> float:
    """Of all rounds, so that a neighbour on the machine is not measured."""
    least = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        least = min(least, time.process_time() - start)
    return least


def measure() -> Results:
    pages = [article(language) for language in LANGUAGES]
    results: Results = {}
    for size, times in (("", 1), (f", {LONG} times as long", LONG)):
        markups = [page * times for page in pages]
        mean_bytes = sum(len(markup.encode()) for markup in markups) / len(markups)
        for name, make in MAKES.items():
            seconds = best_s(lambda make=make, markups=markups: [plain_text(m, make=make) for m in markups])  # type: ignore[misc]
            each = seconds / len(markups)
            label = f"{name}{size}"
            results[f"{label} us"] = round(each * 1e6)
            results[f"{label} MB/s"] = round(mean_bytes / each / 1e6, 1)
    results |= asyncio.run(by_worker(pages))
    return results


async def by_worker(pages: list[str]) -> Results:
    """Milliseconds until a first answer, and microseconds of each after it."""
    async with TextPool(workers=1) as pool:
        start = time.perf_counter()
        await pool.extract(pages[0])
        first_s = time.perf_counter() - start
        start = time.perf_counter()
        for _ in range(ROUNDS):
            for page in pages:
                await pool.extract(page)
        each_s = (time.perf_counter() - start) / (ROUNDS * len(pages))
    return {"worker's start ms": round(first_s * 1e3), "worker's answer us": round(each_s * 1e6)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = measure()
    for name, value in results.items():
        print(f"{name:52} {value:>10}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
