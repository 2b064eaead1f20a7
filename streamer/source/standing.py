"""What the source's position holds beside its number."""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from streamer.log.position import Position, State
from streamer.source.marks import Marks


class FileStanding(Struct, frozen=True, omit_defaults=True):
    """`file` is the recording's name, `events` how many of it were dealt with."""

    file: str
    events: int = 0
    marks: dict[str, int] = {}


class Standing(Struct, frozen=True, omit_defaults=True):
    counts: dict[str, int] = {}
    upstream: dict[str, int] = {}
    """Per upstream topic its highest timestamp (`Marks`)."""
    idle: tuple[str, ...] = ()
    """Those of them that send nothing (`Marks.idle`)."""
    started_ms: int = 0
    """When the live feed first began; 0: never."""
    rewind_ms: int = 0
    """For which rewind `seen_from` was kept."""
    seen_from: tuple[int, ...] = ()
    """Per partition of the changes topic (`Seen.floors`)."""
    file: FileStanding | None = None

    @classmethod
    def of(cls, position: Position) -> "Standing":
        return msgspec.convert(position.state, cls)

    def as_state(self) -> State:
        """`input` says to the log's cleaner that this position has nothing to read: it counts events."""
        state: State = msgspec.to_builtins(self)
        return {**state, "input": None}

    @property
    def marks(self) -> Marks:
        """Those by which the last commit was remembered."""
        return Marks(self.upstream, self.idle) if self.file is None else Marks(self.file.marks)

    @property
    def admitted(self) -> int:
        return self.counts.get("admitted", 0)

    def with_stream(self, *, started_ms: int, rewind_ms: int) -> "Standing":
        return msgspec.structs.replace(self, started_ms=started_ms, rewind_ms=rewind_ms, file=None)

    def with_file(self, file: FileStanding, *, rewind_ms: int) -> "Standing":
        return msgspec.structs.replace(self, file=file, rewind_ms=rewind_ms)

    def after(
        self,
        *,
        admitted: int,
        events: int,
        marks: Mapping[str, int],
        idle: Iterable[str],
        seen_from: tuple[int, ...],
    ) -> "Standing":
        """After a commit of `admitted` more changes out of `events` more events."""
        counts = {**self.counts, "admitted": self.admitted + admitted}
        if self.file is None:
            return msgspec.structs.replace(
                self, counts=counts, upstream=dict(marks), idle=tuple(sorted(idle)), seen_from=seen_from
            )
        file = FileStanding(self.file.file, self.file.events + events, dict(marks))
        return msgspec.structs.replace(self, counts=counts, file=file, seen_from=seen_from)
