"""The worker that makes text off the event loop: `python -m streamer.enrich.textworker`, started and ended by
`streamer.enrich.textpool`.

Frames on stdin and stdout, each a 4-byte length and a body of JSON. Markup is hostile input: what is done
with it is bounded from outside by its size and by a time limit that kills the worker, and here by a limit of
its address space.
"""

import resource
import signal
import struct
import sys
from contextlib import suppress
from typing import BinaryIO, Final

import msgspec

from consumers.wikitext.text import ANYWHERE, TEXT, Make, Origin, PlainText, plain_text
from streamer.enrich.html_text import plain_html

LENGTH: Final = struct.Struct(">I")
WORKER_BYTES: Final = 1 << 30
"""Address space of a worker: markup that makes the parser eat more fails there and nowhere else."""


class Asked(msgspec.Struct, frozen=True):
    """What is sent to it; it answers with a PlainText as a list, or null where it gave up."""

    wikitext: str
    """"" where it is about HTML."""
    origin: Origin = ANYWHERE
    make: Make = TEXT
    html: str = ""


def read_frame(stream: BinaryIO) -> bytes | None:
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    return stream.read(length)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Ends with its input, so it never outlives the process that started it."""
    decoder = msgspec.json.Decoder(Asked)
    encoder = msgspec.json.Encoder()
    while (frame := read_frame(requests)) is not None:
        answer: PlainText | None
        try:
            asked = decoder.decode(frame)
            if asked.html:
                answer = plain_html(asked.html, asked.make)
            else:
                answer = plain_text(asked.wikitext, asked.origin, asked.make)
            body = encoder.encode(answer)
        except (RecursionError, MemoryError, ValueError, LookupError, AttributeError, TypeError):
            body = b"null"  # a defect of ours on strange markup: an article without text, not a failure
        answers.write(LENGTH.pack(len(body)) + body)
        answers.flush()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    with suppress(ValueError, OSError):  # where the system has no such limit, the time limit remains
        resource.setrlimit(resource.RLIMIT_AS, (WORKER_BYTES, WORKER_BYTES))
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
