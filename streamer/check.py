"""`streamer check`: what is wrong before anything is started."""

import asyncio
import os
import shutil
from pathlib import Path
from typing import Final, TextIO
from urllib.parse import urlsplit

import aiohttp

from streamer.config import RPM_UNIDENTIFIED, Settings
from streamer.errors import ConfigError, LogError
from streamer.log.open import open_log
from streamer.partners import load_partners

DEADLINE_S: Final = 5.0
CLUSTER_DEADLINE_S: Final = 10.0
GIB: Final = 1 << 30


async def run_check(settings: Settings, out: TextIO) -> list[str]:
    """Prints a line for everything that was looked at; the problems found, none: all is well."""
    findings = [
        *_settings(settings),
        *_partners(settings),
        *_disk(settings),
        *(await _cluster(settings)),
        await _stream(settings),
    ]
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
                "source.contact is not set: Wikimedia grants 10 requests a minute, with a contact 200",
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


async def _cluster(settings: Settings) -> list[Finding]:
    if settings.log.kind != "kafka":
        return []
    where = ", ".join(settings.log.bootstrap)
    try:
        async with asyncio.timeout(CLUSTER_DEADLINE_S), open_log(settings) as log:
            mine = [t for t in await log.topics() if t.name.startswith(f"{settings.log.prefix}.")]
    except (TimeoutError, LogError):
        problem = (
            "does not answer: is it there, and are log.security's protocol, user, password and CA right?"
        )
        return [(False, f"log.bootstrap: {where} {problem}")]
    odd = [topic.name for topic in mine if topic.partitions != settings.log.partitions]
    if odd:
        count = settings.log.partitions
        return [(False, f"log.partitions: {', '.join(odd)} have another number than {count}")]
    return [(True, f"log.bootstrap: {where} answers; {len(mine)} topics of {settings.log.prefix}")]


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
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        return f"{urlsplit(url).netloc} cannot be reached ({type(error).__name__})"
