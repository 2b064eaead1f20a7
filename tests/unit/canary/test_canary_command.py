"""`streamer canary`: what is wrong with its arguments is said before anything is asked."""

import ast
from pathlib import Path

import pytest

from streamer import canary, cli

KEY = "wrs_" + "k" * 32


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        cli.main(["canary", "--once", *arguments])
    assert end.value.code == 2
    return capsys.readouterr().err


EDIT = ["--edit", "http://127.0.0.1:1/w/api.php"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--feed", "ftp://x"], "--feed: 'ftp://x' is no http(s) URL"),
        (["--edit", "x"], "--edit: 'x' is no http(s) URL"),
        (EDIT, "--edit: needs --wiki and --page"),
        ([*EDIT, "--wiki", "enwiki"], "--edit: needs --wiki and --page"),
        (["--page", "A"], "--page: needs --wiki"),
        ([*EDIT, "--wiki", "w", "--page", "A", "--server", "a b"], "--server: 'a b' is no name"),
        (["--deadline", "5"], "--deadline: 5 s is before the limit of 30 s"),
        (["--limit", "0"], "'0' is no time"),
        (["--limit", "nan"], "'nan' is no time"),
        (["--port", "70000"], "'70000' is no port"),
        (["--key-file", "nowhere"], "--key-file nowhere: cannot be read"),
        (["--bot-file", "nowhere"], "--bot-file nowhere: cannot be read"),
        (["--ca-file", "nowhere"], "--ca-file nowhere: cannot be read"),
    ],
)
def test_what_could_never_work_is_named_at_once(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the flag that is to be changed, with exit code 2."""
    monkeypatch.setenv("STREAMER_CANARY_KEY", KEY)
    assert said in refused(arguments, capsys)


def test_it_knows_nothing_of_the_stages_that_it_measures() -> None:
    """None of its modules imports any: it sees what a partner and an editor see."""
    folder = Path(canary.__file__).parent
    imported = {
        node.module
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    ours = {name.split(".")[1] for name in imported if name.startswith("streamer.")}
    assert "canary" in ours
    assert not ours & {"source", "enrich", "route", "deliver", "log", "origin", "pipeline"}


def test_a_secret_that_is_none_is_never_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of a key nor of a bot password, wherever they came from."""
    monkeypatch.delenv("STREAMER_CANARY_KEY", raising=False)
    assert "$STREAMER_CANARY_KEY: holds no key" in refused([], capsys)
    file = tmp_path / "secret"
    file.write_text(f"{KEY} and more", encoding="utf-8")
    for arguments in (["--key-file", str(file)], ["--bot-file", str(file)]):
        monkeypatch.setenv("STREAMER_CANARY_KEY", KEY)
        told = refused(arguments, capsys)
        assert KEY not in told
        assert f"{arguments[0]} {file}: holds no" in told
    monkeypatch.setenv("STREAMER_CANARY_BOT", KEY)
    told = refused([], capsys)
    assert KEY not in told
    assert "$STREAMER_CANARY_BOT: holds no bot password" in told
