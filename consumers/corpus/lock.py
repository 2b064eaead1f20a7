"""That one process at a time feeds a corpus, and one at a time erases: two would undo each other's work."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from consumers.corpus.database import folder_of
from consumers.errors import StateError


def feeding(corpus: Path) -> AbstractContextManager[None]:
    """For who keeps positions. Others may read, erase and bootstrap beside, for rows are the same in any
    order. The kernel frees it, however the process ends. Raises StateError where another one holds it.
    """
    return _held(corpus, "lock", "fed", "stop that one, or name another file by --corpus")


def erasing(corpus: Path) -> AbstractContextManager[None]:
    """For who rewrites the corpus' file and its sinks. As `feeding`, which may go on beside."""
    return _held(corpus, "erase.lock", "erased", "repeat this when that one is done")


@contextmanager
def _held(corpus: Path, suffix: str, done: str, advice: str) -> Iterator[None]:
    corpus = corpus.resolve()  # one file, whatever it is called by
    path = corpus.with_name(f"{corpus.name}.{suffix}")
    try:
        descriptor = os.open(folder_of(corpus) / path.name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise StateError(f"{path} can't be opened: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            raise StateError(
                f"{corpus} is {done} by another process already ({holder or 'its number is not known'}):"
                f" {advice}"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(descriptor)
