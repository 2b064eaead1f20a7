"""What is declared: names, units, labels and what bounds them; and METRICS.md, made of it."""

import re
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import Counter

from streamer import metrics_table
from streamer.admission import Family
from streamer.deliver.outlet import RESETS
from streamer.deliver.schemas import BYE_REASONS
from streamer.log.local_cleaner import Reason
from streamer.metrics import (
    END_REASONS,
    ENRICH_HTML,
    LOG_DELETED,
    REASONS,
    REGISTRY,
    SOURCE_DROPPED,
    SOURCE_EVENTS,
    CommittedTotals,
    bounded,
)
from streamer.metrics.registry import LABELS
from streamer.metrics_table import SECTIONS, Row, document, rows
from streamer.origin.rendered import HtmlOutcome
from streamer.source.told import DropReason

COPY = Path(metrics_table.__file__).parents[1] / "deploy" / "prometheus" / "METRICS.md"
ROWS = [row for _, _, modules in SECTIONS for module in modules for row in rows(module)]
LABEL_NAMES = frozenset(
    {"by", "client", "code", "component", "family", "feed", "format", "group", "hinted", "intentional",
     "kind", "outcome", "partition", "partner", "queue", "reader", "reason", "result", "role", "scope",
     "scored", "stage", "type", "version"}
)  # fmt: skip
"""Of none of which there are many. A title, a user, an address or a URL is no label."""
OTHER_UNITS = re.compile(
    r"_(ms|millis\w*|us|minutes?|hours?|days?|kb|mb|gb|kib|mib|percent|s|total)(_total)?$"
)


def test_metrics_md_is_the_codes_own() -> None:
    """After a change of metrics: python -m streamer.metrics_table > deploy/prometheus/METRICS.md"""
    command = "python -m streamer.metrics_table > deploy/prometheus/METRICS.md"
    assert COPY.read_text(encoding="utf-8") == document(), f"run: {command}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_conventions(row: Row) -> None:
    """Base units and no others, `_total` for counters alone, a help that is a sentence, bounded labels."""
    assert re.fullmatch(r"(streamer|corpus)_[a-z][a-z0-9_]*[a-z0-9]", row.name)
    assert row.name.endswith("_total") == (row.kind == "counter")
    assert not OTHER_UNITS.search(row.name.removesuffix("_total")), "a unit that is none of the base units"
    assert row.meaning.endswith("."), row.meaning
    assert "\n" not in row.meaning
    assert row.labels.keys() <= LABEL_NAMES
    assert all(bound for bound in row.labels.values()), "what bounds it"


def test_every_metric_is_in_the_table_with_its_labels() -> None:
    """What the registry has and the sections of the table lack nobody would find there."""
    told = {row.name.removesuffix("_total"): row for row in ROWS}
    for collector in REGISTRY._collector_to_names:
        for metric in collector.collect():
            labels = getattr(collector, "_labelnames", told[metric.name].labels)
            assert tuple(told[metric.name].labels) == tuple(labels), metric.name


def test_the_words_are_those_that_the_code_uses() -> None:
    """Each list of label values is the list of the type that the code takes them from."""

    def values(metric: Counter, label: str) -> set[str]:
        bound = LABELS[metric._name][label]
        assert isinstance(bound, tuple)
        return set(bound)

    dropped = set(get_args(DropReason)) - {""}
    assert set(REASONS["source"]) == dropped | {"read_again"}
    assert values(SOURCE_DROPPED, "reason") == dropped
    assert values(SOURCE_EVENTS, "family") == set(get_args(Family)) | {"unknown"}
    assert values(LOG_DELETED, "reason") == set(get_args(Reason))
    assert values(ENRICH_HTML, "outcome") == set(get_args(HtmlOutcome)) | {"not_allowed"}
    assert set(END_REASONS) == {"client"} | set(BYE_REASONS) | RESETS


def test_counters_with_known_values_are_there_from_the_start() -> None:
    """At 0: Prometheus sees no increase in a series whose first sample is the first event."""
    exposed = {
        (sample.name, tuple(sorted(sample.labels.items())))
        for metric in REGISTRY.collect()
        for sample in metric.samples
    }

    def series(name: str, **labels: str) -> tuple[str, tuple[tuple[str, str], ...]]:
        return name, tuple(sorted(labels.items()))

    for outcome in ("accepted", "refused", "failed"):
        assert series("streamer_deliver_connects_total", outcome=outcome) in exposed
    for stage, reasons in REASONS.items():
        assert series("streamer_received_records_total", stage=stage) in exposed
        for reason, is_intentional in reasons.items():
            labels = {"stage": stage, "reason": reason, "intentional": str(is_intentional).lower()}
            assert series("streamer_discarded_records_total", **labels) in exposed
    assert series("streamer_origin_requests_total", outcome="status_429") in exposed


def test_labels_are_declared_as_they_are() -> None:
    """A metric whose labels are said to be others fails where it is declared."""
    counter = Counter("of_this_test", "Of this test.", ["outcome"], registry=None)
    with pytest.raises(AssertionError, match="its labels are"):
        bounded(counter, reason=("a",))


def difference(totals: CommittedTotals) -> float:
    return next(
        sample.value
        for metric in totals.collect()
        for sample in metric.samples
        if sample.name == "streamer_accounting_difference_changes"
    )


def test_accounts_that_do_not_add_up_are_told() -> None:
    """0 while every change that enrich admitted has one outcome, over all lanes; else by how many."""
    totals = CommittedTotals()
    assert difference(totals) == 0
    totals.set("source", "", 0, {"admitted": 9})
    totals.set("enrich", "", 0, {"admitted": 5, "published": 3, "gone": 1, "superseded": 0, "deadletter": 1})
    totals.set("enrich", "", 1, {"admitted": 2, "published": 2})
    assert difference(totals) == 0
    totals.set("enrich", "", 1, {"admitted": 3, "published": 2})
    assert difference(totals) == 1
    totals.leave("enrich", 1)
    assert difference(totals) == 0


def test_each_queue_has_its_gauge() -> None:
    """As far as a library's queues go: where one is made, depths are told."""
    made = re.compile(r"\b(?:asyncio|queue)\.\w*Queue\(")
    package = Path(metrics_table.__file__).parent
    modules = [file for file in package.rglob("*.py") if made.search(file.read_text(encoding="utf-8"))]
    assert {file.name for file in modules} >= {"local_writer.py", "textpool.py"}
    assert [file.name for file in modules if "QUEUE_DEPTH" not in file.read_text(encoding="utf-8")] == []
