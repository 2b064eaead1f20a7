"""Who is declared dead: surely nobody that lives."""

import os
import tempfile
from pathlib import Path

import pytest

from streamer.enrich import succession as module
from streamer.enrich.succession import succession


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"streamer-{os.getuid()}"


def test_who_takes_a_slot_knows_the_name_of_who_had_it(folder: Path) -> None:
    """Each has a name of its own; two that live have two slots."""
    with succession("b") as (first, before_first):
        with succession("b") as (second, before_second):
            assert before_first == before_second == ""
        with succession("b") as (third, before_third):
            assert before_third == second
    with succession("b") as (_, before):
        assert before == first
    assert len({first, second, third}) == 3
    assert {path.suffix for path in folder.iterdir()} == {".worker"}


def test_a_cleaner_of_the_folder_does_not_kill_the_living(folder: Path) -> None:
    """Whichever of its files it takes away, in whatever order."""
    with succession("b"):
        pass
    with succession("b") as (lives, _):
        for path in list(folder.iterdir()):
            kept = path.read_bytes()
            path.unlink()
            with succession("b") as (_, before):
                assert before != lives
            path.unlink(missing_ok=True)
            path.write_bytes(kept[:7])
            with succession("b") as (_, before):
                assert before == ""


def test_a_folder_that_others_may_write_says_nothing(folder: Path) -> None:
    """Nor one that is a link to another: they might declare anybody dead."""
    with succession("b") as (first, _):
        pass
    folder.chmod(0o777)
    with succession("b") as (own, before):
        assert own != first
        assert before == ""
    folder.chmod(0o700)
    real = folder.rename(folder.with_name("real"))
    folder.symlink_to(real)
    with succession("b") as (_, before):
        assert before == ""
    folder.unlink()
    real.rename(folder)
    with succession("b") as (_, before):
        assert before == first


@pytest.mark.parametrize("call", ["open", "pwrite", "ftruncate", "pread", "getuid"])
@pytest.mark.usefixtures("folder")
def test_a_host_without_a_folder_to_write_goes_on(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """A read-only root, a full disk: nobody is known to be dead then, or one that surely is."""
    with succession("b") as (first, _):
        pass

    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "no")

    monkeypatch.setattr(module.os, call, fails)
    with succession("b") as (own, before):
        assert own
        assert before in ("", first)


def test_no_temporary_folder_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also found by looking for one."""
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/proc/none")
    with succession("b") as (own, before):
        assert own
        assert before == ""
