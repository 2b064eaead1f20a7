"""What every client of the matrix is given, and where it puts what it got."""

import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

from harness.delivering import KEY
from harness.schema import checked

Encoding = Literal["identity", "gzip"]
SINCE = "2020-01-01T00:00:00Z"
"""Everything that the log still holds."""
SILENCE_S = 10.0
"""No byte for so long, with heartbeats ten times as often, is a dead connection."""
PAUSE_S = 0.01


class Stopped(Exception):
    """The test has seen enough."""


@dataclass(frozen=True, slots=True)
class Target:
    url: str
    encoding: Encoding = "identity"
    key: str = KEY
    start: Mapping[str, object] = field(default_factory=lambda: {"since": SINCE})
    """The parameters of the first request; later ones say where to go on."""

    def first_url(self) -> str:
        return f"{self.url}?{urlencode(self.start)}"

    def base(self) -> str:
        """As Enterprise's SDKs are configured."""
        return self.url.removesuffix("v2/articles")

    def headers(self, last_id: str = "", **more: str) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self.key}", "Accept-Encoding": self.encoding, **more}
        return headers | ({"Last-Event-ID": last_id} if last_id else {})


@dataclass(slots=True)
class Sink:
    """One reader's harvest, across all its connections; looked at from the test's loop."""

    got: list[tuple[int, int]] = field(default_factory=list)
    """(page, sequence) of each article, as they came."""
    controls: Counter[str] = field(default_factory=Counter)
    encodings: Counter[str] = field(default_factory=Counter)
    """Content-Encoding, for each article: a head that broke off has none, and for http.client is a head."""
    encoding: str = ""
    empty: int = 0
    """Events without data, which a client made of heartbeats or of the preamble."""
    torn: int = 0
    """Events that the client gave out though the connection broke in them."""
    refused: list[str] = field(default_factory=list)
    """Status and Retry-After, as far as the client tells them."""
    stopped: bool = False

    @property
    def sequences(self) -> set[int]:
        return {sequence for _, sequence in self.got}

    def opened(self, headers: Mapping[str, str]) -> None:
        self.encoding = headers.get("Content-Encoding", "identity")

    def refuse(self, status: int, headers: Mapping[str, str]) -> None:
        """What a client can tell of a status that is not 200."""
        self.refused.append(f"{status} {headers.get('Retry-After') or '-'}")

    def take(self, article: Mapping[str, Any]) -> None:
        checked(article)
        self.add(article["identifier"], article["event"]["sequence"])

    def add(self, page: int, sequence: int) -> None:
        self.got.append((page, sequence))
        self.encodings[self.encoding] += 1

    def go_on(self) -> None:
        """Before a client connects again. Raises Stopped."""
        if self.stopped:
            raise Stopped
        time.sleep(PAUSE_S)


Read = Callable[[Target, Sink], Coroutine[None, None, None]]
"""Reads until the sink is stopped and its connection gone, or until cancelled."""


@dataclass(slots=True)
class Offsets:
    """How NDJSON is resumed: by the next offset of each partition, once each was seen.

    `offsets` that name some partitions start the others live; so until all are known the reader goes back
    to its beginning and drops what it has.
    """

    partitions: int
    start: Mapping[str, object]
    next: dict[int, int] = field(default_factory=dict)

    def ask(self) -> dict[str, object]:
        if len(self.next) < self.partitions:
            return dict(self.start)
        return {"offsets": {str(partition): offset for partition, offset in self.next.items()}}

    def is_new(self, article: Mapping[str, Any]) -> bool:
        partition, offset = article["event"]["partition"], article["event"]["offset"]
        if offset < self.next.get(partition, 0):
            return False
        self.next[partition] = offset + 1
        return True
