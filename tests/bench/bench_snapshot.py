"""What a snapshot costs, and what the next one shares: `python -m tests.bench.bench_snapshot [--json FILE]`.

Articles are invented, of words as frequent as those of a language (by Zipf's law) and as long as Wikipedia's.
Then one page of a hundred is edited, in one paragraph, and a second snapshot is made. What the two share is
what a store by chunks keeps once: their files are cut where a rolling hash of the last 32 bytes says so (as
Hugging Face's store and backup programs do), and the bytes of chunks that were there before are counted.
Once more without content-defined pages in Parquet, to compare. Nothing is asserted: machines are shared.
"""

import argparse
import hashlib
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from consumers.corpus import shards
from consumers.corpus.diff import diff
from consumers.corpus.jsonl import jsonl
from consumers.corpus.manifest import Manifest
from consumers.corpus.page import Page, Told
from consumers.corpus.snapshot import erased, snapshot
from consumers.corpus.state import State
from consumers.event import Licence

Results = dict[str, Any]

PAGES: Final = 20_000
VOCABULARY: Final = 50_000
PARAGRAPH_WORDS: Final = 80
EDITED: Final = 0.01
WIKIS: Final = ("dewiki", "enwiki")
LICENCE: Final = Licence("CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/", "CC-BY-SA-4.0")
STORES: Final = {"64 kB": 64 << 10, "8 kB": 8 << 10}
"""By the mean of their chunks: the first is Hugging Face's."""
WINDOW: Final = 32


class Articles:
    def __init__(self, seed: int = 1) -> None:
        self._random = np.random.default_rng(seed)
        letters = random.Random(seed)
        self._words = np.array(
            [
                "".join(letters.choices("etaoinshrdlucmfwygpbvk", k=letters.randrange(2, 11)))
                for _ in range(VOCABULARY)
            ]
        )
        weights = 1 / np.arange(1, VOCABULARY + 1)
        self._sums = np.cumsum(weights / weights.sum())

    def paragraph(self) -> str:
        drawn = np.searchsorted(self._sums, self._random.random(PARAGRAPH_WORDS))
        return " ".join(self._words[np.minimum(drawn, VOCABULARY - 1)])

    def text(self) -> str:
        """Half of them below 2.5 kB, 5 kB in the mean."""
        paragraphs = max(1, round(float(self._random.lognormal(np.log(5), 1.15))))
        return "\n\n".join(self.paragraph() for _ in range(min(paragraphs, 400)))


def page(wiki: str, number: int, text: str, revision: int) -> Page:
    title = f"Article {number}"
    host = f"https://{wiki[:2]}.wikipedia.org"
    return Page(
        wiki=wiki,
        page=number,
        revision=revision,
        title=title,
        url=f"{host}/wiki/{title.replace(' ', '_')}",
        namespace=0,
        text=text,
        language=wiki[:2],
        wikidata=f"Q{number * 7}",
        date_modified=f"2026-11-{1 + revision % 28:02}T{revision % 24:02}:00:00Z",
        licence=[LICENCE],
        attribution=f"From “{title}”, by its authors",
        revision_url=f"{host}/w/index.php?oldid={revision}",
        history_url=f"{host}/w/index.php?curid={number}&action=history",
        sha1=hashlib.sha1(text.encode()).hexdigest(),
        tags=["visualeditor"] if number % 4 == 0 else [],
        is_minor=number % 3 == 0,
        revert_risk=(number * 7919 % 1000) / 1000,
    )


def fill(state: State, pages: int) -> None:
    articles, changes = Articles(), []
    for number in range(1, pages + 1):
        wiki = WIKIS[number % len(WIKIS)]
        content = page(wiki, number, articles.text(), 1_000_000 + number * 13)
        changes.append(Told(wiki, number, 10**15 + number * 977, content.revision, content=content))
        if len(changes) == 1_000 or number == pages:
            state.commit(changes, {"sse": str(number)})
            changes.clear()


def edit(state: State, share: float = EDITED) -> int:
    rng, articles, changes = random.Random(2), Articles(3), []
    for wiki in WIKIS:
        for content in state.pages(wiki):
            if rng.random() < share:
                paragraphs = content.text.split("\n\n")
                paragraphs[rng.randrange(len(paragraphs))] = articles.paragraph()
                revision = 9_000_000 + content.page
                edited = page(wiki, content.page, "\n\n".join(paragraphs), revision)
                changes.append(Told(wiki, content.page, 2 * 10**15 + content.page, revision, content=edited))
    state.commit(changes)
    return len(changes)


def chunks(path: Path, mean: int) -> Iterator[bytes]:
    """Cut by content: no shorter than a quarter of the mean, nor longer than twice."""
    table = np.frombuffer(random.Random(0).randbytes(1_024), np.uint32)
    data = path.read_bytes()
    values = table[np.frombuffer(data, np.uint8)]
    hashes = values.copy()
    for back in range(1, WINDOW):
        hashes[back:] += values[:-back] << np.uint32(back)
    ends = np.flatnonzero(hashes >> np.uint32(32 - (mean.bit_length() - 1)) == 0) + 1
    start, at = 0, 0
    while start < len(data):
        at = int(np.searchsorted(ends, start + mean // 4))
        end = min(int(ends[at]) if at < len(ends) else len(data), start + 2 * mean, len(data))
        yield data[start:end]
        start = end


def shared(before: Path, after: Path, mean: int) -> float:
    """Of the bytes of the second folder, those in chunks of the first, in percent."""
    known = {hashlib.sha256(chunk).digest() for path in parquets(before) for chunk in chunks(path, mean)}
    total = found = 0
    for path in parquets(after):
        for chunk in chunks(path, mean):
            total += len(chunk)
            found += len(chunk) * (hashlib.sha256(chunk).digest() in known)
    return 100 * found / total


def parquets(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in parquets(folder))


def row(made: Manifest, text_bytes: int, wall_s: float, cpu_s: float) -> Results:
    return {
        "rows/s": round(made.rows / wall_s),
        "MB of text/s": round(text_bytes / wall_s / 1e6, 1),
        "rows/s of a processor": round(made.rows / cpu_s),
        "MB of text/s of a processor": round(text_bytes / cpu_s / 1e6, 1),
    }


def measure(folder: Path, pages: int) -> Results:
    results: Results = {}
    with State(folder / "warm.db", create=True) as state:  # what is imported is not to be measured
        fill(state, 10)
        snapshot(state, folder / "warm")
    with State(folder / "corpus.db", create=True) as state:
        fill(state, pages)
        text_bytes = sum(len(content.text.encode()) for wiki in WIKIS for content in state.pages(wiki))
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        wall, cpu = time.perf_counter(), time.process_time()
        made = snapshot(state, folder / "a")
        results["snapshot"] = row(made, text_bytes, time.perf_counter() - wall, time.process_time() - cpu)
        results["snapshot"]["peak MB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024)
        results["snapshot"]["peak MB before"] = round(before_kb / 1_024)
        results["snapshot"]["text MB"] = round(text_bytes / 1e6, 1)
        results["snapshot"]["share of the text's size %"] = round(100 * size(folder / "a") / text_bytes, 1)
        wall, cpu = time.perf_counter(), time.process_time()
        jsonl(state, folder / "a.jsonl.zst")
        results["jsonl.zst"] = row(made, text_bytes, time.perf_counter() - wall, time.process_time() - cpu)
        with_pages = shards.CHUNKS
        setattr(shards, "CHUNKS", False)  # noqa: B010 - it is Final
        snapshot(state, folder / "plain-a")
        edited = edit(state)
        snapshot(state, folder / "plain-b")
        setattr(shards, "CHUNKS", with_pages)  # noqa: B010
        snapshot(state, folder / "b")
    wall, cpu = time.perf_counter(), time.process_time()
    difference = diff(folder / "a", folder / "b", folder / "d")
    results["diff"] = row(made, text_bytes, time.perf_counter() - wall, time.process_time() - cpu)
    results["diff"]["upserts"] = difference.rows
    results["diff"]["share of the snapshot's size %"] = round(
        100 * size(folder / "d") / size(folder / "b"), 1
    )
    sharing: Results = {"edited %": round(100 * edited / pages, 2)}
    for name, mean in STORES.items():
        sharing[f"shared, chunks of {name} %"] = round(shared(folder / "a", folder / "b", mean), 1)
        plain = shared(folder / "plain-a", folder / "plain-b", mean)
        sharing[f"without content-defined pages, chunks of {name} %"] = round(plain, 1)
    sharing["size to that without %"] = round(100 * size(folder / "b") / size(folder / "plain-b"), 1)
    results["two snapshots"] = sharing
    wall, cpu = time.perf_counter(), time.process_time()
    gone = erased(folder / "a", lambda _, number, *__: number % 10_000 == 1)
    results["erase"] = row(made, text_bytes, time.perf_counter() - wall, time.process_time() - cpu)
    results["erase"]["rows removed"] = gone
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=PAGES)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), arguments.pages)
    for name, values in results.items():
        print(name)
        for measured, value in values.items():
            print(f"  {measured:56} {value:>10}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
