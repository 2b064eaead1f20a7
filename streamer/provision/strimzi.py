"""What should be on a cluster that Strimzi runs, as resources that its operators bring about. Pure.

The API is `kafka.strimzi.io/v1`, which Strimzi has had since 0.49, and alone since 1.0. The operators make
the passwords: the Secret of a user has the user's name, and the key `password`.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from streamer.errors import ConfigError
from streamer.log.base import TopicSpec
from streamer.log.kafka_topics import policy
from streamer.provision.desired import (
    BYTES,
    REQUESTS,
    Acl,
    Desired,
    Kind,
    Pattern,
    Quota,
    role_users,
)

API_VERSION: Final = "kafka.strimzi.io/v1"
CLUSTER: Final = "strimzi.io/cluster"
"""The label by which an operator knows that a resource is its own."""
LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
"""Of RFC 1123: an object's name is such labels, joined by dots."""
CLUSTER_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")
"""It is a name and a label's value, and those have 63 characters at most."""
HASH_CHARS: Final = 8
CHART_SECRETS: Final = frozenset({"streamer-partners", "streamer-privacy", "streamer-tickets"})
"""As deploy/chart/values.yaml calls them: they may lie in the same namespace."""
_KINDS: Final[Mapping[Kind, str]] = {
    "topic": "topic",
    "group": "group",
    "transactional_id": "transactionalId",
}
_PATTERNS: Final[Mapping[Pattern, str]] = {"literal": "literal", "prefixed": "prefix"}
_QUOTAS: Final = {BYTES: "consumerByteRate", REQUESTS: "requestPercentage"}

Resource = dict[str, Any]
"""As Kubernetes reads it."""


def resources(desired: Desired, *, replication: int, cluster: str) -> list[Resource]:
    """One for each topic, then one for each user, in the order of `desired`. Raises ConfigError for what has
    no expression there.
    """
    if not CLUSTER_NAME.fullmatch(cluster):
        raise ConfigError("--cluster", f"{cluster!r} is no name that a Kafka resource can have")
    acls = defaultdict(list)
    for acl in sorted(desired.acls):
        acls[acl.user].append(acl)
    return [
        *(_topic(spec, replication, cluster) for spec in desired.topics),
        *(_user(user, acls[user], desired.quotas.get(user, {}), cluster) for user in desired.users),
    ]


def stream(found: list[Resource]) -> str:
    """YAML, a document each; the same for the same resources."""
    text: str = yaml.safe_dump_all(found, sort_keys=False, explicit_start=True, allow_unicode=True)
    return text


def _topic(spec: TopicSpec, replication: int, cluster: str) -> Resource:
    return _resource(
        "KafkaTopic",
        object_name(spec.name),
        cluster,
        {
            "topicName": spec.name,
            "partitions": spec.partitions,
            "replicas": replication,
            "config": policy(spec, replication=replication),
        },
    )


def _user(user: str, acls: list[Acl], quota: Quota, cluster: str) -> Resource:
    if not LABEL.fullmatch(user):
        raise ConfigError(
            f"user {user}",
            "begins or ends with a dash, and Strimzi's users have the names of their resources, which must"
            " not: give the partner another name",
        )
    # Strimzi keeps what is the cluster's own in Secrets of such names, its authorities' keys too
    is_clusters = user.startswith(f"{cluster}-") and not user.endswith(role_users(""))
    if is_clusters or user in CHART_SECRETS:
        raise ConfigError(
            f"user {user}",
            "Strimzi would write this user's password over a Secret of that name, which may be the cluster's"
            " or the chart's own: give the partner another name",
        )
    spec: Resource = {
        "authentication": {"type": "scram-sha-512"},
        "authorization": {"type": "simple", "acls": list(_rules(acls))},
    }
    if quota:
        spec["quotas"] = {_QUOTAS[name]: _whole(name, value) for name, value in sorted(quota.items())}
    return _resource("KafkaUser", user, cluster, spec)


def _rules(acls: list[Acl]) -> Iterator[Resource]:
    """One for each thing, with all that the user may do there."""
    operations = defaultdict(list)
    for acl in acls:
        operations[acl.kind, acl.pattern, acl.name, acl.host].append(operation_name(acl.operation))
    for (kind, pattern, name, host), allowed in operations.items():
        yield {
            "resource": {"type": _KINDS[kind], "name": name, "patternType": _PATTERNS[pattern]},
            "operations": allowed,
            "host": host,
        }


def operation_name(operation: str) -> str:
    """Of Kafka's `DESCRIBE_CONFIGS` Strimzi's `DescribeConfigs`."""
    return operation.replace("_", " ").title().replace(" ", "")


def object_name(topic: str) -> str:
    """Of its resource: the topic's own where Kubernetes allows it, as it does nearly always."""
    labels = topic.split(".")
    if all(LABEL.fullmatch(label) for label in labels):
        return topic
    told = ".".join(label.strip("-") or "x" for label in labels)
    return f"{told}-{hashlib.sha256(topic.encode()).hexdigest()[:HASH_CHARS]}"


def _whole(name: str, value: float) -> int:
    if not value.is_integer():
        key = {BYTES: "partner_bytes_per_second", REQUESTS: "partner_request_percentage"}[name]
        raise ConfigError(f"log.{key}", f"{value:g}: a Strimzi quota is a whole number")
    return int(value)


def _resource(kind: str, name: str, cluster: str, spec: Resource) -> Resource:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "labels": {CLUSTER: cluster}},
        "spec": spec,
    }
