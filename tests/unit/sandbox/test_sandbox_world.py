"""The invented wikis: what happens, how often, and that chance comes from the seed alone."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest

from streamer.sandbox.editor import hire
from streamer.sandbox.pages import Deed
from streamer.sandbox.world import Emission, World, WorldOptions

START_MS = 1_790_000_000_000
PAGE_CHANGE = "mediawiki.page_change.v1"
VISIBILITY = "mediawiki.revision-visibility-change"
TAGS = "mediawiki.revision-tags-change"
Span = tuple[int, int]


def live(seed: int, seconds: int, *, rate: float = 1.0, step_ms: int = 50) -> tuple[World, list[Emission]]:
    world = World(WorldOptions(seed, pages_per_wiki=30), START_MS)
    hire(world, START_MS, rate)
    emissions: list[Emission] = []
    for now_ms in range(START_MS, START_MS + seconds * 1000 + 1, step_ms):
        emissions += world.advance(now_ms)
    return world, emissions


def of(emissions: Iterable[Emission], stream: str) -> list[tuple[int, Any]]:
    """Without canaries, which are tested apart."""
    return [(e.time_ms, e.event) for e in emissions if e.stream == stream and len(e.event) > 2]


def kinds(emissions: list[Emission], kind: str) -> list[tuple[int, Any]]:
    return [(at, e) for at, e in of(emissions, PAGE_CHANGE) if e["page_change_kind"] == kind]


def page(event: Any) -> tuple[str, int]:
    return event["wiki_id"], event["page"]["page_id"]


def creates(emissions: list[Emission]) -> list[Span]:
    return [(at, at) for at, e in of(emissions, "recentchange") if e["type"] == "new"]


def moves_with_redirect(emissions: list[Emission]) -> list[Span]:
    logs = {
        e["title"]: at
        for at, e in of(emissions, "recentchange")
        if e.get("log_action") == "move" and e["log_params"]["noredir"] == "0"
    }
    spans = []
    for at, event in kinds(emissions, "move"):
        if "created_redirect_page" in event:
            old = event["prior_state"]["page"]["page_title"].replace("_", " ")
            spans.append((min(at, logs[old]), max(at, logs[old])))
    return spans


def deletes_with_restore(emissions: list[Emission]) -> list[Span]:
    restored = [(at, page(e)) for at, e in kinds(emissions, "undelete")]
    spans = []
    for at, event in kinds(emissions, "delete"):
        ends = [end for end, key in restored if key == page(event) and end > at]
        spans += [(at, min(ends))] if ends else []
    return spans


def reverted_within_20_s(emissions: list[Emission]) -> list[Span]:
    """The edit, its rollback with the revert field, and the tags of both."""
    tags = {(e["database"], e["rev_id"]): (at, e["tags"]) for at, e in of(emissions, TAGS)}
    written = {(e["wiki_id"], e["revision"]["rev_id"]): at for at, e in kinds(emissions, "edit")}
    spans = []
    for at, event in kinds(emissions, "edit"):
        revert = event["revision"].get("revert")
        if not revert:
            continue
        bad = (event["wiki_id"], revert["rev_reverted_newest_id"])
        undoing = (event["wiki_id"], event["revision"]["rev_id"])
        if bad not in written or bad not in tags or at - written[bad] > 20_000:
            continue  # some stay for long
        assert tags[undoing][1] == ["mw-rollback"]
        assert tags[undoing][0] < at, "tags can come before their edit"
        assert tags[bad][1] == ["mw-reverted"]
        spans.append((written[bad], max(at, tags[bad][0])))
    return spans


def reverted_several(emissions: list[Emission]) -> list[Span]:
    """Two edits and one that undoes both, by its revert field."""
    written = {(e["wiki_id"], e["revision"]["rev_id"]): at for at, e in kinds(emissions, "edit")}
    spans = []
    for at, event in kinds(emissions, "edit"):
        revert = event["revision"].get("revert")
        if revert and revert["rev_reverted_oldest_id"] != revert["rev_reverted_newest_id"]:
            ends = [(event["wiki_id"], revert[f"rev_reverted_{which}_id"]) for which in ("oldest", "newest")]
            if all(end in written for end in ends):
                spans.append((written[ends[0]], at))
    return spans


def put_back(emissions: list[Emission]) -> list[Span]:
    """An edit and one that has the content of before again, which nothing else says."""
    spans = []
    spoilt: dict[tuple[str, int], tuple[int, str]] = {}
    for at, event in kinds(emissions, "edit"):
        revision, before = event["revision"], event["prior_state"]["revision"]
        if "rev_sha1" not in revision or "rev_sha1" not in before:
            continue
        since = spoilt.get(page(event))
        if since and since[1] == revision["rev_sha1"] and "revert" not in revision:
            spans.append((since[0], at))
        spoilt[page(event)] = at, before["rev_sha1"]
    return spans


def hidden(emissions: list[Emission], *, newest: bool) -> list[Span]:
    """Told three times within a moment for a newest revision, twice for an older one."""
    of_newest = {
        (e["wiki_id"], e["revision"]["rev_id"], at // 1000) for at, e in kinds(emissions, "visibility_change")
    }
    logged = {
        (e["wiki"], int(e["log_params"]["ids"][0]), at // 1000)
        for at, e in of(emissions, "recentchange")
        if e.get("log_action") == "revision"
    }
    spans = []
    for at, event in of(emissions, VISIBILITY):
        assert event["visibility"] != event["prior_state"]["visibility"]
        key = event["database"], event["rev_id"], at // 1000
        if not all(event["visibility"].values()) and key in logged and (key in of_newest) == newest:
            spans.append((at // 1000 * 1000, at // 1000 * 1000 + 999))
    return spans


def suppressions(emissions: list[Emission]) -> list[Span]:
    """Visibility without a performer, of which recentchange says nothing at that moment."""
    told = {
        (e["wiki"], int(e["log_params"]["ids"][0]), at // 1000)
        for at, e in of(emissions, "recentchange")
        if e.get("log_action") == "revision"
    }
    spans = []
    for at, event in of(emissions, VISIBILITY):
        if "performer" not in event:
            assert (event["database"], event["rev_id"], at // 1000) not in told
            spans.append((at, at))
    return spans


STORIES: dict[str, Callable[[list[Emission]], list[Span]]] = {
    "create": creates,
    "move with redirect": moves_with_redirect,
    "delete and restore": deletes_with_restore,
    "reverted within 20 s": reverted_within_20_s,
    "reverted, several at once": reverted_several,
    "reverted by its content": put_back,
    "hidden, newest": lambda emissions: hidden(emissions, newest=True),
    "hidden, older": lambda emissions: hidden(emissions, newest=False),
    "suppression": suppressions,
}


@pytest.mark.parametrize("rate", [1.0, 3.0])
@pytest.mark.parametrize("seed", [1, 7, 12345])
def test_any_minute_holds_the_whole_of_each_story(seed: int, rate: float) -> None:
    """Wherever 60 s begin, each thing a consumer must cope with happens in them from begin to end."""
    _, emissions = live(seed, 300, rate=rate)
    for name, spans_of in STORIES.items():
        spans = spans_of(emissions)
        for start_ms in range(START_MS, START_MS + 240_000, 500):
            assert any(a >= start_ms and b <= start_ms + 60_000 for a, b in spans), (
                f"seed {seed}: no {name} within 60 s from {(start_ms - START_MS) / 1000} s on"
            )


def test_some_vandalism_stays_for_long() -> None:
    """Longer than a partner with a short settle time waits: it gets that, whatever it does."""
    _, emissions = live(5, 1_200, step_ms=1_000)
    written = {(e["wiki_id"], e["revision"]["rev_id"]): at for at, e in kinds(emissions, "edit")}
    ages = [
        at - written[key]
        for at, e in kinds(emissions, "edit")
        if (revert := e["revision"].get("revert"))
        and (key := (e["wiki_id"], revert["rev_reverted_oldest_id"])) in written
    ]
    assert any(age > 60_000 for age in ages)
    assert sum(age > 20_000 for age in ages) < 0.1 * len(ages)


def test_the_default_rate_is_about_one_edit_a_second() -> None:
    """The rate that is configured is the rate that happens."""
    _, emissions = live(3, 240)
    edits = [e for _, e in of(emissions, "recentchange") if e["type"] in ("edit", "new")]
    assert 0.6 * 240 < len(edits) < 1.2 * 240


def test_the_same_seed_tells_the_same_story() -> None:
    """Equal to the last comment and uuid, however the time is cut into steps; another seed differs."""
    assert live(5, 60, step_ms=50)[1] == live(5, 60, step_ms=3_000)[1]
    assert live(5, 20)[1] != live(6, 20)[1]


def test_a_clock_that_steps_back_makes_nothing_happen() -> None:
    """And nothing happens twice when it comes forward again."""
    world, before = live(2, 30)
    assert world.advance(START_MS) == []
    assert world.advance(START_MS + 29_950) == []
    assert before


def test_taking_pages_away_does_not_end_the_story() -> None:
    """People may delete, by the admin route, what an editor is busy with; the others go on."""
    world, _ = live(9, 30)
    for wiki in world.wikis.values():
        for one in list(wiki.pages.values()):
            world.delete(wiki, one, Deed(world.administrator(wiki), "", START_MS + 30_000))
    told = of(world.advance(START_MS + 600_000), "recentchange")
    assert {"new", "edit", "log"} <= {e["type"] for _, e in told}


def test_every_page_stays_findable() -> None:
    """After ten minutes titles are unique, ids keep their page, and each newest revision is found."""
    world, _ = live(9, 600, step_ms=1000)
    for wiki in world.wikis.values():
        assert len(wiki.pages) > 20
        for identifier, one in wiki.pages.items():
            assert wiki.titled(one.title) is one
            assert wiki.revision(one.current.identifier) == (one, one.current)
            assert identifier == one.identifier
            numbers = [revision.identifier for revision in one.revisions]
            assert numbers == sorted(set(numbers))
        for one in wiki.deleted.values():
            assert wiki.revision(one.current.identifier) is None


def test_a_restored_page_keeps_its_ids() -> None:
    """Page id and revision ids survive deletion, as MediaWiki keeps them."""
    _, emissions = live(4, 120)
    deleted = {page(e): e["revision"]["rev_id"] for _, e in kinds(emissions, "delete")}
    restored = {page(e): e["revision"]["rev_id"] for _, e in kinds(emissions, "undelete")}
    assert restored
    assert all(deleted[key] == revision for key, revision in restored.items())


def test_a_move_makes_a_revision_with_the_same_text() -> None:
    """So an edit and a move can be told apart only by their kind."""
    _, emissions = live(4, 60)
    for _, event in kinds(emissions, "move"):
        old = event["prior_state"]["revision"]
        assert event["revision"]["rev_parent_id"] == old["rev_id"]
        if "rev_sha1" in old:
            assert event["revision"]["rev_sha1"] == old["rev_sha1"]


def test_canaries_come_several_an_hour_in_every_topic() -> None:
    """In both data centres, with `$schema` and `meta` only."""
    world = World(WorldOptions(1, pages_per_wiki=5), START_MS)
    emissions = world.advance(START_MS + 3_600_000)
    topics: dict[tuple[str, str], int] = {}
    for emission in emissions:
        assert set(emission.event) == {"$schema", "meta"}
        key = emission.data_centre, emission.stream
        topics[key] = topics.get(key, 0) + 1
    assert len(topics) == 10
    assert all(4 <= count <= 60 for count in topics.values())


def test_some_edits_arrive_late_and_the_data_centre_changes() -> None:
    """The stream itself is out of order by seconds, and switches between topics."""
    world = World(WorldOptions(8, pages_per_wiki=30, switchover_every_s=60, late_share=0.2), START_MS)
    hire(world, START_MS, 1.0)
    emissions = [
        e for step in range(180) for e in world.advance(START_MS + step * 1000) if e.stream == "recentchange"
    ]
    times = [e.time_ms for e in emissions]
    assert any(later < earlier - 400 for earlier, later in pairwise(times))
    assert {e.data_centre for e in emissions} == {"eqiad", "codfw"}


def test_people_are_of_every_sort() -> None:
    """Accounts, bots, temporary accounts and addresses from documentation ranges: privacy has work to do."""
    _, emissions = live(10, 240)
    names = {e["user"] for _, e in of(emissions, "recentchange") if "user" in e}
    assert any(name.startswith("~2026-") for name in names)
    assert any(name.startswith(("192.0.2.", "198.51.100.")) for name in names)
    assert any(name.startswith("2001:DB8:") for name in names)
    assert any(name.endswith("Bot") for name in names)
    assert any(e["comment"] for _, e in of(emissions, "recentchange"))


def test_some_events_share_a_millisecond() -> None:
    """Their ids in the stream are then equal, so a resume by id skips all but the first."""
    _, emissions = live(11, 60)
    times = [at for at, e in of(emissions, "recentchange") if e["type"] == "edit"]
    assert len(times) > len(set(times))
