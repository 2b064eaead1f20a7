"""What a difference of two snapshots leads to: any two, however they lie in files."""

import hashlib
import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from harness.partner_pages import corpus, in_all_languages, page, random_changes, told

from consumers.corpus import manifest as manifests
from consumers.corpus import shards
from consumers.corpus.diff import diff, diff_lines, patched
from consumers.corpus.jsonl import reading
from consumers.corpus.quality import Filters
from consumers.corpus.snapshot import erased, snapshot
from consumers.corpus.state import State
from consumers.errors import SinkError, UsageError


def files(folder: Path) -> dict[str, str]:
    """Their hashes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (folder / "data").rglob("*.parquet")
    }


@pytest.mark.parametrize("round_", range(6))
def test_a_snapshot_and_the_difference_give_the_other(
    tmp_path: Path, rng: random.Random, monkeypatch: pytest.MonkeyPatch, round_: int
) -> None:
    """File by file, whatever changed, also what is taken and how large the splits are. A difference to itself
    is empty, and lines of JSON tell the same as the folder.
    """
    print(f"round {round_}")
    monkeypatch.setattr(shards, "GROUP_BYTES", rng.choice((1_000, 100_000)))
    monkeypatch.setattr(shards, "FILE_BYTES", rng.choice((10_000, 1 << 30)))
    shares = rng.choice(((0.3, 0.3), (0.1, 0.5)))
    wikis = rng.choice((("en", "th", "zh"), ("ar",)))
    with State(tmp_path / "c.db", create=True) as state:
        state.commit(random_changes(rng, 150, 1, wikis))
        a = snapshot(state, tmp_path / "a", share=shares[0])
        state.commit(random_changes(rng, rng.choice((1, 30, 300)), 1_000, rng.choice((wikis, ("en", "ja")))))
        filters = Filters(duplicates=rng.random() < 0.5, without=rng.choice(((), ("stubs",))))
        b = snapshot(state, tmp_path / "b", filters, shares[1])
    made = diff(tmp_path / "a", tmp_path / "b", tmp_path / "d")
    patched(tmp_path / "a", tmp_path / "d", tmp_path / "b2")
    assert files(tmp_path / "b2") == files(tmp_path / "b")
    assert manifests.read(tmp_path / "b2") == manifests.read(tmp_path / "b")
    assert made.change is not None
    assert made.rows <= b.rows
    assert made.change.deletes <= a.rows
    lines = diff_lines(tmp_path / "a", tmp_path / "b", tmp_path / "d.jsonl.zst")
    assert lines == (made.rows, made.change.deletes)
    back = diff(tmp_path / "b", tmp_path / "a", tmp_path / "back")
    patched(tmp_path / "b", tmp_path / "back", tmp_path / "a2")
    assert files(tmp_path / "a2") == files(tmp_path / "a")
    assert back.change is not None
    nothing = diff(tmp_path / "a", tmp_path / "a2", tmp_path / "nothing")
    assert nothing.change is not None
    assert (nothing.rows, nothing.change.deletes) == (0, 0)
    patched(tmp_path / "a", tmp_path / "nothing", tmp_path / "a3")
    assert files(tmp_path / "a3") == files(tmp_path / "a")


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Snapshots `a` and `b`, of which one page is new, one is gone and one is other, and their difference."""
    before = in_all_languages(3)
    after = [p for p in before if (p.wiki, p.page) not in {("hewiki", 2), ("hiwiki", 1)}]
    after += [page("hi", 1, "बदला हुआ पाठ", revision=5_000), page("ja", 9)]
    with corpus(tmp_path / "1.db", before) as state:
        snapshot(state, tmp_path / "a")
        numbers = {(row.wiki, row.page): row.sequence for wiki in state.wikis() for row in state.rows(wiki)}
    with corpus(tmp_path / "2.db", ()) as state:
        state.commit(told(p, numbers.get((p.wiki, p.page), 99)) for p in after)
        snapshot(state, tmp_path / "b")
    diff(tmp_path / "a", tmp_path / "b", tmp_path / "d")
    return tmp_path


def test_a_difference_holds_what_changed_and_ids(three: Path) -> None:
    """Two rows to be put, one id, and nothing of the text that is gone."""
    upserts = [path.parent.name for path in (three / "d/data").rglob("*.parquet")]
    assert sorted(upserts) == ["hiwiki", "jawiki"]
    (deletes,) = (three / "d/deletes").iterdir()
    assert pq.read_table(deletes).to_pylist() == [{"id": "2", "wiki": "hewiki", "page_id": 2}]
    diff_lines(three / "a", three / "b", three / "d.jsonl")
    with reading(three / "d.jsonl") as file:
        lines = [json.loads(line) for line in file]
    assert [(line["wiki"], line["page_id"], "text" in line) for line in lines] == [
        ("hewiki", 2, False), ("hiwiki", 1, True), ("jawiki", 9, True),
    ]  # fmt: skip


def test_a_difference_is_erased_of_as_a_snapshot_is(three: Path) -> None:
    """Afterwards it can be applied still, to what was erased of as well as to what was not."""
    assert erased(three / "d", lambda wiki, *_: wiki == "hiwiki") == 1
    assert manifests.read(three / "d").rows == 1
    patched(three / "a", three / "d", three / "b2")
    assert erased(three / "b", lambda wiki, number, *_: (wiki, number) == ("hiwiki", 1)) == 1
    assert erased(three / "a", lambda wiki, number, *_: (wiki, number) == ("hiwiki", 1)) == 1
    made = patched(three / "a", three / "d", three / "b3")
    assert made.contents == manifests.read(three / "b").contents


def test_a_difference_of_others_is_refused(three: Path) -> None:
    """Before anything is written; so is a snapshot in its place, and a difference in that of a snapshot."""
    for arguments, says in (
        ((three / "b", three / "d"), "leads from another snapshot"),
        ((three / "a", three / "b"), "no difference"),
        ((three / "d", three / "d"), "no snapshot"),
    ):
        with pytest.raises(UsageError, match=says):
            patched(*arguments, three / "x")
    for pair in ((three / "a", three / "d"), (three / "d", three / "b")):
        with pytest.raises(UsageError, match="no snapshot"):
            diff(*pair, three / "x")
    with pytest.raises(SinkError, match="no snapshot of ours"):
        diff(three / "a", three / "nowhere", three / "x")
    assert not (three / "x").exists()


def test_a_damaged_file_is_named(three: Path) -> None:
    """And nothing is made of it."""
    (damaged,) = (three / "b/data/hiwiki").glob("*.parquet")
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(SinkError, match=str(damaged)):
        diff(three / "a", three / "b", three / "x")
    assert not (three / "x").exists()
