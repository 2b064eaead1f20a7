"""Snapshots are loaded by what people load data with, without an argument that a newcomer would not guess."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from harness.partner_pages import ROOT, corpus, in_all_languages
from harness.wikitext import LANGUAGES

from consumers.corpus.columns import NAMES
from consumers.corpus.snapshot import snapshot

Rows = dict[tuple[str, int], dict[str, Any]]

LOADED = """
import json, pathlib, sys
from datasets import load_dataset
from consumers.corpus.snapshot import erased
folder, out = sys.argv[1:]
every, thai = load_dataset(folder), load_dataset(folder, "thwiki")
assert list(every) == list(thai) == ["train", "validation"], every
streamed = load_dataset(folder, "zhwiki", split="train", streaming=True)
with open(out, "w") as file:
    json.dump({
        "columns": every["train"].column_names,
        "every": [row for split in every.values() for row in split],
        "thwiki": [row for split in thai.values() for row in split],
        "zhwiki": list(streamed),
    }, file, default=lambda date: date.isoformat())
erased(pathlib.Path(folder), lambda wiki, page, *_: page == 3)
assert not any(row["page_id"] == 3 for split in load_dataset(folder).values() for row in split)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of twelve articles in each of eight languages; some for validation."""
    where = tmp_path_factory.mktemp("loading")
    with corpus(where / "c.db", in_all_languages(12)) as state:
        snapshot(state, where / "snapshot", share=0.3)
    return where / "snapshot"


@pytest.fixture(scope="module")
def written(folder: Path) -> Rows:
    """As Arrow reads them, file by file."""
    found = [row for path in folder.rglob("*.parquet") for row in pq.ParquetFile(path).read().to_pylist()]
    assert len(found) == 12 * len(LANGUAGES)
    return by_page(found)


def by_page(rows: list[dict[str, Any]]) -> Rows:
    found = {(row["wiki"], row["page_id"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def test_datasets_loads_wikis_and_splits(folder: Path, written: Rows, tmp_path: Path) -> None:
    """`load_dataset(folder)` and `load_dataset(folder, "thwiki")`, whole or streamed, without a network. In a
    process of its own: it takes its settings from the environment when it is imported. After an erasure it
    does not go by what it has in its cache.
    """
    copy = shutil.copytree(folder, tmp_path / "copy")
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path),
        "HF_DATASETS_CACHE": str(tmp_path),
    }
    command = [sys.executable, "-c", LOADED, str(copy), str(tmp_path / "rows.json")]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = json.loads((tmp_path / "rows.json").read_bytes())
    assert tuple(loaded["columns"]) == NAMES
    expected = json.loads(json.dumps(list(written.values()), default=lambda date: date.isoformat()))
    assert by_page(loaded["every"]) == by_page(expected)
    assert by_page(loaded["thwiki"]) == {k: v for k, v in by_page(expected).items() if k[0] == "thwiki"}
    assert by_page(loaded["zhwiki"]) == {
        k: v for k, v in by_page(expected).items() if k[0] == "zhwiki" and v["split"] == "train"
    }


def test_duckdb_reads_a_glob(folder: Path, written: Rows) -> None:
    """All wikis or one; dates compare as dates."""
    with duckdb.connect() as db:
        for glob, wikis in (("*/*", 8), ("thwiki/*", 1), ("*/train-*", 8)):
            found = db.sql(f"FROM '{folder}/data/{glob}.parquet'").to_arrow_table().to_pylist()
            assert len({row["wiki"] for row in found}) == wikis
            for row in found:
                was = written[row["wiki"], row["page_id"]]
                assert row["date_modified"] == was["date_modified"]
                assert {k: row[k] for k in row if k[:5] != "date_"} == {
                    k: was[k] for k in was if k[:5] != "date_"
                }
            if glob == "*/*":
                assert len(found) == len(written)
        query = f"SELECT count(*) FROM '{folder}/data/*/*.parquet' WHERE date_created < DATE '2020-01-01'"
        assert db.sql(query).fetchall() == [
            (sum(row["date_created"] is not None for row in written.values()),)
        ]
        licences = db.sql(
            f"SELECT DISTINCT license[1].identifier FROM '{folder}/data/*/*.parquet'"
        ).fetchall()
        assert licences == [("CC-BY-SA-4.0",)]


def test_polars_reads_the_folder(folder: Path, written: Rows) -> None:
    """Eagerly and lazily."""
    found = pl.read_parquet(folder / "data" / "*" / "*.parquet")
    assert tuple(found.columns) == NAMES
    assert by_page(found.to_dicts()) == written
    lazily = (
        pl.scan_parquet(folder / "data").filter(pl.col("wiki") == "jawiki").select("id", "text").collect()
    )
    assert sorted(lazily.rows()) == sorted(
        (row["id"], row["text"]) for row in written.values() if row["wiki"] == "jawiki"
    )


def test_pandas_reads_the_folder(folder: Path, written: Rows) -> None:
    """All of it, or one wiki."""
    found = pd.read_parquet(folder / "data")
    assert tuple(found.columns) == NAMES
    texts = {(row.wiki, row.page_id): (row.id, row.title, row.text) for row in found.itertuples()}
    assert texts == {key: (row["id"], row["title"], row["text"]) for key, row in written.items()}
    assert str(found["date_modified"].dtype) == "datetime64[ms, UTC]"
    assert len(pd.read_parquet(folder / "data" / "hiwiki")) == 12
