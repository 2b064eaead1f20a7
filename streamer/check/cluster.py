"""The log on Kafka: whether the cluster answers, and whether its topics are those that the settings mean."""

import asyncio
from typing import Final

from streamer.check.finding import Finding, ok, problem
from streamer.config import Settings
from streamer.errors import LogError
from streamer.log.open import open_log
from streamer.logs import KAFKA, silent

DEADLINE_S: Final = 8.0
"""Less than the whole look takes, so that the finding says what to look at."""


async def cluster_of(settings: Settings) -> list[Finding]:
    if settings.log.kind != "kafka":
        return []
    where = ", ".join(settings.log.bootstrap)
    try:
        with silent(KAFKA):  # what it says of its tries is this finding, many times over
            async with asyncio.timeout(DEADLINE_S), open_log(settings) as log:
                found = await log.topics()
    except (TimeoutError, LogError):
        return [
            problem(
                f"log.bootstrap: {where} does not answer: is it there, and are log.security's protocol, user,"
                " password and CA right?"
            )
        ]
    mine = [topic for topic in found if topic.name.startswith(f"{settings.log.prefix}.")]
    odd = [topic.name for topic in mine if topic.partitions != settings.log.partitions]
    if odd:
        return [
            problem(
                f"log.partitions: {', '.join(odd)} have another number than {settings.log.partitions}:"
                " set it to theirs, or choose another log.prefix"
            )
        ]
    return [ok(f"log.bootstrap: {where} answers; {len(mine)} topics of {settings.log.prefix}")]
