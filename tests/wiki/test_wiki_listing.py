"""The two lists of a real MediaWiki, as the client reads them."""

import random
import time

import pytest
from harness.mediawiki import WikiFarm
from harness.mediawiki.founding import STEWARD, WRITER

from streamer.config import MediaWikiSettings, Settings
from streamer.origin.listing import Edited, Logged, More, Span
from streamer.origin.mediawiki import Origin

WIKI = "enproof"


async def listed(farm: WikiFarm, since_s: int) -> tuple[list[Edited], list[Logged], int]:
    settings = Settings(
        mediawiki=MediaWikiSettings(
            endpoint=farm.endpoint, hosts=tuple(farm.allowed_hosts), requests_per_minute=60_000
        )
    )
    edits: list[Edited] = []
    logs: list[Logged] = []
    more: More = ()
    requests = 0
    async with Origin(settings) as origin:
        while requests == 0 or more:
            span = Span(since_s, int(time.time()))
            listing = await origin.listing(WIKI, farm.wikis[WIKI].server_name, span, more)
            requests += 1
            edits += listing.edits
            logs += listing.logs
            more = listing.more
    return edits, logs, requests


@pytest.mark.parametrize("most", [3, 500])
async def test_all_that_happened_is_listed_once(
    farm: WikiFarm, rng: random.Random, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one answer or in many: the wiki's own tables say the same. What is hidden, suppressed too, is a flag
    of its row.
    """
    monkeypatch.setattr("streamer.origin.query.LISTED_MOST", most)
    since_s = int(time.time())
    wiki = farm.wikis[WIKI]
    for _ in range(12):
        await farm.do("create", WIKI, rng)
        await farm.do("edit", WIKI, rng)
        await farm.do("move", WIKI, rng)
    saved = [
        (await wiki.act(WRITER, "edit", title="Hidden", text=f"text {number}"))["edit"] for number in range(3)
    ]
    for number, how in ((0, "nochange"), (1, "yes")):
        await wiki.act(
            STEWARD,
            "revisiondelete",
            type="revision",
            target="Hidden",
            ids=saved[number]["newrevid"],
            hide="content|user",
            suppress=how,
        )
    await farm.do("delete", WIKI, rng)
    await farm.settled()
    edits, logs, requests = await listed(farm, since_s)
    rows = wiki.rows(
        "SELECT rc_this_oldid FROM recentchanges WHERE rc_type IN (0, 1) ORDER BY rc_timestamp, rc_id"
    )
    assert [edit.revision for edit in edits] == [revision for (revision,) in rows]
    entries = wiki.rows("SELECT log_id, log_page FROM logging WHERE log_type != 'suppress' ORDER BY log_id")
    assert [(entry.log_id, entry.page_id) for entry in logs] == entries[-len(logs) :]
    hidden = {edit.revision: edit.hides for edit in edits if edit.hides}
    assert hidden == {one["newrevid"]: ("text", "editor") for one in saved[:2]}
    assert [entry.revisions for entry in logs if entry.action == "revision"] == [(saved[0]["newrevid"],)]
    if most == 500:
        assert requests == 1
    else:
        assert requests >= len(edits) // most
