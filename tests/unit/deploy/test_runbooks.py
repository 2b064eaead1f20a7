"""The runbooks are true: what they name exists, in the code, in the rules and among the dashboards."""

import ast
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_type_hints

import pytest
import yaml

from streamer import cli
from streamer.canary.metrics import REGISTRY as OF_THE_CANARY
from streamer.config import Settings
from streamer.deadletters import CODES
from streamer.metrics import REGISTRY

ROOT = Path(__file__).resolve().parents[3]
RUNBOOKS = ROOT / "deploy" / "runbooks"
RULES = ROOT / "deploy" / "prometheus" / "rules"
INDEX = RUNBOOKS / "README.md"
PAGES = sorted(page for page in RUNBOOKS.glob("*.md") if page != INDEX)
ALL = [INDEX, *PAGES]
HEADINGS = ["Meaning", "Impact", "How to see", "How to fix", "How to verify", "When to escalate"]
OF_AN_EXPORTER = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
COLLECTORS = {
    "streamer_committed_changes": ("role", "scope", "outcome"),
    "streamer_log_lag_offsets": ("group", "partition"),
}
"""Whose labels are told by their samples alone."""
METRIC = re.compile(r"\bstreamer_[a-z_0-9]+[a-z0-9]\b")


def by_name(page: Path) -> str:
    return page.stem


every_page = pytest.mark.parametrize("page", PAGES, ids=by_name)
every_text = pytest.mark.parametrize("page", ALL, ids=by_name)


def blocks(page: Path, language: str) -> Iterator[str]:
    """Of code, without the indentation that a list gives them."""
    for block in re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        yield from (line.strip() for line in block.splitlines() if line.strip())


def prose(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)


@cache
def exported() -> dict[str, set[str]]:
    """The names of samples, with their labels."""
    return {
        family.name + suffix: set(COLLECTORS.get(family.name) or getattr(collector, "_labelnames", ()))
        for registry in (REGISTRY, OF_THE_CANARY)
        for collector in list(registry._collector_to_names)
        for family in collector.collect()
        for suffix in OF_AN_EXPORTER[family.type]
    }


@cache
def said() -> frozenset[str]:
    """All that the service's source holds in quotes: a log event is one of these, and constant."""
    return frozenset(
        node.value
        for file in (ROOT / "streamer").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


@cache
def alerts() -> frozenset[str]:
    """Those of the rules."""
    return frozenset(
        rule["alert"]
        for file in RULES.glob("*.yml")
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    )


def test_each_alert_has_a_page_and_each_page_an_alert() -> None:
    """So that every runbook_url resolves, and no page tells of what can't fire."""
    if not RULES.is_dir():
        pytest.skip("there are no rules in this tree")
    assert {page.stem for page in PAGES} == alerts()


def test_the_index_names_every_page() -> None:
    """Once, with a line that says what it is about."""
    listed = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \| \S.+\|$", INDEX.read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == [(page.stem, page.stem) for page in PAGES]


@every_page
def test_a_page_is_read_in_one_order(page: Path) -> None:
    """What it means, what partners notice, how to see, fix and verify it, whom to call: at 3 am nobody
    searches. And none is long.
    """
    text = page.read_text("utf-8")
    assert text.startswith(f"# {page.stem}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert len(text.splitlines()) <= 90
    assert list(blocks(page, "promql")), "nothing to look at"


@every_text
def test_metrics_that_are_named_are_exported(page: Path) -> None:
    """By the service or the canary, under that very name; and with the labels by which they are asked for."""
    families = exported()
    whole = {family.rpartition("_")[0] for family in families}
    assert set(METRIC.findall(prose(page))) <= families.keys() | whole
    for line in blocks(page, "promql"):
        known = {"job", "instance", "le", "alertname", "alertstate", "severity"}
        for name in METRIC.findall(line):
            assert name in families, line
            known |= families[name]
        asked = re.findall(r'([a-z_]+)(?:=|!=|=~|!~)"', line)
        lists = re.findall(r"\b(?:by|on) \(([a-z_, ]+)\)", line)
        asked += [label for labels in lists for label in labels.split(", ")]
        assert set(asked) <= known, line


@every_text
def test_commands_that_are_named_are_understood(page: Path) -> None:
    """By the command line itself, with their flags."""
    inline = re.findall(r"`(?:\w+=\w+ )?streamer ([a-z][^`…]*)`", prose(page))
    shown = [
        match[1]
        for line in blocks(page, "sh")
        if (match := re.match(r"(?:[A-Z_]+=\S+ )*streamer (.+)", line))
    ]
    for arguments in inline + shown:
        cli._parser().parse_args(shlex.split(arguments))
    codes = {code for arguments in inline + shown for code in re.findall(r"--code (\w+)", arguments) if code}
    assert codes <= CODES


@every_text
def test_log_events_that_are_quoted_are_logged(page: Path) -> None:
    """Word for word, so that a search finds them."""
    assert set(re.findall(r'`"([^"`]+)"`', prose(page))) - {"…"} <= said()


@every_text
def test_settings_that_are_named_exist(page: Path) -> None:
    """As `section.key`, in backticks."""
    sections = get_type_hints(Settings)
    for section, key in re.findall(r"`([a-z]+)\.([a-z_]+)(?:[ =][^`]*)?`", prose(page)):
        if section in sections and key != "toml":
            assert key in get_type_hints(sections[section]), f"{section}.{key}"


@every_text
def test_components_that_are_named_are_those_of_readyz(page: Path) -> None:
    """Or someone would look for a line that never comes."""
    named = set(re.findall(r"component `(\w+)`", prose(page)))
    made = {f"{role}_input" for role in ("source", "enrich", "route")}
    assert named <= said() | made


@every_text
def test_links_lead_somewhere(page: Path) -> None:
    """To pages, rules and dashboards of this tree."""
    for link in re.findall(r"\]\(([^)]+)\)", prose(page)):
        if link.startswith("../grafana/") and not (ROOT / "deploy" / "grafana").is_dir():
            continue
        assert (page.parent / link).exists(), link


def test_every_expression_is_one(tmp_path: Path) -> None:
    """By promtool's word: who pastes it gets an answer and no error."""
    if shutil.which("promtool") is None:
        pytest.skip("no promtool here: `make apt-prometheus` installs it")
    expressions = [line for page in ALL for line in blocks(page, "promql")]
    rules = [{"record": f"tried:{number}", "expr": text} for number, text in enumerate(expressions)]
    file = tmp_path / "tried.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "tried", "rules": rules}]}), "utf-8")
    told = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
