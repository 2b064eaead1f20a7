"""A bootstrap's position on a real feed: of all partitions, told when it is lost, there after kill -9."""

import asyncio
import re
import signal
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness.api import Answer, Params, serving
from harness.corpus_command import begun as command
from harness.corpus_command import corpus, ended
from harness.delivering import KEY, Delivering, delivering
from harness.dumps import dump, page, revision, written

from consumers.backoff import Backoff
from consumers.corpus.beginning import begun, whole_since
from consumers.corpus.progress import SINCE, Closing, Reading, closing_name, fact, reading_name, stage_of
from consumers.corpus.state import State
from consumers.event import Feed
from consumers.parts import ALL, Parts
from consumers.sse import SseFeed
from streamer.runtime import article_spec

DEADLINE_S = 90
EVER = datetime(2020, 1, 1, tzinfo=UTC)
PUBLISHED = datetime(2026, 11, 21, tzinfo=UTC)
"""The day of the articles that the server writes."""
WIKI = "enwiki"


def opened(server: Delivering, since: datetime, *, parts: Parts = ALL) -> Sequence[Feed]:
    feed = SseFeed("sse:0-9", server.url, lambda: KEY, parts, since=since, backoff=Backoff(0.01, 0.05))
    return [feed]


def partitions(position: str | None) -> set[int]:
    return {int(number) for number in re.findall(r"(\d+):\d+", (position or "").partition(".")[2])}


async def test_the_position_is_of_all_partitions(tmp_path: Path) -> None:
    """Also of those without an event, whether one or many hold something; of parts, of these. Where the topic
    is made anew it is replaced.
    """
    async with delivering(tmp_path) as server, asyncio.timeout(DEADLINE_S):
        await server.write([1])
        now = datetime.now(UTC)
        with State(tmp_path / "corpus.db", create=True) as state:
            until = await begun(state, lambda since: opened(server, since), EVER, now=now, quiet_s=0.5)
            first = state.position("sse:0-9")
            assert partitions(first) == set(range(10))
            assert state.row(WIKI, 1)
            assert whole_since(state, opened(server, EVER)) == until
            await server.log.delete_topic(server.topic)
            await server.log.ensure_topics([article_spec(server.runtime.settings, server.topic)])
            await server.write([2])
            await begun(state, lambda since: opened(server, since), EVER, now=now, quiet_s=0.5)
            assert state.position("sse:0-9") != first
            assert state.row(WIKI, 2)
        with State(tmp_path / "parts.db", create=True) as state:
            numbers = Parts(*[server.written[-1][0]] * 2)
            await begun(state, lambda since: opened(server, since, parts=numbers), EVER, now=now, quiet_s=0.5)
            assert partitions(state.position("sse:0-9")) >= {numbers.first}


async def test_follow_refuses_what_would_be_missing(tmp_path: Path) -> None:
    """Of a feed that has no position yet: its earliest lies behind what was listed. By one line, with what to
    do; told to go on, it does.
    """
    async with delivering(tmp_path) as server:
        await server.write(range(1, 9))
        closed_s = int(datetime.now(UTC).timestamp()) - 86_400 * 400
        with State(tmp_path / "corpus.db", create=True) as state:
            done = fact(Closing(*[closed_s] * 4))
            state.commit(facts={closing_name(WIKI): done, SINCE: EVER.isoformat()})
        feed = reading(tmp_path, server)
        code, _, err = await ended(await command(tmp_path, "follow", *feed, "--json", "--until-idle", "1"))
        assert code == 1
        assert "what lies between would be missing" in err
        assert "`corpus bootstrap` again" in err
        assert "Traceback" not in err
        await corpus(tmp_path, "follow", *feed, "--json", "--until-idle", "1", "--on-gap", "continue")
        with State(tmp_path / "corpus.db") as state:
            assert all(state.row(WIKI, number) for number in range(1, 9))


class Listing:
    """A wiki whose page 5 was edited; from its first list on it says nothing until it may."""

    def __init__(self, edited: datetime) -> None:
        self.edited = edited.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.is_asked, self.may = threading.Event(), threading.Event()

    def answer(self, params: Params) -> Answer:
        query: Mapping[str, Any]
        if params.get("meta") == "siteinfo":
            general = {
                "wikiid": WIKI, "server": "https://en.wikipedia.org", "sitename": "Wiki", "lang": "en",
                "articlepath": "/wiki/$1", "scriptpath": "/w",
            }  # fmt: skip
            rights = {"text": "", "url": ""}
            query = {"general": general, "namespaces": {}, "namespacealiases": [], "rightsinfo": rights}
        elif "list" in params:
            self.is_asked.set()
            self.may.wait(DEADLINE_S)
            edit = {"type": "edit", "pageid": 5, "timestamp": self.edited}
            query = {params["list"]: [edit] if params["list"] == "recentchanges" else []}
        else:
            slot = {"content": "Now.", "contentmodel": "wikitext"}
            newest = {"revid": 51, "timestamp": self.edited, "slots": {"main": slot}}
            query = {"pages": [{"pageid": 5, "ns": 0, "title": "Page 5", "revisions": [newest]}]}
        return 200, {}, {"curtimestamp": self.edited, "query": query}


@pytest.mark.timeout(240)
async def test_killed_while_it_lists_it_goes_on(tmp_path: Path) -> None:
    """By -9: the position and what came before it are there, the gap is open. Called again it moves neither,
    and lists what lies between. Of another wiki whose gap is open it says so.
    """
    now = datetime.now(UTC)
    started = min(now, PUBLISHED) - timedelta(days=2)
    file = written(tmp_path, dump([page(5, "Page 5", revision(50, "Then."))]))
    listing = Listing(now - timedelta(days=1))
    async with delivering(tmp_path) as server:
        await server.write([7])
        with serving(listing.answer) as api:
            asking = [
                "--endpoint",
                api.endpoint,
                "--contact",
                "x@y.example",
                "--requests-per-minute",
                "60000",
            ]
            times = ["--dump-started", started.isoformat(), "--processes", "1", "--accept-holes"]
            bootstrap = ["bootstrap", str(file), *asking, *times, *reading(tmp_path, server)]
            process = await command(tmp_path, *bootstrap)
            try:
                async with asyncio.timeout(DEADLINE_S):
                    while not listing.is_asked.is_set():
                        assert process.returncode is None
                        await asyncio.sleep(0.02)
            finally:
                if process.returncode is None:
                    process.send_signal(signal.SIGKILL)
                listing.may.set()
                print(await ended(process))
            with State(tmp_path / "corpus.db") as state:
                position = state.position("sse:0-9")
                assert partitions(position) == set(range(10))
                assert state.row(WIKI, 7)
                assert stage_of(state, WIKI) == "open"
                other = Reading("de.xml", 1, closed=True, finished=True)
                state.commit(facts={reading_name("dewiki", "d"): fact(other)})
            code, out, err = await ended(await command(tmp_path, *bootstrap))
            assert code == 0
            assert msgspec.json.decode(out)["gap"]["asked"] == 1
            assert "the gap of dewiki is open" in err
        with State(tmp_path / "corpus.db") as state:
            assert state.position("sse:0-9") == position
            assert stage_of(state, WIKI) == "done"
            assert [held.text for held in state.pages(WIKI) if held.page == 5] == ["Now."]
        await server.write([8])
        await corpus(tmp_path, "follow", *reading(tmp_path, server), "--json", "--until-idle", "1")
        with State(tmp_path / "corpus.db") as state:
            assert state.row(WIKI, 8)


def reading(folder: Path, server: Delivering) -> list[str]:
    (folder / "key").write_text(KEY)
    return ["--url", server.url.removesuffix("/v2/articles"), "--key-file", str(folder / "key")]
