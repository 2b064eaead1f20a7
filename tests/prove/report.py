"""An outcome in words and as JSON."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Final

from prove.judge import Differing, Verdict
from prove.ledger import OUTCOMES
from prove.run import Outcome

WIDTH: Final = 110
SHOWN: Final = 5
"""Of a long list, the first: all of it is in the JSON."""


def as_json(outcome: Outcome) -> dict[str, object]:
    return {
        "right": outcome.is_right,
        "layout": outcome.layout,
        "plan": asdict(outcome.plan),
        "took_s": round(outcome.took_s, 1),
        "deeds": dict(outcome.deeds),
        "kills": {
            "random": dict(outcome.deaths.random),
            "at_point": dict(outcome.deaths.at_point),
            "unreached": dict(outcome.deaths.unreached),
        },
        "harm": dict(outcome.harm),
        "cuts": outcome.cuts,
        "connections": outcome.connections,
        "admitted": outcome.sums.source["admitted"],
        "outcomes": {name: outcome.sums.enrich[name] for name in OUTCOMES},
        "dead_letters": dict(outcome.evidence.logged.dead_letters),
        "partners": {name: dict(counts) for name, counts in outcome.sums.partners.items()},
        "verdicts": [
            asdict(verdict) | {"differing": [_differing(one) for one in verdict.differing]}
            for verdict in outcome.verdicts
        ],
        "faults": list(outcome.faults),
        "requests_per_edit": round(requests_per_edit(outcome), 3),
        "freshness_s": {
            "p50": quantile(outcome.freshness_s, 0.5),
            "p99": quantile(outcome.freshness_s, 0.99),
        },
    }


def text(outcome: Outcome) -> str:
    plan, deaths, sums = outcome.plan, outcome.deaths, outcome.sums
    together = " + ".join(f"{sums.enrich[name]} {name}" for name in OUTCOMES)
    p50, p99 = (quantile(outcome.freshness_s, share) for share in (0.5, 0.99))
    verdict = "RIGHT" if outcome.is_right else "WRONG"
    lines = [
        f"── {outcome.layout}, seed {plan.seed}: {verdict} in {outcome.took_s:.0f} s",
        *_wrapped("deeds", f"{outcome.deeds.total()}: {_counted(outcome.deeds)}"),
        *_wrapped("kills", f"{deaths.total}; at random {deaths.random.total()}: {_counted(deaths.random)}"),
        *_wrapped("", f"at a fault point {deaths.at_point.total()}: {_counted(deaths.at_point)}"),
        *_wrapped("", f"armed, not reached {deaths.unreached.total()}: {_counted(deaths.unreached)}"),
        *(_wrapped("harm", _counted(outcome.harm)) if outcome.harm else ()),
        *_wrapped("cuts", f"{_counted(outcome.cuts)}; connections {_counted(outcome.connections)}"),
        f"sums         {sums.source['admitted']} admitted = {together}",
        f"dead letters {_counted(outcome.evidence.logged.dead_letters) or 'none'}",
        "",
        "partner    client     received withdrawn lost foreign doubled disordered | by API by log differing",
        *map(_row, outcome.verdicts),
        "",
        f"requests     {requests_per_edit(outcome):.2f} an edit ({outcome.requests} in all)",
        f"freshness    p50 {p50:.2f} s, p99 {p99:.2f} s from the stream to the partner that sees all",
    ]
    for one in outcome.verdicts:
        lines += _complaints(one)
    lines += [f"WRONG: {fault}" for fault in outcome.faults[:SHOWN]]
    return "\n".join(lines)


def requests_per_edit(outcome: Outcome) -> float:
    return outcome.requests / max(1, outcome.sums.source["admitted"])


def quantile(ordered: Sequence[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else 0.0


def _wrapped(name: str, words: str) -> list[str]:
    return textwrap.wrap(words, WIDTH, initial_indent=f"{name:13}", subsequent_indent=" " * 13)


def _row(verdict: Verdict) -> str:
    return (
        f"{verdict.partner:10} {verdict.client:10} {verdict.received:8} {verdict.withdrawn:9}"
        f" {len(verdict.lost):4} {len(verdict.foreign):7} {len(verdict.doubled):7}"
        f" {len(verdict.out_of_order):10} | {verdict.by_api:6} {verdict.by_log:6} {len(verdict.differing):9}"
    )


def _complaints(verdict: Verdict) -> Iterable[str]:
    who = f"WRONG: {verdict.partner} by {verdict.client}"
    for what in ("lost", "foreign", "doubled", "out_of_order"):
        for name in getattr(verdict, what)[:SHOWN]:
            yield f"{who}: {what.replace('_', ' ')}: {name}"
    for one in verdict.differing[:SHOWN]:
        yield f"{who}: {one.page} held: {one.held}, by the {one.by}: {one.wanted}"


def _differing(one: Differing) -> dict[str, object]:
    return {
        "wiki": one.page[0],
        "page": one.page[1],
        "held": one.held and asdict(one.held),
        "wanted": one.wanted and asdict(one.wanted),
        "by": one.by,
    }


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
