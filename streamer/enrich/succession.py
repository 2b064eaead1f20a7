"""Whom a process follows on its host: one that is surely dead, since the kernel has freed its lock.

A name made from the host would say so too, but two that run might share it. Here the lock says who is dead,
and the file beside it which of all processes of the fleet that was.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from streamer.errors import LogBusy
from streamer.log.claims import locked

SLOTS: Final = 1_000


@contextmanager
def succession(name: str) -> Iterator[tuple[str, str]]:
    """A name in the fleet that nobody has or had, and that of the dead one whose slot it takes ("": none)."""
    folder = Path(tempfile.gettempdir()) / f"streamer-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    own = uuid4().hex
    with ExitStack() as held:
        for slot in range(SLOTS):
            try:
                held.enter_context(locked(folder / f"{name}.{slot}.lock"))
            except LogBusy:
                continue
            said = folder / f"{name}.{slot}.worker"
            before = ""
            with suppress(OSError, ValueError):
                before = said.read_text("ascii")[:64]
            said.write_text(own, "ascii")
            break
        else:
            before = ""  # its permits are then held until their time is over
        yield own, before
