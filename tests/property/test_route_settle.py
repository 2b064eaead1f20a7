"""What is held, against the same rules kept naively: with everything in memory, and without restarts."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.articles import Page
from hypothesis import given
from hypothesis import strategies as st

from streamer.accounts import counts_of
from streamer.cutoffs import Cutoffs
from streamer.log.base import Record, Stored
from streamer.log.position import Position
from streamer.model import Signal, Topics, encode_value, page_key
from streamer.partners import Partner
from streamer.privacy import Policy
from streamer.route.feed import Article, Draft, Feed, Routing
from streamer.route.reverts import Told
from streamer.route.settle import REMEMBERED, Ahead, Fate, Hold
from streamer.route.settling import fate_of

TOPICS = Topics()
SETTLE_MS = 10_000
SHA = {name: hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest() for name in "ABC"}


def rules(namespaces: tuple[int, ...], settle: str = "10s") -> Routing:
    return Routing(Partner("p", namespaces=namespaces, settle=settle), TOPICS.of_partner("p"), Policy())


# ── what happens ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Published:
    """Enrich appends an article, and what goes with it."""

    page: int
    content: Literal["A", "B", "C"] | None
    """None: its text is hidden."""
    kind: Literal["edit", "move", "delete", "late", "visibility"] = "edit"
    """A visibility change hides something of an older revision."""
    namespace: int = 0
    is_tagged: bool = False
    """When enrich asks for it the wiki says already that it was reverted."""


@dataclass(frozen=True)
class Reverted:
    """The wiki says so of the page's newest revisions but one."""

    page: int
    count: int


@dataclass(frozen=True)
class Later:
    ms: int


@dataclass(frozen=True)
class Step:
    """Of the lane. `rules`: those that are put in force."""

    what: Literal["see", "release", "restart", "rules"]
    namespaces: tuple[int, ...] = (0,)


Happening = Published | Reverted | Later | Step

happenings = st.one_of(
    st.builds(
        Published,
        st.integers(1, 2),
        st.sampled_from(("A", "B", "C", None)),
        st.sampled_from(("edit", "edit", "edit", "move", "delete", "late", "visibility")),
        st.integers(0, 1),
        st.sampled_from((False, False, False, True)),
    ),
    st.builds(Reverted, st.integers(1, 2), st.integers(1, 3)),
    st.builds(Later, st.sampled_from((1, 3_000, 12_000))),
    st.builds(
        Step,
        st.sampled_from(("see", "release", "restart", "rules")),
        st.sampled_from(((0,), (1,), (0, 1))),
    ),
)


@dataclass
class World:
    """The articles as a list, an offset each; and what the wiki says."""

    now_ms: int = 1_000_000
    stored: list[Stored] = field(default_factory=list)
    pages: list[Page | None] = field(default_factory=list)
    """None: a tombstone."""
    signals: list[tuple[int, int, int]] = field(default_factory=list)
    told: Told = field(default_factory=Told)

    def happens(self, happening: Published | Reverted) -> None:
        if isinstance(happening, Reverted):
            self._reverted(happening)
            return
        sequence = 10 * (len(self.stored) + 1)
        is_late, is_delete = happening.kind == "late", happening.kind == "delete"
        page = Page(
            sequence,
            page_id=happening.page,
            kind="edit" if happening.kind == "late" else happening.kind,
            namespace=happening.namespace,
            was_in=1 - happening.namespace if happening.kind == "move" else None,
            text=None if happening.content is None or is_delete else "words",
            sha1=None if happening.content is None or is_delete else SHA[happening.content],
            hides_revision=True if happening.kind == "visibility" else None,
            tags=("mw-reverted",) if happening.is_tagged else (),
            late=is_late,
            revision=max(1, sequence - 15) if is_late else sequence,
        )
        self._append(page.record(TOPICS), page)
        if is_late:
            self._append(page.tombstone(TOPICS), None)

    def _reverted(self, happening: Reverted) -> None:
        revisions = [p.number for p in self.pages if p and p.page_id == happening.page and not p.late]
        found = revisions[-1 - happening.count : -1]
        if found:
            self.signals.append((happening.page, found[0], found[-1]))
            key = page_key("enwiki", happening.page)
            value = encode_value(Signal(happening.page, revisions[-1], (found[0], found[-1]), 0))
            self.told.take(Stored(TOPICS.signals, 0, len(self.signals), self.now_ms, key, value))

    def _append(self, record: Record, page: Page | None) -> None:
        offset = len(self.stored)
        self.stored.append(
            Stored(record.topic, 0, offset, self.now_ms, record.key, record.value, record.headers)
        )
        self.pages.append(page)

    def article(self, offset: int) -> Article | None:
        stored = self.stored[offset]
        return None if stored.value is None else Article(stored, Cutoffs())


Out = tuple[str, int]
"""What comes out: `article`, `delete`, `told` (without its text) or `tombstone`, and the offset that it is
of.
"""


class Kept:
    """The rules as they are written in DESIGN, with all in memory."""

    def __init__(self) -> None:
        self.namespaces: tuple[int, ...] = (0,)
        self.held: list[int] = []
        self.ended: dict[int, tuple[str, int]] = {}
        """What was held → how that counts, and where the page was then."""
        self.seen: list[int] = []
        self.out: list[Out] = []
        self.counts: dict[str, int] = {}

    def count(self, outcome: str) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + 1

    def see(self, world: World, offset: int) -> None:
        page = world.pages[offset]
        self.seen.append(offset)
        if page is None:
            self.held.append(offset)
        elif page.text is None and not page.late:
            self.end(world, page, "withdrawn")
            self.put(page, offset)
        elif self.leaves(page):
            self.end(world, page, "filtered")
            self.put(page, offset)
        else:
            self.held.append(offset)

    def leaves(self, page: Page) -> bool:
        return page.was_in in self.namespaces and page.namespace not in self.namespaces

    def end(self, world: World, page: Page, outcome: str) -> None:
        for offset in self.held:
            other = world.pages[offset]
            is_its = other is not None and other.page_id == page.page_id
            if is_its and (outcome == "withdrawn" or offset not in self.ended):
                self.ended[offset] = outcome, page.namespace

    def release(self, world: World, until_ms: int) -> None:
        while self.held and world.stored[self.held[0]].timestamp_ms <= until_ms:
            offset = self.held.pop(0)
            page = world.pages[offset]
            if page is None:
                self.out.append(("tombstone", offset))
            elif offset in self.ended:
                outcome, namespace = self.ended[offset]
                if outcome == "withdrawn" and self.leaves(page) and namespace not in self.namespaces:
                    self.put(page, offset)
                else:
                    self.count(outcome)
            elif page.text is not None and self.is_reverted(world, page):
                self.put_reverted(page, offset)
            else:
                self.put(page, offset)

    def is_reverted(self, world: World, page: Page) -> bool:
        if page.tags or any(
            p == page.page_id and low <= page.number <= high for p, low, high in world.signals
        ):
            return True
        known = [
            (other.number, other.sha1)
            for other in map(world.pages.__getitem__, self.seen)
            if other is not None and other.page_id == page.page_id and other.sha1
        ]
        return any(
            low < page.number < high and same == sha1 != page.sha1
            for low, same in known
            for high, sha1 in known
        )

    def put_reverted(self, page: Page, offset: int) -> None:
        was_here = page.was_in in self.namespaces
        if page.was_in is None and page.hides_revision is None:
            self.count("reverted")
        elif page.namespace in self.namespaces or (was_here and page.hides_revision):
            self.out.append(("told", offset))
            self.count("published")
        else:
            self.put(page, offset)

    def put(self, page: Page, offset: int) -> None:
        is_here, was_here = page.namespace in self.namespaces, page.was_in in self.namespaces
        if was_here and not is_here:
            self.out.append(("delete", offset))
        elif is_here:
            self.out.append(("delete" if page.kind == "delete" else "article", offset))
        else:
            return self.count("filtered")
        return self.count("published")


class Settler:
    """What a lane does, by the parts that it is made of; what it holds is lost at each restart."""

    def __init__(self) -> None:
        self.feed = Feed(rules((0,)), 0, counts_of({}), hold=Hold(0))
        self.ahead = Ahead(0)
        self.out: list[Out] = []

    def see(self, world: World, limit: int) -> None:
        draft = Draft.of(self.feed)
        for offset in range(self.feed.next, limit):
            stored, article = world.stored[offset], world.article(offset)
            self.ahead.take(stored, article.view if article else None)
            draft.take(stored, article)
        self.commit(world, draft, limit)

    def release(self, world: World, until_ms: int) -> None:
        hold = self.feed.hold
        assert hold is not None
        due = self.ahead.due(hold.released, self.feed.next, until_ms)
        left = {self.ahead.page_at(offset): offset for offset in hold.left}
        draft = Draft.of(self.feed, due)
        for offset in range(hold.released, due):
            article, rule = world.article(offset), self.feed.routing.rule
            fate: Fate | Literal["left"] = ""
            if article is not None:
                fate = fate_of(article, rule, self.ahead, world.told, left)
            draft.release(world.stored[offset], article, fate)
        self.commit(world, draft, self.feed.next)

    def commit(self, world: World, draft: Draft, following: int) -> None:
        by_sequence = {s.header("ce_sequence"): s.offset for s in world.stored if s.value is not None}
        told = ""
        for record in draft.records:
            if record.value is None and "/" not in record.key:
                continue  # of a removal that rules leave out where they were others before
            if record.value is None:
                if record.key == told:
                    continue  # goes with it
                offset = next(s.offset for s in world.stored if s.key == record.key and s.value is None)
                self.out.append(("tombstone", offset))
                continue
            headers = dict(record.headers)
            is_delete = headers["ce_type"] == b"wiki.article.delete"
            offset = by_sequence[headers["ce_sequence"].decode()]
            stored = world.stored[offset]
            has_lost_its_text = b"words" in (stored.value or b"") and b"words" not in record.value
            told = record.key if has_lost_its_text and not is_delete else ""
            self.out.append(("told" if told else "delete" if is_delete else "article", offset))
        self.feed.committed(following, draft.counts, draft.hold)

    def restart(self, world: World) -> None:
        position = self.feed.position(TOPICS.articles, "e", self.feed.next, self.feed.counts, self.feed.hold)
        there = Position.restore(position.next, position.metadata())
        self.feed = Feed.restore(self.feed.routing, there)
        if self.feed.hold is None:
            self.feed.hold = Hold(self.feed.next)
        self.ahead = Ahead(max(0, self.feed.hold.released - REMEMBERED))
        for offset in range(self.ahead.start, self.feed.next):
            article = world.article(offset)
            self.ahead.take(world.stored[offset], article.view if article else None)


@given(st.lists(happenings, max_size=40))
def test_what_settles_comes_out_as_the_naive_rules_say(story: Sequence[Happening]) -> None:
    """Whatever is edited, reverted, moved, hidden and deleted, whenever it is looked at, released, restarted,
    and under whichever rules: the same comes out in the same order, once, and the sums are equal.
    """
    world, kept, settler = World(), Kept(), Settler()
    ending: list[Happening] = [Step("see"), Later(SETTLE_MS), Step("release")]
    for happening in [*story, *ending]:
        if isinstance(happening, Later):
            world.now_ms += happening.ms
        elif not isinstance(happening, Step):
            world.happens(happening)
        elif happening.what == "rules":
            kept.namespaces = happening.namespaces
            settler.feed.routing = rules(happening.namespaces)
        elif happening.what == "restart":
            settler.restart(world)
        elif happening.what == "see":
            for offset in range(len(kept.seen), len(world.stored)):
                kept.see(world, offset)
            settler.see(world, len(world.stored))
        else:
            kept.release(world, world.now_ms - SETTLE_MS)
            settler.release(world, world.now_ms - SETTLE_MS)
        assert without_more_tombstones(settler.out, naive(world, kept.out)) == naive(world, kept.out)
    counts = settler.feed.counts
    assert accounts(counts) == accounts(kept.counts)
    assert sum(counts.values()) == sum(page is not None for page in world.pages)
    assert not kept.held
    assert in_order(world, settler.out)


def accounts(counts: Mapping[str, int]) -> tuple[int, int, int]:
    """A page that left the partner's scope and was deleted: either of them may have ended what was held."""
    gone = counts.get("withdrawn", 0) + counts.get("filtered", 0)
    return counts.get("published", 0), counts.get("reverted", 0), gone


def naive(world: World, out: Sequence[Out]) -> list[Out]:
    """A late record's key may come twice; then its tombstones can't be told apart."""
    first = {s.key: s.offset for s in reversed(world.stored) if s.value is None}
    return [
        (what, first[world.stored[offset].key] if what == "tombstone" else offset) for what, offset in out
    ]


def without_more_tombstones(out: Sequence[Out], wanted: Sequence[Out]) -> list[Out]:
    """Where the rules were others before, a removal that is left out has one in its place."""
    found = []
    for each in out:
        if each[0] != "tombstone" or wanted[len(found) : len(found) + 1] == [each]:
            found.append(each)
    return found


def in_order(world: World, out: Sequence[Out]) -> bool:
    """A page that is gone may be said to be gone once more, by what happened before."""
    last: dict[int, Out] = {}
    for what, offset in out:
        page = world.pages[offset]
        if what == "tombstone" or page is None:
            continue
        before, its = last.get(page.page_id, ("", -1))
        if its >= offset and not before == what == "delete":
            return False
        last[page.page_id] = what, max(its, offset)
    return True
