"""The dashboards' files: what Python makes, in Grafana's shape, with all that a person who is woken needs."""

import copy
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from harness.grafana import FOLDER, asked, dashboards, panels, queries
from harness.prometheus import program
from harness.promql import groupings, metrics

import streamer.canary.metrics
from deploy.grafana.__main__ import PROMETHEUS, files, main, runbooks_of
from deploy.grafana.build import ANNOTATED
from deploy.grafana.panels import COLUMNS
from streamer.metrics_table import SECTIONS, rows

BOARDS = dashboards()
QUERIES = [query for board in BOARDS.values() for query in queries(board)]
VARIABLES = ("job", "instance", "partner")
RULES = PROMETHEUS.parent / "rules"
OF_SCRAPES = frozenset({"job", "instance"})
ON_NONE = frozenset({"streamer_source_exhausted"})
"""Of recordings, which end: no dashboard shows it."""


def loaded(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def exported() -> dict[str, frozenset[str]]:
    """The labels of each series of the service and its canary, as declared."""
    ours = [module for title, _, modules in SECTIONS if title != "Corpus" for module in modules]
    found = {"up": OF_SCRAPES}
    for row in (row for module in (*ours, streamer.canary.metrics) for row in rows(module)):
        labels = OF_SCRAPES | row.labels.keys()
        if row.kind == "histogram":
            found[f"{row.name}_bucket"] = labels | {"le"}
            found[f"{row.name}_sum"] = found[f"{row.name}_count"] = labels
        else:
            found[row.name] = labels
    found["streamer_canary_runs_total"] |= {"outcome"}
    return found


def recorded() -> dict[str, frozenset[str]]:
    """The labels of each series that rules of deploy/ make, as far as rules tell them."""
    found: dict[str, frozenset[str]] = {"ALERTS": frozenset({"alertname", "alertstate", "severity"})}
    for file in RULES.glob("*.yml"):
        for group in loaded(file)["groups"]:
            for rule in group["rules"]:
                if "record" in rule:
                    labels = frozenset({*rule.get("labels", {}), *groupings(rule["expr"])})
                    found[rule["record"]] = found.get(rule["record"], frozenset()) | labels
    return found


def alerts() -> frozenset[str]:
    text = "".join(file.read_text(encoding="utf-8") for file in RULES.glob("*.yml"))
    return frozenset(re.findall(r"- alert: (\w+)", text))


KNOWN = exported() | recorded()


def test_files_are_what_python_makes() -> None:
    """No file differs from what its Python makes, and none is left over."""
    made = files(runbooks_of(PROMETHEUS))
    there = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.json")}
    assert there.keys() == made.keys(), "run `python -m deploy.grafana`, and remove what it does not make"
    for name, text in made.items():
        assert there[name] == text, f"{name} is not what its Python makes: run `python -m deploy.grafana`"


def test_an_operator_names_the_address_of_the_runbooks(tmp_path: Path) -> None:
    """Whoever serves them elsewhere writes dashboards that lead there."""
    out = tmp_path / "dashboards"
    assert main(["--out", str(out), "--runbooks", "https://pages.example/r/"]) == 0
    texts = [file.read_text(encoding="utf-8") for file in out.iterdir()]
    assert len(texts) == len(BOARDS)
    assert all("(https://pages.example/r/" in text for text in texts)
    assert not any(runbooks_of(PROMETHEUS) in text for text in texts)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line, and no traceback."""
    file = tmp_path / "file"
    file.touch()
    assert main(["--out", str(file)]) == 1
    assert str(file) in capsys.readouterr().err


def test_addresses_stay() -> None:
    """People keep links to dashboards: these ids are theirs."""
    assert sorted(board["uid"] for board in BOARDS.values()) == [
        "streamer-delivery",
        "streamer-log",
        "streamer-overview",
        "streamer-partner",
        "streamer-source",
    ]


@pytest.mark.parametrize("name", BOARDS)
def test_grafanas_own_types_read_them(name: str) -> None:
    """Read into the types of Grafana's kit and written again they are the same: each key is one it knows, but
    for those of annotations that are Prometheus's own.
    """
    known = copy.deepcopy(BOARDS[name])
    for annotation in known["annotations"]["list"]:
        assert all(annotation.pop(key) for key in ANNOTATED)
    assert json.loads(json.dumps(Dashboard.from_json(known), cls=JSONEncoder)) == known


@pytest.mark.parametrize("name", BOARDS)
def test_panels_fill_the_grid(name: str) -> None:
    """Each panel has an id and a place of its own, and each row of panels is as wide as the page."""
    board = BOARDS[name]
    assert max(Counter(panel["id"] for panel in board["panels"]).values()) == 1
    taken: Counter[tuple[int, int]] = Counter()
    for panel in board["panels"]:
        at = panel["gridPos"]
        taken.update(
            (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
        )
    assert set(taken.values()) == {1}
    lines = Counter(y for _, y in taken)
    assert set(lines.values()) == {COLUMNS}, [y for y, width in lines.items() if width != COLUMNS]
    assert sorted(lines) == list(range(max(lines) + 1))


@pytest.mark.parametrize("name", BOARDS)
def test_each_panel_tells_what_a_person_needs(name: str) -> None:
    """Title, unit, named series, and what a bad value means; titles and legends say which query is meant."""
    for panel in panels(BOARDS[name]):
        title = panel["title"]
        assert panel["description"].count(" ") > 5, title
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        if panel["type"] != "table":
            assert panel["fieldConfig"]["defaults"]["unit"], title
        assert all(target["legendFormat"] for target in panel["targets"]), title
    assert max(Counter(query.where for query in queries(BOARDS[name])).values()) == 1


def test_runbooks_are_those_of_the_alerts() -> None:
    """Panels lead to pages of alerts that exist, where those alerts lead too; every alert has a panel."""
    base = runbooks_of(PROMETHEUS)
    text = "".join(panel["description"] for board in BOARDS.values() for panel in panels(board))
    links = re.findall(r"\[(\w+)\]\((\S+)\)", text)
    assert all(address == f"{base}/{alert}.md" for alert, address in links)
    assert {alert for alert, _ in links} == alerts()


def test_lines_of_partners_lead_to_their_dashboard() -> None:
    """From wherever a line is one partner's, a click shows all of it."""
    for board in BOARDS.values():
        for panel in panels(board):
            links = panel.get("fieldConfig", {}).get("defaults", {}).get("links", [])
            of_partners = all("{{partner}}" in target["legendFormat"] for target in panel["targets"])
            wanted = of_partners and panel["type"] == "timeseries" and board["uid"] != "streamer-partner"
            assert len(links) == wanted, panel["title"]
            assert all(link["url"].startswith("/d/streamer-partner?") for link in links)


def test_queries_name_what_is_exported() -> None:
    """Each metric and label is one that the service, its canary or the rules declare."""
    for query in QUERIES:
        named = metrics(query.text)
        assert named, query
        for each in named:
            assert each.metric in KNOWN, f"{query.where}: nothing exports {each.metric}"
            labels = KNOWN[each.metric]
            assert each.labels <= labels, f"{query.where}: {each.metric} has no {set(each.labels - labels)}"
            missing = groupings(query.text) - labels
            assert not missing, f"{query.where}: {each.metric} has no {missing}"


def test_nothing_that_is_exported_is_left_out() -> None:
    """Whatever the service tells can be seen on a dashboard."""
    # of a histogram its buckets will do, or its sum
    part = re.compile(r"_(bucket|sum|count)$")
    shown = {part.sub("", each.metric) for query in QUERIES for each in metrics(query.text)}
    missing = {part.sub("", name) for name in exported()} - shown - ON_NONE
    assert not missing, "put it on a panel (deploy/grafana), and say there what a bad value means"


def test_variables_name_what_is_exported() -> None:
    """So do the queries for the variables' values."""
    for match in _values():
        (named,) = metrics(match[1])
        assert {*named.labels, match[2]} <= KNOWN[named.metric]


def _values() -> Iterator[re.Match[str]]:
    for board in BOARDS.values():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
                assert match
                yield match


def test_queries_parse(tmp_path: Path) -> None:
    """Prometheus itself takes each of them."""
    rules = [
        {"record": f"query:{number}", "expr": asked(query.text, {name: ["x"] for name in VARIABLES})}
        for number, query in enumerate(QUERIES)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(
        [program("promtool"), "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


@pytest.mark.parametrize("name", BOARDS)
def test_variables_that_are_used_are_there(name: str) -> None:
    """And none that is not used; rates use Grafana's own interval."""
    board: Mapping[str, Any] = BOARDS[name]
    there = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$(\w+)", json.dumps([*panels(board)]).replace("$__", ""))) | {"datasource"}
    assert there == used | {"datasource"}
    for query in queries(board):
        for window in re.findall(r"\brate\([^[]*\[([^\]]*)\]", query.text):
            assert window == "$__rate_interval" or "canary" in query.text, query


def test_grafana_is_told_where_all_is() -> None:
    """Its Prometheus is that of compose, with its interval, and its folder is what compose mounts."""
    provisioning = FOLDER.parent / "provisioning"
    services = loaded(FOLDER.parents[1] / "compose.yaml")["services"]
    (source,) = loaded(provisioning / "datasources" / "prometheus.yml")["datasources"]
    assert source["url"].removeprefix("http://").removesuffix(":9090") in services
    assert source["jsonData"]["timeInterval"] == loaded(PROMETHEUS)["global"]["scrape_interval"]
    (provider,) = loaded(provisioning / "dashboards" / "streamer.yml")["providers"]
    mounts = {one["source"]: one["target"] for one in services["grafana"]["volumes"] if isinstance(one, dict)}
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
