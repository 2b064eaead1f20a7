"""The feed by server-sent events."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from consumers.event import Batch
from consumers.parts import Parts


@dataclass(slots=True)
class SseFeed:
    name: str
    url: str
    key: Callable[[], str]
    parts: Parts
    wikis: Sequence[str] = ()
    since: datetime | None = None
    goes_on: bool = False
    ca_file: Path | None = None

    def batches(self, position: str | None) -> AsyncIterator[Batch]:
        raise NotImplementedError(position)
