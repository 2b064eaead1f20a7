"""Whom a process follows on its host: one that is surely dead, since the kernel has freed its lock.

A name made from the host would say so too, but two that run might share it. Here the lock says who is dead,
and what stands in the locked file which of all processes of the fleet that was: a file that is taken away
and made anew names nobody. Where there is no such file nobody is declared dead, and what a dead process had
is held until its time is over.
"""

import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

SLOTS: Final = 1_000
_NAME: Final = re.compile(rb"[0-9a-f]{32}", re.ASCII)


@contextmanager
def succession(name: str) -> Iterator[tuple[str, str]]:
    """A name in the fleet that nobody has or had, and that of the dead one whose slot it takes ("": none)."""
    own = uuid4().hex
    descriptor = None
    before = ""
    with suppress(OSError):
        descriptor = _slot(_folder(), name)
    try:
        if descriptor is not None:
            with suppress(OSError):
                before = _name_in(descriptor)
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, own.encode(), 0)
        yield own, before
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _folder() -> Path:
    """This user's alone: nobody else may say who is dead. Raises OSError."""
    folder = Path(tempfile.gettempdir()) / f"streamer-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(f"{folder} is not this user's alone")
    return folder


def _slot(folder: Path, name: str) -> int | None:
    """The first file that nobody has locked, locked. Raises OSError."""
    for slot in range(SLOTS):
        path = folder / f"{name}.{slot}.worker"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        else:
            return descriptor
    return None


def _name_in(descriptor: int) -> str:
    said = os.pread(descriptor, 64, 0)
    return said.decode("ascii") if _NAME.fullmatch(said) else ""
