"""A page as a wiki could make it, told by a feed, by dumps and by asking; whatever the corpus hears of it,
how often and in which order, it comes to the same row, and that says what the wiki says.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.corpus.page import UNKNOWN_REVISION, Change, Listed, Page, Told
from consumers.corpus.row import SURE_US, Row, applied
from consumers.corpus.state import State

STEP: Final = 1_000
"""µs between two things that happen; small beside SURE_US."""
START: Final = 10 * SURE_US

OPERATIONS: Final = (
    "edit", "edit", "edit", "move", "delete", "delete unnamed", "restore", "restore older", "hide newest",
    "hide older", "hide older late", "show newest", "late edit", "late hidden edit",
)  # fmt: skip


@dataclass
class Wiki:
    """One page, and what is said of it."""

    clock: int = START
    revision: int = 100
    history: list[int] = field(default_factory=list)
    """Oldest first; of what is there."""
    deleted: list[int] = field(default_factory=list)
    hidden: set[int] = field(default_factory=set)
    title: str = "First title"
    events: list[Told] = field(default_factory=list)
    listings: list[Listed] = field(default_factory=list)
    open_dumps: list[int] = field(default_factory=list)
    """When each was begun that has not read the page yet."""

    def page(self, revision: int) -> Page:
        return Page(
            "testwiki", 7, revision, self.title, f"https://w.example/{self.title}", 0,
            text=f"Text of revision {revision}.", wikitext=f"Wikitext of revision {revision}.",
        )  # fmt: skip

    def state(self) -> Page | None:
        if not self.history or self.history[-1] in self.hidden:
            return None
        return self.page(self.history[-1])

    def step(self, name: str, number: int) -> None:
        """What can't be done at present is not done. `number` chooses among revisions."""
        self.clock += STEP
        if name in ("edit", "move"):
            if name == "move" and self.history:
                self.title = f"Title {self.clock}"
            if name == "edit" or self.history:
                self._new_revision()
                self._tell()
        elif name.startswith("delete") and self.history:
            named = self.history[-1] if name == "delete" else UNKNOWN_REVISION
            self.deleted, self.history = self.history, []
            self._tell_removal(named)
        elif name.startswith("restore") and self.deleted and not self.history:
            count = len(self.deleted) if name == "restore" else 1 + number % len(self.deleted)
            self.history, self.deleted = self.deleted[:count], []
            self._tell()
        elif name == "hide newest" and self.history:
            self.hidden.add(self.history[-1])
            self._tell(hides=self.history[-1])
        elif name.startswith("hide older") and len(self.history) > 1:
            older = self.history[number % (len(self.history) - 1)]
            self.hidden.add(older)
            self._tell(hides=older, late=name.endswith("late"))
        elif name == "show newest" and self.history:
            self.hidden.discard(self.history[-1])
            self._tell()
        elif name.startswith("late") and self.history:
            older = self._new_revision()
            if "hidden" in name:
                self.hidden.add(older)
            self.clock += STEP
            self._new_revision()
            self._tell()
            self._tell(of=older, late=True, hides=older if "hidden" in name else 0)

    def ask(self) -> None:
        self.clock += STEP
        self.listings.append(self._listing(self.clock))

    def begin_dump(self) -> None:
        self.clock += STEP
        self.open_dumps.append(self.clock)

    def read_dumps(self) -> None:
        """A dump lists no page that is not there."""
        self.listings += [self._listing(at) for at in self.open_dumps if self.history]
        self.open_dumps = []

    def _new_revision(self) -> int:
        self.revision += 1
        self.history.append(self.revision)
        return self.revision

    def _listing(self, at: int) -> Listed:
        state = self.state()
        revision = self.history[-1] if self.history else 0
        return Listed("testwiki", 7, at, revision, state, hidden=bool(self.history) and state is None)

    def _tell(self, *, of: int = 0, hides: int = 0, late: bool = False) -> None:
        self.clock += STEP
        revision = of or self.history[-1]
        gone = "hidden" if revision in self.hidden else None
        hides = hides or (revision if gone else 0)
        content = None if gone else self.page(revision)
        self.events.append(Told("testwiki", 7, self.clock, revision, gone, content, late, hides))  # type: ignore[arg-type]

    def _tell_removal(self, revision: int) -> None:
        self.clock += STEP
        self.events.append(Told("testwiki", 7, self.clock, revision, "deleted"))


STEPS = st.lists(
    st.tuples(st.sampled_from([*OPERATIONS, "ask", "begin a dump", "read the dumps"]), st.integers(0, 9)),
    min_size=1,
    max_size=25,
)


def history(steps: list[tuple[str, int]]) -> Wiki:
    wiki = Wiki()
    for name, number in steps:
        if name == "ask":
            wiki.ask()
        elif name == "begin a dump":
            wiki.begin_dump()
        elif name == "read the dumps":
            wiki.read_dumps()
        else:
            wiki.step(name, number)
    wiki.read_dumps()
    return wiki


def after(changes: list[Change]) -> Row | None:
    row: Row | None = None
    for change in changes:
        row = applied(row, change)
    return row


def encoded(row: Row | None) -> bytes:
    return msgspec.msgpack.encode(row)


histories = STEPS.map(history)
unhurried = settings(deadline=None)
"""A busy machine is no failure."""


@unhurried
@given(histories, st.data())
def test_a_row_is_the_same_in_any_order_and_after_any_repeats(wiki: Wiki, data: Any) -> None:
    """Of events and listings alike. One application changes nothing the second time."""
    changes: list[Change] = [*wiki.events, *wiki.listings]
    expected = after(changes)
    repeats = data.draw(st.lists(st.sampled_from(changes), max_size=8)) if changes else []
    order = data.draw(st.permutations(changes + repeats))
    row: Row | None = None
    for change in order:
        row = applied(row, change)
        again = applied(row, change)
        assert again is row
    assert row == expected
    assert encoded(row) == encoded(expected)


@unhurried
@given(histories, st.data())
def test_a_row_that_was_put_aside_and_taken_up_again_is_the_same(wiki: Wiki, data: Any) -> None:
    """A row is all that its file keeps: batches end anywhere."""
    changes = data.draw(st.permutations([*wiki.events, *wiki.listings]))
    row: Row | None = None
    for change in changes:
        row = applied(row, change)
        if row is not None and data.draw(st.booleans()):
            row = msgspec.msgpack.decode(encoded(row), type=Row)
    assert row == after(changes)


@unhurried
@given(histories, st.data())
def test_a_row_says_what_the_wiki_says(wiki: Wiki, data: Any) -> None:
    """After all events of the page and any listings of it, in any order."""
    listings = data.draw(st.lists(st.sampled_from(wiki.listings), unique_by=id)) if wiki.listings else []
    row = after(data.draw(st.permutations([*wiki.events, *listings])))
    if row is None:
        assert not wiki.events
        return
    assert row.content == wiki.state()
    assert (row.gone is None) == (wiki.state() is not None)
    if not wiki.history and wiki.events:
        assert row.gone == "deleted"


@unhurried
@given(histories, st.data())
def test_what_the_feed_lost_is_closed_by_asking_later(wiki: Wiki, data: Any) -> None:
    """Whatever of the events came: when the wiki is asked an hour later, the row says what the wiki says."""
    came = (
        data.draw(st.lists(st.sampled_from([*wiki.events, *wiki.listings]), unique_by=id))
        if wiki.events
        else []
    )
    wiki.clock += 2 * SURE_US
    wiki.ask()
    row = after(data.draw(st.permutations([*came, wiki.listings[-1]])))
    assert row is not None
    assert row.content == wiki.state()


@unhurried
@given(histories, st.data())
def test_no_withdrawn_text_is_anywhere_in_a_row(wiki: Wiki, data: Any) -> None:
    """A row that is gone holds no text at all; no row holds one of a revision that is hidden, once the event
    that hid it was applied, be it in what is shown or beside it.
    """
    changes = data.draw(st.permutations([*wiki.events, *wiki.listings]))
    row: Row | None = None
    for change in changes:
        row = applied(row, change)
        if row is not None and row.gone:
            assert b"ext of revision" not in encoded(row)
    for revision in wiki.hidden:
        assert b"ext of revision %d." % revision not in encoded(row)


@settings(unhurried, max_examples=30)
@given(histories, st.data())
def test_a_file_is_the_same_after_any_split_into_batches(
    tmp_path_factory: pytest.TempPathFactory, wiki: Wiki, data: Any
) -> None:
    """Rows, totals and withdrawals, of one commit or of many; and it is read again by another process."""
    changes: list[Change] = [*wiki.events, *wiki.listings]
    order = data.draw(st.permutations(changes))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(order)))) | {0, len(order)})
    folder = tmp_path_factory.mktemp("corpus")
    with State(folder / "one.db", create=True) as state:
        state.commit(order)
    for start, end in pairwise(cuts):
        with State(folder / "many.db", create=True) as state:
            state.commit(order[start:end])
    with State(folder / "one.db") as one, State(folder / "many.db", create=True) as many:
        assert one.row("testwiki", 7) == many.row("testwiki", 7) == after(order)
        assert one.totals() == many.totals()
        told = [w[1:] for w in one.withdrawals() if w.sequence]
        assert told == [w[1:] for w in many.withdrawals() if w.sequence]


@unhurried
@given(histories)
def test_the_feed_alone_gives_the_newest_of_what_it_said(wiki: Wiki) -> None:
    """In its own order a row is at each moment what the last event said that was not late."""
    row: Row | None = None
    for event in wiki.events:
        row = applied(row, event)
        if not event.late and not any(r in wiki.hidden for r in (event.revision,)):
            assert row is not None
            assert row.content == event.content
            assert row.sequence == event.sequence


def listed(at: int, revision: int, text: str = "x") -> Listed:
    return Listed("w", 1, at, revision, Page("w", 1, revision, "T", "u", 0, text))


def told(sequence: int, revision: int, text: str = "x") -> Told:
    return Told("w", 1, sequence, revision, None, Page("w", 1, revision, "T", "u", 0, text))


def test_a_dump_is_lower_than_any_event_at_the_same_or_a_newer_revision() -> None:
    """Begun before the event or a little after it; and higher than one at an older revision."""
    for at in (START - STEP, START + STEP):
        event = told(START, 5, "of the feed")
        for revision in (4, 5):
            row = after([event, listed(at, revision, "of the dump")])
            assert row is not None
            assert row.content == event.content
        row = after([listed(at, 6, "of the dump"), event])
        assert row is not None
        assert row.content is not None
        assert row.content.text == "of the dump"


def test_a_dump_from_before_a_deletion_does_not_bring_the_page_back() -> None:
    """Whether or not the deletion says which revision was the last, and whichever comes first."""
    for revision in (5, UNKNOWN_REVISION):
        gone = Told("w", 1, START, revision, "deleted")
        for changes in ([listed(START - 1, 9), gone], [gone, listed(START - 1, 9)]):
            row = after([*changes])
            assert row is not None
            assert row.gone == "deleted"
            assert row.content is None
    back = after([Told("w", 1, START, UNKNOWN_REVISION, "deleted"), told(START + 1, 3), listed(START + 2, 9)])
    assert back is not None
    assert back.revision == 9


def test_a_revision_that_only_a_dump_has_shown_is_hidden_by_a_late_event() -> None:
    """Though a late event is of no newest revision that the feed told."""
    hiding = Told("w", 1, START, 5, "hidden", None, late=True, hides=5)
    for changes in ([listed(START - 1, 5), hiding], [hiding, listed(START - 1, 5)]):
        row = after([*changes])
        assert row is not None
        assert row.gone == "hidden"
        newer = applied(row, listed(START - 1, 6))
        assert newer is not None
        assert newer.revision == 6


def test_a_late_event_alone_makes_no_row() -> None:
    """Which revision is newest it does not say."""
    late = Told("w", 1, START, 5, None, Page("w", 1, 5, "T", "u", 0, "x"), late=True)
    assert applied(None, late) is None


def both_orders(*changes: Change) -> Row:
    row, other = after([*changes]), after([*reversed(changes)])
    assert row is not None
    assert row == other
    return row


def test_a_late_event_hides_what_the_feed_told_last() -> None:
    """If what is newer never came: a text that was withdrawn is not shown for that."""
    hiding = Told("w", 1, START + 1, 5, "hidden", None, late=True, hides=5)
    row = both_orders(told(START, 5, "secret"), hiding)
    assert row.gone == "hidden"
    assert b"secret" not in encoded(row)


def test_what_is_hidden_is_behind_whichever_revision_its_event_tells() -> None:
    """An event that knows no newest revision hides that of a dump all the same."""
    row = both_orders(listed(START - 1, 5, "secret"), Told("w", 1, START, 0, "hidden", None, hides=5))
    assert row.gone == "hidden"
    assert b"secret" not in encoded(row)


def test_of_listings_the_later_one_holds() -> None:
    """Also where it shows an older revision, which was restored; or that the page is gone, and back again."""
    row = both_orders(listed(START, 7, "secret"), listed(START + 2, 5))
    assert row.revision == 5
    assert b"secret" not in encoded(row)
    row = both_orders(listed(START, 7, "secret"), Listed("w", 1, START + 1))
    assert row.gone == "deleted"
    assert b"secret" not in encoded(row)
    back = applied(row, listed(START + 2, 8))
    assert back is not None
    assert back.revision == 8


def test_why_a_page_is_gone_the_later_word_says() -> None:
    """A deletion by the feed after a listing that found its text hidden, and the other way round."""
    hidden = Listed("w", 1, START, 5, hidden=True)
    assert both_orders(hidden, Told("w", 1, START + 1, 5, "deleted")).gone == "deleted"
    assert both_orders(hidden, Told("w", 1, START - 1, 5, "deleted")).gone == "hidden"
