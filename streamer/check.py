"""`streamer check`: what is wrong before anything is started."""

import asyncio
import os
import shutil
from pathlib import Path
from typing import Final, TextIO
from urllib.parse import urlsplit

import aiohttp

from streamer.config import RPM_UNIDENTIFIED, Settings
from streamer.errors import ConfigError
from streamer.partners import load_partners

DEADLINE_S: Final = 5.0
GIB: Final = 1 << 30


async def run_check(settings: Settings, out: TextIO) -> list[str]:
    """Prints a line for everything that was looked at; the problems found, none: all is well."""
    findings = [*_settings(settings), *_partners(settings), *_disk(settings), await _stream(settings)]
    for good, text in findings:
        print(f"{'ok     ' if good else 'PROBLEM'} {text}", file=out)
    return [text for good, text in findings if not good]


Finding = tuple[bool, str]


def _settings(settings: Settings) -> list[Finding]:
    wikis = ", ".join(settings.admitted_wikis) or "all"
    findings = [(True, f"wikis admitted: {wikis}; at most {settings.requests_per_minute} requests a minute")]
    if not settings.identified and settings.requests_per_minute <= RPM_UNIDENTIFIED:
        findings.append(
            (
                True,
                "source.contact is not set: Wikimedia grants 10 requests a minute; with a contact 200, all wikis",
            )
        )
    return findings


def _partners(settings: Settings) -> list[Finding]:
    file = Path(settings.partners.file)
    if not file.exists():
        return [
            (True, f"{file}: no such file, so nobody is served yet; `streamer partner add NAME` makes it")
        ]
    try:
        partners = load_partners(file)
    except ConfigError as error:
        return [(False, str(error))]
    return [(True, f"{file}: {len(partners)} partners")]


def _disk(settings: Settings) -> list[Finding]:
    if settings.log.kind != "local":
        return []
    folder = Path(settings.log.path).resolve().parent
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        return [(False, f"log.path: {folder} is not writable")]
    free_gib = shutil.disk_usage(folder).free / GIB
    text = f"log.path: {free_gib:.1f} GiB free in {folder}, log.retention_gb is {settings.log.retention_gb:g}"
    return [(free_gib >= settings.log.retention_gb, text)]


async def _stream(settings: Settings) -> Finding:
    url = settings.source.url
    if url.startswith("file:"):
        path = Path(url.removeprefix("file:"))
        return (True, f"{path}: readable") if os.access(path, os.R_OK) else (False, f"{path}: cannot be read")
    problem = await unreachable(settings)
    host = urlsplit(url).netloc
    return (False, f"source.url: {problem}") if problem else (True, f"source.url: {host} answers")


async def unreachable(settings: Settings) -> str:
    """Why the stream cannot be had, or "" when its server answers."""
    url = f"{settings.source.url}/recentchange"
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    try:
        async with (
            aiohttp.ClientSession(headers={"User-Agent": settings.user_agent}, timeout=timeout) as session,
            session.get(url, headers={"Accept": "text/event-stream"}, allow_redirects=False) as response,
        ):
            if response.status == 200:
                return ""
            return f"{urlsplit(url).netloc} answers {response.status}"
    except aiohttp.InvalidURL:
        return f"{url!r} is no URL"
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
        return f"{urlsplit(url).netloc} cannot be reached ({type(error).__name__})"
