r"""SSE bytes → events, by the WHATWG rules (html.spec.whatwg.org, 9.2.6), at wire speed.

What upstream sends nearly always (LF only, one `data` line, events apart by an empty line) is cut with
`split(b"\n\n")`. There is one path, not two: a chunk that holds a CR is first rewritten to LF, since a
CR can never be content, and an event that isn't of the usual shape is read line by line.
"""

from typing import Final, NamedTuple

from streamer.errors import FrameTooLarge

BOM: Final = b"\xef\xbb\xbf"
USUAL_START: Final = b"event: message\nid: "
USUAL_DATA: Final = b"\ndata: "


class Frame(NamedTuple):
    """One dispatched event. `data` is as it was on the wire, not yet known to be UTF-8; `event` is its
    type (`message` where none was named) and `last_id` the last id seen, its own or an earlier one.
    """

    data: bytes
    last_id: bytes
    event: bytes


class Decoder:
    """Fed with chunks cut anywhere; holds at most `max_event_bytes` of an event that isn't complete.

    An event that is larger becomes a FrameTooLarge in the list, once, and the stream goes on behind it.
    What is incomplete when the stream ends is never dispatched: drop the decoder.
    """

    def __init__(self, *, max_event_bytes: int) -> None:
        self._retry_ms: int | None = None
        self._max_event_bytes = max_event_bytes
        self._last_id = b""
        self._pieces: list[bytes] = []
        """The event that isn't complete yet: joined only once its end has come."""
        self._held_bytes = 0
        self._skipping = False
        self._after_cr = False
        self._start: bytes | None = b""
        """The first bytes, until it is known whether they are a BOM; then None."""

    def feed(self, chunk: bytes) -> list[Frame | FrameTooLarge]:
        chunk = self._with_lf_only(self._without_bom(chunk))
        if not chunk:
            return []
        pieces = self._pieces
        edge = pieces[-1][-1:] + chunk if pieces else chunk
        if b"\n\n" not in edge:
            self._hold(chunk)
            return self._too_large()
        if pieces:
            pieces.append(chunk)
            chunk = b"".join(pieces)
        *blocks, rest = chunk.split(b"\n\n")
        self._pieces = []
        self._held_bytes = 0
        out: list[Frame | FrameTooLarge] = []
        if self._skipping:
            self._skipping = False
            del blocks[0]
        for block in blocks:
            if len(block) > self._max_event_bytes:
                out.append(_too_large(self._max_event_bytes))
                continue
            frame = self._dispatch(block)
            if frame is not None:
                out.append(frame)
        if rest:
            self._hold(rest)
            out.extend(self._too_large())
        return out

    @property
    def retry_ms(self) -> int | None:
        """The server's `retry:`; it counts from the end of its line on, event or no event."""
        whole_lines = b"".join(self._pieces).rpartition(b"\n")[0]
        last_id = self._last_id
        self._by_lines(whole_lines)
        self._last_id = last_id
        return self._retry_ms

    def _without_bom(self, chunk: bytes) -> bytes:
        if self._start is None:
            return chunk
        chunk = self._start + chunk
        if len(chunk) < len(BOM) and BOM.startswith(chunk):
            self._start = chunk
            return b""
        self._start = None
        return chunk.removeprefix(BOM)

    def _with_lf_only(self, chunk: bytes) -> bytes:
        """A CR ends a line at once; an LF right behind it, even in the next chunk, belongs to it."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk

    def _hold(self, piece: bytes) -> None:
        if self._skipping:  # only the last byte matters: it may be the first half of the empty line
            self._pieces = [piece[-1:]]
            return
        self._pieces.append(piece)
        self._held_bytes += len(piece)

    def _too_large(self) -> list[Frame | FrameTooLarge]:
        if self._skipping or self._held_bytes <= self._max_event_bytes:
            return []
        self._skipping = True
        self._pieces = [self._pieces[-1][-1:]]
        self._held_bytes = 0
        return [_too_large(self._max_event_bytes)]

    def _dispatch(self, block: bytes) -> Frame | None:
        """`block` is what stood before an empty line."""
        if block.startswith(USUAL_START):
            end = block.find(b"\n", len(USUAL_START))
            if block.startswith(USUAL_DATA, end):
                data_at = end + len(USUAL_DATA)
                last_id = block[len(USUAL_START) : end]
                if block.find(b"\n", data_at) < 0 and data_at < len(block) and b"\0" not in last_id:
                    self._last_id = last_id
                    return Frame(block[data_at:], last_id, b"message")
        return self._by_lines(block)

    def _by_lines(self, block: bytes) -> Frame | None:
        data: list[bytes] = []
        event = b""
        for line in block.split(b"\n"):
            if not line:  # an empty line at the start of a block: it dispatches nothing
                continue
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                data.append(value)
            elif name == b"event":
                event = value
            elif name == b"id":
                if b"\0" not in value:
                    self._last_id = value
            elif name == b"retry" and value.isdigit():
                self._retry_ms = int(value[:12])
        joined = b"\n".join(data)
        if not joined:
            return None
        return Frame(joined, self._last_id, event or b"message")


def _too_large(limit: int) -> FrameTooLarge:
    return FrameTooLarge(f"an event of the stream is larger than source.max_event_bytes ({limit})")
