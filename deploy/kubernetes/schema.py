"""`deploy/chart/values.schema.json`: what an operator may set, and nothing else.

    python -m deploy.kubernetes.schema      writes it

The service's own settings come from streamer.config, so that the chart knows a key as soon as the service
does, with the same bounds. Draft 7, since Helm before 3.18 reads no later one.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from streamer.config import Settings

Schema = dict[str, Any]

FILE: Final = Path(__file__).resolve().parents[1] / "chart" / "values.schema.json"

OF_THE_CHART: Final[Mapping[str, frozenset[str]]] = {
    "log": frozenset({"kind", "path", "bootstrap", "security", "retention_gb"}),
    "deliver": frozenset(
        {
            "host",
            "port",
            "admin_host",
            "admin_port",
            "reuse_port",
            "behind_tls",
            "certificate",
            "private_key",
            "ticket_secret",
            "ticket_secret_file",
            "drain_s",
        }
    ),
}
"""Addresses, files and secrets are those of the pods; the embedded log is of one machine."""
NOT_IN_CONFIG: Final = frozenset({"privacy", "partners"})
"""Sections with nothing but files and secrets."""

TEXT: Final[Schema] = {"type": "string"}
FLAG: Final[Schema] = {"type": "boolean"}
NAME: Final[Schema] = {"type": "string", "pattern": "^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$"}
"""Of an object of Kubernetes; empty where there is none."""
NEEDED: Final[Schema] = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"}
KEY: Final[Schema] = {"type": "string", "pattern": "^[-._a-zA-Z0-9]+$"}
"""Of a Secret."""
LABELS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}
LISTS: Final[Schema] = {"type": "array", "items": {"type": "object"}}
"""Of what Kubernetes itself checks."""
PORT: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 65535}
QUANTITY: Final[Schema] = {"type": ["string", "number"], "pattern": "^[0-9.]+(m|[kMGT]i?)?$"}
DURATION: Final[Schema] = {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"}
MAX_DRAIN_S: Final = 3000
"""A scale-down looks back for an hour at most, and waits for a drain."""


def table(properties: Mapping[str, Schema], **more: object) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": dict(properties), **more}


def whole(least: int, most: int | None = None) -> Schema:
    return {"type": "integer", "minimum": least} | ({} if most is None else {"maximum": most})


def one_of(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def once(flag: str, properties: Mapping[str, Schema]) -> Schema:
    """Where the flag is set they must be so."""
    return {
        "if": {"properties": {flag: {"const": True}}, "required": [flag]},
        "then": {"properties": dict(properties), "required": list(properties)},
    }


QUANTITIES: Final = table(dict.fromkeys(("cpu", "memory", "ephemeral-storage"), QUANTITY))
RESOURCES: Final = table({"requests": QUANTITIES, "limits": QUANTITIES})
REPLICAS: Final[Mapping[str, Schema]] = {
    "enabled": FLAG,
    "minReplicas": whole(1),
    "maxReplicas": whole(1),
}
ROLE: Final[Mapping[str, Schema]] = {"drainSeconds": whole(1, MAX_DRAIN_S), "resources": RESOURCES}
SCALED: Final[Mapping[str, Schema]] = {
    **ROLE,
    "replicas": whole(1),
    "autoscaling": table({**REPLICAS, "cpuPercent": whole(1, 100)}),
}
LANES: Final[Mapping[str, Schema]] = {
    **SCALED,
    "keda": table({**REPLICAS, "lag": whole(1), "authentication": NAME}),
}
SECRET: Final = table({"secretName": NAME, "key": KEY})
USER: Final = table({"username": TEXT, "secretName": NAME, "key": KEY})


def config() -> Schema:
    """Sections and keys of `streamer.toml`, without those of the chart."""
    found = msgspec.json.schema(Settings)["$defs"]
    sections = {}
    for name, reference in found["Settings"]["properties"].items():
        if name not in NOT_IN_CONFIG:
            section = found[reference["$ref"].rpartition("/")[2]]["properties"]
            keys = {
                key: plain(kind) for key, kind in section.items() if key not in OF_THE_CHART.get(name, ())
            }
            sections[name] = table(keys)
    return table(sections)


def plain(kind: Any) -> Any:  # noqa: ANN401 - of JSON
    """Without defaults, which values.yaml leaves to the service, and with ends that all readers of patterns
    know.
    """
    if isinstance(kind, dict):
        told = {name: plain(value) for name, value in kind.items() if name not in ("default", "title")}
        if isinstance(told.get("pattern"), str):
            told["pattern"] = told["pattern"].replace("\\Z", "$")
        return told
    return [plain(value) for value in kind] if isinstance(kind, list) else kind


def values() -> Schema:
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart streamer",
    } | table(
        {
            "global": {"type": "object"},  # of a chart that has this one in it
            "nameOverride": NAME,
            "fullnameOverride": NAME,
            "image": table(
                {
                    "repository": {"type": "string", "minLength": 1},
                    "tag": TEXT,
                    "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
                    "pullPolicy": one_of("Always", "IfNotPresent", "Never"),
                    "pullSecrets": {"type": "array", "items": NEEDED},
                }
            ),
            "config": config(),
            "kafka": table(
                {
                    "bootstrap": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "pattern": "^[^\\s,]+:[0-9]+$"},
                    },
                    "protocol": one_of("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
                    "mechanism": one_of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
                    "ca": SECRET,
                    "users": table(dict.fromkeys(("source", "enrich", "route", "deliver"), USER)),
                }
            ),
            "partners": table({"secretName": NEEDED, "key": KEY}),
            "privacy": SECRET,
            "tickets": SECRET,
            "roles": table(
                {
                    "source": table(ROLE),
                    "enrich": table(LANES),
                    "route": table(LANES),
                    "deliver": table({**SCALED, "leaveSeconds": whole(0, 300)}),
                }
            ),
            "service": table({"port": PORT, "annotations": LABELS}),
            "ingress": table(
                {
                    "enabled": FLAG,
                    "className": NAME,
                    "controller": one_of("ingress-nginx", "nginx", "none"),
                    "annotations": LABELS,
                    "host": NAME,
                    "tlsSecretName": NAME,
                },
                **once("enabled", {"host": NEEDED, "tlsSecretName": NEEDED}),
            ),
            "networkPolicy": table(
                {
                    "enabled": FLAG,
                    "ingressFrom": LISTS,
                    "monitoringFrom": LISTS,
                    "dnsTo": LISTS,
                    "kafkaTo": LISTS,
                    "kafkaPorts": {"type": "array", "minItems": 1, "items": PORT},
                    "extraEgress": LISTS,
                }
            ),
            "serviceMonitor": table({"enabled": FLAG, "interval": DURATION, "labels": LABELS}),
            "prometheusRule": table(
                {
                    "enabled": FLAG,
                    "labels": LABELS,
                    "runbooks": {"type": "string", "pattern": "^https?://\\S+$"},
                }
            ),
            "canary": table(
                {
                    "enabled": FLAG,
                    "feed": TEXT,
                    "keySecretName": NAME,
                    "keySecretKey": KEY,
                    "wiki": TEXT,
                    "page": TEXT,
                    "edit": TEXT,
                    "botSecretName": NAME,
                    "botSecretKey": KEY,
                    "intervalSeconds": whole(1),
                    "resources": RESOURCES,
                },
                **once("enabled", {"keySecretName": NEEDED}),
            ),
            "podDisruptionBudget": table({"enabled": FLAG}),
            "priorityClassName": NAME,
            "topologyKeys": {"type": "array", "items": {"type": "string", "minLength": 1}},
            "env": {**LABELS, "patternProperties": {"^STREAMER_": False}},
            "nodeSelector": LABELS,
            "tolerations": LISTS,
            "podAnnotations": {**LABELS, "patternProperties": {"^checksum/": False}},
            "podLabels": {**LABELS, "patternProperties": {"^(app\\.kubernetes\\.io|streamer)/": False}},
        }
    )


def text() -> str:
    return json.dumps(values(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
