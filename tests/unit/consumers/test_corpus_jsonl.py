"""Lines of JSON: the rows of a snapshot, and increments that lead from one export to the next."""

import hashlib
import json
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.partner_pages import COMMAND, ROOT, corpus, deleted, in_all_languages, page, random_changes, told

from consumers.cli import main
from consumers.corpus.columns import NAMES
from consumers.corpus.jsonl import erased, jsonl, reading
from consumers.corpus.quality import Filters
from consumers.corpus.snapshot import snapshot
from consumers.corpus.state import State
from consumers.errors import SinkError, UsageError

SUFFIXES = ("jsonl", "jsonl.gz", "jsonl.zst")
ALL = Filters(duplicates=True)
Rows = dict[tuple[str, int], dict[str, Any]]


def read(path: Path) -> list[dict[str, Any]]:
    with reading(path) as file:
        return [json.loads(line) for line in file]


def replayed(path: Path, onto: Rows) -> Rows:
    """As a reader would."""
    for line in read(path):
        key = (line["wiki"], line["page_id"])
        if line.get("is_deleted"):
            onto.pop(key, None)
        else:
            onto[key] = line
    return onto


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_line_is_a_row_of_the_snapshot(tmp_path: Path, suffix: str) -> None:
    """The same columns in the same order, and the hash of contents that a manifest tells is the sum of the
    SHA-256 of these lines.
    """
    with corpus(tmp_path / "c.db", in_all_languages(3)) as state:
        made = snapshot(state, tmp_path / "s")
        exported = jsonl(state, tmp_path / f"c.{suffix}")
        assert exported == (24, 0, state.changed())
        assert state.fact(f"sink:{tmp_path}/c.{suffix}") == "jsonl"
    with reading(tmp_path / f"c.{suffix}") as file:
        lines = file.read().splitlines()
    assert all(tuple(json.loads(line)) == NAMES for line in lines)
    total = sum(int(hashlib.sha256(line).hexdigest(), 16) for line in lines)
    assert f"{total % 2**256:064x}" == made.contents
    assert not list(tmp_path.glob("*.partial"))


def test_a_line_ends_where_readers_think_so(tmp_path: Path) -> None:
    """Some take U+0085, U+2028 and U+2029 for ends of lines."""
    text = "a\u0085b\u2028c\u2029d\u000be\r\nf"
    with corpus(tmp_path / "c.db", [page("en", 1, text)]) as state:
        jsonl(state, tmp_path / "c.jsonl")
    (line,) = (tmp_path / "c.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["text"] == text


@pytest.mark.parametrize("since", [25, -1])
def test_an_increment_of_changes_that_are_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], since: int
) -> None:
    """As of a corpus that was restored from a copy: no empty increment, but exit 2 with what to do, to a file
    as to stdout. The number of the last change is one that is there.
    """
    with corpus(tmp_path / "c.db", in_all_languages(3)) as state:
        assert state.changed() == 24
        assert jsonl(state, tmp_path / "0.jsonl", since=24) == (0, 0, 24)
    for file in (str(tmp_path / "1.jsonl"), "-"):
        with pytest.raises(SystemExit) as ended:
            main(["--corpus", str(tmp_path / "c.db"), "jsonl", file, "--since", str(since)])
        assert ended.value.code == 2
        said = capsys.readouterr()
        assert f"has no change {since}, its last is 24" in said.err
        assert said.out == ""
    assert not (tmp_path / "1.jsonl").exists()


@pytest.mark.parametrize("write", [snapshot, jsonl])
def test_what_names_a_change_is_written_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[State, Path], object]
) -> None:
    """The corpus is on the disk first: no power loss leaves an export of changes that are not there."""
    synced: list[tuple[int, bool]] = []

    def fsync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, (tmp_path / "out").exists()))

    with corpus(tmp_path / "c.db", in_all_languages(1)) as state:
        log = (tmp_path / "c.db-wal").stat().st_ino
        monkeypatch.setattr(os, "fsync", fsync)
        write(state, tmp_path / "out")
    assert (log, False) in synced


def test_increments_lead_from_one_export_to_the_next(tmp_path: Path, rng: random.Random) -> None:
    """Whatever happened between: what is gone, or not taken any more, comes as a tombstone."""
    filters = Filters(duplicates=True, min_length=200, without=("disambiguations",))
    with State(tmp_path / "c.db", create=True) as state:
        state.commit(random_changes(rng, 200, 1))
        exported = jsonl(state, tmp_path / "0.jsonl", filters)
        held = replayed(tmp_path / "0.jsonl", {})
        for number in range(1, 6):
            state.commit(random_changes(rng, rng.randrange(60), 1_000 * number))
            exported = jsonl(state, tmp_path / f"{number}.jsonl.zst", filters, exported.changed)
            replayed(tmp_path / f"{number}.jsonl.zst", held)
            jsonl(state, tmp_path / f"{number}-all.jsonl", filters)
            assert held == replayed(tmp_path / f"{number}-all.jsonl", {})
        assert jsonl(state, tmp_path / "none.jsonl", filters, exported.changed) == (0, 0, exported.changed)


def test_an_increment_of_what_is_not_known_is_refused(tmp_path: Path) -> None:
    """A number from another corpus, or from before an older copy was brought back: nothing would be told of
    what changed since.
    """
    with corpus(tmp_path / "c.db", in_all_languages(1)) as state:
        last = state.changed()
        assert jsonl(state, tmp_path / "none.jsonl", ALL, last).rows == 0
        with pytest.raises(UsageError, match="an older copy"):
            jsonl(state, tmp_path / "more.jsonl", ALL, last + 1)
    assert not (tmp_path / "more.jsonl").exists()


def test_a_tombstone_has_ids_only(tmp_path: Path) -> None:
    """Nothing of what the page was."""
    with corpus(tmp_path / "c.db", [page("he", 1), page("he", 2)]) as state:
        since = state.changed()
        state.commit([deleted("hewiki", 2, 99)])
        jsonl(state, tmp_path / "c.jsonl", ALL, since)
    assert read(tmp_path / "c.jsonl") == [{"id": "2", "wiki": "hewiki", "page_id": 2, "is_deleted": True}]


def test_an_export_is_not_written_over(tmp_path: Path) -> None:
    """Nor is one begun of a wiki that there is not."""
    (tmp_path / "c.jsonl").write_text("mine")
    with corpus(tmp_path / "c.db", [page("en", 1)]) as state:
        with pytest.raises(UsageError, match="is there already"):
            jsonl(state, tmp_path / "c.jsonl")
        with pytest.raises(UsageError, match="holds enwiki"):
            jsonl(state, tmp_path / "d.jsonl", Filters(wikis=("dewiki",)), 0)
    assert (tmp_path / "c.jsonl").read_text() == "mine"
    assert not (tmp_path / "d.jsonl").exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_erased_is_in_no_line(tmp_path: Path, suffix: str) -> None:
    """The other lines are as they were, and tombstones stay; without such rows the file is not touched."""
    path = tmp_path / f"c.{suffix}"
    with corpus(tmp_path / "c.db", in_all_languages(2)) as state:
        state.commit([told(page("th", 2, "ข้อความที่ถูกถอน"), 50), deleted("jawiki", 1, 51)])
        jsonl(state, path, ALL, 0)
    before, inode = read(path), path.stat().st_ino
    assert erased(path, lambda *_: False) == 0
    assert path.stat().st_ino == inode
    assert erased(path, lambda wiki, number, _, sequence: (wiki, number, sequence) == ("thwiki", 2, 50)) == 1
    with reading(path) as file:
        assert "ข้อความที่ถูกถอน".encode() not in file.read()
    assert read(path) == [line for line in before if (line["wiki"], line["page_id"]) != ("thwiki", 2)]
    assert erased(tmp_path / "nowhere.jsonl", lambda *_: True) == 0
    assert erased(path, lambda *_: True) == 14
    assert [line["page_id"] for line in read(path)] == [1], "the tombstone"


def test_a_file_of_others_is_not_touched(tmp_path: Path) -> None:
    """An erasure that can't be done is an error that names the line, or what is wrong with the file."""
    (tmp_path / "c.jsonl").write_text('{"mine": 1}\n')
    with pytest.raises(SinkError, match="line 1"):
        erased(tmp_path / "c.jsonl", lambda *_: True)
    for suffix in ("gz", "zst"):
        (tmp_path / f"c.{suffix}").write_bytes(b"not compressed at all")
        with pytest.raises(SinkError, match="can't be read"):
            erased(tmp_path / f"c.{suffix}", lambda *_: True)


def test_the_command_writes_to_a_pipe(tmp_path: Path) -> None:
    """Lines on stdout, the number to go on from on stderr; who reads only a part of it breaks nothing."""
    corpus(tmp_path / "c.db", in_all_languages(40)).close()
    command = [*COMMAND, "--corpus", str(tmp_path / "c.db"), "jsonl", "-"]
    done = subprocess.run([*command, "--since", "0"], cwd=ROOT, capture_output=True, check=True)
    assert len(done.stdout.splitlines()) == 320
    assert json.loads(done.stderr) == {"jsonl": "-", "rows": 320, "tombstones": 0, "changed": 320}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait() == 1
        assert process.stderr.read() == b""


def test_a_file_can_be_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the command: its summary is on stdout."""
    corpus(tmp_path / "c.db", in_all_languages(1)).close()
    path = tmp_path / "c.jsonl.gz"
    with pytest.raises(SystemExit) as ended:
        main(["--corpus", str(tmp_path / "c.db"), "jsonl", str(path), "--without", "stubs"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["rows"] == len(read(path)) == 8
