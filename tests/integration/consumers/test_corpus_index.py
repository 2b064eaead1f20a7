"""The table is what the corpus is, whatever happens to either; only what changed is embedded."""

import contextlib
import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import lance
import pytest
from harness.edits import chain, long_article
from harness.wikitext import LANGUAGES

from consumers.cli import main
from consumers.corpus.chunk import chunks
from consumers.corpus.embed import Hashing
from consumers.corpus.index import Index
from consumers.corpus.page import Listed, Page, Told
from consumers.corpus.quality import Filters
from consumers.corpus.state import State
from consumers.corpus.table import NAME, Table, of_page
from consumers.errors import SinkError, UsageError
from consumers.wikitext.text import plain_text

if TYPE_CHECKING:
    from consumers.corpus.embed import Vectors

CORPUS = (sys.executable, "-c", "from consumers.cli import main; main()")
STEPS = """
import sys, time
from pathlib import Path
from consumers.corpus.embed import Hashing
from consumers.corpus.index import Index
from consumers.corpus.state import State
index = Index(State(Path(sys.argv[1])), Path(sys.argv[2]), Hashing())
print("step", flush=True)
while True:
    index.step(2)
    index.settle()
    print("step", flush=True)
"""


class Counting(Hashing):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> "Vectors":
        self.texts += texts
        return super().embed(texts)


class Wiki:
    """Its pages, and what happens to them."""

    def __init__(self, rng: random.Random, pages: int = 12) -> None:
        self._rng = rng
        self._sequence = 1_000
        self.pages: dict[int, Page] = {}
        self.founding = [self._told(self._page(number, self._text(number))) for number in range(1, pages + 1)]

    def _text(self, number: int) -> str:
        return long_article(LANGUAGES[number % len(LANGUAGES)], self._rng, sections=4)

    def _page(self, number: int, text: str, title: str = "") -> Page:
        language = LANGUAGES[number % len(LANGUAGES)]
        title = title or f"Title {number}"
        page = Page(
            wiki=f"{language}wiki",
            page=number,
            revision=self._sequence,
            title=title,
            url=f"https://{language}.example/wiki/{title}",
            namespace=0,
            text=plain_text(text).text or "",
            language=language,
            wikitext=text,
            attribution=f"“{title}” by the contributors",
        )
        self.pages[number] = page
        return page

    def _told(self, page: Page) -> Told:
        self._sequence += 1
        return Told(page.wiki, page.page, self._sequence, page.revision, None, page)

    def change(self) -> Told | Listed:
        """An edit mostly; a move, a deletion, a restore, or a new page."""
        rng = self._rng
        number = rng.choice(list(self.pages))
        page = self.pages[number]
        what = rng.choices(["edit", "move", "delete", "new"], [6, 2, 1, 1])[0]
        assert page.wikitext is not None
        if what == "edit":
            (revised,) = chain(page.wikitext, rng, 1)
            return self._told(self._page(number, revised.text, page.title))
        if what == "move":
            return self._told(self._page(number, page.wikitext, f"Moved {self._sequence}"))
        if what == "new" or len(self.pages) < 4:
            number = max(self.pages) + 1
            return self._told(self._page(number, self._text(number)))
        del self.pages[number]
        self._sequence += 1
        return Told(page.wiki, number, self._sequence, 0, "deleted")


def expected(state: State) -> dict[str, tuple[object, ...]]:
    return {
        chunk.id: (page.wiki, page.page, list(chunk.path), chunk.text, *of_page(page))
        for wiki in state.wikis()
        for page in state.pages(wiki)
        for chunk in chunks(page)
    }


COLUMNS = ["id", "wiki", "page_id", "path", "text", "title", "url", "language", "attribution", "licence"]


def held(folder: Path) -> dict[str, tuple[object, ...]]:
    rows = lance.dataset(str(folder / NAME)).to_table(columns=COLUMNS).to_pylist()
    found = {row["id"]: tuple(row[name] for name in COLUMNS[1:]) for row in rows}
    assert len(found) == len(rows), "an id is there twice"
    return found


def test_the_table_is_what_the_corpus_is(tmp_path: Path, rng: random.Random) -> None:
    """After edits, moves, deletions and new pages in eight languages, brought in by steps of any size: each
    passage once, with its page's title as it is. None is embedded that was there; a move embeds nothing.
    """
    wiki, embedder, folder = Wiki(rng), Counting(), tmp_path / "index"
    with State(tmp_path / "corpus.db", create=True) as state:
        state.commit(wiki.founding)
        index = Index(state, folder, embedder)
        index.run()
        for _ in range(12):
            before = set(held(folder))
            passages = {chunk.id: chunk.passage for page in state.pages("enwiki") for chunk in chunks(page)}
            state.commit([wiki.change() for _ in range(rng.randrange(1, 5))])
            embedder.texts.clear()
            while index.step(rng.randrange(1, 4)):
                pass
            now = held(folder)
            assert now == expected(state)
            assert len(embedder.texts) == len(now.keys() - before)
            assert not {passages[each] for each in passages.keys() & now.keys()} & set(embedder.texts)
            if rng.random() < 0.3:
                index.settle()
                assert held(folder) == now
        assert state.fact(f"sink:{folder.resolve()}") == "lance"


def test_what_is_done_twice_changes_nothing(tmp_path: Path, rng: random.Random) -> None:
    """As after a kill between the rows and the cursor: nothing is embedded, no row is there twice."""
    wiki, embedder, folder = Wiki(rng), Counting(), tmp_path / "index"
    with State(tmp_path / "corpus.db", create=True) as state:
        state.commit(wiki.founding)
        index = Index(state, folder, embedder)
        index.run()
        before = held(folder)
        table = Table(folder)
        table.done(table.mark, 0, table.filters)
        embedder.texts.clear()
        total = index.run()
        assert total.kept == len(before)
        assert embedder.texts == []
        assert held(folder) == before


def test_an_older_copy_of_the_corpus_is_followed_too(tmp_path: Path, rng: random.Random) -> None:
    """The table knows changes, and a page, that the copy does not: it is what the copy is, at once, and
    nothing is embedded that is in it.
    """
    wiki, embedder, folder = Wiki(rng), Counting(), tmp_path / "index"
    path, copy = tmp_path / "corpus.db", tmp_path / "copy.db"
    with State(path, create=True) as state:
        state.commit(wiki.founding)
        Index(state, folder, embedder).run()
        with closing(sqlite3.connect(copy)) as db:
            state._db.backup(db)
        was = held(folder)
        page = wiki.pages[1]
        state.commit([wiki._told(wiki._page(99, wiki._text(99))), *(wiki.change() for _ in range(5))])
        Index(state, folder, embedder).run()
        before = held(folder)
        assert before.keys() != was.keys()
    with State(copy) as state:
        state.commit([Told(page.wiki, page.page, 1 << 40, 0, "deleted")])
        embedder.texts.clear()
        Index(state, folder, embedder).run()
        assert held(folder) == expected(state)
        assert len(embedder.texts) <= len(was.keys() - before.keys())
        assert not any(number == 99 for _, number in Table(folder).pages())


def test_killed_while_it_is_made_it_is_made_anew(
    tmp_path: Path, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that doesn't say yet what it is of is none."""
    wiki, folder = Wiki(rng), tmp_path / "index"
    with State(tmp_path / "corpus.db", create=True) as state:
        state.commit(wiki.founding)
        with monkeypatch.context() as patch:
            patch.setattr(lance.LanceDataset, "update_config", _killed)
            with pytest.raises(KeyboardInterrupt):
                Index(state, folder, Hashing())
        with pytest.raises(SinkError, match="there is no index"):
            Table(folder)
        Index(state, folder, Hashing()).run()
        assert held(folder) == expected(state)
        assert {path.name for path in folder.iterdir()} == {NAME, "lock"}


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_another_corpus_takes_the_table_over(tmp_path: Path, rng: random.Random) -> None:
    """One made anew, say: what it has is not embedded again, what it hasn't goes."""
    wiki, embedder, folder = Wiki(rng), Counting(), tmp_path / "index"
    with State(tmp_path / "corpus.db", create=True) as state:
        state.commit(wiki.founding)
        Index(state, folder, embedder).run()
    embedder.texts.clear()
    with State(tmp_path / "other.db", create=True) as state:
        state.commit(wiki.founding[:5])
        Index(state, folder, embedder).run()
        assert held(folder) == expected(state)
    assert embedder.texts == []


@pytest.mark.parametrize("caught_up", [False, True])
def test_a_corpus_that_went_back_in_time(tmp_path: Path, rng: random.Random, *, caught_up: bool) -> None:
    """Restored from a copy, or after the power failed: the numbers of its changes are used again, and may
    have caught up with the table's. What was deleted meanwhile leaves the table, what it no longer knows too;
    nothing is embedded that is there.
    """
    wiki, embedder, folder, copy = Wiki(rng), Counting(), tmp_path / "index", tmp_path / "copy.db"
    first, lost = wiki.founding[0], wiki.founding[-4:]
    with State(tmp_path / "corpus.db", create=True) as state:
        state.commit(wiki.founding[:-4])
        Index(state, folder, embedder).run()
        with contextlib.closing(sqlite3.connect(copy)) as to:
            state._db.backup(to)
        state.commit(lost)
        Index(state, folder, embedder).run()
    embedder.texts.clear()
    with State(copy) as state:
        index = Index(state, folder, embedder)
        state.commit([Told(first.wiki, first.page, first.sequence + 1, 0, "deleted")])
        if caught_up:
            state.commit([wiki._told(wiki._page(number, "Harbour.")) for number in range(100, 110)])
        assert (state.changed() > Table(folder).cursor) == caught_up
        index.run()
        assert held(folder) == expected(state)
        assert embedder.texts == ["Harbour."] * 10 * caught_up
        assert index.step() is None


def test_killed_between_the_two_marks_it_goes_on(
    tmp_path: Path, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the corpus has the new one, before the table has: what was written is compared, nothing else."""
    wiki, folder = Wiki(rng), tmp_path / "index"
    with State(tmp_path / "corpus.db", create=True) as state:
        state.commit(wiki.founding)
        index = Index(state, folder, Hashing())
        index.run()
        state.commit([wiki.change()])
        with monkeypatch.context() as patched:
            patched.setattr(Table, "done", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                index.step()
        counts = index.step()
        assert counts
        assert counts.pages == 1
        assert index.step() is None
        assert held(folder) == expected(state)


def test_only_pages_that_are_taken(tmp_path: Path) -> None:
    """Articles, unless other filters are chosen; a page that is moved out of its namespace leaves the table,
    one that comes in is embedded, and with other filters the table becomes what they take.
    """

    def told(number: int, sequence: int, namespace: int = 0, **more: str) -> Told:
        page = Page("enwiki", number, sequence, f"T{number}", "u", namespace, f"Text {number}.", **more)  # type: ignore[arg-type]
        return Told("enwiki", number, sequence, sequence, None, page)

    def pages() -> set[int]:
        return {page for _, page in Table(folder).pages()}

    folder = tmp_path / "index"
    with State(tmp_path / "corpus.db", create=True) as state:
        state.commit([told(1, 1), told(2, 2, 10), told(3, 3, 118), told(4, 4, content_model="json")])
        Index(state, folder, Hashing()).run()
        assert pages() == {1}
        state.commit([told(1, 11, 118), told(3, 13, 0)])
        Index(state, folder, Hashing()).run()
        assert pages() == {3}
        Index(state, folder, Hashing(), Filters(namespaces=(10, 118))).run()
        assert pages() == {1, 2}
        Index(state, folder, Hashing(), Filters(wikis=["dewiki"])).run()
        assert pages() == set()
    for arguments, taken in (((), {3}), (("--namespaces", "all"), {1, 2, 3})):
        with pytest.raises(SystemExit) as ended:
            main(["--corpus", str(tmp_path / "corpus.db"), "index", str(folder), *arguments])
        assert ended.value.code == 0
        assert pages() == taken


def test_another_embedder_is_refused(tmp_path: Path, rng: random.Random) -> None:
    """With the names of both; the table stays as it is. So is a folder that is no index."""
    other = Counting()
    other.name = "other-1"
    with State(tmp_path / "corpus.db", create=True) as state:
        state.commit(Wiki(rng).founding[:2])
        Index(state, tmp_path / "index", Hashing()).run()
        before = held(tmp_path / "index")
        with pytest.raises(UsageError, match=r"is of hashing-512 .* not of other-1"):
            Index(state, tmp_path / "index", other)
        assert held(tmp_path / "index") == before
        (tmp_path / "odd" / NAME).mkdir(parents=True)
        with pytest.raises(SinkError, match="can't be read as an index"):
            Index(state, tmp_path / "odd", Hashing())


def test_readers_see_it_whole(tmp_path: Path, rng: random.Random) -> None:
    """While it is written and settled, each version that a reader opens has every id once, and answers."""
    wiki, folder = Wiki(rng), tmp_path / "index"
    done = threading.Event()
    seen: list[int] = []
    failed: list[BaseException] = []
    (vector,) = Hashing().embed(["the harbour"])

    def read() -> None:
        try:
            while not done.is_set() or not seen:
                seen.append(len(held(folder)))
                assert len(Table(folder).search(vector, 3)) == 3
        except BaseException as error:  # noqa: BLE001  # told to the test
            failed.append(error)

    with State(tmp_path / "corpus.db", create=True) as state:
        state.commit(wiki.founding)
        index = Index(state, folder, Hashing())
        index.run()
        reader = threading.Thread(target=read)
        reader.start()
        try:
            for number in range(15):
                state.commit([wiki.change()])
                index.run()
                if number % 5 == 4:
                    index.settle()
        finally:
            done.set()
            reader.join()
    assert not failed
    assert seen


def test_an_index_of_vectors_finds_the_same(tmp_path: Path, rng: random.Random) -> None:
    """Beside the flat search, also what was added after the index was made; files stay few."""
    wiki, folder = Wiki(rng, pages=24), tmp_path / "index"
    with State(tmp_path / "corpus.db", create=True) as state:
        state.commit(wiki.founding)
        index = Index(state, folder, Hashing(), ann=True, ann_rows=20)
        for _ in range(6):
            index.step(4)
        index.settle()
        dataset = lance.dataset(str(folder / NAME))
        assert {each.name for each in dataset.describe_indices()} == {"page_id_idx", "vector_idx"}
        assert len(dataset.get_fragments()) == 1
        state.commit([wiki.change() for _ in range(6)])
        index.run()
        for page in rng.sample(list(wiki.pages.values()), 5):
            chunk = rng.choice(chunks(page))
            (vector,) = Hashing().embed([chunk.passage])
            assert Table(folder).search(vector, 1)[0].row["text"] == chunk.text
            assert {found.row["wiki"] for found in Table(folder).search(vector, 3, page.wiki)} == {page.wiki}


def test_killed_at_any_instant_it_goes_on(tmp_path: Path, rng: random.Random) -> None:
    """Amid its writing, again and again while the corpus changes: in the end the table is what that is."""
    wiki, folder = Wiki(rng, pages=30), tmp_path / "index"
    with State(tmp_path / "corpus.db", create=True) as state:
        state.commit(wiki.founding)
        for _ in range(3):
            state.commit([wiki.change() for _ in range(8)])
            process = subprocess.Popen(
                [sys.executable, "-c", STEPS, str(tmp_path / "corpus.db"), str(folder)],
                stdout=subprocess.PIPE,
            )
            assert process.stdout
            for _ in range(rng.randrange(1, 4)):
                assert process.stdout.readline() == b"step\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0, 0.03))
            process.kill()
            process.communicate()
            assert process.returncode == -signal.SIGKILL
        Index(state, folder, Hashing()).run()
        assert held(folder) == expected(state)


def test_it_follows_until_it_is_stopped(
    tmp_path: Path, rng: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--follow` brings in what is committed while it runs; SIGTERM ends it with 0. Then `corpus search`
    shows the passage with its title, headings, address and attribution.
    """
    wiki = Wiki(rng, pages=4)
    command = [*CORPUS, "--corpus", str(tmp_path / "corpus.db")]
    with State(tmp_path / "corpus.db", create=True) as state:
        state.commit(wiki.founding)
        process = subprocess.Popen(
            [*command, "index", str(tmp_path / "index"), "--follow"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr
        assert process.stderr.readline().startswith("4 pages; passages: ")
        text = "== History ==\nA zeppelin moored at the lighthouse in those days."
        state.commit([wiki._told(wiki._page(99, text, "Zeppelins"))])
        assert process.stderr.readline().startswith("5 pages; passages: ")
        process.send_signal(signal.SIGTERM)
        process.communicate()
        assert process.returncode == 0

    def search(*arguments: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["search", "zeppelin at the lighthouse", *arguments])
        assert ended.value.code == code
        told = capsys.readouterr()
        return told.err if code else told.out

    shown = search("--index", str(tmp_path / "index"), "--count", "1")
    assert "Zeppelins > History" in shown
    assert "A zeppelin moored at the lighthouse" in shown
    assert wiki.pages[99].url in shown
    assert "“Zeppelins” by the contributors" in shown
    lines = search("--index", str(tmp_path / "index"), "--json").splitlines()
    assert len(lines) == 5
    assert json.loads(lines[0])["page_id"] == 99
    assert "one passage at least" in search("--index", str(tmp_path / "index"), "--count", "0", code=2)
    assert search("--index", str(tmp_path), code=1).startswith("corpus: there is no index at")
