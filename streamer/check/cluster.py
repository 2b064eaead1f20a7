"""The log on Kafka: whether the cluster answers, and whether its topics are those that the settings mean."""

import asyncio
from collections.abc import Collection
from typing import Final

from streamer.check.finding import Finding, ok, problem, warning
from streamer.config import Settings
from streamer.errors import LogError, TopicRefused
from streamer.log.base import Log
from streamer.log.open import open_log
from streamer.logs import KAFKA, silent
from streamer.runtime import topic_specs

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
                absent = await _absent(log, settings, {topic.name for topic in found})
    except (TimeoutError, LogError):
        return [
            problem(
                f"log.bootstrap: {where} does not answer: is it there, and are log.security's protocol, user,"
                " password and CA right?"
            )
        ]
    mine = [topic for topic in found if topic.name.startswith(f"{settings.log.prefix}.")]
    few = {spec.name: spec.partitions for spec in topic_specs(settings)}
    odd = [each.name for each in mine if each.partitions != few.get(each.name, settings.log.partitions)]
    if odd:
        return [
            problem(
                f"log.partitions: {', '.join(odd)} have another number than {settings.log.partitions}:"
                " set it to theirs, or choose another log.prefix"
            )
        ]
    answers = ok(f"log.bootstrap: {where} answers; {len(mine)} topics of {settings.log.prefix}")
    return [answers, *absent]


async def _absent(log: Log, settings: Settings, seen: Collection[str]) -> list[Finding]:
    """Of the shared topics, which every role looks for at its start: asked by name it is told apart whether
    there is none or this user may not see it.
    """
    missing: list[str] = []
    hidden: list[str] = []
    for name in sorted(spec.name for spec in topic_specs(settings) if spec.name not in seen):
        try:
            if await log.topic(name) is None:
                missing.append(name)
        except TopicRefused:
            hidden.append(name)
    found = []
    if hidden:
        found.append(
            warning(
                f"log.security.username: {settings.log.security.username or 'nobody'} may not see"
                f" {', '.join(hidden)}: no role runs like that. `streamer provision` makes users that may"
            )
        )
    if missing:
        found.append(
            warning(
                f"log.prefix: there are no {', '.join(missing)}: `streamer provision` makes them, or the"
                " service at its start where its user may"
            )
        )
    return found
