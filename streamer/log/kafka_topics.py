"""Topics on a cluster: made, kept to their policies, deleted."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka import errors as kafka
from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest

from streamer.errors import ConfigError, TopicMissing, TopicRefused
from streamer.log.base import TopicPartition, TopicSpec
from streamer.log.kafka_cluster import LATEST, Cluster, Topic
from streamer.log.kafka_protocol import READ, TOPIC, WRITE, AlterTopics, DeleteTopic

MAX_BATCH_BYTES: Final = 16_842_752
"""16 MiB of a record and 64 KiB for what is around it: on the broker the limit is of a whole batch."""
BATCH_LIMIT: Final = "max.message.bytes"
TIMEOUT_MS: Final = 10_000
TOMBSTONE_MS: Final = 600_000
"""A reader that has seen a value has so long to reach its tombstone before that goes too."""

NOT_OURS: Final = (kafka.TopicAuthorizationFailedError, kafka.ClusterAuthorizationFailedError)
UNKNOWN_TOPIC_ID: Final = 100
DELETION_DISABLED: Final = 73
"""Two refusals that aiokafka has no name for."""

logger = logging.getLogger(__name__)

Policy = Callable[[TopicSpec], dict[str, str]]


def policy(spec: TopicSpec, *, replication: int) -> dict[str, str]:
    """The settings of the topic; what is left out is the cluster's or the operator's to choose."""
    settings = {
        "cleanup.policy": "delete",
        "retention.ms": str(-1 if spec.retention_ms is None else spec.retention_ms),
        "retention.bytes": "-1",
        "segment.ms": str(spec.segment_ms),
        BATCH_LIMIT: str(MAX_BATCH_BYTES),
        "message.timestamp.type": "CreateTime",
        # a commit is answered by two disks, and one of three brokers may be away
        "min.insync.replicas": str(max(1, min(2, replication - 1))),
        "unclean.leader.election.enable": "false",
    }
    if spec.compact:
        settings |= {
            "cleanup.policy": "compact" if spec.retention_ms is None else "compact,delete",
            "min.compaction.lag.ms": str(spec.compaction_lag_ms),
            # as soon as it may, however little is to be gained: a withdrawn text must go
            "max.compaction.lag.ms": str(max(spec.compaction_lag_ms, spec.segment_ms)),
            "min.cleanable.dirty.ratio": "0.01",
            "delete.retention.ms": str(TOMBSTONE_MS),
        }
    return settings


async def ensure(
    cluster: Cluster, specs: Sequence[TopicSpec], *, replication: int, policy_of: Policy
) -> None:
    """Makes what is missing, and sets what differs. Raises ConfigError."""
    present = await cluster.fresh([spec.name for spec in specs])
    check_partitions(specs, present)
    missing = [spec for spec in specs if spec.name not in present]
    if missing:
        await _make(cluster, missing, replication, policy_of)
    changes = await differing(cluster, [spec for spec in specs if spec.name in present], policy_of)
    if changes:
        await cluster.tried("policies", lambda: _alter(cluster, changes))


def check_partitions(specs: Sequence[TopicSpec], present: Mapping[str, Topic]) -> None:
    """Raises ConfigError for a topic that has another number."""
    for spec in specs:
        topic = present.get(spec.name)
        if topic is not None and topic.info.partitions != spec.partitions:
            raise ConfigError(
                "log.partitions",
                f"the topic {spec.name} has {topic.info.partitions} partitions, not {spec.partitions};"
                " that is never changed in place: set it back, or start anew with another log.prefix",
            )


async def _make(cluster: Cluster, specs: Sequence[TopicSpec], replication: int, policy_of: Policy) -> None:
    requests: list[Any] = [
        (spec.name, spec.partitions, replication, [], list(policy_of(spec).items())) for spec in specs
    ]

    async def once() -> None:
        answer = await cluster.ask(CreateTopicsRequest(requests, TIMEOUT_MS, validate_only=False))
        for name, code, message in answer.topic_errors:
            error = kafka.for_code(code)
            if error is kafka.InvalidReplicationFactorError:
                raise ConfigError("log.replication", f"{replication}: {message}")
            if error is kafka.TopicAuthorizationFailedError:
                raise error(name)
            if error not in (kafka.NoError, kafka.TopicAlreadyExistsError):  # another process was first
                raise error(f"{name}: {message}")

    await cluster.tried("making topics", once)
    cluster.changed()
    # leaders are named before they answer: wait until they do
    await cluster.tried("new topics", lambda: _all_named(cluster, {spec.name for spec in specs}))
    cluster.changed()  # others may have asked meanwhile, and been told that there are none
    await cluster.offsets({TopicPartition(s.name, p): LATEST for s in specs for p in range(s.partitions)})


async def _all_named(cluster: Cluster, names: set[str]) -> None:
    for found, _ in await cluster.views(names):
        if names - found.keys() or any(leader < 0 for topic in found.values() for leader in topic.leaders):
            raise kafka.LeaderNotAvailableError


async def differing(
    cluster: Cluster, specs: Sequence[TopicSpec], policy_of: Policy, *, must_see: bool = False
) -> dict[str, dict[str, str]]:
    """Of topics that exist, the settings that their policies would have otherwise. Those that are not ours to
    see are passed over; with `must_see` that raises TopicRefused.
    """
    if not specs:
        return {}
    policies = {spec.name: policy_of(spec) for spec in specs}
    ask = DescribeConfigsRequest([(TOPIC, name, list(policies[name])) for name in policies])

    async def once() -> dict[str, dict[str, str]]:
        changes: dict[str, dict[str, str]] = {}
        for code, _, _, name, entries in (await cluster.ask(ask)).resources:
            error = kafka.for_code(code)
            if error in NOT_OURS and must_see:
                raise TopicRefused(f"{name}: its policy is not to be seen (ACLs: DESCRIBE_CONFIGS)", name)
            if error in NOT_OURS:
                # a role's own user may not; who provisions the cluster answers for the policies
                logger.info("policies of a topic are not ours to see", extra={"topic": name})
                continue
            if error is not kafka.NoError:
                raise error(name)
            present = {entry[0]: entry[1] for entry in entries}
            differing = {k: v for k, v in policies[name].items() if present.get(k) != v}
            if differing:
                changes[name] = differing
        return changes

    return await cluster.tried("policies", once)


async def _alter(cluster: Cluster, changes: dict[str, dict[str, str]]) -> None:
    answer = await cluster.ask(AlterTopics(changes))
    for code, message, _, name in answer.resources:
        error: Any = kafka.for_code(code)
        if error in NOT_OURS:
            # as with what may not be seen; if it is too small for what goes there, that is found out then
            logger.warning(
                "a topic's policies differ, and are not ours to set",
                extra={"topic": name, "policies": changes[name]},
            )
        elif error is not kafka.NoError:
            raise error(f"{name}: {message}")


async def check(cluster: Cluster, name: str, batch_bytes: int) -> None:
    """See Log.check_topic. A limit that is not ours to see is not looked at."""
    cluster.changed()  # what is mended is mended for the next commit too
    await cluster.check({TopicPartition(name, 0): READ | WRITE})
    if not batch_bytes:
        return
    limit = await cluster.tried("policies", lambda: _setting(cluster, name, BATCH_LIMIT))
    if limit is not None and batch_bytes > int(limit):
        raise TopicRefused(
            f"{name}: takes {limit} bytes ({BATCH_LIMIT}), and {batch_bytes} have to go there",
            name,
            batch_bytes=batch_bytes,
        )


async def _setting(cluster: Cluster, topic: str, setting: str) -> str | None:
    answer = await cluster.ask(DescribeConfigsRequest([(TOPIC, topic, [setting])]))
    ((code, _, _, _, entries),) = answer.resources
    error = kafka.for_code(code)
    if error in NOT_OURS:
        return None
    if error is not kafka.NoError:
        raise error(topic)
    return next((entry[1] for entry in entries if entry[0] == setting), None)


async def delete(cluster: Cluster, name: str, epoch: str) -> None:
    """Returns once no broker speaks of it any more. The broker forgets its positions, too, a moment later."""
    topic = (await cluster.fresh([name])).get(name)
    if topic is None or epoch not in ("", topic.info.epoch):
        raise TopicMissing(f"there is no topic {name}" + (f" of epoch {epoch}" if topic else ""), name)

    async def once() -> None:
        for _, _, code, *_ in (await cluster.ask(DeleteTopic(topic.id, TIMEOUT_MS))).responses:
            if code == UNKNOWN_TOPIC_ID:  # by a try of ours whose answer was lost, or by somebody else
                return
            if code == DELETION_DISABLED:
                raise ConfigError(name, "the cluster deletes no topics (delete.topic.enable)")
            error = kafka.for_code(code)
            if error is not kafka.NoError:
                raise error(name)

    async def gone() -> None:
        if any(name in found and found[name].id == topic.id for found, _ in await cluster.views([name])):
            raise kafka.StaleMetadata(name)

    await cluster.tried("deleting a topic", once)
    await cluster.tried("deleting a topic", gone)
    cluster.forget(name)
