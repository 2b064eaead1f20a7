"""A record as it lies in the file: the value in zstd where that is smaller, the headers in msgpack."""

import threading
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import zstandard

from streamer.errors import RecordTooLarge
from streamer.log.base import MAX_RECORD_BYTES, Headers, Record

LEVEL: Final = 1
MIN_BYTES: Final = 128
"""A smaller value gains nothing."""


class Packed(NamedTuple):
    topic: str
    partition: int
    key: str
    headers: bytes | None
    packed: int
    value: bytes | None

    @property
    def stored_bytes(self) -> int:
        return len(self.key) + len(self.headers or b"") + len(self.value or b"")


class _OfThread(threading.local):
    """Contexts are costly to make and not to be shared between threads."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=False)
        self.decompressor = zstandard.ZstdDecompressor()
        self.encoder = msgspec.msgpack.Encoder()
        self.decoder = msgspec.msgpack.Decoder(Headers)


_mine = _OfThread()


def pack(records: Sequence[Record]) -> list[Packed]:
    """Raises RecordTooLarge; UnicodeEncodeError for a key that is no text."""
    packed = []
    squeezed: dict[int, bytes] = {}
    """By the identity of the value: one that goes to many partners is compressed once."""
    for record in records:
        value = record.value
        size = len(value or b"") + len(record.key.encode())
        if size > MAX_RECORD_BYTES:
            raise RecordTooLarge(
                f"{record.topic}/{record.partition}: a record of {size} bytes, "
                f"at most {MAX_RECORD_BYTES} are taken",
                record.topic,
            )
        small = False
        if value is not None and len(value) >= MIN_BYTES:
            smaller = squeezed.get(id(value))
            if smaller is None:
                smaller = squeezed[id(value)] = _mine.compressor.compress(value)
            small = len(smaller) < len(value)
            if small:
                value = smaller
        headers = _mine.encoder.encode(record.headers) if record.headers else None
        packed.append(Packed(record.topic, record.partition, record.key, headers, int(small), value))
    return packed


def unpack_value(packed: int, value: bytes | None) -> bytes | None:
    return _mine.decompressor.decompress(value) if packed and value is not None else value


def unpack_headers(headers: bytes | None) -> Headers:
    return _mine.decoder.decode(headers) if headers else ()
