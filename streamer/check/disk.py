"""The local log: room on its disk, what the file says of itself, who writes it."""

import os
import shutil
from pathlib import Path
from typing import Final

from streamer.check.finding import Finding, ok, problem, warning
from streamer.config import LogSettings, Settings
from streamer.errors import LogError
from streamer.log.local_inspect import Inspected, holders, inspect

GIB: Final = 1 << 30
HOUR_S: Final = 3_600


def disk_of(settings: Settings) -> list[Finding]:
    if settings.log.kind != "local":
        return []
    path = Path(settings.log.path).absolute()
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return [problem(f"log.path: {folder} is not a folder that can be written")]
    if not path.exists():
        return [_room(folder, settings.log, 0), ok(f"log.path: {path} is made at the start")]
    try:
        found = inspect(path)
    except LogError as error:
        return [problem(f"log.path: {error}")]
    findings = [_room(folder, settings.log, found.bytes), _opened(path, found)]
    if found.bytes_per_s is not None:
        findings.append(_history(settings.log, found.bytes_per_s))
    return findings


def _room(folder: Path, log: LogSettings, used_bytes: int) -> Finding:
    """What the file has already is room for it."""
    free_gib, used_gib = shutil.disk_usage(folder).free / GIB, used_bytes / GIB
    text = (
        f"log.path: {free_gib:.1f} GiB free in {folder}, the log has {used_gib:.1f}"
        f" of at most {log.retention_gb:g} (log.retention_gb)"
    )
    return ok(text) if free_gib + used_gib >= log.retention_gb else problem(f"{text}: it will not fit")


def _opened(path: Path, found: Inspected) -> Finding:
    running = ", ".join(f"{role} (process {pid})" for role, pid in holders(path).items())
    return ok(f"log.path: {path}: {found.records:,} records; running: {running or 'nothing'}")


def _history(log: LogSettings, bytes_per_s: float) -> Finding:
    needed_gib = bytes_per_s * log.history_hours * HOUR_S / GIB
    text = (
        f"log.history_hours: {log.history_hours:g} hours take {needed_gib:.2g} GiB at the rate of the newest"
        f" records, log.retention_gb is {log.retention_gb:g}"
    )
    if needed_gib <= log.retention_gb:
        return ok(text)
    hours = log.retention_gb * GIB / bytes_per_s / HOUR_S
    return warning(f"{text}: that holds {hours:.1f} hours, and who resumes later finds a gap")
