"""`corpus`: its options, and what it says to those it does not take."""

from pathlib import Path

import pytest

from consumers.backoff import LEAST_S, Backoff
from consumers.cli import COMMANDS, main
from consumers.corpus.state import State


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And each is listed with one line that is a clause."""
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"corpus {command}" in capsys.readouterr().out


def test_the_corpus_is_named_before_or_after_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Either way it is the same file, which is not there."""
    path = str(tmp_path / "none.db")
    before = refused(capsys, "--corpus", path, "status")
    assert "there is no corpus" in before
    assert path in before
    assert refused(capsys, "status", "--corpus", path) == before


@pytest.mark.parametrize("hours", ["inf", "nan", "0", "-1", "1e9"])
def test_hours_that_are_none_are_refused(
    hours: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By name, and without a traceback."""
    path = tmp_path / "corpus.db"
    State(path, create=True).close()
    assert "--hours" in refused(
        capsys, "--corpus", str(path), "plot", "--hours", hours, str(tmp_path / "x.png")
    )


@pytest.mark.parametrize("page", ["9" * 20, "-1", "x", "\u0661"])
def test_an_id_that_is_none_is_refused(page: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is erased."""
    path = tmp_path / "corpus.db"
    State(path, create=True).close()
    assert "a number" in refused(capsys, "--corpus", str(path), "erase", "--page", "enwiki", page)


def test_a_server_that_says_0_is_not_asked_without_end() -> None:
    """`retry: 0` is a wish, and the reader's own least holds."""
    backoff = Backoff()
    backoff.suggested(0.0)
    assert backoff.next_s() >= LEAST_S
