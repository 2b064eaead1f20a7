"""That one process at a time feeds a corpus: two that read the same feed would only do each other's work."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consumers.corpus.database import folder_of
from consumers.errors import StateError


@contextmanager
def feeding(corpus: Path) -> Iterator[None]:
    """For who keeps positions. Others may read, erase and bootstrap beside, for rows are the same in any
    order. The kernel frees it, however the process ends. Raises StateError where another one holds it.
    """
    corpus = corpus.resolve()  # by whatever name it is called
    path = corpus.with_name(f"{corpus.name}.lock")
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
                f"{corpus} is fed by another process already ({holder or 'its number is not known'}):"
                " stop that one, or name another file by --corpus"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(descriptor)
