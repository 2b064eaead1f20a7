"""The sandbox against those it was made for: the source's decoder and the client of the wikis."""

import json
from collections import Counter

from streamer.admission import Rules
from streamer.clock import Clock
from streamer.config import AdmitSettings, MediaWikiSettings, Settings
from streamer.model import Change, Hint
from streamer.origin.answer import Found
from streamer.origin.mediawiki import Origin
from streamer.sandbox.editor import hire
from streamer.sandbox.events import STREAMS
from streamer.sandbox.feed import Feed
from streamer.sandbox.server import Sandbox, SandboxOptions
from streamer.sandbox.world import World, WorldOptions
from streamer.source.changes import interpret
from streamer.source.told import Told

START_MS = 1_790_000_000_000


def told(seed: int, seconds: int) -> list[Told]:
    """All that the streams of the sandbox say to the source in so many seconds."""
    world, feed = World(WorldOptions(seed, pages_per_wiki=30), START_MS), Feed()
    hire(world, START_MS, 2.0)
    for emission in world.advance(START_MS + seconds * 1000):
        feed.append(emission.data_centre, emission.stream, emission.time_ms, emission.event)
    rules = Rules.of(Settings(admit=AdmitSettings(wikis=("*sandbox",))))
    return [interpret(entry.data, rules) for entry in feed.read(0, feed.end)]


def test_the_source_understands_every_event() -> None:
    """Nothing is dropped but canaries and what another stream owns; every kind of change comes."""
    heard = told(21, 300)
    dropped = Counter(one.dropped for one in heard)
    assert set(dropped) <= {"", "canary", "categorize", "other_owner", "log_ignored", "no_signal"}, dropped
    assert dropped["canary"] >= len(STREAMS) * 2
    changes = [record for one in heard for record in one.records if isinstance(record, Change)]
    kinds = Counter(change.kind for change in changes)
    assert set(kinds) == {"create", "edit", "move", "delete", "restore", "visibility", "refresh"}
    assert any(change.suppressed or (change.visibility and not change.visibility.text) for change in changes)
    assert any(change.cause == "redirect" for change in changes)
    hints = [record for one in heard for record in one.records if isinstance(record, Hint)]
    assert any(hint.reverted_newest for hint in hints)
    assert any(hint.tags and "mw-reverted" in hint.tags for hint in hints)
    assert any(hint.scores for hint in hints)


async def test_the_origin_finds_what_the_events_name() -> None:
    """By revision and by title, with the digest that page_change gave and the wiki's own licence."""
    async with Sandbox(SandboxOptions(seed=3, edits_per_s=0, pages_per_wiki=10)) as sandbox:
        mediawiki = MediaWikiSettings(
            hosts=("*.sandbox.example",), endpoint=sandbox.endpoint, requests_per_minute=6_000
        )
        settings = Settings(mediawiki=mediawiki)
        assert sandbox.world
        async with Origin(settings, Clock()) as origin:
            for wiki in sandbox.world.wikis.values():
                for page in list(wiki.pages.values())[:3]:
                    answer = await origin.revision(
                        wiki.site.wiki, wiki.site.server_name, page.current.identifier
                    )
                    assert isinstance(answer, Found)
                    assert answer.revision.content == page.current.text
                    assert answer.revision.sha1 == page.current.sha1
                    assert answer.page.title == page.title
                    assert answer.site.licence_url == wiki.site.licence_url
                    assert answer.site.direction == ("rtl" if wiki.site.rtl else "ltr")
                    by_title = await origin.title(wiki.site.wiki, wiki.site.server_name, page.title)
                    assert isinstance(by_title, Found)
                    assert by_title.page.page_id == page.identifier
        assert json.dumps(sandbox.state())
