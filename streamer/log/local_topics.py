"""Making, changing and deleting topics, as work for the writer."""

import secrets
from collections.abc import Sequence

from streamer.errors import ConfigError, TopicMissing
from streamer.log.base import TopicSpec
from streamer.log.local_writer import Transaction, Work


def ensure_work(specs: Sequence[TopicSpec]) -> Work[None]:
    """All or none."""

    def work(transaction: Transaction) -> None:
        for spec in specs:
            _ensure(transaction, spec)

    return work


def _ensure(transaction: Transaction, spec: TopicSpec) -> None:
    connection = transaction.connection
    policy = (int(spec.compact), spec.retention_ms, spec.compaction_lag_ms, int(spec.protected))
    row = connection.execute(
        "SELECT id, partitions, compact, retention_ms, compaction_lag_ms, protected"
        " FROM topics WHERE alive AND name = ?",
        (spec.name,),
    ).fetchone()
    if row is None:
        _make(transaction, spec, policy)
        return
    topic, partitions, *present = row
    if partitions != spec.partitions:
        raise ConfigError(
            "log.partitions",
            f"the topic {spec.name} has {partitions} partitions, not {spec.partitions}; that is never"
            " changed in place: set it back, or start anew with another log.path or log.prefix",
        )
    if tuple(present) == policy:
        return
    connection.execute(
        "UPDATE topics SET compact = ?, retention_ms = ?, compaction_lag_ms = ?, protected = ? WHERE id = ?",
        (*policy, topic),
    )
    if bool(present[0]) != spec.compact:  # the index of keys holds the records of topics that compact
        connection.execute(
            "UPDATE records SET compact = ? WHERE lane IN (SELECT id FROM lanes WHERE topic = ?)",
            (int(spec.compact), topic),
        )
        connection.execute("UPDATE lanes SET compacted = 0 WHERE topic = ?", (topic,))
    transaction.topics_changed()


def _make(transaction: Transaction, spec: TopicSpec, policy: tuple[int, int | None, int, int]) -> None:
    connection = transaction.connection
    topic = connection.execute(
        "INSERT INTO topics"
        " (name, epoch, alive, partitions, compact, retention_ms, compaction_lag_ms, protected)"
        " VALUES (?, ?, 1, ?, ?, ?, ?, ?)",
        (spec.name, secrets.token_hex(4), spec.partitions, *policy),
    ).lastrowid
    for partition in range(spec.partitions):
        (end,) = connection.execute(  # behind the offsets of an earlier topic of this name
            "SELECT coalesce(max(end), 0) FROM lanes JOIN topics ON topics.id = topic"
            " WHERE name = ? AND partition = ?",
            (spec.name, partition),
        ).fetchone()
        connection.execute(
            "INSERT INTO lanes (topic, partition, earliest, end, compacted, changed)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (topic, partition, end, end, end, transaction.change),
        )
    transaction.topics_changed()


def delete_work(name: str, epoch: str) -> Work[list[int]]:
    """The topic and its positions are gone; its lanes are returned, whose records the cleaner removes.
    Where `epoch` is given and is not the topic's, there is no such topic.

    The rows of topic and lanes stay, for the offsets that are used up.
    """

    def work(transaction: Transaction) -> list[int]:
        topic = transaction.topic(name)
        if epoch not in ("", topic.epoch):
            raise TopicMissing(f"there is no topic {name} of epoch {epoch}: it was made anew")
        lanes = [(lane,) for lane in topic.lanes]
        transaction.connection.executemany("DELETE FROM positions WHERE lane = ?", lanes)
        transaction.connection.execute("UPDATE topics SET alive = 0 WHERE id = ?", (topic.id,))
        transaction.topics_changed()
        return list(topic.lanes)

    return work
