"""The rules of Prometheus: each alert is tested, leads somewhere, and asks for what is there."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.prometheus import program

from deploy.prometheus.scaled import AGE, LEAST_RANGE_S, OFFSET, RANGE, SETTING, scaled, scaled_rules, seconds
from streamer.canary.metrics import REGISTRY as OF_THE_CANARY
from streamer.metrics import REGISTRY

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy" / "prometheus"
RULES = FOLDER / "rules"
UNIT_TESTS = sorted((FOLDER / "tests").glob("*.yml"))
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
SEVERITIES = {"page", "ticket", "none"}
NAME = re.compile(r"\b(streamer_[a-z_0-9]+|streamer:[a-z_0-9]+:[a-z_0-9]+)\b")
PROSE_AND_NAMES = re.compile(r"#.*|(?:summary|description): .*|\w+:\w+:\w+|record: .*")
ALWAYS = "Watchdog"


@cache
def rules() -> list[dict[str, Any]]:
    return [
        rule
        for file in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]
        for rule in group["rules"]
    ]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def moments() -> Iterator[tuple[str, str, bool]]:
    """Alert, severity, and whether it fires, of each moment that a unit test looks at."""
    every = {(rule["alert"], rule["labels"]["severity"]) for rule in alerts()}
    for file in UNIT_TESTS:
        for test in yaml.safe_load(file.read_text("utf-8"))["tests"]:
            for moment in test.get("promql_expr_test", ()):
                told = {tuple(re.findall(r'"(\w+)"', one["labels"])) for one in moment["exp_samples"]}
                yield from ((*one, one in told) for one in every)


def run(*command: str | Path) -> None:
    line = [program(str(command[0])), *command[1:]]
    told = subprocess.run(line, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_prometheus_takes_its_files() -> None:
    """Rules and configuration, by the word of promtool."""
    run("promtool", "check", "config", FOLDER / "prometheus.yml")
    run("promtool", "check", "rules", *sorted(RULES.glob("*.yml")))


def test_alertmanager_takes_its_file() -> None:
    """And each severity reaches its receiver; the dead man's switch has one of its own."""
    file = FOLDER / "alertmanager.yml"
    run("amtool", "check-config", file)
    for labels, receiver in (
        (("alertname=Watchdog", "severity=none"), "watchdog"),
        (("alertname=SourceStalled", "severity=page"), "page"),
        (("alertname=DeadLetters", "severity=ticket"), "ticket"),
        (("alertname=Whatever", "severity=none"), "nobody"),
        (("alertname=Whatever",), "ticket"),
    ):
        command = ("config", "routes", "test", f"--config.file={file}", f"--verify.receivers={receiver}")
        run("amtool", *command, *labels)


@pytest.mark.parametrize("file", UNIT_TESTS, ids=lambda file: file.stem)
def test_unit_tests_pass(file: Path) -> None:
    """What they say fires at a moment, and nothing else, fires."""
    run("promtool", "test", "rules", file)


def test_each_alert_has_a_unit_test() -> None:
    """It fires, with each severity it has, and at another moment it doesn't."""
    seen = set(moments())
    for rule in alerts():
        if rule["alert"] != ALWAYS:
            for fires in (True, False):
                assert (rule["alert"], rule["labels"]["severity"], fires) in seen, rule["alert"]


def test_each_alert_tells_what_to_do() -> None:
    """Severity, summary, description, and a link to the page of its name below a base that operators set."""
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))
    assert re.fullmatch(r"https://\S+[^/]", config["global"]["external_labels"]["runbooks"])
    for rule in alerts():
        name = rule["alert"]
        assert rule["labels"]["severity"] in SEVERITIES, name
        told = rule["annotations"]
        assert told.keys() == {"summary", "description", "runbook_url"}, name
        assert told["summary"].endswith("."), name
        assert told["runbook_url"] == f"{{{{ $externalLabels.runbooks }}}}/{name}.md"
        assert (ROOT / "deploy" / "runbooks" / f"{name}.md").is_file(), name


def test_rules_ask_for_what_is_exported() -> None:
    """By the service, the canary, or another rule: a name with a mistake in it never fires."""
    there = {rule["record"] for rule in rules() if "record" in rule}
    for registry in (REGISTRY, OF_THE_CANARY):
        for family in registry.collect():
            there |= {family.name + suffix for suffix in SUFFIXES[family.type]}
    for rule in rules():
        assert set(NAME.findall(rule["expr"])) <= there, rule


def test_every_threshold_has_its_reason() -> None:
    """A comment right above the expression, or beside `for`."""
    lines = (RULES / "alerts.yml").read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        if line.strip().startswith("- alert: ") and not line.endswith(("Watchdog", "BudgetBurn")):
            assert any("#" in near for near in lines[number + 1 : number + 14]), line


# ── the same rules, in less time ─────────────────────────────────────────────────────────────────


def test_time_is_scaled_and_nothing_else() -> None:
    """Each kind of duration, an age, and what only looks like one."""
    text = """
  - name: g
    interval: 5m
    rules:
      - alert: A
        expr: y(x_5m[5m] offset 1h) > 0.5 and time() - y > 2 * 60 * 60 and z{le="30.0"} > 9
        for: 1h # 5m
"""
    faster = """
  - name: g
    interval: 3000ms
    rules:
      - alert: A
        expr: y(x_5m[4000ms] offset 36000ms) > 0.5 and time() - y > (2 * 60 * 60 * 0.01) and z{le="30.0"} > 9
        for: 36000ms # 5m
"""
    assert scaled(text, 0.01) == faster


def test_days_and_waiting_may_be_left_longer() -> None:
    """For whoever can't hurry a certificate, or would take one scrape that failed for a process."""
    text = "  - expr: a > 10 * 60 and b < 14 * 24 * 60 * 60\n    for: 2m\n"
    faster = "  - expr: a > (10 * 60 * 0.1) and b < 14 * 24 * 60 * 60\n    for: 20000ms\n"
    assert scaled(text, 0.1, days=False, least_for_s=20) == faster


def test_no_duration_is_left_out() -> None:
    """Of the rules themselves: whatever reads like one is of a kind that is scaled."""
    for file in RULES.glob("*.yml"):
        text = PROSE_AND_NAMES.sub("", file.read_text("utf-8"))
        for known in (SETTING, RANGE, OFFSET, AGE):
            text = known.sub("", text)
        assert not re.findall(r"\b\d+(?:ms|s|m|h|d|w)\b|\* 60\b|\b60 \*", text), file.name


def test_ranges_keep_their_samples(tmp_path: Path) -> None:
    """None becomes so short that a rate has nothing to go by, and promtool takes what comes out."""
    pattern = scaled_rules(RULES, tmp_path / "rules", 1 / 60)
    files = sorted(pattern.parent.glob(pattern.name))
    for file in files:
        spans = RANGE.findall(file.read_text("utf-8"))
        assert all(seconds(span) >= LEAST_RANGE_S for span in spans)
    if shutil.which("promtool"):
        run("promtool", "check", "rules", *files)
