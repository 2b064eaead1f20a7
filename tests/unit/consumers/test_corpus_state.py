"""The corpus file: rows and positions in one transaction, and what it says where it can't be used."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from consumers.corpus.freshness import LEAST_S, Fresh, age_of, percentile, step_of
from consumers.corpus.page import Listed, Page, Told
from consumers.corpus.state import State, Total
from consumers.errors import StateError


def page(number: int, revision: int = 1, *, title: str = "", text: str = "", wiki: str = "enwiki") -> Page:
    title = title or f"Page {number}"
    return Page(wiki, number, revision, title, f"https://w.example/{title}", 0, text or f"Text {revision}.")


def told(number: int, sequence: int, revision: int = 0, **more: str) -> Told:
    revision = revision or sequence
    content = page(number, revision, **more)
    return Told(content.wiki, number, sequence, revision, None, content, happened=sequence)


def gone(number: int, sequence: int) -> Told:
    return Told("enwiki", number, sequence, 0, "deleted")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "corpus.db"


def test_rows_positions_and_facts_are_read_back(path: Path) -> None:
    """By another State of the same file."""
    with State(path, create=True) as state:
        assert state.commit([told(1, 10), told(2, 11)], {"feed": "p1"}, {"a": "b"}) == (2, 0)
    with State(path) as state:
        assert state.position("feed") == "p1"
        assert state.positions() == {"feed": "p1"}
        assert state.fact("a") == "b"
        assert [p.page for p in state.pages("enwiki")] == [1, 2]
        assert state.titled("enwiki", "Page 2") == page(2, 11)
        assert state.row("enwiki", 3) is None
        assert state.wikis() == ["enwiki"]
        assert state.totals() == {"enwiki": Total(2, 0)}


def test_a_commit_that_fails_leaves_nothing(path: Path) -> None:
    """Neither rows nor positions, and the next one works."""
    with State(path, create=True) as state:
        with pytest.raises(AttributeError):
            state.commit([told(1, 10), None], {"feed": "p1"})  # type: ignore[list-item]
        assert state.positions() == {}
        assert state.row("enwiki", 1) is None
        state.commit([told(1, 10)], {"feed": "p1"})
        assert state.totals() == {"enwiki": Total(1, 0)}


def test_batches_of_any_size_come_to_the_same(path: Path, tmp_path: Path) -> None:
    """One commit of all, or one for each."""
    changes = [
        told(1, 10),
        told(2, 11),
        gone(1, 12),
        told(1, 13),
        told(2, 14),
        gone(2, 15),
        told(3, 16, wiki="dewiki"),
    ]
    with State(path, create=True) as one, State(tmp_path / "many.db", create=True) as many:
        one.commit(changes)
        for change in changes:
            many.commit([change])
        for key in (("enwiki", 1), ("enwiki", 2), ("dewiki", 3)):
            assert one.row(*key) == many.row(*key)
        assert one.totals() == many.totals() == {"dewiki": Total(1, 0), "enwiki": Total(1, 1)}
        assert [w[1:] for w in one.withdrawals()] == [w[1:] for w in many.withdrawals()]


def test_changes_are_listed_once_each_by_when_they_were_last(path: Path) -> None:
    """A row that shows the same as before is no change: an index need not look at it again."""
    with State(path, create=True) as state:
        state.commit([told(1, 10), told(2, 11)])
        seen = state.changed()
        state.commit([told(1, 12, 10)])
        assert state.changes(seen) == []
        state.commit([told(1, 13)])
        assert [(c.page, c.content and c.content.revision) for c in state.changes(seen)] == [(1, 13)]
        state.commit([gone(2, 14)])
        assert [(c.page, c.content is None) for c in state.changes(seen)] == [(1, False), (2, True)]


def test_a_page_that_was_gone_in_between_is_a_change(path: Path) -> None:
    """Deleted and restored within one commit: it was to be erased, so it has to be told anew."""
    with State(path, create=True) as state:
        state.commit([told(1, 10)])
        seen = state.changed()
        state.commit([gone(1, 11), told(1, 12, 10)])
        assert [c.page for c in state.changes(seen)] == [1]


def test_withdrawals_are_kept_once_each(path: Path) -> None:
    """Of a deletion, of a hidden revision, be it the newest or not, and of a page that a wiki no longer has;
    also where the event changes no row any more, for copies lie elsewhere.
    """
    hidden = Told("enwiki", 1, 20, 5, "hidden", None, hides=5)
    older = Told("enwiki", 2, 21, 9, None, page(2, 9), hides=4)
    late = Told("enwiki", 3, 22, 6, "hidden", None, late=True, hides=6)
    absent = Listed("enwiki", 4, 1_000)
    with State(path, create=True) as state:
        state.commit([told(1, 10, 5), told(2, 11, 8), told(3, 30, 9), told(4, 12)])
        for _ in range(2):
            state.commit([hidden, older, late, absent, gone(3, 25)])
        assert [w[1:] for w in state.withdrawals()] == [
            ("enwiki", 1, 5, 20), ("enwiki", 2, 4, 21), ("enwiki", 3, 6, 22), ("enwiki", 4, 0, 0),
            ("enwiki", 3, 0, 25),
        ]  # fmt: skip


def test_what_is_found_to_be_gone_is_withdrawn_once_for_each_thing_found(path: Path) -> None:
    """Snapshots may hold an older text of a page that was hidden: that it is deleted since is news; the same
    found again is none, nor what a page is that the corpus never had.
    """
    hidden = Told("enwiki", 1, 20, 2, gone="hidden")
    with State(path, create=True) as state:
        state.commit([told(1, 10), hidden, told(2, 10)])
        for at in (100, 200):
            state.commit(
                [Listed("enwiki", 1, at), Listed("enwiki", 2, at, 7, hidden=True), Listed("enwiki", 3, at)]
            )
        state.commit([Listed("enwiki", 2, 300, 8, hidden=True)])
        found = [(each.page, each.revision, each.sequence) for each in state.withdrawals()]
    assert found == [(1, 2, 20), (1, 0, 0), (2, 7, 0), (2, 8, 0)]


def test_no_text_is_left_in_the_row_of_what_is_gone(path: Path) -> None:
    """Nor its title."""
    with State(path, create=True) as state:
        state.commit([told(1, 10, title="Secret title", text="Secret text")])
        state.commit([gone(1, 11)])
        assert state.titled("enwiki", "Secret title") is None
        row = state.row("enwiki", 1)
    assert row is not None
    assert "Secret" not in repr(row)


def test_freshness_is_counted_by_minute_and_age(path: Path) -> None:
    """Of events that altered a row; listings have no age. What is older than a week goes."""
    now = [1_000_000_020.0]
    with State(path, create=True, clock=lambda: now[0]) as state:
        event = told(1, int((now[0] - 2) * 1e6))
        state.commit([event, event, Listed("enwiki", 2, 1, 1, page(2))])
        (counted,) = state.freshness()
        assert (counted.minute, counted.events) == (999_999_960 + 60, 1)
        assert 2 <= counted.age_s <= 2.25
        now[0] += 8 * 86_400
        state.commit([told(1, int((now[0] - 9) * 1e6))])
        assert [count.events for count in state.freshness()] == [1]
        assert state.freshness(now[0] + 60) == []


def test_ages_are_within_an_eighth() -> None:
    """From a millisecond to years; a clock that is ahead gives the least."""
    age_s = LEAST_S
    while age_s < 1e8:
        assert age_s <= age_of(step_of(age_s)) * 1.0000001
        assert age_of(step_of(age_s)) <= age_s * 1.123
        age_s *= 1.07
    assert age_of(step_of(-5)) == LEAST_S
    counts = [Fresh(0, 1.0, 98), Fresh(60, 2.0, 1), Fresh(60, 9.0, 1)]
    assert percentile(counts, 0.5) == 1.0
    assert percentile(counts, 0.99) == 2.0
    assert percentile(counts, 1) == 9.0
    assert percentile([], 0.5) is None


def test_a_file_that_is_no_corpus_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A text file, another program's database, one of a newer version, none, and one in no folder."""
    text = tmp_path / "notes.txt"
    text.write_text("These are my notes, and longer than the head of a database. " * 20)
    with pytest.raises(StateError, match="no SQLite database"):
        State(text)
    assert text.read_text().startswith("These are my notes")

    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE cake (name)")
    db.close()
    with pytest.raises(StateError, match="another program"):
        State(other)

    newer = tmp_path / "newer.db"
    State(newer, create=True).close()
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StateError, match="newer version"):
        State(newer)

    with pytest.raises(StateError, match="there is no corpus"):
        State(tmp_path / "absent.db")
    assert not (tmp_path / "absent.db").exists()
    with pytest.raises(StateError, match="no folder"):
        State(tmp_path / "absent" / "corpus.db", create=True)
    with pytest.raises(StateError, match="can't be opened"):
        State(tmp_path)


def test_what_another_program_locks_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the patience for it is over."""
    monkeypatch.setattr("consumers.corpus.database.BUSY_S", 0.05)
    with State(path, create=True) as state:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError, match="in use"):
            state.commit([told(1, 10)])
        other.execute("ROLLBACK")
        other.close()
        state.commit([told(1, 10)])


def test_a_file_that_may_only_be_read_is_named(path: Path) -> None:
    """As SQLite says it, whatever the reason is; reading goes on."""
    with State(path, create=True) as state:
        state.commit([told(1, 10)])
        state._db.execute("PRAGMA query_only = ON")
        with pytest.raises(StateError, match="read-only"):
            state.commit([told(2, 11)])
        assert [p.page for p in state.pages("enwiki")] == [1]


WRITES_BESIDE = """
import sys
from pathlib import Path
from consumers.corpus.page import Page, Told
from consumers.corpus.state import State

_, path, first = sys.argv
with State(Path(path)) as state:
    for i in range(int(first), int(first) + 300):
        state.commit([Told("w", i, i, i, None, Page("w", i, i, "T", "u", 0, "x"))], facts={first: str(i)})
"""


def test_processes_that_write_beside_each_other_lose_nothing(path: Path) -> None:
    """Each commit waits for the other's: all rows and totals are there, and numbers of changes differ."""
    State(path, create=True).close()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITES_BESIDE, str(path), str(first)])
        for first in (1, 1_001, 2_001)
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    with State(path) as state:
        assert state.totals() == {"w": Total(900, 0)}
        changes = state.changes(0, 1_000)
        assert len({change.page for change in changes}) == 900
        assert [change.changed for change in changes] == list(range(1, 901))


FILLS = """
import resource, signal, sys
from pathlib import Path
from consumers.corpus.page import Page, Told
from consumers.corpus.state import State
from consumers.errors import StateError
import random

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with State(Path(sys.argv[1]), create=True) as state:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
    try:
        for i in range(1, 200):
            text = random.Random(i).randbytes(50_000).hex()
            state.commit([Told("w", i, i, i, None, Page("w", i, i, "T", "u", 0, text))], {"feed": str(i)})
    except StateError as error:
        print(error)
"""


def test_a_full_disk_is_named_and_costs_nothing_that_was_committed(path: Path) -> None:
    """Stood in for by a limit on the size of files: rows and position end at the same commit, and go on once
    there is room.
    """
    ran = subprocess.run(
        [sys.executable, "-c", FILLS, str(path)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert str(path) in ran.stdout
    assert "What was committed is kept" in ran.stdout
    with State(path) as state:
        last = int(state.position("feed") or 0)
        assert 0 < last < 199
        assert [p.page for p in state.pages("w")] == list(range(1, last + 1))
        state.commit([told(1, 10)])
