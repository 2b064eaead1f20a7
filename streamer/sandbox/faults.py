"""Faults on request: what goes wrong, where, how often. Pure."""

from random import Random
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta, Struct

FaultKind = Literal[
    "latency",  # waits `seconds`, then answers
    "silent",  # accepts the request and never answers
    "reset",  # resets the connection
    "cut_body",  # resets it in the middle of the answer
    "status",  # answers `status`, with Retry-After where `retry_after_s` is given
    "redirect",  # 302 to `location`
    "maxlag",  # the errors that come with HTTP 200 …
    "readonly",
    "ratelimited",
    "internal",
    "broken_json",  # … and bodies that are no answer
    "html",
    "gzip_bomb",  # a small body that inflates to `bytes`
    "another_page",  # answers with other pages' ids, revisions and titles
    "another_wiki",  # says it is another wiki
    "text_missing",  # knows the revision but has lost its text
    "replica_lag",  # a revision is missing for its first `seconds`
]
KINDS: Final[tuple[FaultKind, ...]] = get_args(FaultKind)
UNLIMITED: Final = -1


class Fault(Struct, frozen=True, forbid_unknown_fields=True):
    """`count` times (-1: always), each time with `probability`; of all wikis, or of one."""

    kind: FaultKind
    where: Literal["api", "stream", "html"] = "api"
    wiki: str = ""
    probability: Annotated[float, Meta(gt=0, le=1)] = 1.0
    count: Annotated[int, Meta(ge=-1)] = UNLIMITED
    seconds: Annotated[float, Meta(ge=0)] = 2.0
    status: Annotated[int, Meta(ge=400, le=599)] = 503
    retry_after_s: Annotated[int, Meta(ge=0)] | None = None
    location: str = "https://elsewhere.example/w/api.php"
    bytes: Annotated[int, Meta(ge=1, le=4_294_967_296)] = 268_435_456


class FaultBox:
    """The faults in force. Each request draws once; the first fault that hits is the one that happens."""

    def __init__(self, rng: Random, faults: tuple[Fault, ...] = ()) -> None:
        self._rng = rng
        self._left: list[tuple[Fault, int]] = []
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        self._left.append((fault, fault.count))

    def clear(self) -> None:
        self._left.clear()

    def in_force(self) -> list[dict[str, object]]:
        return [msgspec.structs.asdict(fault) | {"left": left} for fault, left in self._left]

    def draw(self, where: str, wiki: str = "") -> Fault | None:
        """Replica lag isn't drawn: it is a property of the wiki while in force (`replica_lag_s`)."""
        for index, (fault, left) in enumerate(self._left):
            if fault.kind == "replica_lag" or fault.where != where or fault.wiki not in ("", wiki):
                continue
            if self._rng.random() >= fault.probability:
                continue
            if left == 1:
                del self._left[index]
            elif left > 0:
                self._left[index] = fault, left - 1
            return fault
        return None

    def replica_lag_s(self, wiki: str) -> float:
        lags = [f.seconds for f, _ in self._left if f.kind == "replica_lag" and f.wiki in ("", wiki)]
        return max(lags, default=0.0)
