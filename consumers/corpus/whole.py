"""Files and folders that are there complete, or not at all.

They are written beside their place as `NAME.partial` and renamed when they are on the disk. Who writes one
holds a lock on it, which ends with the process: what a killed one left is told from what is being written.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from consumers.errors import SinkError, UsageError

SUFFIX: Final = ".partial"


@contextmanager
def whole(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """Where to write what becomes `path` at the end; after an error nothing is left of it.

    Raises UsageError where `path` is there already (an empty folder may be) or being written, SinkError where
    the system refuses: no room, no right.
    """
    if path.exists() and not (folder and path.is_dir() and not any(path.iterdir())):
        raise UsageError(f"{path} is there already: remove it, or choose another name")
    partial = path.with_name(path.name + SUFFIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _claimed(partial, folder=folder)
    except OSError as error:
        raise SinkError(f"{path} can't be written: {error.strerror or error}") from None
    try:
        yield partial
        settle(partial)
        partial.rename(path)
        settle(path.parent)
    except OSError as error:
        _remove(partial)
        raise SinkError(
            f"{path} can't be written: {error.strerror or error}; nothing is left of it"
        ) from None
    except BaseException:
        _remove(partial)
        raise
    finally:
        os.close(lock)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Where to write what takes the place of the file `path` at the end. For who is `alone` with it."""
    partial = path.with_name(path.name + SUFFIX)
    try:
        yield partial
        settle(partial)
        partial.replace(path)
        settle(path.parent)
    except OSError as error:
        raise SinkError(f"{path} can't be written anew: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """With a file or folder that is whole, to rewrite it. Raises SinkError where another process is."""
    try:
        lock = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise SinkError(f"{path} can't be read: {error.strerror or error}") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_there = os.fstat(lock).st_ino == path.stat().st_ino  # and was not replaced meanwhile
        except (BlockingIOError, FileNotFoundError):
            is_there = False
        if not is_there:
            raise SinkError(f"{path} is being rewritten by another process: repeat this when it is done")
        yield
    finally:
        os.close(lock)


def sweep(path: Path) -> None:
    """Removes what a killed process left of `path`. Raises SinkError where one is at it."""
    partial = path.with_name(path.name + SUFFIX)
    try:
        lock = os.open(partial, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(partial)
    except BlockingIOError:
        raise SinkError(f"{path} is being written by another process: repeat this when it is done") from None
    finally:
        os.close(lock)


def settle(path: Path) -> None:
    """To the disk, with all that is in it."""
    for below in [*path.rglob("*"), path]:
        descriptor = os.open(below, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _claimed(partial: Path, *, folder: bool) -> int:
    if folder:
        partial.mkdir(exist_ok=True)
        lock = os.open(partial, os.O_RDONLY)
    else:
        lock = os.open(partial, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours = os.fstat(lock).st_ino == partial.stat().st_ino
        if ours:
            _clear(partial)
    except (BlockingIOError, FileNotFoundError):
        ours = False
    except BaseException:
        os.close(lock)
        raise
    if not ours:
        os.close(lock)
        raise UsageError(f"{partial} is being written by another process")
    return lock


def _clear(partial: Path) -> None:
    """Of what a killed process left in it."""
    if not partial.is_dir():
        os.truncate(partial, 0)
        return
    for below in partial.iterdir():
        _remove(below)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
