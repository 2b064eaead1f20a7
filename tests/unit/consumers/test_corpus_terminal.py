"""What others wrote is shown on a terminal as text: it neither moves the cursor nor breaks a table."""

import os
import pty
from argparse import Namespace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from harness.partner_pages import corpus, page
from rich.console import Console

from consumers.cli import main
from consumers.commands import get, search
from consumers.commands.shown import Shown
from consumers.corpus.display import Rates, table
from consumers.corpus.tally import Tally
from consumers.terminal import visible, visible_line

EVIL = "A\x1b]0;x\x07\x1b[2J\x9b2J\x7f[/x][bold]"
SEEN = "A\ufffd]0;x\ufffd\ufffd[2J\ufffd2J\ufffd[/x][bold]"


def orders(text: str) -> list[str]:
    return [
        letter for letter in text if (letter < " " and letter not in "\n\t") or "\x7f" <= letter <= "\x9f"
    ]


def test_control_characters_are_replaced() -> None:
    """Letters of all scripts, line ends and tabs of a text stay; a name has one line."""
    assert visible(EVIL) == SEEN
    text = "Ελλάδα עברית عربي हिन्दी ไทย 日本語 中文\n\tα"
    assert visible(text) == text
    assert visible_line("a\nb\tc\rd") == "a\ufffdb c\ufffdd"


def test_the_live_table_takes_names_as_they_are() -> None:
    """Of wikis, and of the corpus in its title: brackets are no markup."""
    tally = Tally(events=1)
    tally.wikis[EVIL] = 1
    console = Console(width=120)
    with console.capture() as shown:
        console.print(table(tally, Rates(), 1.0, 0.0, f"corpus follow · /x/{EVIL}"))
    text = shown.get()
    assert text.count(SEEN) == 2
    assert orders(text) == []


def test_a_bar_takes_names_as_they_are() -> None:
    """Of a dump's file."""
    stream = StringIO()
    with Shown(stream, is_terminal=True) as shown:
        shown.begin(f"reading {EVIL}", 10, "bytes")
        shown.at(10, 1)
    assert SEEN in stream.getvalue()


def test_a_passage_that_was_found_is_text() -> None:
    """With its title, its headings and its credit."""
    row: dict[str, Any] = dict.fromkeys(("title", "url", "attribution", "text"), EVIL)
    shown = search._text(0.25, row | {"path": [EVIL, "Section\nx"]})
    assert orders(shown) == []
    assert shown.count(SEEN) == 5
    assert shown.startswith(f"0.750  {SEEN} > {SEEN} > Section\ufffdx\n")


def test_status_is_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Positions come from a server."""
    with corpus(tmp_path / "c.db", [page("en", 1)]) as state:
        state.commit(positions={"feed": EVIL})
    with pytest.raises(SystemExit):
        main(["--corpus", str(tmp_path / "c.db"), "status"])
    shown = capsys.readouterr().out
    assert f"at {SEEN}\n" in shown
    assert orders(shown) == []


@pytest.mark.parametrize("is_terminal", [True, False])
def test_an_article_is_text_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    """Into a file it goes as it is."""
    with corpus(tmp_path / "c.db", [page("en", 1, EVIL)]):
        pass
    path = tmp_path / "out"
    ours, theirs = pty.openpty() if is_terminal else (-1, os.open(path, os.O_RDWR | os.O_CREAT))
    with os.fdopen(theirs, "w", encoding="utf-8") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        options = Namespace(corpus=tmp_path / "c.db", wiki="enwiki", article="1", title=False, json=False)
        options.wikitext = False
        assert get.run(options) == 0
        if is_terminal:
            assert os.read(ours, 4_096).decode() == f"{SEEN}\r\n"
            os.close(ours)
        else:
            assert path.read_text("utf-8") == f"{EVIL}\n"
