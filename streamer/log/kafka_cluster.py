"""Questions to a cluster: which topics there are, how far they reach, what a group has committed.

Each is asked again while the cluster mends itself (a leader moves, a broker restarts), until ASK_S;
then it is LogUnavailable.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from aiokafka import errors as kafka
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.protocol.api import Request
from aiokafka.protocol.offset import OffsetRequest

from streamer import metrics
from streamer.errors import LogUnavailable, TopicMissing, TopicRefused
from streamer.log.base import Bounds, Extent, ReadingGroup, TopicInfo, TopicPartition
from streamer.log.kafka_client import END_S, LIBRARY_ERRORS, Access, ended, is_broken, within
from streamer.log.kafka_protocol import DESCRIBE, GroupsQuery, MetadataQuery, OffsetsQuery
from streamer.log.position import Position

ASK_S: Final = 20.0
PAUSE_S: Final = (0.01, 0.25)
"""Between two tries: first, and at most."""
KNOWN_S: Final = 2.0
"""So long what is known of the topics is believed: a commit needs no look-up, and a deletion or a topic
made anew is noticed this much later."""

CONFIRM_S: Final = 0.5
"""A broker that has just begun knows no topics for a moment: so long until it is asked again."""

EARLIEST: Final = -2
LATEST: Final = -1
UNCOMMITTED: Final = 0
"""Ends are those of all that was appended, decided or not: a reader that reaches them has passed every
transaction that was open when they were asked. The last stable offset would leave out what stands
behind an open one, for instance a cut-off that is committed already."""

AT_ONCE: Final = 50
"""Of many topics so many are asked about at a time: an answer is taken apart in one piece, and keeps the loop
for some milliseconds."""
MEMBERLESS: Final = frozenset({"Empty", "Dead"})
"""States of groups."""

UNSTABLE: Final = 88
"""UNSTABLE_OFFSET_COMMIT: a transaction that holds a position is being decided."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Topic:
    info: TopicInfo
    id: bytes
    leaders: tuple[int, ...]
    """By partition; -1 while one is elected."""
    operations: int
    """What we may do there (kafka_protocol.READ, WRITE); see `may`."""

    def may(self, operations: int) -> bool:
        """All of them. True where the cluster doesn't say: what it says has DESCRIBE, as we see the topic."""
        is_told = self.operations > 0 and self.operations & DESCRIBE
        return not is_told or self.operations & operations == operations


class View(NamedTuple):
    """What a broker tells of topics; absent is what does not exist."""

    topics: dict[str, Topic]
    hidden: frozenset[str]
    """Not ours to see, so that they may exist or not."""


class Cluster:
    """One client for questions; connects at the first, and anew after it has been cut off."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._client: AIOKafkaClient | None = None
        self._connecting = asyncio.Lock()
        self._coordinators: dict[str, int] = {}
        self._known = View({}, frozenset())
        self._asked: set[str] = set()
        self._asked_s = float("-inf")
        self._asking = asyncio.Lock()
        self._changes = 0
        """Of topics, that are known to have been made: an answer to what was asked before one is none to
        what is asked after."""
        self._doubted: dict[str, float] = {}
        """Topics that were missing when they were last looked for, and since when."""

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await ended(client.close(), END_S)

    async def _replace(self) -> None:
        """The next question is asked through a new client."""
        metrics.LOG_CLIENTS_REPLACED.labels("questions").inc()
        await self.close()

    async def ask(self, request: Request[Any], node: int | None = None) -> Any:  # noqa: ANN401 - each has its own
        """One try, of `node` or any; raises what aiokafka raises."""
        client = await self._connected()
        if node is None:
            node = client.get_random_node()
        return await client.send(node, request)

    async def _connected(self) -> AIOKafkaClient:
        async with self._connecting:
            if self._client is not None and is_broken(self._client):
                await self._replace()
            if self._client is None:
                client = AIOKafkaClient(client_id="streamer", **self._access.options)
                try:
                    await client.bootstrap()
                except BaseException:
                    await ended(client.close(), END_S)
                    raise
                self._client = client
            return self._client

    async def tried(self, what: str, once: Callable[[], Awaitable[T]]) -> T:
        """`once` until it succeeds; an error that won't pass by itself comes out under its name."""
        last = ""

        async def tries() -> T:
            nonlocal last
            pause_s = PAUSE_S[0]
            while True:
                try:
                    return await once()
                except LIBRARY_ERRORS as error:
                    if isinstance(error, kafka.KafkaError) and not _may_pass(error):
                        raise
                    self.forget()
                    last = type(error).__name__
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_S[1])

        try:
            return await within(ASK_S, tries(), what)
        except LogUnavailable as error:
            await self._replace()  # the brokers that it knows may be no more: the next question starts anew
            raise type(error)(f"{error}; {last}" if last else str(error)) from error

    # ── topics ─────────────────────────────────────────────────────────────────────────────────

    def forget(self, gone: str = "") -> None:
        """The next question about topics is asked, not remembered. `gone` is a topic that is known to be."""
        self._asked_s = float("-inf")
        self._known.topics.pop(gone, None)
        self._coordinators.clear()

    def changed(self) -> None:
        """As `forget`, and what others are being told just now is not remembered either."""
        self._changes += 1
        self.forget()

    async def topic(self, name: str) -> Topic | None:
        """As of KNOWN_S ago at the most. Raises TopicRefused."""
        known = await self._view(name)
        if name in known.hidden:
            raise _hidden([name])
        return known.topics.get(name)

    async def now(self, name: str) -> Topic | None:
        """Asked now; what is missing, once more. What was believed of it, and is so no more, is believed no
        longer: who is told here that there is a topic may write to it at once.
        """
        found = (await self.fresh([name])).get(name)
        if found is None:
            await asyncio.sleep(CONFIRM_S)
            found = (await self.fresh([name])).get(name)
        if name in self._asked and self._known.topics.get(name) != found:
            self.forget(name)
        return found

    async def existing(self, name: str, partition: int | None = None) -> Topic:
        """What was missing a moment ago may have been made since: asked again. Raises TopicMissing."""
        topic = await self.topic(name)
        if topic is None and time.monotonic() - self._asked_s > CONFIRM_S:
            self.forget(name)
            topic = await self.topic(name)
        if topic is None:
            raise TopicMissing(f"there is no topic {name}", name)
        if partition is not None and not 0 <= partition < topic.info.partitions:
            raise TopicMissing(
                f"the topic {name} has no partition {partition}, only {topic.info.partitions}", name
            )
        return topic

    async def check(self, wanted: Mapping[TopicPartition, int], *, again: bool = True) -> None:
        """Whether we may do these operations there, as of KNOWN_S ago at the most. Raises TopicMissing, or
        else TopicRefused, with all topics of which that is true. What is missing is looked for twice.
        """
        missing: dict[str, str] = {}
        refused: set[str] = set()
        for tp, operations in wanted.items():
            try:
                topic = await self.existing(*tp)
            except TopicMissing as error:
                missing[tp.topic] = str(error)
            except TopicRefused:
                refused.add(tp.topic)
            else:
                if not topic.may(operations):
                    refused.add(tp.topic)
        if missing and again:
            await asyncio.sleep(CONFIRM_S)
            self.forget()
            await self.check(wanted, again=False)
            return
        if missing:
            raise TopicMissing("; ".join(missing.values()), *missing)
        if refused:
            names = sorted(refused)
            raise TopicRefused(f"{', '.join(names)}: this user may not write there (ACLs)", *names)

    async def fresh(self, names: Iterable[str] | None = None) -> dict[str, Topic]:
        """Asked now; of all without `names`. Those that don't exist are absent. Raises TopicRefused."""
        wanted = None if names is None else list(names)
        found = await self.tried("topics", lambda: self._metadata(wanted))
        if found.hidden:
            raise _hidden(found.hidden)
        return found.topics

    async def views(self, names: Iterable[str]) -> list[View]:
        """By each broker that lives: they hear of a change one after the other."""
        wanted = list(names)

        async def once() -> list[View]:
            query = MetadataQuery(wanted)
            nodes = [broker[0] for broker in (await self.ask(query)).brokers]
            return [_view(await self.ask(query, node)) for node in nodes]

        return await self.tried("topics", once)

    async def _view(self, name: str) -> View:
        if not self._knows(name):
            async with self._asking:
                if not self._knows(name):
                    await self._learn({*self._asked, name})
        return self._known

    def _knows(self, name: str) -> bool:
        return name in self._asked and time.monotonic() - self._asked_s <= KNOWN_S

    async def _learn(self, names: set[str]) -> None:
        """What was there a moment ago is gone when it is missing twice: who hears of it gives up for good.
        Until then it is believed to be there, so that nobody waits whom it does not concern.
        """
        asked_s, changes = time.monotonic(), self._changes
        found = await self._seen(names)
        missing = (names & self._known.topics.keys()) - found.topics.keys() - found.hidden
        doubted = {name: self._doubted.get(name, asked_s) for name in missing}
        self._doubted = {name: since_s for name, since_s in doubted.items() if asked_s < since_s + CONFIRM_S}
        believed = {name: self._known.topics[name] for name in self._doubted}
        self._known = View(found.topics | believed, found.hidden)
        self._asked = names
        if changes == self._changes:
            self._asked_s = asked_s - (KNOWN_S - CONFIRM_S if believed else 0.0)

    async def _seen(self, names: set[str]) -> View:
        found = await self.tried("topics", lambda: self._metadata(sorted(names)))
        topics = dict(found.topics)
        if unknown := names - topics.keys() - found.hidden:
            for view in await self.views(unknown):  # a broker may not have heard of a new one
                topics |= view.topics
        return View(topics, found.hidden)

    async def _metadata(self, names: list[str] | None) -> View:
        return _view(await self.ask(MetadataQuery(names)))

    # ── offsets ────────────────────────────────────────────────────────────────────────────────

    async def bounds(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, Bounds]:
        wanted = list(tps)

        async def once() -> dict[TopicPartition, Bounds]:
            ends, earliest = await asyncio.gather(
                self._offsets(dict.fromkeys(wanted, LATEST)), self._offsets(dict.fromkeys(wanted, EARLIEST))
            )
            return {tp: Bounds(min(earliest[tp], ends[tp]), ends[tp]) for tp in wanted}

        return await self.tried("bounds", once)

    async def offsets(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """By time (Unix, ms), EARLIEST or LATEST; -1 where nothing is so young. Raises TopicMissing."""
        return await self.tried("offsets", lambda: self._offsets(times))

    async def _offsets(
        self, times: Mapping[TopicPartition, int], topics: Mapping[str, Topic] | None = None
    ) -> dict[TopicPartition, int]:
        return {tp: offset for tp, (_, offset) in (await self._times(times, topics)).items()}

    async def _first(
        self, times: Mapping[TopicPartition, int], topics: Mapping[str, Topic]
    ) -> dict[TopicPartition, int]:
        """When the first record since then was appended; where there is none it is absent."""
        found = await self._times(times, topics)
        return {tp: time_ms for tp, (time_ms, offset) in found.items() if offset >= 0 and time_ms >= 0}

    async def _times(
        self, times: Mapping[TopicPartition, int], topics: Mapping[str, Topic] | None = None
    ) -> dict[TopicPartition, tuple[int, int]]:
        """Time (but for EARLIEST and LATEST) and offset. `topics` where they were just looked up."""
        by_node: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
        for tp, time_ms in times.items():
            topic = topics[tp.topic] if topics is not None else await self.existing(*tp)
            by_node[topic.leaders[tp.partition]][tp.topic].append((tp.partition, time_ms))
        found: dict[TopicPartition, tuple[int, int]] = {}
        for answer in await asyncio.gather(
            *(
                self.ask(OffsetRequest(-1, UNCOMMITTED, list(topics.items())), node)
                for node, topics in by_node.items()
            )
        ):
            for name, partitions in answer.topics:
                for partition, code, appended_ms, offset in partitions:
                    _check(code, name)
                    found[TopicPartition(name, partition)] = appended_ms, offset
        return found

    async def committed(
        self, group: str, wanted: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, Position]:
        """What the group has committed, decided; at all partitions without `wanted`."""
        partitions: dict[str, list[int]] | None = None
        if wanted is not None:
            partitions = defaultdict(list)
            for tp in wanted:
                partitions[tp.topic].append(tp.partition)

        async def once() -> dict[TopicPartition, Position]:
            answer = await self.ask(OffsetsQuery(group, partitions), await self._coordinator(group))
            _check(answer.error_code, group)
            found: dict[TopicPartition, Position] = {}
            refused: set[str] = set()
            for name, answers, _ in answer.topics:
                for partition, offset, _, metadata, code, _ in answers:
                    if kafka.for_code(code) is kafka.TopicAuthorizationFailedError:
                        refused.add(name)
                        continue
                    _check(code, group)
                    if offset >= 0:
                        found[TopicPartition(name, partition)] = Position.restore(offset, metadata or "")
            if refused:
                raise kafka.TopicAuthorizationFailedError(refused)
            return found

        return await self.tried(f"positions of {group}", once)

    # ── of many topics at once ─────────────────────────────────────────────────────────────────

    async def extents(self, names: Iterable[str]) -> dict[str, Extent]:
        """Without those of which a partition has no leader just now. Nothing of this is remembered: who asks
        about a topic later would ask about all of these.
        """
        found: dict[str, Extent] = {}
        wanted = sorted(names)
        for begin in range(0, len(wanted), AT_ONCE):
            some = wanted[begin : begin + AT_ONCE]

            async def once(some: list[str] = some) -> dict[str, Extent]:
                seen = (await self._metadata(some)).topics
                topics = {name: topic for name, topic in seen.items() if min(topic.leaders, default=-1) >= 0}
                tps = _partitions(topics)
                ends = await self._offsets(dict.fromkeys(tps, LATEST), topics)
                earliest = await self._offsets(dict.fromkeys(tps, EARLIEST), topics)
                bounds = {tp: Bounds(min(earliest[tp], ends[tp]), ends[tp]) for tp in tps}
                return {
                    name: Extent(
                        topic.info,
                        tuple(bounds[TopicPartition(name, n)] for n in range(topic.info.partitions)),
                    )
                    for name, topic in topics.items()
                }

            found |= await self.tried("topics and their bounds", once)
        return found

    async def oldest_ms(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """By asking for the first record since 1970, with which comes its time."""
        found: dict[TopicPartition, int] = {}
        wanted = sorted(tps)
        for begin in range(0, len(wanted), AT_ONCE):
            some = wanted[begin : begin + AT_ONCE]

            async def once(some: list[TopicPartition] = some) -> dict[TopicPartition, int]:
                topics = (await self._metadata(sorted({tp.topic for tp in some}))).topics
                there = [tp for tp in some if tp.topic in topics]
                return await self._first(dict.fromkeys(there, 0), topics)

            found |= await self.tried("oldest records", once)
        return found

    async def readers(self, topics: Mapping[str, Extent]) -> dict[str, dict[str, ReadingGroup]]:
        """Of groups that we do not keep, by owner: where each that has a position in its topic goes on."""

        async def groups() -> dict[str, bool]:
            nodes = [broker[0] for broker in (await self.ask(MetadataQuery([]))).brokers]
            states: dict[str, bool] = {}
            for node in nodes:
                answer = await self.ask(GroupsQuery(), node)
                _check(answer.error_code, "groups")
                for name, _, state, _ in answer.groups:
                    if name.partition(".")[0] in topics and "." in name:
                        states[name] = state not in MEMBERLESS
            return states

        found: dict[str, dict[str, ReadingGroup]] = {}
        for group, has_members in sorted((await self.tried("groups", groups)).items()):
            owner = group.partition(".")[0]
            offsets = await self._positions(group, topics[owner])
            if offsets:
                found.setdefault(owner, {})[group] = ReadingGroup(offsets, has_members)
        return found

    async def _positions(self, group: str, extent: Extent) -> dict[int, int]:
        async def once() -> dict[int, int]:
            query = OffsetsQuery(group, {extent.info.name: list(range(extent.info.partitions))})
            told = await self.ask(query, await self._coordinator(group))
            _check(told.error_code, group)
            return {
                partition: offset
                for _, answers, _ in told.topics
                for partition, offset, *_ in answers
                if offset >= 0
            }

        return await self.tried(f"positions of {group}", once)

    async def _coordinator(self, group: str) -> int:
        if group not in self._coordinators:
            client = await self._connected()
            self._coordinators[group] = await client.coordinator_lookup(CoordinationType.GROUP, group)
        return self._coordinators[group]


def _partitions(topics: Mapping[str, Topic]) -> list[TopicPartition]:
    return [TopicPartition(name, n) for name, topic in topics.items() for n in range(topic.info.partitions)]


def _view(answer: Any) -> View:  # noqa: ANN401 - aiokafka is untyped
    found: dict[str, Topic] = {}
    hidden: set[str] = set()
    for code, name, topic_id, internal, partitions, operations, *_ in answer.topics:
        error = kafka.for_code(code)
        if error is kafka.UnknownTopicOrPartitionError or internal:
            continue
        if error is kafka.TopicAuthorizationFailedError:
            hidden.add(name)
            continue
        if error is not kafka.NoError and error is not kafka.LeaderNotAvailableError:
            raise error(name)
        leaders = {partition[1]: partition[2] for partition in partitions}
        found[name] = Topic(
            # the id is random, so its first 32 bits are; the broker draws it with the topic
            TopicInfo(name, len(leaders), topic_id[:4].hex()),
            topic_id,
            tuple(leaders[number] for number in sorted(leaders)),
            operations,
        )
    return View(found, frozenset(hidden))


def _hidden(names: Iterable[str]) -> TopicRefused:
    topics = sorted(names)
    return TopicRefused(f"{', '.join(topics)}: this user may not see that (ACLs: DESCRIBE)", *topics)


class Unstable(kafka.KafkaError):  # type: ignore[misc] # aiokafka is untyped
    """A transaction that holds a position is being decided: ask again."""

    retriable = True


def _check(code: int, about: str) -> None:
    if code == UNSTABLE:
        raise Unstable(about)
    error = kafka.for_code(code)
    if error is not kafka.NoError:
        raise error(about)


def _may_pass(error: kafka.KafkaError) -> bool:
    """Whatever is not a plain refusal: leaders, coordinators and connections come back."""
    return error.retriable or isinstance(
        error, kafka.KafkaConnectionError | kafka.NodeNotReadyError | kafka.UnknownTopicOrPartitionError
    )
