"""The chart as operators set it: the values that tests look at, and what it makes of them, once each."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from harness.helm import Object, rendered

BROKERS: Final = ["events-kafka-bootstrap.kafka:9093"]
DEFAULT: Final[dict[str, Any]] = {"kafka": {"bootstrap": BROKERS}}
"""As little as an operator can say."""
FULL: Final[dict[str, Any]] = {
    "image": {
        "repository": "registry.example/streamer",
        "digest": f"sha256:{'ab' * 32}",
        "pullSecrets": ["registry"],
    },
    "config": {
        "source": {"contact": "ops@example.org"},
        "log": {"prefix": "prod", "partitions": 20, "history_hours": 12},
        "mediawiki": {"html_share": 0.5, "batch": 500},
        "admit": {"wikis": ["enwiki", "*wiktionary"]},
    },
    "kafka": {
        "bootstrap": [*BROKERS, "b-1.example:9096"],
        "ca": {"secretName": "events-cluster-ca-cert"},
        "users": {"route": {"username": "router", "secretName": "router-password", "key": "secret"}},
    },
    "privacy": {"secretName": "streamer-privacy"},
    "tickets": {"secretName": "streamer-tickets"},
    "roles": {
        "enrich": {"keda": {"enabled": True, "authentication": "kafka"}},
        "route": {"autoscaling": {"enabled": True}},
        "deliver": {"autoscaling": {"enabled": True, "minReplicas": 3}},
    },
    "service": {"annotations": {"example.org/owner": "feeds"}},
    "ingress": {"enabled": True, "host": "feeds.example.org", "tlsSecretName": "feeds-tls"},
    "networkPolicy": {
        "kafkaTo": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kafka"}}}],
        "extraEgress": [{"ports": [{"protocol": "TCP", "port": 8443}]}],
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "runbooks": "https://ops.example.org/runbooks/"},
    "canary": {
        "enabled": True,
        "keySecretName": "canary-key",
        "wiki": "testwiki",
        "page": "User:Canary/a page: 1",
        "edit": "https://test.wikipedia.org/w/api.php",
        "botSecretName": "canary-bot",
    },
    "priorityClassName": "feeds",
    "nodeSelector": {"pool": "feeds"},
    "tolerations": [{"key": "feeds", "operator": "Exists"}],
    "podAnnotations": {"example.org/team": "feeds"},
    "podLabels": {"team": "feeds"},
    "env": {"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=prod"},
}
"""Everything that can be on at once."""
BARE: Final[dict[str, Any]] = {
    "kafka": {"bootstrap": ["10.0.0.1:9092", "10.0.0.2:9092"], "protocol": "PLAINTEXT"},
    "config": {"source": None, "deliver": {"max_connections": 50_000}},
    "networkPolicy": {"enabled": False},
    "podDisruptionBudget": {"enabled": False},
    "topologyKeys": [],
    "roles": {"deliver": {"replicas": 1, "drainSeconds": 5, "leaveSeconds": 0}},
    "ingress": {"enabled": True, "controller": "nginx", "host": "f.example.org", "tlsSecretName": "tls"},
    "fullnameOverride": "feeds",
}
"""Everything off that can be, and other words for the rest."""
SETS: Final[Mapping[str, dict[str, Any]]] = {"default": DEFAULT, "full": FULL, "bare": BARE}
ROLES: Final = ("source", "enrich", "route", "deliver")


@cache
def objects(name: str) -> tuple[Object, ...]:
    """Not to be changed: they are others' too."""
    return tuple(rendered(SETS[name]))


def of_kind(name: str, kind: str) -> list[Object]:
    return [found for found in objects(name) if found["kind"] == kind]


def one(name: str, kind: str, ending: str = "") -> Object:
    """The only one of its kind whose name ends so."""
    (found,) = (it for it in of_kind(name, kind) if it["metadata"]["name"].endswith(ending))
    return found


class Workload(NamedTuple):
    """`pod` is its spec, `container` the only one in it."""

    name: str
    labels: dict[str, str]
    pod: dict[str, Any]
    container: dict[str, Any]

    @property
    def environ(self) -> dict[str, str]:
        return {entry["name"]: entry["value"] for entry in self.container.get("env", ())}


def workloads(name: str) -> Iterator[Workload]:
    """Whatever runs containers, the pod of `helm test` too."""
    for found in objects(name):
        if found["kind"] == "Deployment":
            template = found["spec"]["template"]
        elif found["kind"] == "Pod":
            template = found
        else:
            assert found["kind"] not in ("Job", "CronJob", "StatefulSet", "DaemonSet")
            continue
        (container,) = template["spec"]["containers"]
        assert not template["spec"].get("initContainers")
        yield Workload(found["metadata"]["name"], template["metadata"]["labels"], template["spec"], container)


def workload(name: str, role: str) -> Workload:
    (found,) = (it for it in workloads(name) if it.labels["app.kubernetes.io/component"] == role)
    return found


def matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return selector.items() <= labels.items()
