"""A corpus whose writer is killed at random instants: its rows and its position always belong together."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from corpus_writer import FEED, batch

from consumers.corpus.page import Told
from consumers.corpus.row import Row, applied
from consumers.corpus.state import State

WRITER = Path(__file__).with_name("corpus_writer.py")
ROOT = WRITER.parents[2]
LATEST_S = 0.4
"""After its first word, by which a writer is killed."""


class Expected:
    """What a file must hold whose position is the batch of that number."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._rows: dict[int, Row] = {}
        self._events = 0
        self._number = 0

    def check(self, path: Path, least: int) -> int:
        """The batch that the file is at; at least `least`, for that one was said to be committed."""
        with State(path) as state:
            number = int(state.position(FEED) or 0)
            assert number >= least
            assert int(state.fact("batches") or 0) == number
            self._advance(number)
            for page, row in self._rows.items():
                assert state.row("testwiki", page) == row
            live = [row for row in self._rows.values() if row.content]
            assert [p.page for p in state.pages("testwiki")] == sorted(row.page for row in live)
            if self._rows:
                assert state.totals()["testwiki"] == (len(live), len(self._rows) - len(live))
            assert sum(count.events for count in state.freshness()) == self._events
            assert len({w[1:] for w in state.withdrawals()}) == len(state.withdrawals())
        return number

    def _advance(self, number: int) -> None:
        for each in range(self._number + 1, number + 1):
            for change in batch(each, self._seed):
                was = self._rows.get(change.page)
                row = applied(was, change)
                if row is not None and row is not was:
                    self._rows[change.page] = row
                    self._events += isinstance(change, Told) and bool(change.happened)
        self._number = number


def said(writer: "subprocess.Popen[str]", rng: random.Random) -> Iterator[int]:
    """What it says until it ends, by itself or because it is killed some time after its first word."""
    assert writer.stdout
    first = writer.stdout.readline()
    if first:
        yield int(first)
        time.sleep(rng.random() ** 2 * LATEST_S)
    writer.kill()
    yield from (int(line) for line in writer.stdout if line.endswith("\n"))
    writer.wait()


def kill_often(path: Path, kills: int, rng: random.Random) -> None:
    seed = rng.randrange(1_000_000)
    expected, at = Expected(seed), 0
    for _ in range(kills):
        command = [sys.executable, str(WRITER), str(path), "1000000", str(seed)]
        with subprocess.Popen(command, cwd=ROOT, env={"PYTHONPATH": "."}, stdout=-1, text=True) as writer:
            least = max(said(writer, rng), default=at)
        at = expected.check(path, least)
    subprocess.run(
        [sys.executable, str(WRITER), str(path), str(at + 5), str(seed)],
        cwd=ROOT, env={"PYTHONPATH": "."}, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert expected.check(path, at) == at + 5


def test_rows_and_position_belong_together_after_each_kill(tmp_path: Path, rng: random.Random) -> None:
    """What was committed is there, a batch is there whole or not at all, and none is there twice."""
    kill_often(tmp_path / "corpus.db", 10, rng)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_rows_and_position_belong_together_after_hundreds_of_kills(
    tmp_path: Path, rng: random.Random
) -> None:
    """The same, for minutes."""
    kill_often(tmp_path / "corpus.db", 500, rng)
