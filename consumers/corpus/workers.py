"""The pieces of dumps, read by several processes, in order: text is what takes the time.

At most two pieces a process are on their way, so memory doesn't grow with the dump. A process that reads ends
with the one that asks, however that ends.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Final, NamedTuple

import msgspec

from consumers.corpus.dump import Read
from consumers.corpus.page import Listed
from consumers.corpus.pieces import Piece, read
from consumers.corpus.site import Site
from consumers.errors import DumpError

AHEAD: Final = 2
"""Pieces for each process: while one is read the next one waits."""


class Job(msgspec.Struct, frozen=True):
    """What is the same for all pieces."""

    site: Site
    at: int | None
    """µs: when the dump was begun, where that is known."""
    keep_wikitext: bool = True
    namespaces: list[int] | None = None
    """These only; None: all."""

    def read(self, piece: Piece) -> Read:
        """Raises DumpError."""
        return read(
            piece, self.site, at=self.at, keep_wikitext=self.keep_wikitext, namespaces=self.namespaces
        )


class Done(NamedTuple):
    piece: Piece
    """Without its XML."""
    rows: list[Listed]
    unreadable: int
    newest: str
    closed: bool


class _Answer(msgspec.Struct, frozen=True, array_like=True):
    rows: list[Listed]
    unreadable: int
    newest: str
    closed: bool


def done(pieces: Iterable[Piece], job: Job, processes: int) -> Iterator[Done]:
    """Of each piece, in their order; by this process where `processes` is 1. Raises DumpError."""
    if processes <= 1:
        for piece in pieces:
            rows = job.read(piece)
            yield Done(piece._replace(xml=None), *rows)
        return
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), _begin, (msgspec.msgpack.encode(job),)
    )
    try:
        yield from _by(pool, pieces, processes * AHEAD)
    finally:
        pool.shutdown(cancel_futures=True)


def _by(pool: ProcessPoolExecutor, pieces: Iterable[Piece], most: int) -> Iterator[Done]:
    waiting: deque[tuple[Piece, Future[bytes]]] = deque()
    decoder = msgspec.msgpack.Decoder(_Answer)

    def next_done() -> Done:
        piece, future = waiting.popleft()
        try:
            answer = decoder.decode(future.result())
        except BrokenProcessPool:
            raise DumpError(
                f"{piece.file} from byte {piece.begin}: a process that read it was ended (out of memory?)"
            ) from None
        return Done(piece, answer.rows, answer.unreadable, answer.newest, answer.closed)

    for piece in pieces:
        waiting.append((piece._replace(xml=None), pool.submit(_read, piece)))
        if len(waiting) >= most:
            yield next_done()
    while waiting:
        yield next_done()


# ── within a process that reads ────────────────────────────────────────────────────────────────

_job: Job


def _begin(job: bytes) -> None:
    global _job  # noqa: PLW0603  # a process of the pool has one job
    _job = msgspec.msgpack.decode(job, type=Job)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the asking process says when it is over
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _read(piece: Piece) -> bytes:
    rows = _job.read(piece)
    return msgspec.msgpack.encode(_Answer(*rows))
