"""A corpus of a dump, of what was listed, and of the feed from then on is the wiki."""

import asyncio
import random
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness.corpus_command import corpus
from harness.dumps import written
from harness.feed import Feed
from harness.mediawiki import DEEDS, Truth, WikiFarm
from harness.mediawiki.dumping import dump_of
from harness.service import Service
from msgspec.structs import replace
from recording_setup import KEYS, write_partners

from consumers.corpus.bootstrap import read
from consumers.corpus.page import EXTRACTOR
from consumers.corpus.pieces import opened
from consumers.corpus.state import State

WHOLE = ("--namespaces", "all")
FORMS = {
    "enproof": ("--full", "multistream.xml.bz2"),
    "deproof": ("--current", "xml.gz"),
    "arproof": ("--current", "xml.zst"),
}
FOUND = (
    "create",
    "create_foreign",
    "create",
    "create",
    "edit",
    "edit",
    "create_redirect",
    "move",
    "hide_text",
)
MARKUP = """{{Infobox|name=x}} '''Markup''' on {{PAGENAME}}: [[File:A.png|thumb|x]] [[Datei:B.png|mini]]
[[Page 1|a link]]<ref>a note</ref>.

== Heading ==
* one
* two [https://x.example label]
[[Category:Things]]"""
CONTACT = "corpus@proof.example"


async def deeds(farm: WikiFarm, rng: random.Random, count: int) -> None:
    for _ in range(count):
        await farm.deed(rng)


async def each_deed(farm: WikiFarm, wiki: str, rng: random.Random) -> None:
    """Of every kind one, where the wiki's pages allow it."""
    for deed in DEEDS:
        for _ in range(2):
            if await farm.do(deed, wiki, rng):
                break
            await farm.do("create", wiki, rng)
            await farm.do("edit", wiki, rng)


def differences(state: State, truth: Mapping[tuple[str, int], Truth]) -> list[str]:
    wrong = []
    for (wiki, page), wanted in truth.items():
        row = state.row(wiki, page)
        held = row.content if row else None
        if wanted.deleted or wanted.sha1 is None:
            is_equal = held is None
        else:
            is_equal = (
                held is not None
                and (held.title, held.revision) == (wanted.title, wanted.revision)
                and sha1((held.wikitext or "").encode()).hexdigest() == wanted.sha1
            )
        if not is_equal:
            told = held and (held.title, held.revision)
            wrong.append(f"{wiki}:{page} is {told} and should be {wanted}")
    held_pages = {(wiki, page.page) for wiki in state.wikis() for page in state.pages(wiki)}
    return wrong + [f"{key} is not there" for key in held_pages - truth.keys()]


async def both(first: Awaitable[Any], second: Awaitable[Any]) -> Any:
    _, told = await asyncio.gather(first, second)
    return told


@pytest.mark.timeout(600)
@pytest.mark.parametrize("deeds_each", [2, pytest.param(60, marks=pytest.mark.soak)])
async def test_a_dump_what_was_listed_and_the_feed_are_the_wiki(
    farm: WikiFarm, tmp_path: Path, rng: random.Random, deeds_each: int
) -> None:
    """All kinds of deeds before the dump, while it is taken, after it (which the feed is said not to keep),
    and while all this is read; at the end each page of the corpus is what a reader finds.
    """
    write_partners(tmp_path / "partners.toml")
    (tmp_path / "key").write_text(KEYS["everything"])
    async with Service(tmp_path, farm.config()) as service:
        await service.event("connected to the stream")
        for wiki in farm.wikis:
            for deed in FOUND:
                await farm.do(deed, wiki, rng)
        begun = datetime.now(UTC)
        files = {}
        for wiki, (option, form) in FORMS.items():
            xml = tmp_path / f"{wiki}-raw"
            await both(deeds(farm, rng, deeds_each), dump_of(farm, wiki, xml, option))
            files[wiki] = written(tmp_path, xml.read_bytes(), form, wiki)
        await each_deed(farm, "enproof", rng)
        await deeds(farm, rng, 3 * deeds_each)
        await farm.settled()
        url = f"http://127.0.0.1:{await service.port()}"
        articles = Feed(f"{url}/v2/articles", KEYS["everything"], since="2020-01-01T00:00:00Z")
        kept_since = await everything_is_told(farm, articles)
        await deeds(farm, rng, deeds_each)
        asking = ["--endpoint", farm.endpoint, "--contact", CONTACT, "--requests-per-minute", "60000"]
        times = ["--dump-started", begun.isoformat(), "--kept-since", kept_since]
        for wiki, file in files.items():
            said = await both(
                deeds(farm, rng, deeds_each),
                corpus(tmp_path, "bootstrap", str(file), *WHOLE, *asking, *times, "--processes", "1"),
            )
            told = msgspec.json.decode(said)
            assert (told["wiki"], told["unreadable"]) == (wiki, 0)
            assert told["gap"]["asked"] > 0
        await deeds(farm, rng, 3 * deeds_each)
        await farm.settled()
        for wiki in farm.wikis:
            await everything_is_told(farm, articles, wiki)
        truth = await farm.truth()
        second = f"{kept_since[:19]}Z"  # of the wikis' own lists, which know no parts of one
        since = ["--since", second, "--url", url, "--key-file", str(tmp_path / "key")]
        await corpus(tmp_path, "follow", *since, "--json", "--until-idle", "8")
        with State(tmp_path / "corpus.db") as state:
            wrong = differences(state, truth)
            assert not wrong, "\n".join([f"{len(wrong)} of {len(truth)} pages differ", *wrong[:8]])
        said = await corpus(tmp_path, "verify", *asking, "--json", "--requests", "40")
        report = msgspec.json.decode(said)
        assert {one["wiki"]: one["share_same"] for one in report["wikis"]} == dict.fromkeys(farm.wikis, 1.0)
        assert not report["findings"], report


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_a_row_of_a_dump_equals_the_feeds(farm: WikiFarm, tmp_path: Path, rng: random.Random) -> None:
    """Of the same revision: addresses, text, licence, attribution and all else that both can know, in three
    languages; so do those that the wiki was asked for. Of a bootstrap that asks the feed too, it goes on
    from where that has begun it.
    """
    write_partners(tmp_path / "partners.toml")
    with (tmp_path / "partners.toml").open("a") as partners:
        partners.write(f'[both]\nkeys = ["sha256:{sha256(b"wrs_key_of_both").hexdigest()}"]\n')
        partners.write('content = ["wikitext", "text"]\n')
    (tmp_path / "key").write_text("wrs_key_of_both")
    rows = {}
    async with Service(tmp_path, farm.config()) as service:
        await service.event("connected to the stream")
        for wiki in farm.wikis:
            for deed in (*FOUND, "edit_minor"):
                await farm.do(deed, wiki, rng)
            await farm.wikis[wiki].act("Writer", "edit", title="Markup", text=MARKUP)
        truth = await farm.truth()
        url = f"http://127.0.0.1:{await service.port()}"
        feed = ["--url", url, "--key-file", str(tmp_path / "key")]
        asking = ["--endpoint", farm.endpoint, "--contact", CONTACT, "--requests-per-minute", "60000"]
        for name in ("dump", "asked", "feed"):
            (tmp_path / name).mkdir()
        for wiki in farm.wikis:
            begun = datetime.now(UTC)
            file = await dump_of(farm, wiki, tmp_path / f"{wiki}.xml")
            with State(tmp_path / "dump/corpus.db", create=True) as state:
                dump = opened(file)
                read(state, [dump], dump.site, started=begun)
            head, _, _ = file.read_text().partition("<page>")
            file.write_text(f"{head}</mediawiki>")  # so that each page is asked for
            times = ["--dump-started", begun.isoformat(), "--processes", "1"]
            alone = ["--kept-since", datetime.now(UTC).isoformat()]
            await corpus(tmp_path / "asked", "bootstrap", str(file), *WHOLE, *asking, *alone, *times)
            await corpus(tmp_path / "feed", "bootstrap", str(file), *WHOLE, *asking, *feed, *times)
        await corpus(tmp_path / "feed", "follow", *feed, "--json", "--until-idle", "8")
    for name in ("dump", "asked", "feed"):
        with State(tmp_path / name / "corpus.db") as state:
            rows[name] = {(wiki, page.page): page for wiki in state.wikis() for page in state.pages(wiki)}
            if name == "feed":
                assert all(row.told for key in rows[name] if (row := state.row(*key)))
    live = {key for key, told in truth.items() if not told.deleted and told.sha1 is not None}
    for name, pages in rows.items():
        assert pages.keys() == live, name
    for key in live:
        told = replace(rows["feed"][key], date_created=None, extractor=EXTRACTOR, revert_risk=None)
        assert replace(rows["asked"][key]) == told
        offline = replace(told, licence=[], tags=[], attribution="", language="")
        assert replace(rows["dump"][key], attribution="", language="") == offline


async def everything_is_told(farm: WikiFarm, feed: Feed, wiki: str = "enproof") -> str:
    """The time of an event that came after all that has happened there: from then on a feed may be read that
    keeps nothing before it.
    """
    answer = await farm.wikis[wiki].act(
        "Writer", "edit", title="Boundary", text=f"here it begins, {datetime.now(UTC)}"
    )
    page, revision = answer["edit"]["pageid"], answer["edit"]["newrevid"]
    async with asyncio.timeout(60):
        async for event in feed.articles(asyncio.Event()):
            about = event.article
            if (about["is_part_of"]["identifier"], about["identifier"]) != (wiki, page):
                continue
            if about["version"]["identifier"] == revision:
                return str(event.article["event"]["date_published"])
    raise AssertionError("the feed ended")
