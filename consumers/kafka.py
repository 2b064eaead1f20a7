"""The feed as a topic of the partner's own on Kafka."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from consumers.event import Batch
from consumers.parts import Parts


@dataclass(frozen=True, slots=True)
class Access:
    """Where the cluster is and who we are."""

    bootstrap: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    is_encrypted: bool = True
    ca_file: Path | None = None


@dataclass(slots=True)
class KafkaFeed:
    name: str
    access: Access
    topic: str
    parts: Parts
    wikis: frozenset[str] = frozenset()
    since: datetime | None = None
    goes_on: bool = False

    def batches(self, position: str | None) -> AsyncGenerator[Batch, None]:
        raise NotImplementedError(position)
