"""What wikis change, in the mix and at the pace in which they do: recorded, or the project's own.

A mix is one lap of changes with their instants. It is replayed lap by lap, each from another instant on,
with pages and revisions of its own, faster or slower as the rate asks for: bursts stay bursts, and what
follows each other on one page does so again.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from streamer.admission import Rules, owners_of
from streamer.model import Change, Place, identifier_derived, identifier_of_event, identifier_of_revision
from streamer.source.changes import interpret
from streamer.sse import Decoder, Frame
from tests.harness.virtual_time import BEGAN_MS

EDITS: Final = frozenset({"create", "edit"})
LAP_REVISIONS: Final = 10**10
"""A lap's revisions are this far from those of the lap before."""
LAP_PAGES: Final = 10**5
TOLD_PAGES: Final = 10**9
"""Ids that are told begin here."""
RULES: Final = Rules(owners_of(("recentchange",)))
"""Of a stream that tells all by itself."""
BY_PAGE_CHANGE: Final = frozenset({"delete", "move", "restore"})
"""What page_change tells where it is followed, with the page's id: a removal costs no request then."""
ENDS: Final = 100
"""One part in so many goes at either end of a recording: a stream that was just joined is thin there."""


@dataclass(frozen=True, slots=True)
class Mix:
    name: str
    changes: tuple[tuple[float, Change], ...]
    """With the second of its lap."""
    lap_s: float

    @property
    def edits(self) -> int:
        return sum(change.kind in EDITS for _, change in self.changes)

    @property
    def wikis(self) -> int:
        return len({change.wiki for _, change in self.changes})


def recorded(path: Path, seed: int = 0) -> Mix:
    """Of a raw SSE recording of recentchange. Its times are whole seconds: within them, at random."""
    rng = random.Random(f"{seed}:recorded")
    found: list[tuple[int, Change]] = []
    for frame in Decoder(max_event_bytes=1_000_000).feed(path.read_bytes()):
        if isinstance(frame, Frame):
            found += [
                (record.upstream_ms, record)
                for record in interpret(frame.data, RULES).records
                if isinstance(record, Change)
            ]
    times = sorted(at_ms for at_ms, _ in found)
    low, high = times[len(times) // ENDS], times[-len(times) // ENDS - 1]
    kept = [((at_ms - low) / 1000 + rng.random(), change) for at_ms, change in found if low <= at_ms <= high]
    return Mix("recorded", tuple(sorted(kept, key=lambda pair: pair[0])), (high - low) / 1000 + 1)


SHARES: Final = {
    "wikidatawiki": 338, "viwiki": 162, "commonswiki": 132, "enwiki": 103, "frwiki": 25, "dewiki": 20,
    "zhwiki": 19, "itwiki": 18, "ruwiki": 17, "eswiki": 13, "jawiki": 12, "cawiki": 12, "arwiki": 10,
    "ukwiki": 8, "cewiki": 6, "cebwiki": 6, "hewiki": 5, "kowiki": 4, "idwiki": 4, "nlwiki": 4, "fawiki": 4,
}  # fmt: skip
"""Of a thousand edits, as measured from the stream in a minute of August 2021. 52 others had the rest."""
OTHERS: Final = 52
OTHERS_SHARE: Final = 1.5
HOSTS: Final = {"wikidatawiki": "www.wikidata.org", "commonswiki": "commons.wikimedia.org"}
OWN_LAP_S: Final = 60.0
OWN_PER_S: Final = 19.0
RUNS: Final = 0.3
"""So many edits come in runs of RUN_EDITS within a second or two: a bot, or somebody with a tool."""
RUN_EDITS: Final = 5
SIZES: Final = (8.6, 1.2)
"""Of the logarithm of a page's bytes: half of them have over 5 kB, one in a hundred over 90."""
LOGGED: Final = {"delete": 0.0055, "move": 0.003, "refresh": 0.015}
"""To each edit; what of a log becomes a change."""


def invented(seed: int = 0) -> Mix:
    """At random: independent edits and runs of them, weighted by wiki."""
    rng = random.Random(f"{seed}:invented")
    shares = SHARES | {f"small{number}wiki": OTHERS_SHARE for number in range(OTHERS)}
    wikis = rng.choices(list(shares), list(shares.values()), k=int(OWN_LAP_S * OWN_PER_S))
    changes: list[tuple[float, Change]] = []
    run_s, run_wiki, left = 0.0, "", 0
    for number, drawn in enumerate(wikis):
        if not left and rng.random() < RUNS / RUN_EDITS:
            run_s, run_wiki, left = rng.uniform(0, OWN_LAP_S), drawn, RUN_EDITS
        at_s, wiki = (run_s + rng.uniform(0, 2), run_wiki) if left else (rng.uniform(0, OWN_LAP_S), drawn)
        left = max(0, left - 1)
        changes.append((at_s % OWN_LAP_S, _invented(rng, wiki, number + 1)))
        for kind, share in LOGGED.items():
            if rng.random() < share:
                changes.append((rng.uniform(0, OWN_LAP_S), _logged(kind, wiki, number + 1)))
    return Mix("invented", tuple(sorted(changes, key=lambda pair: pair[0])), OWN_LAP_S)


def host(wiki: str) -> str:
    return HOSTS.get(wiki, f"{wiki.removesuffix('wiki')}.wikipedia.org")


def _invented(rng: random.Random, wiki: str, number: int) -> Change:
    return Change(
        identifier="",
        kind="create" if rng.random() < 0.03 else "edit",
        wiki=wiki,
        server_name=host(wiki),
        title=f"Page {rng.randrange(number + 1)}",
        namespace=0,
        edited_ms=0,
        upstream_ms=0,
        revision=2 * number,
        parent=2 * number - 1,
        size=min(2_000_000, int(rng.lognormvariate(*SIZES))),
    )


def _logged(kind: str, wiki: str, number: int) -> Change:
    title = f"Logged {number}"
    change = Change("", "refresh", wiki, host(wiki), title, 0, 0, 0, log_id=number, upstream_id=f"{number}")
    if kind == "delete":
        return replace(change, kind="delete")
    if kind == "move":
        return replace(change, kind="move", previous=Place(f"{title} before", 0))
    return change


@dataclass(frozen=True, slots=True)
class Arrival:
    """`change` has the instant as its time."""

    at_s: float
    change: Change


def replayed(
    mix: Mix, edits_per_s: float, seed: int = 0, *, with_page_change: bool = True
) -> Iterator[Arrival]:
    """Without end, in order. `with_page_change`: as by default, when removals and moves are that stream's."""
    rng = random.Random(f"{seed}:replayed")
    pace = mix.edits / mix.lap_s / edits_per_s
    start_s, lap = 0.0, 0
    while True:
        from_s = rng.uniform(0, mix.lap_s)
        turned = sorted(((at_s - from_s) % mix.lap_s, number) for number, (at_s, _) in enumerate(mix.changes))
        for at_s, number in turned:
            now_s = start_s + at_s * pace
            change = mix.changes[number][1]
            told = with_page_change and (change.kind in BY_PAGE_CHANGE or change.cause == "redirect")
            page_id = TOLD_PAGES + lap * LAP_PAGES + number if told else 0
            yield Arrival(now_s, _of_lap(change, lap, now_s, page_id))
        start_s += mix.lap_s * pace
        lap += 1


def _of_lap(change: Change, lap: int, at_s: float, page_id: int) -> Change:
    at_ms = BEGAN_MS + int(at_s * 1_000)
    revision = change.revision + lap * LAP_REVISIONS if change.revision else 0
    named = f"{change.upstream_id}|{lap}"
    identifier = identifier_of_event(named)
    if change.cause == "redirect":
        identifier = identifier_derived(identifier, "redirect")
    if change.kind in EDITS and revision:
        identifier = identifier_of_revision(change.wiki, revision)
    previous = change.previous
    return replace(
        change,
        identifier=identifier,
        title=f"{change.title} {lap}",
        page_id=page_id,
        previous=previous and Place(f"{previous.title} {lap}", previous.namespace),
        revision=revision,
        parent=change.parent + lap * LAP_REVISIONS if change.parent else 0,
        log_id=change.log_id + lap * LAP_REVISIONS if change.log_id else 0,
        edited_ms=at_ms,
        upstream_ms=at_ms,
        upstream_id=named,
    )
