"""That a corpus knows where its text went, whatever became of it."""

from pathlib import Path

import pytest
from harness.partner_pages import corpus, in_all_languages, page, told

from consumers.cli import main
from consumers.corpus.jsonl import jsonl
from consumers.corpus.quality import Filters
from consumers.corpus.snapshot import snapshot
from consumers.corpus.state import State
from consumers.errors import CorpusError


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_each_output_is_known_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Snapshots, exports and what is made of two snapshots, which is as far erased as the less of the two.
    How far an earlier one of that name was erased says nothing of them.
    """
    monkeypatch.chdir(tmp_path)
    with corpus(tmp_path / "corpus.db", in_all_languages(1)) as state:
        state.commit(facts={f"erased:{tmp_path}/d": "77"})
        changed = state.changed()
    assert run("snapshot", "a") == run("snapshot", "b", "--wikis", "enwiki,thwiki") == 0
    assert run("jsonl", "c.jsonl.gz") == 0
    with State(tmp_path / "corpus.db") as state:
        state.commit(facts={f"erased:{tmp_path}/b": "3"})
    assert run("diff", "a", "b", "d") == run("diff", "a", "b", "d.jsonl") == 0
    assert run("diff", "--apply", "a", "d", "b2") == 0
    with State(tmp_path / "corpus.db") as state:
        for name, kind in {
            "a": "snapshot", "b": "snapshot", "c.jsonl.gz": "jsonl", "d": "snapshot", "d.jsonl": "jsonl",
            "b2": "snapshot",
        }.items():  # fmt: skip
            assert (tmp_path / name).exists()
            assert state.fact(f"sink:{tmp_path / name}") == kind
        erased = {name: state.fact(f"erased:{tmp_path / name}") for name in ("a", "c.jsonl.gz", "d", "b2")}
        assert erased == {"a": str(changed), "c.jsonl.gz": str(changed), "d": "3", "b2": "3"}
    assert capsys.readouterr().err == ""
    assert run("--corpus", "away.db", "diff", "a", "b", "e") == 0
    assert "`corpus erase` won't know of e" in capsys.readouterr().err


def test_what_failed_is_no_sink(tmp_path: Path) -> None:
    """And what stood in its way stays the sink that it was."""
    with corpus(tmp_path / "c.db", in_all_languages(1)) as state:
        snapshot(state, tmp_path / "there")
        erased = state.fact(f"erased:{tmp_path}/there")
        state.commit([told(page("en", 2), 900)])
        for name, filters in (("there", Filters()), ("none", Filters(min_length=1 << 30))):
            with pytest.raises(CorpusError):
                snapshot(state, tmp_path / name, filters)
        (tmp_path / "mine.jsonl").touch()
        with pytest.raises(CorpusError):
            jsonl(state, tmp_path / "mine.jsonl")
        assert state.fact(f"sink:{tmp_path}/there") == "snapshot"
        assert state.fact(f"erased:{tmp_path}/there") == erased
        assert not state.fact(f"sink:{tmp_path}/none")
        assert not state.fact(f"sink:{tmp_path}/mine.jsonl")
