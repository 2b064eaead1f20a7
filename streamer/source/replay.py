"""A recording as the source: `.sse` or `.jsonl`, plain, `.gz` or `.zst`; as fast as it goes, or at the
pace at which it was recorded.

The position is the number of events read, so a restart goes on at the very next one.
"""

import asyncio
import gzip
import logging
import zlib
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal, Protocol

import zstandard

from streamer.admission import Rules
from streamer.errors import ConfigError, FrameTooLarge, SourceError
from streamer.metrics import SOURCE_EXHAUSTED
from streamer.source.changes import interpret
from streamer.source.inbox import Arrival, Inbox
from streamer.source.marks import Marks
from streamer.source.told import Told
from streamer.sse import Decoder

logger = logging.getLogger(__name__)

CHUNK_BYTES: Final = 131_072
TOPIC: Final = "file"
"""A recording is one sequence, whatever topics its events name."""

Format = Literal[".sse", ".jsonl"]
Packing = Literal["", ".gz", ".zst"]


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Recording:
    path: Path
    format: Format
    packing: Packing

    @classmethod
    def of(cls, url: str) -> "Recording":
        """Of `file:PATH` or `file:///PATH`. ConfigError names what is wrong."""
        path = Path(url.removeprefix("file:").removeprefix("//"))
        name = path.name
        packing: Packing = ".gz" if name.endswith(".gz") else ".zst" if name.endswith(".zst") else ""
        name = name.removesuffix(packing)
        if not name.endswith((".sse", ".jsonl")):
            raise ConfigError("source.url", f"{path.name}: a recording is .sse or .jsonl, also .gz or .zst")
        if not path.is_file():
            raise ConfigError("source.url", f"{path}: no such file")
        return cls(path, ".sse" if name.endswith(".sse") else ".jsonl", packing)

    def open(self) -> Readable:
        if self.packing == ".gz":
            return gzip.open(self.path, "rb")
        file = self.path.open("rb")
        return _Zstd(file) if self.packing == ".zst" else file


class _Zstd:
    """Frame after frame; EOFError where the file ends within one, which the library's reader doesn't tell."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._is_open = False
        self._packed = b""

    def read(self, size: int, /) -> bytes:
        while True:
            self._packed = self._packed or self._file.read(size // 4)
            if not self._packed:
                if self._is_open:
                    raise EOFError("it ends within a frame")
                return b""
            plain = self._frame.decompress(self._packed)
            self._is_open, self._packed = not self._frame.eof, self._frame.unused_data
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            if plain:
                return plain

    def close(self) -> None:
        self._file.close()


@dataclass(slots=True)
class Replay:
    recording: Recording
    rules: Callable[[], Rules]
    """Those in force."""
    marks: Marks
    skip_events: int
    """How many were dealt with before."""
    is_paced: bool
    max_event_bytes: int

    async def run(self, inbox: Inbox) -> None:
        """To its end. SourceError when the file is damaged, once all before was handed on."""
        SOURCE_EXHAUSTED.set(0)
        at = 0
        pace = Pace()
        async with AsyncExitStack() as stack:
            file = await asyncio.to_thread(self.recording.open)
            stack.callback(file.close)
            splitter = _Splitter(self.recording.format, self.max_event_bytes)
            while True:
                try:
                    chunk = await asyncio.to_thread(file.read, CHUNK_BYTES)
                except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
                    raise SourceError(
                        f"the recording {self.recording.path.name} is damaged after {at} events: {error}"
                    ) from None
                events = list(splitter.feed(chunk) if chunk else splitter.end())
                fresh = events[max(0, self.skip_events - at) :]
                at += len(events)
                if self.is_paced:
                    for event in fresh:
                        told = self._interpret(event)
                        await pace.wait_for(told.upstream_ms)
                        await self._hand_on([told], inbox)
                elif fresh:
                    await self._hand_on([self._interpret(event) for event in fresh], inbox)
                    await asyncio.sleep(0)
                if not chunk:
                    break
        SOURCE_EXHAUSTED.set(1)
        logger.info("end of the recording", extra={"file": self.recording.path.name, "events": at})

    def _interpret(self, event: bytes | None) -> Told:
        if event is None:
            return Told((), "frame_too_large", "unknown")
        return interpret(event, self.rules())._replace(topic=TOPIC)

    async def _hand_on(self, told: list[Told], inbox: Inbox) -> None:
        self.marks.advance(TOPIC, max(one.upstream_ms for one in told))
        await inbox.put(Arrival(told, self.marks.as_dict()))


class Pace:
    """Waits until as much time has passed as had between the events; steps back cost nothing."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    async def wait_for(self, upstream_ms: int) -> None:
        loop = asyncio.get_running_loop()
        if not upstream_ms:
            return
        if self._first is None:
            self._first = (upstream_ms, loop.time())
        first_ms, began_s = self._first
        due_s = began_s + (upstream_ms - first_ms) / 1_000
        if due_s > loop.time():
            await asyncio.sleep(due_s - loop.time())


class _Splitter:
    """Bytes of the file → events; None for one that is too large."""

    def __init__(self, kind: Format, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._decoder = Decoder(max_event_bytes=max_event_bytes) if kind == ".sse" else None
        self._tail = b""
        self._last = b""
        self._skipping = False

    def feed(self, chunk: bytes) -> Iterator[bytes | None]:
        if self._decoder is not None:
            self._last = chunk[-1:]
            for frame in self._decoder.feed(chunk):
                yield None if isinstance(frame, FrameTooLarge) else frame.data
            return
        *lines, self._tail = (self._tail + chunk).split(b"\n")
        for line in lines:
            if self._skipping:
                self._skipping = False
            elif len(line) > self._max_event_bytes:
                yield None
            elif line.strip():
                yield line
        if self._skipping:
            self._tail = b""
        elif len(self._tail) > self._max_event_bytes:
            self._skipping, self._tail = True, b""
            yield None

    def end(self) -> Iterator[bytes | None]:
        """A recording's last event may lack its empty line, which an editor or `head` has taken; one
        that stops within a line is cut, and none.
        """
        if self._decoder is not None:
            if self._last in (b"\n", b"\r"):
                yield from self.feed(b"\n\n")
        elif self._tail.strip() and not self._skipping:
            yield self._tail
