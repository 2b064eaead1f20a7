"""A process that applies a known series of batches to a corpus, to be killed: see test_corpus_kills.

    python corpus_writer.py FILE BATCHES SEED

The batch that it begins with is the one after the position in the file. It says how far it is, so that its
killer knows that it lives.
"""

import random
import sys
from pathlib import Path

from consumers.corpus.page import Change, Listed, Page, Told
from consumers.corpus.state import State

FEED = "sse:0-9"
PAGES = 40


def batch(number: int, seed: int) -> list[Change]:
    """From 1 on; always the same of the same number. Texts differ from one to the next, some are large."""
    made: list[Change] = []
    rng = random.Random(f"{seed}:{number}")
    for place in range(rng.randrange(1, 12)):
        page, sequence = rng.randrange(1, PAGES), number * 100 + place
        text = f"Text {sequence}. " + rng.randbytes(rng.choice((10, 10, 500, 20_000))).hex()
        content = Page("testwiki", page, sequence, f"Page {page}", "https://w.example", 0, text)
        kind = rng.random()
        if kind < 0.1:
            made.append(Told("testwiki", page, sequence, sequence, "deleted"))
        elif kind < 0.15:
            made.append(Told("testwiki", page, sequence, sequence, "hidden", hides=sequence))
        elif kind < 0.3:
            made.append(Listed("testwiki", page, sequence, sequence, content))
        else:
            made.append(Told("testwiki", page, sequence, sequence, None, content, happened=sequence))
    return made


def main(path: Path, batches: int, seed: int) -> None:
    with State(path, create=True) as state:
        for number in range(int(state.position(FEED) or 0) + 1, batches + 1):
            state.commit(batch(number, seed), {FEED: str(number)}, {"batches": str(number)})
            print(number, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
