"""A wiki's name, whoever says it: refused where it comes in, and again where a path is made of it."""

import json
from pathlib import Path

import msgspec
import pytest
from harness import dumps
from harness.partner_pages import corpus, in_all_languages, page
from harness.scripted import article

from consumers.corpus import manifest as manifests
from consumers.corpus.columns import Tombstone
from consumers.corpus.diff import Deletes, patched
from consumers.corpus.dump import head_of
from consumers.corpus.erase import withdraw
from consumers.corpus.snapshot import erased, snapshot
from consumers.errors import BadEvent, DumpError, SinkError, UsageError
from consumers.event import decoded, is_wiki

GOOD = ("enwiki", "be_x_oldwiki", "zh-classicalwiki", "enwiki-mw_", "w" * 64)
BAD = ("", ".", "..", "../../evil", "a/b", "a\\b", "en.wiki", "enwiki\n", "\x1b[2J", "wikí", "[/x]", "w" * 65)


def in_event(name: str) -> bytes:
    return json.dumps(article(1) | {"is_part_of": {"identifier": name}}).encode()


@pytest.mark.parametrize("name", GOOD)
def test_names_of_wikis_are_taken(name: str) -> None:
    """By events and dumps alike."""
    assert is_wiki(name)
    assert decoded(in_event(name)).is_part_of.identifier == name
    assert head_of("d.xml", dumps.head(wiki=name).encode()).wiki == name
    assert manifests.folder_of(name) == f"data/{name}"


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_name_comes_in_nowhere(tmp_path: Path, name: str) -> None:
    """Neither with an event nor with a dump nor by hand; the errors say where, and hold nothing of an event,
    nor anything that a terminal would obey.
    """
    with pytest.raises(BadEvent, match=r"\$\.is_part_of\.identifier") as bad:
        decoded(in_event(name))
    assert not name or name in ". .." or name not in str(bad.value)
    if name.strip() == name and "\x1b" not in name:  # a dump's is stripped; and XML has no such character
        with pytest.raises(DumpError, match=r"<dbname>|no database name"):
            head_of("d.xml", dumps.head(wiki=name).encode())
    with corpus(tmp_path / "c.db", []) as state:
        with pytest.raises(UsageError) as refused:
            withdraw(state, name, 1, 1)
        assert str(refused.value).isprintable()
        assert state.wikis() == []


@pytest.mark.parametrize("name", BAD)
def test_no_path_is_made_of_it(tmp_path: Path, name: str) -> None:
    """Nor of what a snapshot from elsewhere says that it holds: nothing is read, written or removed
    outside of it.
    """
    for place in (manifests.folder_of, manifests.checked):
        with pytest.raises(SinkError, match="no name of a wiki"):
            place(name)
    with pytest.raises(SinkError, match="no name of a wiki"), Deletes(tmp_path) as deletes:
        deletes.add(Tombstone("1", name, 1))
    assert list(tmp_path.rglob("*.parquet")) == []


@pytest.mark.parametrize("field", ["files", "erasing", "wikis"])
def test_a_manifest_names_nothing_outside(tmp_path: Path, field: str) -> None:
    """Else erasing or applying it would write there."""
    with corpus(tmp_path / "c.db", in_all_languages(1)) as state:
        snapshot(state, tmp_path / "s")
        snapshot(state, tmp_path / "t")
    (tmp_path / "mine.parquet").write_bytes(b"mine")
    (tmp_path / "mine.parquet.partial").write_bytes(b"mine")
    place = tmp_path / "s" / manifests.NAME
    said = msgspec.json.decode(place.read_bytes())
    first = next(iter(said["files"].values()))
    counts = next(iter(said["wikis"].values()))
    more = {
        "files": said["files"] | {"../mine.parquet": first},
        "erasing": ["data/enwiki/../../../mine.parquet"],
        "wikis": said["wikis"] | {"../../evil": counts},
    }
    place.write_bytes(msgspec.json.encode(said | {field: more[field]}))
    with pytest.raises(SinkError, match=r"no file of a snapshot|no name of a wiki"):
        erased(tmp_path / "s", lambda *_: True)
    with pytest.raises(SinkError, match=r"no file of a snapshot|no name of a wiki"):
        patched(tmp_path / "t", tmp_path / "s", tmp_path / "u")
    assert (tmp_path / "mine.parquet").read_bytes() == b"mine"
    assert (tmp_path / "mine.parquet.partial").read_bytes() == b"mine"
    assert not (tmp_path / "u").exists()


def test_a_row_that_is_there_with_such_a_name_is_named(tmp_path: Path) -> None:
    """By a snapshot, of which nothing is left."""
    with corpus(tmp_path / "c.db", [page("en", 1, wiki="../../x")]) as state, pytest.raises(SinkError):
        snapshot(state, tmp_path / "s")
    assert not (tmp_path / "s").exists()
