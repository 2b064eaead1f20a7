"""Rows at random against their wiki: what is found, within which budget, and how it is put right."""

import random
from datetime import UTC, datetime
from hashlib import sha1
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness.api import Answer, Params, serving
from harness.corpus_command import begun, ended

from consumers.commands.verify import readable
from consumers.corpus.page import Listed, Page, Told
from consumers.corpus.row import SURE_US, Row
from consumers.corpus.site import Site
from consumers.corpus.state import State
from consumers.corpus.verify import Finding, Report, Verifier, WikiReport, ages_of, drawn, judged, shares
from consumers.wiki import Wiki

NOW = datetime(2026, 1, 3, tzinfo=UTC)
NOW_US = int(NOW.timestamp() * 1e6)
SITE = Site("enwiki", "https://en.wikipedia.org")


def page(number: int, revision: int = 10, text: str = "text", title: str = "") -> Page:
    title = title or f"Page {number}"
    digest = sha1(text.encode()).hexdigest()
    url = f"https://en.wikipedia.org/wiki/{title}"
    date = "2026-01-02T23:59:00Z"
    return Page("enwiki", number, revision, title, url, 0, text, "en", text, sha1=digest, date_modified=date)


def listed(number: int, content: Page | None = None, at: int = 1, *, hidden: bool = False) -> Listed:
    return Listed("enwiki", number, at, content.revision if content else 0, content, hidden)


def row(content: Page | None) -> Row:
    one = listed(1, content)
    return Row("enwiki", 1, listed=one) if content else Row("enwiki", 1, missing=one)


@pytest.mark.parametrize(
    ("ours", "theirs", "what"),
    [
        (page(1), page(1), "same"),
        (None, None, "same"),
        (page(1, 10), page(1, 11), "older"),
        (page(1, 11), page(1, 10), "newer"),
        (page(1), page(1, text="another"), "other"),
        (page(1), page(1, title="Moved"), "other"),
        (page(1), None, "withdrawn"),
        (None, page(1), "missing"),
    ],
)
def test_a_row_is_judged_by_what_its_wiki_says(ours: Page | None, theirs: Page | None, what: str) -> None:
    """Revision, text, title, presence; how long it is behind, where the wiki's answer tells."""
    finding = judged(row(ours), listed(1, theirs), NOW)
    assert finding.what == what
    assert finding.age_s == (60 if what in ("older", "missing") else None)


def test_a_corpus_without_wikitext_is_judged_by_hashes() -> None:
    """A row without any is taken by its revision."""
    bare = msgspec.structs.replace(page(1), wikitext=None)
    assert judged(row(bare), listed(1, page(1, text="another")), NOW).what == "other"
    assert judged(row(msgspec.structs.replace(bare, sha1=None)), listed(1, page(1)), NOW).what == "same"


class World:
    """A wiki whose pages are these; None: hidden."""

    def __init__(self, pages: dict[int, Page | None]) -> None:
        self.pages = pages
        self.drawn: list[int] = []
        self.recent: list[dict[str, Any]] = []

    def answer(self, params: Params) -> Answer:
        query: dict[str, Any]
        if params.get("meta") == "siteinfo":
            query = {"general": {"wikiid": "enwiki", "server": "//en.wikipedia.org", "lang": "en"}}
        elif params.get("list") == "random":
            query = {"random": [{"id": number} for number in self.drawn]}
        elif params.get("list") == "recentchanges":
            query = {"recentchanges": self.recent}
        else:
            query = {"pages": [self._told(int(number)) for number in params["pageids"].split("|")]}
        return 200, {}, {"curtimestamp": NOW.isoformat(), "query": query}

    def _told(self, number: int) -> dict[str, Any]:
        if number not in self.pages:
            return {"pageid": number, "missing": True}
        content = self.pages[number]
        slot: dict[str, Any] = {"texthidden": True} if content is None else {"content": content.wikitext}
        revision = {
            "revid": content.revision if content else 10,
            "timestamp": content.date_modified if content else None,
            "sha1": content.sha1 if content else None,
            "slots": {"main": slot},
        }
        title = content.title if content else "?"
        return {"pageid": number, "ns": 0, "title": title, "revisions": [revision]}


def verified(state: State, world: World, requests: int = 10, *, repair: bool = False) -> Verifier:
    with (
        serving(world.answer) as api,
        Wiki(SITE.server, "ops@x.example", endpoint=api.endpoint, requests_per_minute=1e9) as wiki,
    ):
        verifier = Verifier(state, wiki, SITE, NOW, repair=repair)
        verifier.verify(drawn(state, random.Random(1), requests)["enwiki"], requests)
        assert wiki.requests <= requests
        return verifier


@pytest.fixture
def state(tmp_path: Path) -> Any:
    with State(tmp_path / "corpus.db", create=True) as made:
        yield made


def test_withdrawn_rows_are_found_and_put_right(state: State) -> None:
    """A page that is gone, and one whose text is hidden; after `repair` neither can be read, and nothing is
    found any more.
    """
    before = NOW_US - 2 * SURE_US
    state.commit(
        [
            listed(1, page(1)),
            listed(2, page(2)),
            Told("enwiki", 3, before, 10, None, page(3)),
            Told("enwiki", 4, before, 10, None, page(4)),
        ]
    )
    world = World({1: page(1), 3: None, 4: page(4, 11, "newer")})
    found = verified(state, world, repair=True)
    assert {one.page: one.what for one in found.findings} == {2: "withdrawn", 3: "withdrawn", 4: "older"}
    assert (found.report.rows, found.report.share_same) == ({"same": 1, "withdrawn": 2, "older": 1}, 0.25)
    assert found.report.repaired == 3
    assert {one.page: one.text for one in state.pages("enwiki")} == {1: "text", 4: "newer"}
    assert {(one.page, one.revision) for one in state.withdrawals()} >= {(2, 0), (3, 10)}
    assert verified(state, world).findings == []


def test_pages_that_the_corpus_lacks_are_found_by_asking_the_wiki(state: State) -> None:
    """By its random pages, and by its last edits, which also say how far behind rows are."""
    state.commit([listed(1, page(1, 10)), listed(2, page(2, 20)), listed(5)])
    world = World({1: page(1, 10), 2: page(2, 20), 5: page(5), 6: page(6), 7: page(7)})
    world.drawn = [1, 2, 5, 6]
    world.recent = [
        {"pageid": 1, "revid": 10, "timestamp": "2026-01-02T23:00:00Z"},
        {"pageid": 2, "revid": 21, "timestamp": "2026-01-02T23:59:50Z"},
        {"pageid": 7, "revid": 70, "timestamp": "2026-01-02T23:59:00Z"},
        {"pageid": 0, "revid": 0},
    ]
    found = verified(state, world, repair=True)
    report = found.report
    assert (report.pages_drawn, report.pages_missing, report.recent, report.recent_behind) == (4, 2, 3, 2)
    missing = {one.page for one in found.findings if one.what == "missing"}
    assert missing == {5, 6, 7}
    assert ages_of(found.findings).p50 == 60
    assert {one.page for one in state.pages("enwiki")} == {1, 2, 5, 6, 7}


def test_a_budget_is_kept(state: State) -> None:
    """Of as few requests as there are; with one, rows alone."""
    state.commit([listed(number, page(number)) for number in range(1, 400)])
    world = World({number: page(number) for number in range(1, 400)})
    for requests, rows in ((1, 50), (2, 100), (4, 100), (20, 399)):
        assert verified(state, world, requests).report.rows == {"same": rows}


def test_the_same_seed_draws_the_same_rows(state: State) -> None:
    """And another one others."""
    state.commit([listed(number, page(number)) for number in range(1, 400)])
    one, again, other = (
        [row.page for row in drawn(state, random.Random(seed), 3)["enwiki"]] for seed in (1, 1, 2)
    )
    assert one == again != other
    assert len(set(one)) == len(one) == 50


def test_each_wiki_has_its_share_of_the_requests() -> None:
    """By its rows; none goes without."""
    rows = {"enwiki": [row(page(1))] * 900, "dewiki": [row(page(1))] * 50}
    told = shares(20, rows)
    assert sum(told.values()) <= 21
    assert told["enwiki"] > told["dewiki"] >= 1
    assert shares(1, rows) == {"enwiki": 1, "dewiki": 1}


def test_the_report_can_be_read() -> None:
    """Dated, with its seed, the share, how old differences are, and what was found."""
    finding = Finding("enwiki", 7, "withdrawn", 3, 0)
    behind = Finding("enwiki", 8, "older", 3, 4, 120.0)
    one = WikiReport("enwiki", {"same": 8, "withdrawn": 1, "older": 1}, 0.8, 500, 1, 500, 2)
    report = Report(NOW.isoformat(), 4, 9, [one], 1, ages_of([finding, behind]), [finding, behind])
    assert readable(report).splitlines() == [
        "2026-01-03T00:00:00+00:00  seed 4, 9 requests",
        "enwiki: 10 rows, identical 80.00% (1 older, 1 withdrawn)",
        "  of 500 pages drawn by the wiki 1 are missing; of 500 edited last 2 are behind",
        "behind for 120 s (p50), 120 s (p90), 120 s at most",
        "WITHDRAWN ROWS: 1",
        "  enwiki page 7: withdrawn (revision 3 here, 0 there)",
        "  enwiki page 8: older (revision 3 here, 4 there)",
    ]


async def test_withdrawn_rows_are_an_exit_code(tmp_path: Path) -> None:
    """1 while there are any, repaired or not; then 0; the report is written as JSON too."""
    with State(tmp_path / "corpus.db", create=True) as made:
        made.commit([listed(1, page(1)), listed(2, page(2))])
    with serving(World({1: page(1)}).answer) as api:
        asking = ("--endpoint", api.endpoint, "--contact", "ops@x.example", "--requests-per-minute", "60000")
        codes = []
        for _ in range(2):
            verify = await begun(
                tmp_path,
                "verify",
                *asking,
                "--repair",
                "--seed",
                "3",
                "--report",
                str(tmp_path / "report.json"),
            )
            code, out, err = await ended(verify)
            codes.append(code)
            assert "Traceback" not in err
            report = msgspec.json.decode((tmp_path / "report.json").read_bytes(), type=Report)
            assert (report.seed, report.withdrawn) == (3, code)
            assert out.splitlines()[0].endswith(f"seed 3, {report.requests} requests")
        assert codes == [1, 0]
        assert all("ops@x.example" in headers["User-Agent"] for headers in api.headers)
