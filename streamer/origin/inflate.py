"""Bodies from outside, unpacked within bounds."""

import zlib
from typing import Final

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""MediaWiki cuts its results at 8 to 12 MiB of content; as JSON with every character escaped, six
times that. Beyond it an answer is no answer."""


MAX_MEMBERS: Final = 16
"""A server sends one. Each is unpacked from a copy of what follows it, so that a body of nothing but empty
ones would take the square of its length: hours for what fits into the bound above."""


class TooLarge(Exception):
    """More than the bounds, packed or unpacked."""


class Cut(Exception):
    """The stream ends before its end, or is none."""


def inflate(packed: bytes, most: int = MAX_ANSWER_BYTES) -> bytes:
    """One gzip member or several, whole. Never holds more than `most` bytes of output.

    Raises TooLarge, Cut.
    """
    parts: list[bytes] = []
    room = most
    rest = packed
    while rest:
        if len(parts) >= MAX_MEMBERS:
            raise TooLarge(f"over {MAX_MEMBERS} gzip members")
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            part = member.decompress(rest, room + 1)
        except zlib.error as error:
            raise Cut(str(error)) from None
        room -= len(part)
        if room < 0:
            raise TooLarge(f"over {most} bytes unpacked")
        parts.append(part)
        if not member.eof:
            raise Cut("gzip stream ends early")
        rest = member.unused_data
    return b"".join(parts)
