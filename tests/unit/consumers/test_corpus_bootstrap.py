"""A bootstrap goes on where it was ended, says where the feed begins, and closes what lies between."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness import dumps
from harness.api import Answer, Api, Params, serving
from harness.corpus_command import begun, corpus, ended
from harness.dumps import dump, page, revision, written

from consumers.commands.status import WikiStatus, status_of
from consumers.corpus import bootstrap, gap
from consumers.corpus.page import Listed, Page
from consumers.corpus.pieces import opened
from consumers.corpus.progress import SINCE, Closing, begins, closing_name, fact, hole_name
from consumers.corpus.site import Site
from consumers.corpus.state import State
from consumers.errors import DumpError, UsageError, WikiError
from consumers.wiki import Wiki

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
SITE = Site("enwiki", "https://en.wikipedia.org")
PAGES = [page(number, f"Page {number}", revision(number * 10, f"Text {number}.")) for number in range(1, 31)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "corpus.db"


def held(state: State, wiki: str = "enwiki") -> dict[int, str]:
    return {page.page: page.text for page in state.pages(wiki)}


# ── reading ────────────────────────────────────────────────────────────────────────────────────


def test_what_was_read_is_not_read_again(tmp_path: Path, path: Path) -> None:
    """By the file's content, not its name; its rows keep their number, so nothing downstream is done anew."""
    file = written(tmp_path, dump(PAGES))
    with State(path, create=True) as state:
        first = bootstrap.read(state, [opened(file)], SITE, started=STARTED)
        assert (first.rows, len(held(state))) == (30, 30)
        changed = state.changed()
        renamed = file.rename(tmp_path / "renamed.xml")
        seen: list[object] = []
        again = bootstrap.read(
            state, [opened(renamed)], SITE, started=STARTED, advanced=lambda *at: seen.append(at)
        )
        assert (again, seen, state.changed()) == (first, [], changed)


def test_of_a_dump_that_is_not_whole_the_rest_is_kept(tmp_path: Path, path: Path) -> None:
    """And the whole one, under the same name, is then read."""
    whole = dump(PAGES)
    file = written(tmp_path, whole[: -len(dumps.END)])
    with State(path, create=True) as state:
        with pytest.raises(DumpError, match=r"dump\.xml has no </mediawiki>"):
            bootstrap.read(state, [opened(file)], SITE, started=STARTED)
        file.write_bytes(whole)
        assert bootstrap.read(state, [opened(file)], SITE, started=STARTED).rows == 30
        assert len(held(state)) == 30


@pytest.mark.parametrize("processes", [1, 2])
def test_only_namespaces_that_are_asked_for(tmp_path: Path, path: Path, processes: int) -> None:
    """The corpus says which. Asked for others, the same dump is read again, and the gap is open again."""
    of = {1: 0, 2: 10, 3: 0, 4: 118}
    pages = [page(number, f"Page {number}", revision(number, "x"), namespace=ns) for number, ns in of.items()]
    file = written(tmp_path, dump(pages))

    def read(state: State, namespaces: list[int] | None) -> int:
        totals = bootstrap.read(
            state, [opened(file)], SITE, started=STARTED, namespaces=namespaces, processes=processes
        )
        return totals.rows

    with State(path, create=True) as state:
        assert read(state, [0]) == 2
        assert sorted(held(state)) == [1, 3]
        closing = Closing(1, 2, 2, 2)
        state.commit(facts={closing_name("enwiki"): fact(closing)})
        told = status_of(state, 0).wikis["enwiki"]
        assert (told.namespaces, told.bootstrap) == ([0], "done")
        assert read(state, [0]) == 2
        assert read(state, [0, 10]) == 3
        assert sorted(held(state)) == [1, 2, 3]
        told = status_of(state, 0).wikis["enwiki"]
        assert (told.namespaces, told.bootstrap) == ([0, 10], "open")
        assert read(state, None) == 4
        assert status_of(state, 0).wikis["enwiki"].namespaces is None


def test_a_gap_is_closed_in_those_namespaces(path: Path) -> None:
    """Pages of others are not taken, unless they are there: an article that became a draft is a draft."""
    of = {1: 0, 2: 10, 3: 118}
    one = World([change(minute, number) for minute, number in enumerate([1, 2, 3], 1)], [])
    one.pages = {number: f"Page {number}" for number in of}
    one.namespaces = of
    begin = int(STARTED.timestamp())
    with State(path, create=True) as state, serving(one.answer) as api:
        state.commit([Listed("enwiki", 3, 1, 1, page_held(3, 1))])
        with Wiki(SITE.server, "ops@x.example", endpoint=api.endpoint, requests_per_minute=1e9) as wiki:
            gap.Closer(state, wiki, SITE, namespaces=[0]).close(Closing(begin, begin + 3_600, begin, begin))
        assert {page.page: page.namespace for page in state.pages("enwiki")} == {1: 0, 3: 118}


async def test_a_bootstrap_takes_articles(tmp_path: Path) -> None:
    """By its command, unless it is told otherwise; `corpus status` says so."""
    pages = [page(n, f"Page {n}", revision(n, "x"), namespace=10 * (n == 2)) for n in (1, 2)]
    command = ("bootstrap", str(written(tmp_path, dump(pages))), "--offline", "--processes", "1")
    assert msgspec.json.decode(await corpus(tmp_path, *command))["rows"] == 1
    assert "; of its dump namespaces 0;" in await corpus(tmp_path, "status")
    assert msgspec.json.decode(await corpus(tmp_path, *command, "--namespaces", "all"))["rows"] == 2


def test_several_files_are_one_dump(tmp_path: Path, path: Path) -> None:
    """In any packings; those of several wikis are refused together."""
    files = [
        written(tmp_path, dump(PAGES[:10]), "xml.gz", "a"),
        written(tmp_path, dump(PAGES[10:]), "multistream.xml.bz2", "b"),
    ]
    looked_at = [opened(file) for file in files]
    with State(path, create=True) as state:
        site = bootstrap.site_of_all(looked_at)
        assert bootstrap.read(state, looked_at, site, started=STARTED).rows == 30
        assert list(held(state)) == list(range(1, 31))
    other = opened(written(tmp_path, dump(PAGES, start=dumps.head("dewiki")), "xml", "c"))
    with pytest.raises(UsageError, match="dumps of dewiki, enwiki"):
        bootstrap.site_of_all([*looked_at, other])


def test_an_older_dump_changes_nothing(tmp_path: Path, path: Path) -> None:
    """Read after a newer one: as of its beginning, pages that the newer one has are behind."""
    new = [page(1, "New", revision(11, "New."))]
    with State(path, create=True) as state:
        for name, pages, started in (
            ("new", new, STARTED),
            ("old", PAGES[:1], STARTED - timedelta(days=20)),
        ):
            file = written(tmp_path, dump(pages), "xml", name)
            bootstrap.read(state, [opened(file)], SITE, started=started)
        assert held(state) == {1: "New."}


# ── where the feed begins ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "started"),
    [
        ("enwiki-20260101-pages-articles-multistream.xml", STARTED),
        ("enwiki-2026-01-01.xml", STARTED),
        ("enwiki-20261301-pages.xml", None),
        ("wiki-latest-pages-articles.xml", None),
        ("1202601011.xml", None),
    ],
)
def test_a_dumps_name_says_when_it_was_begun(tmp_path: Path, name: str, started: datetime | None) -> None:
    """As Wikimedia names them; `latest` says nothing."""
    file = tmp_path / name
    file.write_bytes(dump(PAGES))
    assert bootstrap.started_of([opened(file)]) == started


def test_feeds_begin_before_the_earliest_dump(path: Path) -> None:
    """Less a margin; where nobody said when it was begun, a day more before its newest revision."""
    with State(path, create=True) as state:
        assert begins(state) is None
        assert bootstrap.joined(state, STARTED, "") == STARTED - bootstrap.MARGIN
        newer = "2026-01-05T00:00:00Z"
        since = bootstrap.joined(state, None, newer)
        assert since == datetime.fromisoformat(newer) - bootstrap.GUESSED - bootstrap.MARGIN
        assert begins(state) == STARTED - bootstrap.MARGIN
        older = STARTED - timedelta(days=3)
        bootstrap.joined(state, older, "")
        assert state.fact(SINCE) == (older - bootstrap.MARGIN).isoformat()
        with pytest.raises(UsageError, match="--dump-started"):
            bootstrap.joined(state, None, "")


# ── the gap ────────────────────────────────────────────────────────────────────────────────────


def needed(state: State, until: datetime, now: datetime) -> Closing | None:
    return gap.needed(state, "enwiki", STARTED, until, now=now)


def test_nothing_is_listed_where_the_feed_begins_before_the_dump(path: Path) -> None:
    """Else from the dump's beginning to the feed's earliest and an hour more; nothing that is yet to come."""
    with State(path, create=True) as state:
        later = STARTED + timedelta(days=2)
        assert needed(state, STARTED, later) is None
        closing = needed(state, STARTED + timedelta(hours=1), later)
        assert closing is not None
        assert closing.until_s - closing.since_s == 2 * 3_600
        closing = needed(state, later, later)
        assert closing is not None
        assert closing.until_s == int(later.timestamp())


def test_what_nobody_lists_any_more_is_refused_or_a_fact(path: Path) -> None:
    """Thirty days are kept; `--accept-holes` goes on from there, and the log is listed from the beginning."""
    now = STARTED + timedelta(days=40)
    with State(path, create=True) as state:
        closing = needed(state, now, now)
        assert closing is not None
        with pytest.raises(UsageError, match=r"30 days.*2026-01-01.*to 2026-01-11.*--accept-holes"):
            gap.listable(state, "enwiki", closing, now=now, accept_holes=False)
        assert state.fact(hole_name("enwiki")) is None
        rest = gap.listable(state, "enwiki", closing, now=now, accept_holes=True)
        assert rest.changes_s == int((now - gap.KEPT).timestamp())
        assert rest.logs_s == closing.logs_s
        assert msgspec.json.decode(state.fact(hole_name("enwiki")) or "") == {
            "since_s": closing.since_s,
            "until_s": rest.changes_s,
        }


def test_what_was_hidden_meanwhile_is_withdrawn(path: Path) -> None:
    """The text of a revision that a dump has, also where a newer one is there: it may lie in a sink. What is
    shown again is not, and an entry of another thing says nothing.
    """

    def hide(minute: int, number: int, ids: object, **new: bool) -> dict[str, Any]:
        entry = log(minute, "delete", number, f"Page {number}")
        return entry | {"action": "revision", "params": {"type": "revision", "ids": ids, "new": new}}

    one = World(
        [],
        [
            hide(1, 1, [10, "9"], content=True),
            hide(2, 2, {"0": 20}, comment=True),
            hide(3, 3, [1_003], content=True),
            hide(4, 4, "40", content=True),
        ],
    )
    one.pages = {number: f"Page {number}" for number in (1, 2, 3, 4)}
    with State(path, create=True) as state, serving(one.answer) as api:
        state.commit(
            Listed("enwiki", number, 1, number * 10, page_held(number, number * 10))
            for number in (1, 2, 3, 4)
        )
        closing = needed(state, STARTED + timedelta(hours=1), STARTED + timedelta(days=2))
        assert closing is not None
        closed(state, api, closing)
        assert {(one.page, one.revision) for one in state.withdrawals()} == {(1, 10), (1, 9)}
        assert held(state) == {number: f"Now {title}." for number, title in one.pages.items()}


def page_held(number: int, revision: int) -> Page:
    return Page("enwiki", number, revision, f"Page {number}", "https://x.example", 0, "Held.")


class World:
    """What a wiki lists, and the pages that it has."""

    def __init__(self, changes: Sequence[Mapping[str, Any]], logs: Sequence[Mapping[str, Any]]) -> None:
        self.lists = {"recentchanges": changes, "logevents": logs}
        self.pages: dict[int, str] = {}
        self.namespaces: Mapping[int, int] = {}
        """Of pages that are no articles."""
        self.fails_at = 0
        """The number of the list's answer that is refused; 0: none."""
        self.listed = 0

    def answer(self, params: Params) -> Answer:
        told: dict[str, Any] = {"curtimestamp": "2026-01-03T00:00:00Z"}
        if "list" in params:
            return self._list(params, told)
        if "pageids" in params:
            pages = [self._page(int(number)) for number in params["pageids"].split("|")]
        else:
            by_title = {title: number for number, title in self.pages.items()}
            pages = [
                self._page(by_title[title]) if title in by_title else {"title": title, "missing": True}
                for title in params["titles"].split("|")
            ]
        return 200, {}, told | {"query": {"pages": pages}}

    def _list(self, params: Params, told: dict[str, Any]) -> Answer:
        name = params["list"]
        self.listed += 1
        if self.listed == self.fails_at:
            return 200, {}, {"error": {"code": "nolist"}}
        short = {"recentchanges": "rc", "logevents": "le"}[name]
        begin, end = params[f"{short}start"], params[f"{short}end"]
        rows = [row for row in self.lists[name] if begin <= row["timestamp"] <= end]
        at = int(params.get("continue", 0))
        more = {"continue": {"continue": str(at + 2)}} if at + 2 < len(rows) else {}
        return 200, {}, told | more | {"query": {name: rows[at : at + 2]}}

    def _page(self, number: int) -> dict[str, Any]:
        title = self.pages.get(number)
        if title is None:
            return {"pageid": number, "missing": True}
        slot = {"content": f"Now {title}.", "contentmodel": "wikitext"}
        newest = {"revid": 1_000 + number, "timestamp": "2026-01-02T00:00:00Z", "slots": {"main": slot}}
        return {"pageid": number, "ns": self.namespaces.get(number, 0), "title": title, "revisions": [newest]}


def change(minute: int, number: int) -> dict[str, Any]:
    return {"type": "edit", "pageid": number, "timestamp": f"2026-01-01T00:{minute:02}:00Z"}


def log(minute: int, kind: str, number: int, title: str, **params: str) -> dict[str, Any]:
    return {
        "logid": minute,
        "type": kind,
        "logpage": number,
        "pageid": 0,
        "title": title,
        "params": params,
        "timestamp": f"2026-01-01T00:{minute:02}:00Z",
    }


def world() -> World:
    one = World(
        [change(minute, number) for minute, number in enumerate([1, 2, 1, 3, 4, 5, 1], 1)],
        [
            log(1, "delete", 6, "Page 6"),
            log(2, "move", 7, "Page 7", target_title="Moved 7"),
            log(3, "thanks", 8, "User:X"),
            log(4, "merge", 9, "Page 9", dest_title="Page 10"),
        ],
    )
    one.pages = {number: f"Page {number}" for number in (1, 2, 3, 5, 9, 10)} | {7: "Moved 7", 17: "Page 7"}
    return one


def closed(state: State, api: Api, closing: Closing) -> Closing:
    with Wiki(SITE.server, "ops@x.example", endpoint=api.endpoint, requests_per_minute=1e9) as wiki:
        return gap.Closer(state, wiki, SITE).close(closing)


def test_pages_that_were_edited_moved_deleted_or_merged_are_asked_for(path: Path) -> None:
    """Each once, as it is now: also the redirect that a move left, and where a history went. A page that is
    no longer there is gone, and what alters no page is passed over.
    """
    one = world()
    with State(path, create=True) as state, serving(one.answer) as api:
        old = Page("enwiki", 6, 60, "Page 6", "https://x.example", 0, "Deleted.")
        state.commit([Listed("enwiki", 6, 1, 60, old)])
        closing = needed(state, STARTED + timedelta(hours=1), STARTED + timedelta(days=2))
        assert closing is not None
        after = closed(state, api, closing)
        assert after.finished
        assert held(state) == {number: f"Now {title}." for number, title in one.pages.items()}
        gone = {number: row.gone for number in (4, 6) if (row := state.row("enwiki", number))}
        assert gone == {4: "deleted", 6: "deleted"}
        asked = [number for params in api.asked for number in params.get("pageids", "").split("|") if number]
        assert sorted(map(int, asked)) == [1, 2, 3, 4, 5, 6, 7, 9]
        assert needed(state, STARTED + timedelta(hours=1), STARTED + timedelta(days=2)) == after


@pytest.mark.parametrize("fails_at", range(1, 7))
def test_a_gap_is_closed_from_where_that_was_ended(path: Path, fails_at: int) -> None:
    """Whichever answer was the last one."""
    one = world()
    until = STARTED + timedelta(hours=1)
    with State(path, create=True) as state, serving(one.answer) as api:
        closing = needed(state, until, until)
        assert closing is not None
        one.fails_at = fails_at
        with pytest.raises(WikiError, match="nolist"):
            closed(state, api, closing)
        again = needed(state, until, until)
        assert again is not None
        assert closed(state, api, again).finished
        assert held(state) == {number: f"Now {title}." for number, title in one.pages.items()}


def test_the_status_says_how_far_a_bootstrap_is(tmp_path: Path, path: Path) -> None:
    """A dump that is not read to its end, a gap that is open, a hole; and of other wikis nothing."""
    file = written(tmp_path, dump(PAGES)[: -len(dumps.END)])
    until = STARTED + timedelta(days=20)
    now = STARTED + timedelta(days=40)
    stages = []
    with State(path, create=True) as state:

        def told() -> WikiStatus:
            return status_of(state, now.timestamp()).wikis["enwiki"]

        state.commit([Listed("enwiki", 1, 1)])
        stages.append(told().bootstrap)
        with pytest.raises(DumpError):
            bootstrap.read(state, [opened(file)], SITE, started=STARTED)
        stages.append(told().bootstrap)
        file.write_bytes(dump(PAGES))
        (whole := file.rename(tmp_path / "whole.xml")).touch()
        state.commit(facts=dict.fromkeys(state.facts("dump:"), ""))
        bootstrap.read(state, [opened(whole)], SITE, started=STARTED)
        stages.append(told().bootstrap)
        closing = needed(state, until, now)
        assert closing is not None
        gap.listable(state, "enwiki", closing, now=now, accept_holes=True)
        with serving(World([], []).answer) as api:
            closed(state, api, closing)
        stages.append(told().bootstrap)
        assert told().hole == ("2026-01-01T00:00:00Z", "2026-01-11T00:00:00Z")
    assert stages == ["none", "reading", "open", "done"]


# ── the command ────────────────────────────────────────────────────────────────────────────────


async def test_killed_at_any_instant_it_goes_on(tmp_path: Path) -> None:
    """By -9, with two processes that read: each time more is committed, none of them is left behind, and at
    the end each page is there once.
    """
    words = " ".join(f"{number:x}" for number in range(4_000))
    pages = [
        page(number, f"Page {number}", revision(number, f"{number} {words}")) for number in range(1, 1_201)
    ]
    file = written(tmp_path, dump(pages))
    command = ("bootstrap", str(file), "--offline", "--processes", "2", "--dump-started", STARTED.isoformat())
    progress = [0]
    for _ in range(3):
        process = await begun(tmp_path, *command)
        assert process.stderr
        committed = b""
        async with asyncio.timeout(120):
            while b'"rows"' not in committed and (line := await process.stderr.readline()):
                committed = line
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await ended(process)  # waits for its pipes: whoever it has started has let go of them
        with State(tmp_path / "corpus.db") as state:
            progress.append(len(held(state)))
    assert progress == sorted(progress)
    assert progress[1] > 0
    said = msgspec.json.decode(await corpus(tmp_path, *command))
    assert (said["rows"], said["since"]) == (1_200, "2025-12-31T23:00:00+00:00")
    with State(tmp_path / "corpus.db") as state:
        assert list(held(state)) == list(range(1, 1_201))


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["none.xml", "--offline"], 1, "none.xml can't be read"),
        (["dump.xml", "--offline", "--dump-started", "2999-01-01T00:00:00Z"], 2, "yet to come"),
        (["dump.xml"], 2, "--contact"),
    ],
)
async def test_what_can_t_be_is_said_without_a_traceback(
    tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    """By exit code and one line."""
    written(tmp_path, dump(PAGES))
    exited, out, err = await ended(await begun(tmp_path, "bootstrap", *arguments))
    assert (exited, out) == (code, "")
    assert says in err
    assert "Traceback" not in err
