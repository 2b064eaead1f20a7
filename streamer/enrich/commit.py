"""One commit of a lane put together: sequences stamped, articles encoded, outcomes counted.

Synchronous and free of I/O. What it learns (the newest revision of each page) is applied to the memory
by `committed`, after the commit: a batch that failed is put together anew and must judge the same.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from streamer.cutoffs import cutoff_record
from streamer.enrich.article import (
    BY_REVISION,
    Stamp,
    hidden_of,
    least_revision,
    removal_of,
    visibility_of,
)
from streamer.enrich.fitting import fitting
from streamer.enrich.hides import Hides
from streamer.enrich.hinting import has_hint
from streamer.enrich.memory import Contents, HiddenRevisions, Hints, Newest, Removal, Removals, Told
from streamer.enrich.outcome import MISSING_TRIES, Answered, Dead, Gone, Removed, Superseded, Work
from streamer.enrich.scorer import is_scored
from streamer.enrich.signs import without_parents_text
from streamer.enrich.suspects import CAUSE as RECONCILE
from streamer.errors import HostNotAllowed
from streamer.log.base import Headers, Record, partition_of
from streamer.metrics import (
    EDIT_TO_PUBLISH,
    ENRICH_CUTOFFS,
    ENRICH_HINTED,
    ENRICH_LATE,
    ENRICH_PUBLISHED,
    ENRICH_SCORED,
    ERRORS,
)
from streamer.model import (
    OUTCOME_HEADER,
    Article,
    Change,
    DeadLetter,
    Hideable,
    Hint,
    Place,
    RevisionVisibility,
    Topics,
    Visibility,
    article_headers,
    encode_value,
    page_key,
    revision_key,
)
from streamer.origin.answer import Found, SiteInfo
from streamer.replays import CAUSE as REPLAY

MAX_RECORDS: Final = 256
MAX_BYTES: Final = 8 * 1024 * 1024
STAGE: Final = "enrich"
EVERYTHING: Final[tuple[Hideable, ...]] = ("text", "comment", "editor")
SHOWN_LATELY_MS: Final = 60_000
"""A page that was published so shortly before a wiki calls it missing is not taken away on a replay's word: a
replica may lag, and a deletion that is real is on its way in the stream."""
OUTCOMES: Final = ("admitted", "published", "gone", "superseded", "deadletter")


@dataclass(frozen=True, slots=True)
class SignalItem:
    """Of a hint: goes with the next commit, is not counted."""

    offset: int
    record: Record


@dataclass(frozen=True, slots=True)
class EarlyCutoff:
    """A visibility change's cut-off, ahead of any fetch. Its change stays open."""

    wiki: str
    page_id: int
    revision: int
    hides: tuple[Hideable, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """A change with its outcome, and the site info that is known by now (for removals)."""

    work: Work
    site: SiteInfo | None = None


Item = SignalItem | EarlyCutoff | Finished


@dataclass(frozen=True, slots=True)
class Memory:
    """What all lanes of a process share."""

    newest: Newest = field(default_factory=Newest)
    removals: Removals = field(default_factory=Removals)
    told: Told = field(default_factory=Told)
    hidden: HiddenRevisions = field(default_factory=HiddenRevisions)
    hides: Hides = field(default_factory=Hides)
    hints: Hints = field(default_factory=Hints)
    contents: Contents = field(default_factory=Contents)


class Batch:
    """`add` items in the order in which they may go, commit `records`, then call `committed`."""

    def __init__(
        self,
        memory: Memory,
        topics: Topics,
        partitions: int,
        *,
        last_sequence: int,
        counts: dict[str, int],
        now_us: int,
        replayed: int = 0,
    ) -> None:
        self._memory = memory
        self._topics = topics
        self._partitions = partitions
        self._now_us = now_us
        self._newest: dict[tuple[str, int], int] = {}
        self._published: list[tuple[Change, Article]] = []
        self._removals: dict[tuple[str, int], Removal] = {}
        """Those that replays found out: others are known as soon as they are read."""
        self._emptied: list[tuple[str, int]] = []
        """Pages that were cut off by a change that came to nothing."""
        self._cutoffs = {"page": 0, "revision": 0}
        self._hinted = {"yes": 0, "no": 0}
        self._scored = {"yes": 0, "no": 0}
        self._hides: dict[str, dict[Hideable, int]] = {}
        """Of the revisions that are cut off here: what was ever hidden of them, below which sequence."""
        self._bytes = 0
        self.last_sequence = last_sequence
        self.replayed = replayed
        self.counts = {outcome: counts.get(outcome, 0) for outcome in OUTCOMES}
        self.records: list[Record] = []
        self.offsets: set[int] = set()
        self.works: list[Work] = []
        self.has_early_cutoff = False
        self.errors: list[str] = []

    @property
    def is_full(self) -> bool:
        return len(self.records) >= MAX_RECORDS or self._bytes >= MAX_BYTES

    def add(self, item: Item) -> None:
        if isinstance(item, SignalItem):
            self.offsets.add(item.offset)
            self._append(item.record)
        elif isinstance(item, EarlyCutoff):
            self.has_early_cutoff = True
            self._cut_off(item.wiki, item.page_id, item.revision, self._sequence(), item.hides)
        elif item.work.journey is None:
            self._finish(item)
        else:
            before = dict(self.counts)
            self._finish(item)
            item.work.journey.ended(before, self.counts, self.errors)

    def committed(self) -> None:
        """Applies what was learned to the memory and the metrics."""
        newest = self._memory.newest
        now_s = self._now_us / 1_000_000
        for (wiki, page_id), removal in self._removals.items():
            self._memory.removals.resolved(wiki, page_id, removal)
        for change, article in self._published:
            late = article.event.late is True
            if article.event.type == "delete":
                newest.removed(change.wiki, article.identifier)
            elif not late and article.version:
                if change.previous:
                    newest.moved(change.wiki, article.identifier, change.previous)
                newest.published(
                    change.wiki,
                    article.identifier,
                    article.version.identifier,
                    article.name,
                    self._now_us // 1000,
                    namespace=article.namespace.identifier,
                )
            if change.replays is None:
                EDIT_TO_PUBLISH.observe(max(0.0, now_s - change.edited_ms / 1000))
            if late:
                ENRICH_LATE.inc()
        for wiki, page_id in self._emptied:
            newest.removed(wiki, page_id)
        for key, below in self._hides.items():
            self._memory.hides.add(key, below)
        self._count()

    def _count(self) -> None:
        told = Counter((change.kind, article.event.type) for change, article in self._published)
        for (kind, event_type), count in told.items():
            ENRICH_PUBLISHED.labels(kind, event_type).inc(count)
        for scope, count in self._cutoffs.items():
            ENRICH_CUTOFFS.labels(scope).inc(count)
        for hinted, count in self._hinted.items():
            ENRICH_HINTED.labels(hinted).inc(count)
        for scored, count in self._scored.items():
            ENRICH_SCORED.labels(scored).inc(count)
        for code in self.errors:
            ERRORS.labels(STAGE, code).inc()

    def _finish(self, item: Finished) -> None:
        work = item.work
        outcome = work.outcome
        assert outcome is not None
        self.works.append(work)
        self.offsets.add(work.offset)
        self.counts["admitted"] += 1
        self.replayed += work.change.replays is not None
        if isinstance(outcome, Gone):
            self.counts["gone"] += 1
        elif isinstance(outcome, Superseded):
            self.counts["superseded"] += 1
        elif isinstance(outcome, Dead):
            self._dead(work.change, outcome, item.site, self._hidden_by(work, outcome))
        elif isinstance(outcome, Removed):
            self._removed(work, outcome, item.site)
        else:
            self._answered(work, outcome)

    def _hidden_by(self, work: Work, dead: Dead) -> dict[int, Visibility]:
        """What a change that came to nothing has hidden all the same, by revision: it is cut off."""
        change = work.change
        if change.meant != "visibility" or not change.visibility or dead.code == HostNotAllowed.code:
            return {}
        if change.cause == REPLAY and not work.is_found:  # was cut off with its letter; may be shown again
            return {}
        hides = change.visibility.hides()
        if not change.revision:  # of a change that can't be read
            return {}
        if hides and change.page_id and not work.cutoff_written:  # its page was found, but is not told
            self._cut_off(change.wiki, change.page_id, change.revision, self._sequence(), hides)
        return {change.revision: change.visibility}

    def _dead(
        self, change: Change, dead: Dead, site: SiteInfo | None, hidden: Mapping[int, Visibility]
    ) -> None:
        """`hidden` is what is cut off of the page, by revision."""
        self.counts["deadletter"] += 1
        self.errors.append(dead.code)
        self._overwrite(change, dead, site, hidden)
        letter = DeadLetter(change, STAGE, dead.code, dead.attempts, self._now_us // 1000)
        key = change.wiki
        self._append(
            Record(self._topics.deadletter, partition_of(key, self._partitions), key, encode_value(letter))
        )

    def _overwrite(
        self, change: Change, dead: Dead, site: SiteInfo | None, hidden: Mapping[int, Visibility]
    ) -> None:
        """Of a change that came to nothing, but is known to withdraw what its page's newest record holds: one
        without text takes that one's place. Else it stayed on the disk until the page's next edit.
        """
        wiki = change.wiki
        if page_id := dead.withdrawn_page:
            stamp = Stamp(self._sequence(), self._now_us // 1000)
            self._cut_off(wiki, page_id, 0, stamp.sequence, EVERYTHING)
            article = removal_of(change, page_id, site, stamp)
            self._emptied.append((wiki, page_id))
            self._newest[wiki, page_id] = 0
        else:
            page_id = change.page_id or self._memory.newest.page_under(wiki, change.title)
            newest = self._newest_of(wiki, page_id)
            visibility = hidden.get(newest)
            if not newest or visibility is None or visibility.text:
                return
            stamp = Stamp(self._sequence(), self._now_us // 1000)
            place = self._place_of(wiki, page_id)
            if place:  # it may have moved since: those who have it are told
                change = replace(change, title=place.title, namespace=place.namespace)
            article = hidden_of(change, page_id, RevisionVisibility(newest, visibility), site, stamp)
        self._append_article(change, article, encode_value(article), ((OUTCOME_HEADER, b"deadletter"),))

    def _removed(self, work: Work, removed: Removed, site: SiteInfo | None) -> None:
        change = work.change
        if change.replays:
            left = tuple(page for page in removed.page_ids if self._is_lost(change, page, removed))
            if not left:
                self.counts["gone"] += 1
                return
            for page in left:
                self._removals[change.wiki, page] = Removal(work.read_no, change.edited_ms)
            removed, change = Removed(left), replace(change, kind="delete")
        self.counts["published"] += 1
        stamp = Stamp(self._sequence(), self._now_us // 1000)
        page_id = removed.page_ids[0]
        for each in dict.fromkeys(removed.page_ids):
            self._cut_off(change.wiki, each, 0, stamp.sequence, EVERYTHING)
        article = removal_of(change, page_id, site, stamp)
        self._publish(change, article, encode_value(article))
        self._newest[change.wiki, page_id] = 0

    def _is_lost(self, change: Change, page_id: int, removed: Removed) -> bool:
        """Whether partners have to be told: neither do they know it, nor was the page there lately, or after
        the time at which a wiki's own log says that it was deleted.
        """
        wiki = change.wiki
        if (wiki, page_id) in self._newest or (wiki, page_id) in self._removals:
            return False
        published_ms = self._memory.newest.published_ms(wiki, page_id)
        if published_ms:
            is_logged = change.cause == RECONCILE and change.replays == "delete"
            logged_ms = change.edited_ms if is_logged else 0
            return published_ms < max(removed.missing_ms - SHOWN_LATELY_MS, logged_ms)
        return not self._memory.removals.is_known(wiki, page_id)

    def _answered(self, work: Work, answered: Answered) -> None:
        change, found = work.change, answered.found
        wiki, page_id, revision = change.wiki, found.page.page_id, found.revision
        by_revision = change.kind in BY_REVISION and change.revision == revision.identifier
        edited_ms = _judged_by_ms(change, by_revision=by_revision)
        found_out = self._removals.get((wiki, page_id))
        if self._memory.removals.overtakes(wiki, page_id, read_no=work.read_no, edited_ms=edited_ms) or (
            found_out and found_out.overtakes(read_no=work.read_no, edited_ms=edited_ms)
        ):
            self.counts["gone"] += 1
            return
        visibility = visibility_of(change, revision, self._memory.hidden.of(wiki, revision.identifier))
        newest = self._newest_of(wiki, page_id)
        lags = answered.is_stale and revision.identifier < max(newest, least_revision(change))
        is_old = (
            change.kind == "refresh" and revision.identifier < newest and bool(change.replays or not lags)
        )
        stamp = Stamp(
            self._sequence(), self._now_us // 1000, late=by_revision and revision.identifier < newest
        )
        # what is hidden is cut off whatever becomes of the change
        if visibility.hides():
            self._cut_off(wiki, page_id, revision.identifier, stamp.sequence, visibility.hides())
        told = change.visibility.hides() if change.meant == "visibility" and change.visibility else ()
        if told and not work.cutoff_written and change.revision != revision.identifier:
            self._cut_off(wiki, page_id, change.revision, stamp.sequence, told)
        hidden = {change.revision: change.visibility} if told and change.visibility else {}
        hidden[revision.identifier] = visibility
        is_newest_hidden = newest in hidden and not hidden[newest].text
        if is_old and not is_newest_hidden:
            self.counts["superseded"] += 1  # what has gone ahead was answered later, and says more
            return
        if lags or is_old:  # the page must not go back to what it was
            self._dead(change, Dead("stale", MISSING_TRIES), found.site, hidden)
            return
        hint = self._memory.hints.of(wiki, revision.identifier)
        told_of = change, hint
        if self._hides_text(change, revision.parent):
            told_of = without_parents_text(change, hint)
        fits = fitting(told_of[0], answered, visibility, stamp, told_of[1])
        if fits is None:
            self._dead(change, Dead("too_large", 1), found.site, hidden)
            return
        self.counts["published"] += 1
        self._publish(change, *fits)
        if visibility.text:
            self._count_told(change, found, hint)
        if not stamp.late:
            self._newest[wiki, page_id] = revision.identifier

    def _count_told(self, change: Change, found: Found, hint: Hint | None) -> None:
        """Whether what can be known beside the wiki's answer was there in time."""
        if not has_hint(change):
            return
        is_hinted = self._memory.hints.has_edit(change.wiki, change.revision)
        self._hinted["yes" if is_hinted else "no"] += 1
        if is_scored(change, found):
            self._scored["yes" if hint and hint.scores else "no"] += 1

    def _hides_text(self, change: Change, revision: int) -> bool:
        """Of another revision than the one that is told."""
        own = change.visibility if change.meant == "visibility" and change.revision == revision else None
        return not self._memory.hidden.of(change.wiki, revision).text or (own is not None and not own.text)

    def _newest_of(self, wiki: str, page_id: int) -> int:
        """The revision that is out, or will be with this commit; 0: not known, or none is."""
        known = self._newest.get((wiki, page_id))
        return self._memory.newest.revision(wiki, page_id) if known is None else known

    def _place_of(self, wiki: str, page_id: int) -> Place | None:
        """Where its newest record says that it stands; None: not known."""
        for change, article in reversed(self._published):
            if (change.wiki, article.identifier) == (wiki, page_id) and article.event.late is not True:
                return Place(article.name, article.namespace.identifier)
        return self._memory.newest.place(wiki, page_id)

    def _publish(self, change: Change, article: Article, value: bytes) -> None:
        self._append_article(change, article, value)
        self._published.append((change, article))

    def _append_article(
        self, change: Change, article: Article, value: bytes, more_headers: Headers = ()
    ) -> None:
        page = page_key(change.wiki, article.identifier)
        late = article.event.late is True and article.version
        key = (
            revision_key(change.wiki, article.identifier, article.version.identifier)
            if late and article.version
            else page
        )
        partition = partition_of(page, self._partitions)
        headers = article_headers(
            article,
            key=key,
            server_name=change.server_name,
            edited_ms=change.edited_ms,
            traceparent=change.traceparent,
        )
        self._append(Record(self._topics.articles, partition, key, value, headers + more_headers))
        if late:  # so that it does not outlive the history: compaction keeps a key's newest, which is nothing
            self._append(Record(self._topics.articles, partition, key, None))

    def _cut_off(
        self, wiki: str, page_id: int, revision: int, sequence: int, hides: Sequence[Hideable]
    ) -> None:
        self._cutoffs["revision" if revision else "page"] += 1
        before: dict[Hideable, int] = {}
        if revision:
            key = revision_key(wiki, page_id, revision)
            before = self._hides.get(key) or self._memory.hides.of(key)
            self._hides[key] = before | dict.fromkeys(hides, sequence)
        self._append(
            cutoff_record(
                self._topics.withdrawals,
                self._partitions,
                wiki=wiki,
                page_id=page_id,
                revision=revision,
                sequence=sequence,
                hides=hides,
                before=before,
            )
        )

    def _append(self, record: Record) -> None:
        self.records.append(record)
        self._bytes += len(record.value or b"")

    def _sequence(self) -> int:
        self.last_sequence = max(self.last_sequence + 1, self._now_us)
        return self.last_sequence


def _judged_by_ms(change: Change, *, by_revision: bool) -> int | None:
    """The time by which a change is older than a removal that was read before it; None: it can't be."""
    if change.replays in BY_REVISION:
        return change.edited_ms - 1  # in the same second: a page is edited before it is deleted
    return change.edited_ms if by_revision or change.replays else None
