"""The dashboards as Grafana would show them: their panels, and their queries with all variables replaced."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "dashboards"
WINDOW_S: Final = 60
"""What `$__rate_interval` and `$__range` become: all of a test's run."""
LABEL: Final = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Query:
    """`where` names its dashboard, panel and legend: unique."""

    board: str
    where: str
    text: str
    legend: str

    def asked(self, variables: Mapping[str, Sequence[str]]) -> str:
        return asked(self.text, variables)

    @property
    def labels(self) -> frozenset[str]:
        """That its legend shows."""
        return frozenset(LABEL.findall(self.legend))


def asked(query: str, variables: Mapping[str, Sequence[str]]) -> str:
    """As it goes to Prometheus: several values of a variable become one pattern."""
    text = re.sub(r"\$__(?:rate_interval|range)\b", f"{WINDOW_S}s", query)
    for name, values in variables.items():
        pattern = "|".join(re.escape(value).replace("\\", "\\\\") for value in values)
        text = text.replace(f'"${name}"', f'"({pattern})"')
    assert "$" not in text, f"no value for a variable of {text}"
    return text


def dashboards() -> dict[str, dict[str, Any]]:
    """By the name of the file."""
    files = sorted(FOLDER.glob("*.json"))
    assert files, f"nothing in {FOLDER}: run `python -m deploy.grafana`"
    return {file.name: json.loads(file.read_text(encoding="utf-8")) for file in files}


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Without rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard: Mapping[str, Any]) -> Iterator[Query]:
    uid = dashboard["uid"]
    for panel in panels(dashboard):
        for target in panel["targets"]:
            where = f"{uid}: {panel['title']}: {target['legendFormat']}"
            yield Query(uid, where, target["expr"], target["legendFormat"])
    for annotation in dashboard["annotations"]["list"]:
        yield Query(uid, f"{uid}: annotation", annotation["expr"], "")
