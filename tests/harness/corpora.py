"""`corpus follow` as a partner has it: a process that may be killed whenever; and what it then holds."""

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from consumers.corpus.row import Row
from consumers.corpus.state import State
from harness.mediawiki.truth import Truth
from harness.service import LEASH

POLL_S: Final = 0.2
PROGRAM: Final = "from consumers.cli import main; main()"
Key = tuple[str, int]


class Follows:
    """`arguments` are those of `corpus follow`. Its output is in `PATH.log`."""

    def __init__(self, path: Path, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        self.path = path
        self.log = path.with_suffix(".log")
        self.kills = 0
        self._arguments = arguments
        self._environ = {**os.environ, **environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()
        if error is not None:
            error.add_note(f"{self.path.name}:\n{self.log.read_text()[-3_000:]}")

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *LEASH, sys.executable, "-c", PROGRAM, "--corpus", str(self.path), "follow", *self._arguments,
                env=self._environ, stdout=log, stderr=log,
            )  # fmt: skip

    async def kill(self) -> None:
        """-9."""
        assert self._process
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def killed_and_started(self) -> None:
        await self.kill()
        self.kills += 1
        await self.start()

    async def stopped(self) -> int:
        """By SIGTERM; its exit code."""
        assert self._process
        self._process.terminate()
        return await self._process.wait()

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def differs_from(self, truth: Mapping[Key, Truth], timeout_s: float) -> dict[Key, Any]:
        """What differs still when the time is over, or the process ended; empty as soon as nothing does."""
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while True:
            wrong = await asyncio.to_thread(differing, self.path, truth)
            if not wrong or not self.runs or asyncio.get_running_loop().time() > deadline_s:
                return wrong
            await asyncio.sleep(POLL_S)


def differing(path: Path, truth: Mapping[Key, Truth]) -> dict[Key, Any]:
    """Page → (what it is, what the corpus has): the wikis' pages, and those that only the corpus has."""
    if not path.exists():
        return dict.fromkeys(truth, "no corpus yet")
    with State(path) as state:
        wrong: dict[Key, Any] = {}
        for key, wanted in truth.items():
            row = state.row(*key)
            if not _holds(row, wanted):
                wrong[key] = (wanted, None if row is None else (row.gone, row.sequence, row.revision))
        for wiki in state.wikis():
            for page in state.pages(wiki):
                if (wiki, page.page) not in truth:
                    wrong[wiki, page.page] = ("unheard of", page.title)
        return wrong


def _holds(row: Row | None, wanted: Truth) -> bool:
    """A page that is gone, or whose text nobody may read, has a tombstone and no text."""
    if row is None:
        return False
    content = row.content
    if wanted.deleted:
        return content is None and row.gone == "deleted"
    if wanted.sha1 is None:
        return content is None and row.gone == "hidden"
    return (
        content is not None
        and content.wikitext is not None
        and (content.title, content.revision, content.sha1) == (wanted.title, wanted.revision, wanted.sha1)
        and hashlib.sha1(content.wikitext.encode()).hexdigest() == wanted.sha1
    )
