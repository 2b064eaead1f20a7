"""What was withdrawn is in no file any more: searched for as bytes, decoded, and by its vector."""

import contextlib
import json
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness.remains import remains, slices, vector_bytes

from consumers.cli import main
from consumers.corpus.chunk import chunks
from consumers.corpus.embed import Hashing
from consumers.corpus.erase import erase, forget, withdraw
from consumers.corpus.index import Index
from consumers.corpus.jsonl import jsonl
from consumers.corpus.lock import erasing
from consumers.corpus.page import Listed, Page, Told
from consumers.corpus.scrub import scrub
from consumers.corpus.snapshot import snapshot
from consumers.corpus.state import State
from consumers.corpus.table import Table
from consumers.corpus.whole import alone
from consumers.errors import StateError, UsageError

WORDS = {
    "en": "the harbour lies behind a mole of stone and the ferry leaves at noon",
    "de": "der Hafen liegt hinter einer Mole aus Stein und die Fähre fährt mittags",
    "ar": "يقع الميناء خلف رصيف من الحجر وتغادر العبارة عند الظهر",
    "he": "הנמל שוכן מאחורי שובר גלים מאבן והמעבורת יוצאת בצהריים",
    "hi": "बंदरगाह पत्थर की दीवार के पीछे है और नौका दोपहर में निकलती है",
    "th": "ท่าเรืออยู่ หลังเขื่อนหิน และเรือข้ามฟาก ออกตอนเที่ยง",
    "ja": "港は石の防波堤の後ろにある。 渡し船は正午に出る。",
    "zh": "港口位于石堤之后。 渡轮中午出发。",
}
LANGUAGES = tuple(WORDS)
PAGES = 100
ERASE = """
import sys
from pathlib import Path
from consumers.corpus import table, snapshot, jsonl
from consumers.corpus.erase import erase
from consumers.corpus.state import State
state = State(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
erase(state)
"""
GONE = {"deleted": 3, "hidden": 4, "listed": 5, "earlier": 6, "unasked": 7}
"""Pages by how their text goes; of `earlier` a revision is hidden that is not the newest."""


def canary(how: str) -> str:
    return f"Canary{how}zqx"


def page(number: int, revision: int, rng: random.Random, said: str = "") -> Page:
    language = LANGUAGES[number % len(LANGUAGES)]
    words = WORDS[language].split()
    paragraphs = [
        f"{said}Text " + " ".join(rng.choice(words) for _ in range(60)) for _ in range(rng.randrange(1, 9))
    ]
    text = "\n\n".join(paragraphs)
    return Page(
        wiki=f"{language}wiki",
        page=number,
        revision=revision,
        title=f"{said}Title {number}",
        url=f"https://{language}.example/wiki/{said}Title_{number}",
        namespace=0,
        text=text,
        language=language,
        wikitext=f"{text}\n<!-- {said}Wikitext -->",
        attribution=f"“{said}Title {number}” by the contributors",
    )


def told(content: Page, sequence: int) -> Told:
    return Told(content.wiki, content.page, sequence, content.revision, None, content)


class World:
    """A corpus with a table, in which a few pages hold canaries."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder = folder
        self.corpus = folder / "corpus.db"
        self.table = folder / "index"
        self.needles: list[bytes] = []
        self.rng = rng
        self.passages: dict[str, str] = {}
        with State(self.corpus, create=True) as state:
            for _ in range(3):  # rows move between the pages of the file
                for start in range(0, PAGES, 20):
                    numbers = range(start, start + 20)
                    state.commit(
                        [told(page(n, 100 + n, rng), self.tick()) for n in numbers if n not in GONE.values()]
                    )
            canaries = [page(number, 1_000 + number, rng, canary(how)) for how, number in GONE.items()]
            state.commit([told(each, self.tick()) for each in canaries])
            over = [
                each for each in canaries if each.page != GONE["earlier"]
            ]  # the other one's next is like it
            self.needles += slices(self.corpus, [(each.wiki, each.page) for each in over])
            for how, content in zip(GONE, canaries, strict=True):
                self.passages[how] = chunks(content)[0].passage
                self.needles.append(vector_bytes(Hashing().embed([self.passages[how]])[0]))
            self.index(state).run()
            snapshot(state, folder / "snapshot")
            jsonl(state, folder / "lines.jsonl")
            jsonl(state, folder / "lines.jsonl.zst")

    sequence = 1_000_000

    def tick(self) -> int:
        self.sequence += 1
        return self.sequence

    def index(self, state: State) -> Index:
        return Index(state, self.table, Hashing(), ann=True, ann_rows=50)

    def withdraw(self, state: State) -> None:
        def wiki(how: str) -> str:
            return f"{LANGUAGES[GONE[how] % len(LANGUAGES)]}wiki"

        newer = page(GONE["earlier"], 2_000, self.rng)
        state.commit(
            [
                Told(wiki("deleted"), GONE["deleted"], self.tick(), 0, "deleted"),
                Told(wiki("hidden"), GONE["hidden"], self.tick(), 1_000 + GONE["hidden"], "hidden"),
                Listed(wiki("listed"), GONE["listed"], self.tick()),
                told(newer, self.tick()),
                Told(newer.wiki, newer.page, self.tick(), 2_000, None, newer, hides=1_000 + GONE["earlier"]),
            ]
        )
        withdraw(state, wiki("unasked"), GONE["unasked"], self.tick())

    def traces(self) -> list[str]:
        return remains(self.folder, map(canary, GONE), self.needles)

    def nearest(self, how: str) -> str:
        (vector,) = Hashing().embed([self.passages[how]])
        found = Table(self.table).search(vector, 1)[0].row
        return f"{found['title']} {found['text']}"


@pytest.mark.parametrize("is_current", [True, False], ids=["table current", "table behind"])
def test_nothing_withdrawn_is_left_in_any_file(tmp_path: Path, rng: random.Random, is_current: bool) -> None:
    """Before it, the same search finds every canary: in the table and its versions, in Parquet and JSONL, and
    rows in free space or WAL (in the vectors' index at times: Lance packs them as it likes). Whether the
    table heard of the withdrawals before or not. What stays, stays.
    """
    world = World(tmp_path, rng)
    with State(world.corpus) as state:
        world.index(state).settle()
        assert all(canary(how) in world.nearest(how) for how in GONE)
        world.withdraw(state)
        if is_current:
            world.index(state).run()
        traces = world.traces()
        for how in GONE:
            for sink in ("chunks.lance", "snapshot", "lines.jsonl", "lines.jsonl.zst decoded"):
                assert any(canary(how) in trace and sink in trace for trace in traces), (how, sink)
        assert any("corpus.db" in trace for trace in traces)
        rows = Table(world.table).count()
        report = erase(state)
        assert report.is_complete, report
        assert world.traces() == []
        assert not any(canary(how) in world.nearest(how) for how in GONE)
        removed = {sink.kind: sink.rows_removed for sink in report.sinks}
        assert removed.keys() == {"corpus", "lance", "snapshot", "jsonl"}
        assert Table(world.table).count() == rows - removed["lance"]
        assert (removed["lance"] == 0) == is_current
        assert removed["snapshot"] == removed["jsonl"] == len(GONE)
        assert all(sink.files_rewritten for sink in report.sinks)
        assert [sink.withdrawals for sink in erase(state).sinks] == [0] * 5
        kept = {(each.wiki, each.page) for wiki in state.wikis() for each in state.pages(wiki)}
        world.index(state).run()
        assert Table(world.table).pages() == kept
        assert len(kept) == PAGES - len(GONE) + 1
        files = (world.folder / "snapshot").rglob("*.parquet")
        assert sum(pq.read_metadata(file).num_rows for file in files) == PAGES - len(GONE)


@pytest.mark.parametrize("is_followed", [True, False], ids=["and followed", "as it was"])
def test_a_table_that_was_brought_back(tmp_path: Path, rng: random.Random, is_followed: bool) -> None:
    """From a backup of before it was erased: whether or not it is brought up to date first, it is erased once
    more, and the table then is what the corpus is.
    """
    world, aside = World(tmp_path, rng), tmp_path.parent / f"{tmp_path.name}-aside"
    with State(world.corpus) as state:
        shutil.copytree(world.table, aside)
        world.withdraw(state)
        assert erase(state).is_complete
        assert world.traces() == []
        shutil.rmtree(world.table)
        shutil.copytree(aside, world.table)
        if is_followed:
            world.index(state).run()
        assert world.traces()
        assert erase(state).is_complete
        assert world.traces() == []
        world.index(state).run()
        kept = {(each.wiki, each.page) for wiki in state.wikis() for each in state.pages(wiki)}
        assert Table(world.table).pages() == kept
        assert erase(state).is_complete
        assert [sink.withdrawals for sink in erase(state).sinks] == [0] * 5


def test_a_sink_that_is_missing_is_named(tmp_path: Path, rng: random.Random) -> None:
    """The others are erased, it keeps its place, and is done when it is back; one that is no more is
    forgotten by its name. One that can't be read is named as well.
    """
    world = World(tmp_path, rng)
    lines, aside = world.folder / "lines.jsonl", tmp_path.parent / f"{tmp_path.name}-aside"
    with State(world.corpus) as state:
        world.withdraw(state)
        lines.rename(aside)
        (world.folder / "lines.jsonl.zst").write_bytes(b"none of ours")
        report = erase(state)
        assert not report.is_complete
        failed = {Path(sink.sink).name: sink.error or "" for sink in report.sinks if sink.error}
        assert failed.keys() == {"lines.jsonl", "lines.jsonl.zst"}
        assert f"there is nothing at {lines}" in failed["lines.jsonl"]
        (world.folder / "lines.jsonl.zst").unlink()
        assert world.traces() == []
        aside.rename(lines)
        assert world.traces()
        forget(state, world.folder / "lines.jsonl.zst")
        again = erase(state)
        assert again.is_complete
        assert [Path(sink.sink).name for sink in again.sinks if sink.withdrawals] == ["lines.jsonl"]
        assert world.traces() == []
        with pytest.raises(UsageError, match=r"no text of .* went to"):
            forget(state, tmp_path / "nowhere")


def test_killed_at_any_instant_it_is_done_by_the_next(tmp_path: Path, rng: random.Random) -> None:
    """`corpus erase`, killed again and again; the last one's report says what is proven by the search."""
    world = World(tmp_path, rng)
    with State(world.corpus) as state:
        world.withdraw(state)
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", ERASE, str(world.corpus)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.stdin.write(b"go\n")
        process.stdin.flush()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0, 0.4))
        process.kill()
        process.communicate()
    with State(world.corpus) as state:
        assert erase(state).is_complete
    assert world.traces() == []


def test_a_page_is_erased_on_demand(
    tmp_path: Path, rng: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    """`corpus erase --page`: nobody withdrew it; gone from all files, by a dated report with exit 0. Exit 1
    where a sink is missing, with its name in the report.
    """
    world = World(tmp_path, rng)
    wiki = f"{LANGUAGES[GONE['unasked'] % len(LANGUAGES)]}wiki"
    command = ["--corpus", str(world.corpus), "erase"]

    def run(*arguments: str) -> tuple[object, dict[str, Any]]:
        with pytest.raises(SystemExit) as ended:
            main([*command, *arguments])
        told = capsys.readouterr().out
        return ended.value.code, json.loads(told) if told else {}

    code, report = run("--page", wiki, str(GONE["unasked"]))
    assert code == 0
    assert datetime.fromisoformat(report["at"])
    assert {sink["kind"]: sink["withdrawals"] for sink in report["sinks"]} == dict.fromkeys(
        ("corpus", "lance", "snapshot", "jsonl"), 1
    )
    assert remains(world.folder, [canary("unasked")]) == []
    assert remains(world.folder, [canary("deleted")])
    (world.folder / "lines.jsonl").unlink()
    code, report = run("--page", wiki, "15")
    assert code == 1
    assert [sink["sink"] for sink in report["sinks"] if sink["error"]] == [str(world.folder / "lines.jsonl")]
    assert run("--forget", str(world.folder / "lines.jsonl"))[0] == 0
    assert run("--page", wiki, "eight")[0] == 2
    for named in ((wiki, "9999"), ("xxwiki", "8")):
        assert run("--page", *named) == (1, {})
        with State(world.corpus) as state:
            assert state.row(named[0], int(named[1])) is None


def test_one_process_erases_at_a_time(
    tmp_path: Path, rng: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second one is told so and changes nothing: of the whole, and of a sink that another one rewrites,
    as of two corpora. Once the first one is done, all is erased.
    """
    world = World(tmp_path, rng)
    with State(world.corpus) as state:
        world.withdraw(state)
        (tmp_path / "link.db").symlink_to(world.corpus)  # the same corpus
        before = world.traces()
        with erasing(tmp_path / "link.db"), pytest.raises(SystemExit) as ended:
            main(["--corpus", str(world.corpus), "erase"])
        assert ended.value.code == 2
        assert "is erased by another process already" in capsys.readouterr().err
        assert world.traces() == before
        names = ("snapshot", "lines.jsonl")
        with alone(world.folder / names[0]), alone(world.folder / names[1]):
            report = erase(state)
        errors = {Path(sink.sink).name: sink.error for sink in report.sinks if sink.error}
        assert errors.keys() == set(names)
        assert all("is being rewritten by another process" in (error or "") for error in errors.values())
        assert erase(state).is_complete
    assert world.traces() == []


@pytest.mark.parametrize("by", ["listing", "feed"])
def test_what_came_back_stays_in_what_is_written_then(tmp_path: Path, rng: random.Random, by: str) -> None:
    """A page is withdrawn and comes back: what is written out afterwards keeps it, also when the page has
    changed again since. What was written before loses what it held of it.
    """
    old, back, after = (page(1, revision, rng, said) for revision, said in ((1, "a"), (2, "b"), (3, "c")))
    gone = Listed(old.wiki, 1, 2_000) if by == "listing" else Told(old.wiki, 1, 2_000, 0, "deleted")
    with State(tmp_path / "c.db", create=True) as state:
        state.commit([told(old, 1_000)])
        snapshot(state, tmp_path / "before")
        state.commit([told(page(2, 20, rng), 1_500), gone])
        state.commit([told(back, 3_000)])
        for name in ("snapshot", "later"):
            snapshot(state, tmp_path / name)
        jsonl(state, tmp_path / "lines.jsonl")
        state.commit([told(after, 4_000)])
        report = erase(state)
        assert report.is_complete
        removed = {Path(sink.sink).name: sink.rows_removed for sink in report.sinks}
        assert removed == {"c.db": 0, "before": 1, "snapshot": 0, "later": 0, "lines.jsonl": 0}
        state.commit([Told(old.wiki, 1, 5_000, 0, "deleted")])
        removed = {Path(sink.sink).name: sink.rows_removed for sink in erase(state).sinks}
        assert removed == {"c.db": 0, "before": 0, "snapshot": 1, "later": 1, "lines.jsonl": 1}


def test_an_index_takes_no_other_place(tmp_path: Path, rng: random.Random) -> None:
    """Where a snapshot or an export stands, or was recorded, or anything else: it stays what it is, and
    `erase` finds it.
    """
    world = World(tmp_path, rng)
    with State(world.corpus) as state:
        for name, kind in {"snapshot": "snapshot", "lines.jsonl": "jsonl"}.items():
            with pytest.raises(UsageError, match=f"is of the kind '{kind}' already"):
                Index(state, world.folder / name, Hashing())
            assert state.fact(f"sink:{world.folder / name}") == kind
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "notes").touch()
        (tmp_path / "file").touch()
        for name in ("mine", "file"):
            with pytest.raises(UsageError, match="holds something else than an index"):
                Index(state, tmp_path / name, Hashing())
            assert not state.fact(f"sink:{tmp_path / name}")
        world.withdraw(state)
        assert erase(state).is_complete
    assert world.traces() == []


def test_a_reader_of_the_corpus_is_named(tmp_path: Path, rng: random.Random) -> None:
    """Who reads it for long keeps its WAL from being emptied: said so, and done when the reader is gone."""
    path = tmp_path / "corpus.db"
    with State(path, create=True) as state, closing(sqlite3.connect(path, isolation_level=None)) as reader:
        state.commit([told(page(1, 1, rng, canary("read")), 1)])
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM page").fetchone() == (1,)
        state.commit([Told("dewiki", 1, 2, 0, "deleted")])
        wal = tmp_path / "corpus.db-wal"
        size = wal.stat().st_size
        with pytest.raises(StateError, match="being read by another"):
            scrub(path, busy_s=0.1)
        assert wal.stat().st_size == size, "the file was copied into it, in vain"
        reader.execute("COMMIT")
        scrub(path, busy_s=0.1)
        assert wal.stat().st_size == 0
