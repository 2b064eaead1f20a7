"""The source: upstream's events become records of the changes topic, each once, with their position.

    upstream ──► EventStreams or Replay ──► Inbox ──► Committer ──► wiki.changes.v1 + position
                 (one task reads)         (bounded)   (one commits)

One lane (partition 0 of the changes topic, group `source`) stands for the one connection. The position
counts the events read and holds the counts, upstream's timestamps, and from where on the identifiers must
be read back. Order of shutdown: reading stops, the inbox is emptied and committed, the lane returns.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from streamer.admission import Rules
from streamer.errors import SourceError
from streamer.groups import cause
from streamer.health import NO_TOPIC
from streamer.log.base import Lane, TopicPartition
from streamer.log.position import Position
from streamer.lost import Stops
from streamer.metrics import COMMITTED, QUEUE_DEPTH, SOURCE_NEWEST
from streamer.runtime import Runtime
from streamer.source import seen
from streamer.source.backoff import Backoff
from streamer.source.commit import LOG_COMPONENT, Committer
from streamer.source.eventstreams import COMPONENT, EventStreams
from streamer.source.inbox import Inbox
from streamer.source.marks import Marks
from streamer.source.replay import Recording, Replay
from streamer.source.standing import FileStanding, Standing

logger = logging.getLogger(__name__)

GROUP: Final = "source"
LINGER_S: Final = 0.02
"""How long the first event of a commit waits for company."""

Read = Callable[[Inbox], Awaitable[None]]


async def run_source(runtime: Runtime) -> None:
    """Until cancelled, or drained. ConfigError for a recording that can't be read."""
    runtime.health.expect(COMPONENT)
    url = runtime.settings.source.url
    recording = Recording.of(url) if url.startswith("file:") else None

    async def lane_main(lane: Lane) -> None:
        await _run_lane(runtime, lane, recording)

    def held(lanes: frozenset[int] | None) -> None:
        runtime.health.forget(LOG_COMPONENT)
        if lanes is None:
            runtime.health.unready(COMPONENT, NO_TOPIC)
        elif lanes:
            runtime.health.expect(COMPONENT)
        else:
            runtime.health.standing_by(COMPONENT)

    await runtime.log.run_lanes(
        GROUP,
        runtime.topics.changes,
        Stops(runtime, GROUP).around(lane_main),
        partitions=[0],
        draining=runtime.draining,
        held=held,
    )


async def _run_lane(runtime: Runtime, lane: Lane, recording: Recording | None) -> None:
    home = TopicPartition(lane.topic, lane.partition)
    committed = (await lane.positions([home])).get(home)
    position = committed or Position(0)
    standing = Standing.of(position)
    COMMITTED.set(GROUP, "", lane.partition, standing.counts)
    if standing.file is None and standing.upstream:
        # else it were 0 after a restart for as long as nothing new comes
        SOURCE_NEWEST.set(max(standing.upstream.values()) / 1_000)
    told_before = await seen.restore(
        runtime.log, lane.topic, standing.seen_from, standing.marks, standing.rewind_ms
    )
    logger.info("the source starts", extra={"events_before": position.next, "remembered": len(told_before)})
    if recording:
        read, standing = _from_file(runtime, recording, standing)
    else:
        read, standing = _from_stream(runtime, standing)
        if (
            committed is None
        ):  # where the feed begins is durable before it begins: a restart goes on from there
            await lane.commit([], {home: Position(0, (), standing.as_state())})
    committer = Committer(
        runtime,
        lane,
        home=home,
        next_event=position.next,
        standing=standing,
        seen=told_before,
        partitions=told_before.partitions,
    )
    inbox = Inbox(linger_s=LINGER_S, stamp=runtime.tracing.now_ns if runtime.tracing else None)
    try:
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(_read(read, inbox, runtime), name="source reads")
            draining = tasks.create_task(_stop_when_draining(runtime, reading), name="source drains")
            await committer.run(inbox)
            draining.cancel()
            reading.cancel()  # it may wait for room in the inbox that nobody empties any more
            if inbox.failure:
                raise inbox.failure
    except BaseExceptionGroup as group:
        raise cause(group) from group
    finally:
        QUEUE_DEPTH.labels("source_inbox").set(0)


async def _read(read: Read, inbox: Inbox, runtime: Runtime) -> None:
    try:
        await read(inbox)
        await runtime.draining.wait()  # the end of a recording: the service stays
    except SourceError as error:  # what was read before is committed first
        inbox.failure = error
    finally:
        inbox.close()


async def _stop_when_draining(runtime: Runtime, reading: asyncio.Task[None]) -> None:
    await runtime.draining.wait()
    reading.cancel()


def _from_stream(runtime: Runtime, standing: Standing) -> tuple[Read, Standing]:
    settings = runtime.settings
    rewind_ms = int(settings.source.rewind_s * 1_000)
    is_resumed = standing.started_ms > 0
    since_ms = 0 if is_resumed else _since_ms(runtime)
    started_ms = standing.started_ms or since_ms or runtime.clock.now_ms()
    # what was remembered for a shorter rewind doesn't cover a longer one; the next start will
    first_rewind_ms = min(rewind_ms, standing.rewind_ms) if is_resumed else rewind_ms
    client = EventStreams(
        settings=settings.source,
        user_agent=settings.user_agent,
        rules=runtime.derived(Rules.of),
        marks=Marks(standing.upstream, standing.idle),
        started_ms=started_ms,
        rewind_ms=first_rewind_ms,
        is_resumed=is_resumed or since_ms > 0,
        since_ms=since_ms,
        health=runtime.health,
        backoff=Backoff(),
        clock=runtime.clock,
    )
    standing = standing.with_stream(started_ms=started_ms, rewind_ms=rewind_ms)
    return client.run, standing


def _since_ms(runtime: Runtime) -> int:
    """0: with what comes now."""
    since = runtime.settings.source.since
    if since is None:
        return 0
    logger.info("the source begins in the past", extra={"since": since.isoformat()})
    return min(int(since.timestamp() * 1_000), runtime.clock.now_ms())


def _from_file(runtime: Runtime, recording: Recording, standing: Standing) -> tuple[Read, Standing]:
    settings = runtime.settings
    name = recording.path.name
    file = standing.file
    if file is None or file.file != name:
        file = FileStanding(file=name)
    replay = Replay(
        recording=recording,
        rules=runtime.derived(Rules.of),
        marks=Marks(file.marks),
        skip_events=file.events,
        is_paced=settings.source.speed == "recorded",
        max_event_bytes=settings.source.max_event_bytes,
    )

    async def read(inbox: Inbox) -> None:
        runtime.health.ready(COMPONENT)
        await replay.run(inbox)

    return read, standing.with_file(file, rewind_ms=int(settings.source.rewind_s * 1_000))
