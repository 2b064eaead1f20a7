"""What is remembered of held records: what is forgotten of it, and where its bounds are."""

import random
from collections.abc import Sequence
from typing import Literal

import pytest
from harness.articles import Page

from streamer.accounts import counts_of
from streamer.cutoffs import Cutoffs
from streamer.log.base import Stored
from streamer.model import DELETE_TYPE, Signal, Topics, encode_value
from streamer.partners import Partner
from streamer.privacy import Policy
from streamer.route.feed import Article, Draft, Feed, Routing
from streamer.route.reverts import Told
from streamer.route.rules import view
from streamer.route.settle import DEPTH, MOST_LEFT, Ahead, Fate, Hold
from streamer.route.settling import fate_of

TOPICS = Topics()


def stored(page: Page, offset: int, time_ms: int | None = None) -> Stored:
    record = page.record(TOPICS)
    when_ms = offset if time_ms is None else time_ms
    return Stored(record.topic, 0, offset, when_ms, record.key, record.value, record.headers)


def taken(records: Sequence[Stored]) -> Ahead:
    ahead = Ahead(records[0].offset)
    take(ahead, records)
    return ahead


def take(ahead: Ahead, records: Sequence[Stored]) -> None:
    for record in records:
        assert record.value is not None
        ahead.take(record, view(record.value))


def history(count: int, rng: random.Random) -> list[Stored]:
    """Edits, removals and restores of some pages."""
    pages = []
    for sequence in range(1, count + 1):
        is_removal = rng.random() < 0.02
        page = Page(
            sequence,
            page_id=rng.randrange(1, 200),
            kind="delete" if is_removal else "edit",
            sha1=None if is_removal else f"{rng.randrange(6):02x}" * 20,
        )
        pages.append(page)
    return [stored(page, offset) for offset, page in enumerate(pages)]


def test_what_is_forgotten_changes_nothing_of_what_is_held(rng: random.Random) -> None:
    """Whoever forgets what was released long ago knows of what is held all that one knows who begins there,
    and nothing that one who never forgets does not.
    """
    records = history(12_000, rng)
    ahead = taken(records[:4_000])
    for below in range(0, 8_000, 500):
        ahead.forget(below)
        take(ahead, records[below + 4_000 : below + 4_500])
    assert 4_000 <= len(ahead) <= 6_000
    held = [record for record in records[7_500:12_000] if record.header("sha1")]
    assert ahead.start <= 7_500
    young, whole = taken(records[ahead.start :]), taken(records)
    for record in held:
        fate = ahead.fate(record)
        assert young.fate(record) in ("", fate)
        assert fate in ("", whole.fate(record))
        assert (young.fate(record) == "ended") == (fate == "ended") == (whole.fate(record) == "ended")
    assert {ahead.fate(record) for record in held} == {"", "reverted", "ended"}
    assert ahead.count(7_500, 12_000) == young.count(7_500, 12_000) == len(held)


def test_a_wider_memory_knows_all_that_a_narrower_one_does(rng: random.Random) -> None:
    """So those who stand at the same offset can share the widest."""
    records = history(3_000, rng)
    wide, narrow = taken(records), taken(records[1_000:])
    for record in records[1_000:]:
        fate = narrow.fate(record)
        assert fate in ("", wide.fate(record))


def test_times_that_step_back_do_not_overtake() -> None:
    """A cluster's clocks differ: what stands behind a record is not due before it."""
    ahead = taken([stored(Page(n, page_id=n), n, time_ms) for n, time_ms in ((1, 100), (2, 90), (3, 120))])
    assert [ahead.due(1, 4, until_ms) for until_ms in (95, 100, 119, 120)] == [1, 3, 3, 4]


def test_what_is_known_steps_back_with_the_clock() -> None:
    """What a clock said that was an hour ahead does not make due what comes after it."""
    ahead = taken([stored(Page(1, page_id=1), 1, 100)])
    ahead.saw_end(5_000)
    ahead.saw_end(200)
    assert ahead.known_ms == 200
    take(ahead, [stored(Page(2, page_id=2), 2, 300)])
    assert ahead.known_ms == 300


def test_a_key_that_names_no_page_settles_by_time() -> None:
    """Nothing is known of it, and nothing of another is taken for its."""
    odd = [
        Stored(r.topic, 0, n, n, key, r.value, r.headers)
        for n, (r, key) in enumerate(
            (stored(Page(n + 1, sha1=sha1), n), key)
            for n, (sha1, key) in enumerate(
                (("aa" * 20, "x"), ("bb" * 20, "w:²"), ("cc" * 20, "w:" + "9" * 30), ("aa" * 20, "y"))
            )
        )
    ]
    ahead = taken(odd)
    assert [ahead.fate(record) for record in odd] == [""] * 4
    assert ahead.due(0, 4, 2) == 3


def test_how_far_back_a_page_is_compared() -> None:
    """DEPTH records: a page that has what it had before them reverts nothing."""
    contents = [f"{n:040x}"[::-1] for n in range(1, DEPTH + 3)]
    for count, fate in ((DEPTH - 1, "reverted"), (DEPTH + 1, "")):
        chain = [*contents[: count + 1], contents[0]]
        records = [stored(Page(n, sha1=sha1), n) for n, sha1 in enumerate(chain, 1)]
        assert taken(records).fate(records[count // 2]) == fate


def test_moves_out_of_scope_are_told_as_far_as_the_position_can_say() -> None:
    """The rest of them waits like all others; the position fits at any spread."""
    routing = Routing(Partner("p", namespaces=(0,), settle="10m"), TOPICS.of_partner("p"), Policy())
    feed = Feed(routing, 0, counts_of({}), hold=Hold(0))
    draft = Draft.of(feed)
    records = [
        stored(Page(n, page_id=n, kind="move", namespace=1, was_in=0), 11 * n) for n in range(MOST_LEFT + 50)
    ]
    for record in records:
        draft.take(record, Article(record, Cutoffs()))
    assert draft.counts["published"] == len(draft.records) == MOST_LEFT
    assert draft.hold is not None
    feed.committed(records[-1].offset + 1, draft.counts, draft.hold)
    assert len(feed.position("t", "e", feed.next, feed.counts, feed.hold).metadata()) < 4_000
    rest = Draft.of(feed, feed.next)
    for record in records:
        rest.release(record, Article(record, Cutoffs()), "")
    assert rest.counts["published"] == len(records)


@pytest.mark.parametrize("namespace", [0, 1])
def test_a_move_out_of_scope_that_waits_is_told_whatever_becomes_of_it(namespace: int) -> None:
    """Be its text reverted, or the page deleted where it is now: the partner has it at its old place. Only a
    deletion that it sees itself makes this needless.
    """
    routing = Routing(Partner("p", namespaces=(0,), settle="10m"), TOPICS.of_partner("p"), Policy())
    moved = stored(Page(1, kind="move", namespace=1, was_in=0), 1)
    ahead = taken([moved, stored(Page(2, kind="delete", namespace=namespace), 2)])
    article = Article(moved, Cutoffs())
    fate = fate_of(article, routing.rule, ahead, Told(), {})
    assert fate == ("ended" if namespace == 0 else "")
    fates: list[Fate | Literal["left"]] = [fate, "reverted"]
    for its_fate in fates:
        draft = Draft.of(Feed(routing, 3, counts_of({}), hold=Hold(0)), 3)
        draft.release(moved, article, its_fate)
        told = [(record.key, record.value is not None) for record in draft.records]
        assert told == ([] if its_fate == "ended" else [("enwiki:1", True)])
        assert all(dict(record.headers)["ce_type"] == DELETE_TYPE.encode() for record in draft.records)


def test_signals_are_forgotten_by_time() -> None:
    """And one that comes twice counts once."""
    told = Told()
    for time_ms in (10, 20, 20):
        value = encode_value(Signal(1, 9, (time_ms, time_ms + 5), 0))
        told.take(Stored(TOPICS.signals, 0, time_ms, time_ms, "enwiki:1", value))
    assert len(told) == 2
    assert [told.is_reverted("enwiki:1/12", revision) for revision in (9, 12, 25, 26)] == [
        False,
        True,
        True,
        False,
    ]
    told.forget(20)
    assert not told.is_reverted("enwiki:1", 12)
    assert told.is_reverted("enwiki:1", 22)
    told.forget(21)
    assert len(told) == 0
