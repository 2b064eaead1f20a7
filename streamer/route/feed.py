"""One partner in one lane: where it stands, what it was counted, and what a record becomes for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Final, Literal

import msgspec
from msgspec import UNSET

from streamer.accounts import counts_of, seen_by
from streamer.cutoffs import Cutoffs
from streamer.log.base import Headers, Record, Stored
from streamer.log.position import Position, State
from streamer.model import DELETE_TYPE, TICK_KEY, is_counted, is_tick
from streamer.partners import Partner
from streamer.privacy import Policy
from streamer.projection import Opened, Projection
from streamer.route.rebuild import NOTHING, Mark, mark_of
from streamer.route.rules import Rule, Verdict, View, view
from streamer.route.settle import MOST_LEFT, Ahead, Fate, Hold, goes_at_once, hold_of

Form = Literal["whole", "removed", "beside"]
"""What a record is made for a partner: see Projection.apply."""
Outcome = Literal["published", "filtered", "reverted", "withdrawn", "expired", "invalid"]
OF_FATE: Final[Mapping[str, Outcome]] = {"reverted": "reverted", "ended": "withdrawn", "left": "filtered"}
"""What was held counts so: reverted; its page gone or hidden; its page moved out of the partner's scope."""
REMOVED_HEADERS: Final = frozenset({"rev", "parent", "sha1"})
"""They describe a version, and a removal carries none."""
SEVERAL: Final = "*"
"""Places of a topic whose partner's wikis or namespaces were others before."""


class Routing:
    """A partner's rules, compiled; shared by all lanes of the process."""

    def __init__(self, partner: Partner, topic: str, policy: Policy) -> None:
        """`policy` is that of the partner's `editor`."""
        self.name: Final = partner.name
        self.topic: Final = topic
        self.rule: Final = Rule(partner)
        self.settle_ms: Final = partner.settle_s * 1000
        self.places: Final = _digest(partner)
        self.rules: Final = partner.rules
        self.projection: Final = projection_of(partner, policy)


def projection_of(partner: Partner, policy: Policy) -> Projection:
    """What of an article is the partner's, whatever is in it for others."""
    return Projection(partner.selected, content=partner.content, lists=partner.page_lists, policy=policy)


def _digest(partner: Partner) -> str:
    """Of the wikis and namespaces that it asks for."""
    said = repr((sorted(set(partner.wikis)), sorted(set(partner.namespaces))))
    return blake2b(said.encode(), digest_size=6).hexdigest()


@dataclass(slots=True)
class Feed:
    """`next` and `counts` are what is committed, but for holes (`has_moved`)."""

    routing: Routing
    next: int
    counts: dict[str, int]
    mark: Mark = NOTHING
    until: int = 0
    """The end of the articles when it was taken up: a rebuild that has come so far has met the others."""
    served: int = 0
    """When it last had a pass of its own, in turns of its lane."""
    has_moved: bool = False
    """Over offsets that hold no record; the next commit says it."""
    epoch: str | None = None
    """Of the articles that `next` stands in, where nobody has looked whether they are the lane's."""
    hold: Hold | None = None
    """Of one that settles: `next` is then what was seen."""
    ahead: Ahead | None = None
    """What it holds, once that was read; shared with others at the same offset."""
    shown_behind: int | None = None
    """What its gauge says of how far it is behind."""
    owes: bool = False
    """Something that it holds is due, or that is not known yet: it has not met anyone."""

    was_routed: str = ""
    """The places that its topic was made with (Routing.places), or SEVERAL; "": none yet."""

    @classmethod
    def restore(cls, routing: Routing, position: Position) -> "Feed":
        state, hold = position.state, hold_of(position)
        return cls(
            routing,
            seen_by(position),
            counts_of(state),
            mark_of(state),
            hold=hold,
            owes=hold is not None,
            was_routed=str(state.get("places", "")),
        )

    @property
    def places(self) -> str:
        """Those of all that its topic may hold."""
        return self.routing.places if self.was_routed in ("", self.routing.places) else SEVERAL

    def mark_at(self, following: int) -> Mark:
        # of what this pass has seen it is not known yet whether it is due
        seen = following if self.hold is None else self.next
        if self.mark.phase == "behind" and seen >= self.until and not self.owes:
            return Mark(self.mark.rebuild, "met")
        return self.mark

    def position(
        self, source: str, epoch: str, following: int, counts: Mapping[str, int], hold: Hold | None = None
    ) -> Position:
        """`input` says to the log's retention what is still to be read: not the partner's own topic; and to
        the next start of the lane in which making of its topic that was (`epoch` is the lane's).
        """
        at = following if hold is None else hold.released
        unread = {"topic": source, "next": at, "epoch": epoch if self.epoch is None else self.epoch}
        state: State = {"counts": dict(counts), "input": unread, "places": self.places}
        if self.mark.rebuild:
            state["rebuild"] = msgspec.to_builtins(self.mark_at(following))
        if hold is None or following == at:
            return Position(at, (), state)
        return Position(at, hold.done(), {**state, "seen": following})

    def move_to(self, following: int) -> None:
        """There was no record before that."""
        self.has_moved |= following != self.next
        self.next = following

    def release_to(self, released: int) -> None:
        """Nothing is held before that."""
        assert self.hold is not None
        self.has_moved |= released != self.hold.released
        self.hold = self.hold.at(released)

    def committed(self, following: int, counts: dict[str, int], hold: Hold | None = None) -> None:
        """Its position there is."""
        self.has_moved = False
        self.was_routed = self.places
        self.next, self.counts, self.mark = following, counts, self.mark_at(following)
        self.hold = hold


def epoch_of(position: Position) -> str:
    """In which making of the articles' topic it stands; "" where it does not say."""
    unread = position.state.get("input")
    return str(unread.get("epoch", "")) if isinstance(unread, dict) else ""


class Article:
    """A record that was read, judged once for all partners; its projections are made once each."""

    def __init__(self, stored: Stored, cutoffs: Cutoffs) -> None:
        """Raises msgspec.DecodeError (a ValidationError too) where it holds no article."""
        assert stored.value is not None
        self.value: Final = stored.value
        self.stored: Final = stored
        self.view: Final[View] = view(stored.value)
        self.hidden: Final = cutoffs.hidden(
            stored.key, int(stored.header("rev") or 0), int(stored.header("ce_sequence") or 0)
        )
        self.is_counted: Final = is_counted(stored)
        self.is_removal: Final = self.view.is_removal
        self._hides: Final = self.hidden - {"text"}
        self._lists: Final = self.view.lists
        self._as_it_is: Final = not self._hides and self.view.from_html is UNSET
        """Whether it may go to somebody so."""
        self._verdicts: dict[str, Verdict] = {}
        self._opened: Opened | None = None
        self._made: dict[tuple[bytes, Form], bytes] = {}

    def verdict(self, rule: Rule) -> Verdict:
        """Partners with equal rules share it."""
        found = self._verdicts.get(rule.digest)
        if found is None:
            found = self._verdicts[rule.digest] = rule.judge(self.view)
        return found

    def value_for(self, projection: Projection, form: Form) -> bytes:
        """What cut-offs hide of comment and editor is gone."""
        if (
            form == "whole"
            and self._as_it_is
            and projection.is_identity(self.view.article_body or (), self._lists)
        ):
            return self.value
        key = projection.digest, form
        made = self._made.get(key)
        if made is None:
            if self._opened is None:
                self._opened = Opened(self.value, self._hides)
            made = self._made[key] = projection.apply_to(
                self._opened, removed=form == "removed", beside=form == "beside"
            )
        return made

    def forget(self) -> None:
        """Lets go of what was made: its partners have it."""
        self._made.clear()
        self._opened = None


def route(article: Article, routing: Routing) -> tuple[Outcome, Record | None]:
    """What becomes of an article for a partner."""
    verdict = article.verdict(routing.rule)
    if verdict is Verdict.FILTERED:
        return "filtered", None
    left = verdict is Verdict.LEFT
    # A cut-off withholds text. What carries none goes out whatever was withdrawn since: the delete that
    # set the cut-off may stand at a place that this partner does not see.
    if "text" in article.hidden and article.view.has_text and not left:
        return "withdrawn", None
    stored = article.stored
    headers = removed_headers(stored.headers) if left else stored.headers
    value = article.value_for(routing.projection, "removed" if left else "whole")
    return "published", Record(routing.topic, stored.partition, stored.key, value, headers)


def told_late(article: Article, routing: Routing) -> Record:
    """What it says beside its text, which was reverted. Under the key of a late record: under the page's own
    it would stand for the page's newest state, which has a text.
    """
    stored = article.stored
    key = f"{stored.key.partition('/')[0]}/{stored.header('rev') or 0}"
    headers = tuple(
        (name, key.encode() if name == "ce_subject" else value)
        for name, value in stored.headers
        if name not in REMOVED_HEADERS
    )
    return Record(
        routing.topic, stored.partition, key, article.value_for(routing.projection, "beside"), headers
    )


def removed_headers(headers: Headers) -> Headers:
    return tuple(
        (name, DELETE_TYPE.encode() if name == "ce_type" else value)
        for name, value in headers
        if name not in REMOVED_HEADERS
    )


@dataclass(slots=True)
class Draft:
    """What a pass would commit for one feed."""

    feed: Feed
    counts: dict[str, int]
    hold: Hold | None = None
    """As it will be."""
    records: list[Record] = field(default_factory=list)
    size: int = 0
    told: tuple[int, ...] = ()
    """Offsets of what is held, that need no release any more."""

    @classmethod
    def of(cls, feed: Feed, released: int | None = None) -> "Draft":
        """`released`: how far what is held will have gone, where that is another offset than now."""
        hold = feed.hold
        if hold is None:
            return cls(feed, dict(feed.counts))
        after = hold if released is None else hold.at(released)
        return cls(feed, dict(feed.counts), after, told=hold.left)

    @property
    def is_stop(self) -> bool:
        """It says that the feed is stopped, and writes nothing to its topic, whatever is wrong with that."""
        return self.feed.mark.phase == "stopped" and not self.records

    @property
    def has_articles(self) -> bool:
        """Or tombstones: what is made again from the same input, unlike a tick."""
        return any(record.key != TICK_KEY for record in self.records)

    def take(self, stored: Stored, article: Article | None) -> None:
        """`article` None: the record holds none. Of one that settles it is seen, and perhaps held."""
        if article is None:
            if stored.value is None:
                if self.hold is None:
                    self._take_tombstone(stored)
            elif not is_tick(stored):  # ticks are for the topic that they stand in
                self.counts["invalid"] = self.counts.get("invalid", 0) + 1
        elif self.hold is None or goes_at_once(stored, article.view):
            self._put(article)
        elif self._has_left(article) and len(self.hold.left) < MOST_LEFT:
            self.hold = Hold(self.hold.released, (*self.hold.left, stored.offset))
            self._put(article)

    def release(self, stored: Stored, article: Article | None, fate: Fate | Literal["left"]) -> None:
        """Of one that settles: a record that was held, and what has become of it meanwhile."""
        if article is None:
            if stored.value is None:
                self._take_tombstone(stored)
            return
        if goes_at_once(stored, article.view) or stored.offset in self.told:
            return  # it went out when it was seen
        if not fate:
            self._put(article)
        elif fate == "reverted" and (article.view.is_removal or article.view.event.previous is not None):
            # what is hidden, and where the page is now, is told whatever becomes of the text beside it
            self._tell(article)
        else:
            self.counts[OF_FATE[fate]] += article.is_counted

    def _has_left(self, article: Article) -> bool:
        if article.view.event.previous is None:
            return False
        return article.verdict(self.feed.routing.rule) is Verdict.LEFT

    def _put(self, article: Article) -> None:
        outcome, record = route(article, self.feed.routing)
        if article.is_counted:
            self.counts[outcome] += 1
        if record is not None:
            self._append(record)
        elif outcome == "filtered" and article.is_removal and self.feed.places == SEVERAL:
            self._append_tombstone(article.stored)

    def _tell(self, article: Article) -> None:
        """Without its text."""
        routing = self.feed.routing
        if not article.view.has_text or article.verdict(routing.rule) is not Verdict.WANTED:
            self._put(article)
            return
        record = told_late(article, routing)
        self.counts["published"] += article.is_counted
        self._append(record)
        self._append(replace(record, value=None, headers=()))  # as enrich does with late records

    def _take_tombstone(self, stored: Stored) -> None:
        """Of a late record. It goes to all who may have got that record: one too many harms nobody."""
        if self.feed.routing.rule.has_wiki(stored.key.partition(":")[0]) or self.feed.places == SEVERAL:
            self._append_tombstone(stored)

    def _append_tombstone(self, stored: Stored) -> None:
        """What the topic holds under this key must leave the disk, and is no event to anybody. So a removal
        that rules filter takes away what they let in while they asked for its wiki or namespace. Where they
        always were the same there is nothing of it, or the delete of a page that left, which must stay.
        """
        self._append(Record(self.feed.routing.topic, stored.partition, stored.key, None))

    def _append(self, record: Record) -> None:
        self.records.append(record)
        self.size += len(record.value or b"")
