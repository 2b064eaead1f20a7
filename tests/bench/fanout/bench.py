"""What every row is handed: the client, who is there to be compared, and how long it may take."""

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.bench.fanout.articles import values, write_records
from tests.bench.fanout.load import Client, Load, Result
from tests.bench.fanout.pairs import Spread, ratios
from tests.bench.fanout.process import Cores, Failed
from tests.bench.fanout.servers import Start

QUICK: Final = 0.2
"""Of the events of a full run."""
SPARE_DESCRIPTORS: Final = 200
TRIES: Final = 2
"""A repetition that broke off is begun anew once; then the row fails."""


@dataclass
class Bench:
    folder: Path
    client: Client
    cores: Cores
    servers: Mapping[str, Start]
    """By name; without those that can't be had."""
    pairs: int
    descriptors: int
    """That a process may have."""
    is_quick: bool = False
    _records: dict[int, Path] = field(default_factory=dict)

    @property
    def most_clients(self) -> int:
        """A server may have a second descriptor for each for a moment."""
        return (self.descriptors - SPARE_DESCRIPTORS) // 2

    def events(self, full: int, *, burst: int = 1, least: int = 20) -> int:
        """Whole bursts."""
        wanted = max(least, int(full * QUICK)) if self.is_quick else full
        return max(1, wanted // burst) * burst

    def records(self, size: int) -> Path:
        """A file of articles of this size."""
        if size not in self._records:
            path = self.folder / f"records-{size}"
            write_records(path, values(size))
            self._records[size] = path
        return self._records[size]

    @contextmanager
    def room(self) -> Iterator[Path]:
        """A folder for one repetition."""
        with tempfile.TemporaryDirectory(dir=self.folder, ignore_cleanup_errors=True) as name:
            yield Path(name)

    def run(self, name: str, load: Load, size: int) -> Result:
        """Against a fresh server of this name. Raises Failed."""
        for tried in range(TRIES):
            try:
                with self.room() as folder, self.servers[name](folder, self.cores.server) as server:
                    return self.client.run(server, load, self.records(size))
            except Failed as failed:
                if tried + 1 == TRIES:
                    raise
                say(f"    {name} broke off, once more: {failed}")
        raise AssertionError

    def measures(self, load: Load, size: int) -> dict[str, Callable[[], Result]]:
        """One of each server."""
        return {name: lambda name=name: self.run(name, load, size) for name in self.servers}  # type: ignore[misc]


def say(text: str) -> None:
    """Progress; standard output is the table's."""
    print(text, file=sys.stderr, flush=True)


def against(peers: Mapping[str, list[float]], ours: str = "ours") -> dict[str, Spread]:
    """Peer ÷ ours, for each peer."""
    return {name: ratios(figures, peers[ours]) for name, figures in peers.items() if name != ours}


def shown(spreads: Mapping[str, Spread], unit: str = "") -> str:
    """In a cell."""
    return ", ".join(f"{name} {spread}{unit}" for name, spread in spreads.items())
