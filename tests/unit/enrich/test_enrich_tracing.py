"""What enrich tells of a change that is traced: its way, and its end as it was counted."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from streamer.enrich.stage import run_enrich
from streamer.model import DeadLetter
from streamer.plan import Plan
from streamer.replays import replay_of
from streamer.traceparent import sampled_from, traceparent_of
from streamer.tracing import Span, Tracing

Make = Callable[..., Any]


def traced(change: Any) -> Any:
    return replace(change, traceparent=traceparent_of(change.identifier, sampled_from(1.0)))


async def run(bench: Any, wikis: Any, *changes: Any) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_enrich(bench.runtime, wikis, Plan))
        await bench.admit(*changes)
        await bench.until_admitted(len(changes))
        bench.runtime.draining.set()


def told(spans: list[Span]) -> dict[str, Any]:
    """Of each trace the attributes of enrich, by the identifier's end."""
    return {f"{span.trace:032x}": span for span in spans if span.name == "enrich"}


async def test_each_outcome_is_told_as_it_was_counted(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """Published with its text's step, gone, a deletion, a dead letter with its code; and what nobody samples
    is told by nothing.
    """
    spans: list[Span] = []
    bench.runtime.tracing = Tracing(1.0, spans.append)
    wikis.script(("revision", 5), found(5, 1))
    wikis.script(("revision", 7), found(7, 3, content=None))
    edits = [traced(change("edit", revision, title=f"T{revision}")) for revision in (5, 6, 7)]
    delete = traced(change("delete", title="Gone", page_id=9))
    unknown = change("edit", 8, title="T8")
    await run(bench, wikis, *edits, delete, unknown)
    by_trace = told(spans)
    ends = [by_trace[each.identifier.replace("-", "")] for each in (*edits, delete)]
    assert len(by_trace) == len(ends)
    assert [(span.attributes["outcome"], span.attributes.get("code")) for span in ends] == [
        ("published", None),
        ("gone", None),
        ("deadletter", "textmissing"),
        ("published", None),
    ]
    assert [span.failed for span in ends] == [False, False, True, False]
    assert ends[0].attributes["size_bytes"] == len("Text of 5.")
    below: dict[int, list[str]] = {}
    for span in spans:
        below.setdefault(span.parent, []).append(span.name)
    assert below[ends[0].id] == ["wait", "text", "commit"]
    assert below[ends[3].id] == ["wait", "commit"]
    for span in spans:
        assert span.start_ns <= span.end_ns, span


@pytest.mark.parametrize("part", [0.0, 1.0])
async def test_a_replay_keeps_the_flag_of_who_makes_it(
    bench: Any, wikis: Any, change: Make, found: Make, part: float
) -> None:
    """Its trace is its own, and the article's header says whether it is recorded."""
    spans: list[Span] = []
    bench.runtime.tracing = Tracing(part, spans.append) if part else None
    wikis.script(("revision", 5), found(5, 9))
    letter = DeadLetter(change("edit", 5, page_id=9), "enrich", "origin_unavailable", 5, 2_000_500)
    wikis.script(("page", 9), found(5, 9))
    made = replay_of(letter, 0, sampled_from(part))
    assert made
    await run(bench, wikis, made)
    (article,) = [record for record in await bench.read(bench.topics.articles) if record.value]
    assert article.header("traceparent") == traceparent_of(made.identifier, sampled_from(part))
    assert article.header("traceparent").endswith("-01" if part else "-00")
    assert [span.name for span in spans if not span.parent] == (["replay"] if part else [])
