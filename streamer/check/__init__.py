"""`streamer check`: what is wrong before anything is started, and what is in force.

All is looked at side by side, so that it takes some seconds even where everything hangs.
"""

import asyncio
from collections.abc import Awaitable
from typing import Final, TextIO

from streamer.check.cluster import cluster_of
from streamer.check.configuration import configured, in_force, partners_of, replaceable
from streamer.check.delivery import delivery_of
from streamer.check.disk import disk_of
from streamer.check.finding import Finding
from streamer.check.network import network_of
from streamer.check.ports import ports_of
from streamer.config import Settings

DEADLINE_S: Final = 10.0


async def run_check(path: str | None, out: TextIO) -> list[Finding]:
    """Prints a line for everything that was looked at. Where the configuration is wrong, what depends on it
    is not looked at.
    """
    settings, findings = configured(path)
    if settings is not None:
        findings += await _look(settings)
    for finding in findings:
        print(finding, file=out, flush=True)
    return findings


async def _look(settings: Settings) -> list[Finding]:
    looks = {
        "network": network_of(settings),
        "log.bootstrap": cluster_of(settings),
        "partners.file": asyncio.to_thread(partners_of, settings),
        "log.path": asyncio.to_thread(disk_of, settings),
        "deliver": asyncio.to_thread(delivery_of, settings),
        "ports": asyncio.to_thread(ports_of, settings),
    }
    found = await asyncio.gather(*(_within(name, look) for name, look in looks.items()))
    return [*in_force(settings), *(finding for findings in found for finding in findings), *replaceable()]


async def _within(name: str, look: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await look
    except TimeoutError:
        return [Finding("PROBLEM", f"{name}: no answer within {DEADLINE_S:g} s", hangs=True)]
