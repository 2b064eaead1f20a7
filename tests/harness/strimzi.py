"""What Strimzi's operators would make of resources, read by their API's words (`kafka.strimzi.io/v1`)."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

from streamer.provision.desired import Acl
from streamer.provision.strimzi import operation_name

OPERATIONS = {"READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"}
KINDS = {"topic": "topic", "group": "group", "transactionalId": "transactional_id"}
PATTERNS = {"literal": "literal", "prefix": "prefixed"}
QUOTAS = {"consumerByteRate": "consumer_byte_rate", "requestPercentage": "request_percentage"}
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
FIELDS = {
    "KafkaTopic": {"topicName", "partitions", "replicas", "config"},
    "KafkaUser": {"authentication", "authorization", "quotas"},
}
"""Those of `kafka.strimzi.io/v1` that there are, but for a user's `template`."""


def read(text: str, cluster: str = "events") -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The topics and the users, `spec` by name; asserts what all resources have."""
    topics, users = {}, {}
    for found in yaml.safe_load_all(text):
        assert found.keys() == {"apiVersion", "kind", "metadata", "spec"}
        assert found["apiVersion"] == "kafka.strimzi.io/v1"
        assert found["metadata"].keys() == {"name", "labels"}
        assert found["metadata"]["labels"] == {"strimzi.io/cluster": cluster}
        name, spec = found["metadata"]["name"], found["spec"]
        assert SUBDOMAIN.fullmatch(name)
        assert len(name) <= 253
        assert spec.keys() <= FIELDS[found["kind"]]
        if found["kind"] == "KafkaTopic":
            assert name not in topics
            topics[spec["topicName"]] = spec
        else:
            assert name not in users
            assert spec["authentication"] == {"type": "scram-sha-512"}
            users[name] = spec
    return topics, users


def acls_of(user: str, spec: Mapping[str, Any]) -> set[Acl]:
    assert spec["authorization"]["type"] == "simple"
    names = {operation_name(operation): operation for operation in OPERATIONS}
    found = set()
    for rule in spec["authorization"]["acls"]:
        assert rule.keys() == {"resource", "operations", "host"}
        assert rule["resource"].keys() == {"type", "name", "patternType"}
        for operation in rule["operations"]:
            acl = (
                user,
                KINDS[rule["resource"]["type"]],
                PATTERNS[rule["resource"]["patternType"]],
                rule["resource"]["name"],
                names[operation],
                rule["host"],
            )
            found.add(msgspec.convert(acl, Acl))
    return found
