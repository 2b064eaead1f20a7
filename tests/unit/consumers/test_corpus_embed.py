"""Embedders: what is alike points the same way, nothing is fetched, and what isn't one is refused by name."""

import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pytest

from consumers.corpus.embed import BATCH, Hashing, embedded, embedder, named
from consumers.errors import UsageError

if TYPE_CHECKING:
    from consumers.corpus.embed import Vectors

TEXTS = (
    (
        "The ferry leaves the harbour at noon.",
        "At noon a ferry leaves for the harbour",
        "Cheese is made of milk.",
    ),
    ("渡し船は正午に港を出る。", "正午に渡し船が港を出ます", "チーズは牛乳から作られる。"),
    ("เรือข้ามฟากออกจากท่าเรือตอนเที่ยง", "ตอนเที่ยงเรือข้ามฟากออกจากท่าเรือ", "ชีสทำจากนม"),
    ("تغادر العبارة الميناء عند الظهر", "عند الظهر تغادر العبارة", "الجبن يصنع من الحليب"),
)


class Odd:
    name = "odd"
    dimensions = 3

    def embed(self, texts: Sequence[str]) -> "Vectors":
        return np.zeros((len(texts), 2), np.float32)


def odd() -> Odd:
    return Odd()


def nothing() -> None:
    return None


@pytest.mark.parametrize("texts", TEXTS)
def test_hashing_finds_what_shares_words(texts: tuple[str, str, str]) -> None:
    """In scripts with and without spaces."""
    asked, alike, other = embedded(Hashing(), texts)
    assert asked @ alike > asked @ other + 0.2


def test_hashing_is_the_same_everywhere() -> None:
    """In another process with another hash seed too; of length 1 whatever the text, also of none."""
    vectors = embedded(Hashing(), ["a moon", "", "!?", "字"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    code = "from consumers.corpus.embed import Hashing; print(Hashing().embed(['a moon']).tobytes().hex())"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    assert other.stdout.strip() == vectors[:1].tobytes().hex()


def test_wordllama_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its model and its tokenizer are in the package."""

    def refused(*_: object) -> NoReturn:
        raise AssertionError("it went to the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = embedder("wordllama")
    asked, alike, other = embedded(found, ["a ship in a port", "boats at the harbour", "the price of cheese"])
    assert asked.shape == (found.dimensions,)
    assert asked @ alike > asked @ other


def test_many_texts_come_in_batches() -> None:
    """In their order."""
    texts = [f"text {number}" for number in range(2 * BATCH + 3)]
    vectors = embedded(Hashing(), texts)
    assert np.array_equal(vectors[-1], Hashing().embed(texts[-1:])[0])
    assert embedded(Hashing(), []).shape == (0, Hashing.dimensions)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nonesuch", "hashing, wordllama"),
        ("no.such.module:it", "no.such.module:it can't be loaded"),
        (f"{__name__}:nothing", "is no embedder"),
    ],
)
def test_what_is_none_is_refused(name: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what there is."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules[odd.__module__])
    with pytest.raises(UsageError, match=says):
        embedder(name)


def test_what_gives_another_shape_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything of it is written."""
    monkeypatch.setitem(sys.modules, "odd_embedder", sys.modules[odd.__module__])
    with pytest.raises(UsageError, match=r"odd gave an array of shape \(1, 2\) for 1 texts: 3 "):
        embedded(embedder("odd_embedder:odd"), ["a text"])


def test_one_of_the_current_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a partner has it, whose module is not installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "embedder_of_a_partner.py").write_text("from consumers.corpus.embed import Hashing as make")
    assert embedder("embedder_of_a_partner:make").dimensions == Hashing.dimensions


def test_the_one_of_a_table_is_found_by_its_name() -> None:
    """Those that are built in; others must be given."""
    assert isinstance(named(Hashing.name), Hashing)
    with pytest.raises(UsageError, match="--embedder"):
        named("odd")
