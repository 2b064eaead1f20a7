"""How far a long command is: a bar of rich on a terminal, else a line of JSON now and then; on stderr."""

import sys
import time
from types import TracebackType
from typing import IO, TYPE_CHECKING, Final, Self

import msgspec

from consumers.terminal import visible_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EVERY_S: Final = 5.0


class Shown:
    """A context manager; one task after the other."""

    def __init__(self, stream: IO[str] | None = None, *, is_terminal: bool | None = None) -> None:
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty() if is_terminal is None else is_terminal
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._name, self._unit = "", ""
        self._total = self._rows = 0
        self._told_s = -EVERY_S

    def __enter__(self) -> Self:
        if self._is_terminal:
            self._bar = _bar(self._stream)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def begin(self, name: str, total: int, unit: str) -> None:
        self._name, self._total, self._unit, self._rows = name, total, unit, 0
        if self._bar:
            self._task = self._bar.add_task(visible_line(name), total=total, rows="")

    def at(self, done: int, rows: int, **more: int) -> None:
        """So much of the total; so many rows since the last call."""
        self._rows += rows
        if self._bar and self._task is not None:
            told = ", ".join(
                [f"{self._rows:,} pages", *(f"{value:,} {name}" for name, value in more.items())]
            )
            self._bar.update(self._task, completed=done, rows=told)
            return
        now_s = time.monotonic()
        if now_s - self._told_s < EVERY_S and done < self._total:
            return
        self._told_s = now_s
        line = {
            "message": self._name,
            "done": done,
            "total": self._total,
            "unit": self._unit,
            "rows": self._rows,
        }
        print(msgspec.json.encode(line | more).decode(), file=self._stream, flush=True)


def _bar(stream: IO[str]) -> "Progress":
    from rich.console import Console  # noqa: PLC0415  # only where there is a terminal
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]}"),
        TimeRemainingColumn(),
        console=Console(file=stream),
    )
