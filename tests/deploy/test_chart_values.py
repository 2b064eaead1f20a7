"""What an operator may set: a mistake is refused by its name, before anything is installed."""

import json
from typing import Any

import pytest
from harness.charts import BROKERS, DEFAULT
from harness.helm import CHART, run

from deploy.kubernetes import schema

pytestmark = pytest.mark.xdist_group("chart")


def test_the_schema_is_the_services_own() -> None:
    """What is made of the settings as they are: `python -m deploy.kubernetes.schema` makes it anew."""
    assert schema.FILE.read_text(encoding="utf-8") == schema.text()


def test_no_table_takes_what_it_does_not_know() -> None:
    """Throughout: but for labels and annotations, for `global`, and for what only Kubernetes can judge."""
    free = []

    def walk(found: Any, path: str) -> None:
        if isinstance(found, list):
            for value in found:
                walk(value, path)
        elif isinstance(found, dict):
            if found.get("type") == "object" and found.get("additionalProperties") is not False:
                free.append(path)
            for key, value in found.items():
                walk(value, path if key in ("properties", "items", "then") else f"{path}.{key}")

    walk(json.loads(schema.FILE.read_text(encoding="utf-8")), "")
    assert {path.rpartition(".")[2] for path in free} == {
        "annotations",
        "labels",
        "podAnnotations",
        "podLabels",
        "nodeSelector",
        "global",
        "env",
        "tolerations",
        "ingressFrom",
        "monitoringFrom",
        "dnsTo",
        "kafkaTo",
        "extraEgress",
    }


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"kafka": {"bootstrap": []}}, ["/kafka/bootstrap"]),
        ({"kafka": {"bootstrap": ["events"]}}, ["/kafka/bootstrap/0"]),
        (
            {
                "replicas": 3,
                "config": {
                    "log": {"kind": "local", "prefix": "Wiki"},
                    "deliver": {"drain_s": 5},
                    "privacy": {"secret": "no"},
                    "mediawiki": {"batch": 0, "hots": []},
                    "source": {"rewind_s": "ten"},
                },
                "image": {"digest": "latest"},
                "roles": {"source": {"replicas": 2}, "deliver": {"drainSeconds": 0}, "admin": {}},
                "ingress": {"enabled": True},
                "canary": {"enabled": True},
                "service": {"port": "http", "type": "LoadBalancer"},
                "podLabels": {"app.kubernetes.io/component": "mine"},
                "podAnnotations": {"checksum/config": "mine"},
                "partners": {"secretName": ""},
                "env": {"STREAMER_DELIVER__DRAIN_S": "1"},
            },
            [
                "'replicas'",
                "'kind'",
                "/config/log/prefix",
                "'drain_s'",
                "'privacy'",
                "/config/mediawiki/batch",
                "'hots'",
                "/config/source/rewind_s",
                "/image/digest",
                "/roles/source",
                "/roles/deliver/drainSeconds",
                "'admin'",
                "/ingress/host",
                "/ingress/tlsSecretName",
                "/canary/keySecretName",
                "/service/port",
                "'type'",
                "/podLabels/app.kubernetes.io",
                "/podAnnotations/checksum",
                "/partners/secretName",
                "/env/STREAMER_DELIVER__DRAIN_S",
            ],
        ),
        (
            {"roles": {"route": {"autoscaling": {"enabled": True}, "keda": {"enabled": True}}}},
            ["roles.route: autoscaling.enabled and keda.enabled"],
        ),
    ],
)
def test_mistakes_are_named(values: dict[str, Any], named: list[str]) -> None:
    """All of them at once, each by where it stands: what is unknown, what is missing, what is out of bounds,
    what the chart sets itself, and what can't go together.
    """
    out, said = run("template", "wiki", str(CHART), values={"kafka": {"bootstrap": BROKERS}} | values, code=1)
    assert not out
    assert not [name for name in named if name not in said], said


def test_what_is_said_after_an_install() -> None:
    """Where the feed is, and which Secrets there must be; never more than there is to do."""
    notes, _ = run("install", "wiki", str(CHART), "--dry-run=client", "--namespace", "feeds", values=DEFAULT)
    notes = notes.partition("NOTES:")[2]
    assert "http://wiki-streamer-deliver.feeds:80/v2/articles" in notes
    for name in ("streamer-partners", "wiki-source", "wiki-enrich", "wiki-route", "wiki-deliver"):
        assert f"  {name} (" in notes
    assert "up to 625 s" in notes
    assert "config.source.contact is empty" in notes
