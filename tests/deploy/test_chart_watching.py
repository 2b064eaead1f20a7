"""The chart's objects for operators that Kubernetes has no schema of: Prometheus's and KEDA's.

They are judged by hand, and by what they are made for: rules are those of deploy/prometheus, selectors find
Services, groups and topics are the service's.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.charts import FULL, matches, objects, of_kind, one
from harness.helm import CHART, REPOSITORY, rendered, run

from streamer.accounts import GROUP as ROUTE
from streamer.enrich.outbox import GROUP as ENRICH
from streamer.log.kafka_lane import group_id
from streamer.model import Topics

pytestmark = pytest.mark.xdist_group("chart")

PROMETHEUS = REPOSITORY / "deploy" / "prometheus"
RUNBOOKS = "{{ $externalLabels.runbooks }}"
RULE_KEYS = {"alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations"}
GROUP_KEYS = {"name", "interval", "rules", "limit", "query_offset", "labels", "partial_response_strategy"}
"""Of PrometheusRule in monitoring.coreos.com/v1."""


def groups() -> list[dict[str, Any]]:
    """Of deploy/prometheus/rules, file by file."""
    files = sorted((PROMETHEUS / "rules").glob("*.yml"))
    assert files
    return [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]


def plain(found: Any, base: str) -> Any:
    """With a base of links in place of the external label."""
    if isinstance(found, str):
        return found.replace(RUNBOOKS, base)
    if isinstance(found, dict):
        return {key: plain(value, base) for key, value in found.items()}
    return [plain(value, base) for value in found] if isinstance(found, list) else found


def test_alerts_are_those_of_deploy() -> None:
    """Group by group and word for word, but that links begin with what the operator set; each key is one that
    the Prometheus operator's resource has.
    """
    found = one("full", "PrometheusRule")
    assert found["apiVersion"] == "monitoring.coreos.com/v1"
    assert found["spec"].keys() == {"groups"}
    assert found["spec"]["groups"] == plain(groups(), "https://ops.example.org/runbooks")
    names = [group["name"] for group in found["spec"]["groups"]]
    assert len(set(names)) == len(names)
    for group in found["spec"]["groups"]:
        assert group.keys() <= GROUP_KEYS
        for rule in group["rules"]:
            assert rule.keys() <= RULE_KEYS
            assert isinstance(rule["expr"], str)
            if "alert" in rule:
                link = f"https://ops.example.org/runbooks/{rule['alert']}.md"
                assert rule["annotations"]["runbook_url"] == link


def test_a_packed_chart_has_the_rules_too(tmp_path: Path) -> None:
    """They lie beside the chart, behind a link: what is packed holds them, and nothing of Python."""
    run("package", str(CHART), "--destination", str(tmp_path))
    (packed,) = tmp_path.glob("streamer-*.tgz")
    found = [it for it in rendered(FULL, chart=packed) if it["kind"] == "PrometheusRule"]
    assert found == of_kind("full", "PrometheusRule")


def test_what_is_scraped() -> None:
    """Each role by the job that rules and dashboards know, the canary by its own; each selector finds one
    Service, which has a port of that name and pods that are not ready, too.
    """
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    jobs = {job["job_name"] for job in config["scrape_configs"]}
    services = of_kind("full", "Service")
    monitors = of_kind("full", "ServiceMonitor")
    for monitor in monitors:
        assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        selector = monitor["spec"]["selector"]["matchLabels"]
        (service,) = (it for it in services if matches(selector, it["metadata"]["labels"]))
        assert service["spec"]["publishNotReadyAddresses"] is True
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint.keys() == {"port", "interval", "scrapeTimeout", "relabelings"}
        assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
        (relabeling,) = endpoint["relabelings"]
        assert relabeling["targetLabel"] == "job"
        kind = "canary" if service["metadata"]["name"].endswith("-canary") else "streamer"
        assert relabeling["replacement"] == kind
        jobs.discard(kind)
    assert not jobs
    assert len(monitors) == 2


def test_what_keda_would_look_at() -> None:
    """A group and a topic of the service, of its prefix. No KEDA has run it, and it says so itself."""
    found = one("full", "ScaledObject")
    assert found["apiVersion"] == "keda.sh/v1alpha1"
    assert found["metadata"]["annotations"]["streamer/unverified"] == "true"
    values = {**FULL, "roles": {"route": {"keda": {"enabled": True}}}}
    others = [it for it in rendered(values) if it["kind"] == "ScaledObject"]
    topics = Topics("prod")
    wanted = {"enrich": (ENRICH, topics.changes), "route": (ROUTE, topics.articles)}
    for scaled, role in zip([found, *others], wanted, strict=True):
        assert scaled["spec"]["scaleTargetRef"] == {"name": f"wiki-streamer-{role}"}
        (trigger,) = scaled["spec"]["triggers"]
        assert trigger["type"] == "kafka"
        group, topic = wanted[role]
        assert trigger["metadata"] == {
            "bootstrapServers": ",".join(FULL["kafka"]["bootstrap"]),
            "consumerGroup": group_id("prod", group),
            "topic": topic,
            "lagThreshold": "2000",
        }
    assert found["spec"]["triggers"][0]["authenticationRef"] == {"name": "kafka"}


def test_nothing_is_watched_that_nobody_asked_for() -> None:
    """Without the operators' own resources a cluster would refuse the whole release."""
    kinds = {found["apiVersion"] for found in objects("default")}
    assert kinds == {"v1", "apps/v1", "policy/v1", "networking.k8s.io/v1"}
