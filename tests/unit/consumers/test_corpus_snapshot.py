"""A snapshot: whole or absent, of one moment, and what its manifest says is so."""

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from harness.partner_pages import COMMAND, ROOT, corpus, deleted, in_all_languages, page, told

from consumers.cli import main
from consumers.corpus import manifest as manifests
from consumers.corpus import shards
from consumers.corpus.columns import CONTENTS, NAMES, Entry, hash_of
from consumers.corpus.row import Row
from consumers.corpus.shards import of_wiki
from consumers.corpus.snapshot import erased, snapshot
from consumers.corpus.split import split_of
from consumers.corpus.state import State
from consumers.errors import SinkError, UsageError


def rows(folder: Path) -> list[Entry]:
    manifest = manifests.read(folder)
    return [entry for wiki in manifest.wikis for entry in of_wiki(folder, manifest, wiki)]


def all_bytes(folder: Path) -> bytes:
    """Of every file, as it lies there and, of Parquet, as it reads."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            found.append(path.read_bytes())
            if path.suffix == ".parquet":
                found.append(
                    json.dumps(pq.read_table(path).to_pylist(), default=str, ensure_ascii=False).encode()
                )
    return b"\0".join(found)


def test_a_row_holds_what_the_page_did(tmp_path: Path) -> None:
    """The first four columns are those of wikimedia/wikipedia, all of them strings; nothing is lost of the
    rest, in any of eight languages.
    """
    with corpus(tmp_path / "c.db", in_all_languages(3)) as state:
        made = snapshot(state, tmp_path / "s", share=0.5)
        held = {(p.wiki, p.page): p for wiki in state.wikis() for p in state.pages(wiki)}
    assert NAMES[:4] == ("id", "url", "title", "text")
    found = rows(tmp_path / "s")
    assert len(found) == made.rows == len(held) == 24
    for row in found:
        was = held[row.wiki, row.page_id]
        assert (row.id, row.url, row.title, row.text) == (str(was.page), was.url, was.title, was.text)
        assert (row.revision_id, row.wikidata, row.language) == (was.revision, was.wikidata, was.language)
        assert (row.license, row.attribution, row.tags) == (was.licence, was.attribution, was.tags)
        assert (row.revert_risk, row.is_minor, row.is_reverted) == (
            was.revert_risk,
            was.is_minor,
            was.is_reverted,
        )
        assert row.date_modified is not None
        assert row.date_modified.isoformat() == "2026-11-29T12:00:00.123000+00:00"
        assert row.sequence > 0
        assert row.split == split_of(row.wiki, row.page_id, 0.5)


def test_a_manifest_is_of_what_is_there(tmp_path: Path) -> None:
    """Counts, the hash of each file, and one of all rows that does not depend on files."""
    with corpus(tmp_path / "c.db", in_all_languages(5), position="0:77") as state:
        snapshot(state, tmp_path / "s", share=0.3)
        changed = state.changed()
    made, found = manifests.read(tmp_path / "s"), rows(tmp_path / "s")
    assert (made.changed, made.positions) == (changed, {"sse": "0:77"})
    assert made.contents == f"{sum(map(hash_of, found)) % CONTENTS:064x}"
    assert made.extractors == {"wikitext-1": 40}
    for wiki, splits in made.wikis.items():
        for split, count in splits.items():
            its = [row for row in found if (row.wiki, row.split) == (wiki, split)]
            assert (count.rows, count.characters) == (len(its), sum(len(row.text) for row in its))
    on_disk = {str(p.relative_to(tmp_path / "s")): p for p in (tmp_path / "s/data").rglob("*.parquet")}
    assert on_disk.keys() == made.files.keys()
    for name, file in made.files.items():
        assert hashlib.sha256(on_disk[name].read_bytes()).hexdigest() == file.sha256


def test_contents_are_the_same_however_rows_lie_in_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many small row groups and files, or one: the same rows, in the same order, with the same hash."""
    with corpus(tmp_path / "c.db", [page("en", n) for n in range(1, 120)]) as state:
        one = snapshot(state, tmp_path / "one")
        monkeypatch.setattr(shards, "GROUP_BYTES", 4_000)
        monkeypatch.setattr(shards, "FILE_BYTES", 30_000)
        many = snapshot(state, tmp_path / "many")
    assert len(many.files) > 2 * len(one.files)
    assert many.contents == one.contents
    assert rows(tmp_path / "many") == rows(tmp_path / "one")


class Disturbed(State):
    """While its rows are read, another process changes all of it."""

    def rows(self, wiki: str) -> Iterator[Row]:
        for number, row in enumerate(super().rows(wiki)):
            if not number and wiki == "arwiki":
                with State(self.path) as other:
                    other.commit(
                        [
                            deleted("enwiki", 1, 900),
                            told(page("zh", 99), 901),
                            told(page("zh", 1, "new"), 902),
                        ],
                        {"sse": "later"},
                    )
            yield row


def test_rows_and_position_are_of_one_moment(tmp_path: Path) -> None:
    """What is committed while a snapshot is made is in none of its wikis, and not in its position."""
    before = in_all_languages(2)
    corpus(tmp_path / "c.db", before, position="then").close()
    with Disturbed(tmp_path / "c.db") as state:
        made = snapshot(state, tmp_path / "s")
        assert state.position("sse") == "later"
    assert made.positions == {"sse": "then"}
    assert {(row.wiki, row.page_id, row.text) for row in rows(tmp_path / "s")} == {
        (p.wiki, p.page, p.text) for p in before
    }


STOPS = """
import signal, sys
from pathlib import Path
from consumers.corpus.snapshot import snapshot
from consumers.corpus.state import State
class Stopping(State):
    def rows(self, wiki):
        for row in super().rows(wiki):
            yield row
        if wiki == "hewiki":
            print("amid", flush=True)
            signal.pause()
with Stopping(Path(sys.argv[1])) as state:
    snapshot(state, Path(sys.argv[2]))
"""


def test_killed_amid_it_nothing_looks_complete(tmp_path: Path) -> None:
    """After kill -9 there is no folder of that name; the next one is whole, and clears what was left. While
    one is written, a second one and an erasure are refused; an erasure clears what is left, too.
    """
    folder = tmp_path / "s"
    corpus(tmp_path / "c.db", in_all_languages(3)).close()
    child = [sys.executable, "-c", STOPS, str(tmp_path / "c.db"), str(folder)]
    for clears in ("snapshot", "erase"):
        with subprocess.Popen(child, cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"amid\n"
            with State(tmp_path / "c.db") as state, pytest.raises(UsageError, match="another process"):
                snapshot(state, folder)
            with pytest.raises(SinkError, match="another process"):
                erased(folder, lambda *_: False)
            process.send_signal(signal.SIGKILL)
        partial = tmp_path / "s.partial"
        assert list(partial.rglob("*.parquet"))
        assert not folder.exists()
        if clears == "erase":
            assert erased(folder, lambda *_: True) == 0
            assert not partial.exists()
    with State(tmp_path / "c.db") as state:
        assert state.fact(f"sink:{folder}") == "snapshot", "also of one that was killed"
        assert snapshot(state, folder).rows == len(rows(folder)) == 24
    assert not partial.exists()


def test_a_disk_that_takes_no_more_is_named(tmp_path: Path) -> None:
    """Exit 1, one line, nothing left of it."""
    pages = [page("en", n, hashlib.shake_256(bytes([n])).hexdigest(20_000)) for n in range(1, 100)]
    corpus(tmp_path / "c.db", pages).close()
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); "
    python, _, corpus_command = COMMAND
    done = subprocess.run(
        [
            python,
            "-c",
            limited + corpus_command,
            "--corpus",
            str(tmp_path / "c.db"),
            "snapshot",
            str(tmp_path / "s"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done
    assert done.stderr.startswith("corpus: ")
    assert "can't be written" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[:4] != "c.db") == []


def test_what_can_not_be_done_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown wiki, a folder that is there, filters that leave nothing, an empty corpus: 2 and a line."""
    db, taken = str(tmp_path / "c.db"), tmp_path / "taken"
    corpus(tmp_path / "c.db", in_all_languages(1)).close()
    taken.mkdir()
    (taken / "mine").touch()
    corpus(tmp_path / "empty.db", ()).close()
    for arguments, says in (
        (("--corpus", db, "snapshot", str(tmp_path / "s"), "--wikis", "enwiki,xxwiki"), "'xxwiki'"),
        (("--corpus", db, "snapshot", str(taken)), "is there already"),
        (("--corpus", db, "snapshot", str(tmp_path / "s"), "--min-chars", "9999999"), "8 for too short"),
        (("--corpus", db, "snapshot", str(tmp_path / "s"), "--without", "ads"), "'ads'"),
        (("--corpus", str(tmp_path / "empty.db"), "snapshot", str(tmp_path / "s")), "it is empty"),
        (("--corpus", str(tmp_path / "none.db"), "snapshot", str(tmp_path / "s")), "there is no corpus"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line
    assert not (tmp_path / "s").exists()
    assert not (tmp_path / "s.partial").exists()


def test_the_command_tells_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On stdout, as JSON."""
    corpus(tmp_path / "c.db", in_all_languages(2)).close()
    with pytest.raises(SystemExit) as ended:
        main(["--corpus", str(tmp_path / "c.db"), "snapshot", str(tmp_path / "s"), "--languages", "en,th"])
    assert ended.value.code == 0
    told_of = json.loads(capsys.readouterr().out)
    assert (told_of["rows"], told_of["left_out"]) == (4, {"language": 12})
    assert {row.language for row in rows(tmp_path / "s")} == {"en", "th"}


# ── erasing ────────────────────────────────────────────────────────────────────────────────────

MARK = "Überholtes-Wort-"
GONE = {("dewiki", 3), ("dewiki", 4), ("thwiki", 2)}


def is_gone(wiki: str, number: int, revision: int, sequence: int) -> bool:
    assert revision == 1_000 + number
    assert sequence > 0
    return (wiki, number) in GONE


@pytest.fixture
def to_erase(tmp_path: Path) -> Path:
    pages = in_all_languages(6)
    pages = [
        page(p.language, p.page, f"{MARK}{p.page} {p.text}", title=f"{MARK}{p.page}")
        if (p.wiki, p.page) in GONE
        else p
        for p in pages
    ]
    with corpus(tmp_path / "c.db", pages) as state:
        snapshot(state, tmp_path / "s", share=0.3)
    assert MARK.encode() in all_bytes(tmp_path / "s")
    return tmp_path / "s"


def test_what_is_erased_is_in_no_file(to_erase: Path) -> None:
    """Not in the bytes as they lie, nor as they read. Other files are not touched, and the manifest is that
    of a snapshot that never held it, with a note.
    """
    before, kept = manifests.read(to_erase), rows(to_erase)
    assert erased(to_erase, is_gone) == 3
    after = manifests.read(to_erase)
    assert MARK.encode() not in all_bytes(to_erase)
    expected = [row for row in kept if (row.wiki, row.page_id) not in GONE]
    assert rows(to_erase) == expected
    assert after.contents == f"{sum(map(hash_of, expected)) % CONTENTS:064x}"
    assert [removal.rows for removal in after.erased] == [3]
    touched = {name for name in before.files if before.files[name] != after.files.get(name)}
    assert touched == {f"data/{wiki}/{split_of(wiki, number, 0.3)}-00000.parquet" for wiki, number in GONE}
    for name, file in after.files.items():
        assert hashlib.sha256((to_erase / name).read_bytes()).hexdigest() == file.sha256
    assert erased(to_erase, is_gone) == 0
    assert manifests.read(to_erase) == after


def test_an_erasure_that_was_broken_off_is_ended_by_the_next(to_erase: Path) -> None:
    """At whichever row it breaks, the next one leaves files and manifest as if it had not."""
    asked = limit = 0
    broken_amid = 0

    def breaks(wiki: str, number: int, revision: int, sequence: int) -> bool:
        nonlocal asked
        asked += 1
        if asked > limit:
            raise KeyboardInterrupt
        return is_gone(wiki, number, revision, sequence)

    for limit in range(45, 1_000, 3):  # noqa: B007 - `breaks` goes by it
        asked = 0
        try:
            erased(to_erase, breaks)
            break
        except KeyboardInterrupt:
            broken_amid += bool(manifests.read(to_erase).erasing)
    assert broken_amid > 1
    after, found = manifests.read(to_erase), rows(to_erase)
    assert MARK.encode() not in all_bytes(to_erase)
    assert after.contents == f"{sum(map(hash_of, found)) % CONTENTS:064x}"
    assert sum(removal.rows for removal in after.erased) == 3
    assert after.rows == len(found) == 45
    assert not after.erasing
    assert not list(to_erase.rglob("*.partial"))


def test_a_file_without_a_row_left_is_gone(to_erase: Path) -> None:
    """And the card names its wiki no more."""
    assert erased(to_erase, lambda wiki, *_: wiki == "thwiki") == 6
    assert "thwiki" not in (to_erase / "README.md").read_text()
    assert not list((to_erase / "data/thwiki").iterdir())


def test_a_folder_of_others_is_not_touched(tmp_path: Path) -> None:
    """An erasure that can't be done is an error; of a sink that is not there it has nothing to do."""
    (tmp_path / "data.parquet").write_bytes(b"mine")
    with pytest.raises(SinkError, match="no snapshot of ours"):
        erased(tmp_path, lambda *_: True)
    assert erased(tmp_path / "nowhere", lambda *_: True) == 0
