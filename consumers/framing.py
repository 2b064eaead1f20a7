"""Bytes of an event stream as they come → bytes of whole events, so that a parser never sees a part of one.

What stands behind the last blank line is no event yet, and where the stream ends it never was one: it is
dropped. Lines end with LF, CR or CRLF, a BOM may stand before the first (WHATWG HTML, 9.2.5); what comes out
has LF alone, and no BOM.
"""

from typing import Final

from consumers.errors import BadEvent

BOM: Final = b"\xef\xbb\xbf"
BLANK: Final = b"\n\n"
MAX_EVENT_BYTES: Final = 33_554_432
"""Twice what a record of the service may have."""


class Framing:
    """Of one connection. Each byte is looked at once, however long the line."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._is_begun = False
        self._is_after_cr = False

    def whole(self, chunk: bytes) -> bytes:
        """The events that this chunk completes, if any. Raises BadEvent for one beyond the limit."""
        if not self._is_begun:
            chunk = self._begun(chunk)
        if chunk and (self._is_after_cr or b"\r" in chunk):
            chunk = self._unix(chunk)
        if not chunk:
            return b""
        end = chunk.rfind(BLANK) + len(BLANK)
        if end < len(BLANK):
            is_split = chunk.startswith(b"\n") and self._held and self._held[-1].endswith(b"\n")
            end = 1 if is_split else 0
        if not end:
            self._hold(chunk)
            return b""
        events = b"".join([*self._held, chunk[:end]])
        self._held, self._held_bytes = [], 0
        self._hold(chunk[end:])
        return events

    def _hold(self, chunk: bytes) -> None:
        if chunk:
            self._held.append(chunk)
            self._held_bytes += len(chunk)
        if self._held_bytes > self._max_event_bytes:
            raise BadEvent(
                f"an event of the feed has no end within {self._max_event_bytes} bytes: is this the service's"
                " address?"
            )

    def _begun(self, chunk: bytes) -> bytes:
        """Without the BOM, which may come in pieces."""
        chunk = b"".join([*self._held, chunk])
        self._held, self._held_bytes = [], 0
        if len(chunk) < len(BOM) and BOM.startswith(chunk):
            self._hold(chunk)
            return b""
        self._is_begun = True
        return chunk.removeprefix(BOM)

    def _unix(self, chunk: bytes) -> bytes:
        if self._is_after_cr:  # which was the end of a line already
            chunk = chunk.removeprefix(b"\n")
        self._is_after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
