"""What holds of the sandbox whatever the numbers."""

from collections import Counter
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from streamer.sandbox.feed import Cursor, Feed, resume
from streamer.sandbox.languages import NAMESPACES
from streamer.sandbox.pages import Deed, Site, User
from streamer.sandbox.params import Params
from streamer.sandbox.query import Conditions, query
from streamer.sandbox.wiki import Wiki

STREAM = "recentchange"
TOPIC = "eqiad.mediawiki.recentchange"
SITE = Site("tsandbox", "t.example", "T", "en", False, "L", "https://l.example/", NAMESPACES)


def followed(feed: Feed, last_event_id: str) -> list[int]:
    cursor = Cursor([STREAM], resume(feed, last_event_id), feed.end)
    return [entry.sequence for _, entry in cursor.take(feed.read(cursor.sequence, 1000))]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.data())
def test_a_resume_skips_within_the_millisecond_a_rewind_does_not(
    steps: list[int], data: st.DataObject
) -> None:
    """By its own id the rest of the last event's millisecond is lost; a millisecond earlier nothing is."""
    feed, now_ms = Feed(), 1_000
    times = []
    for step in steps:
        now_ms += step
        times.append(now_ms)
        feed.append("eqiad", STREAM, now_ms, {"meta": {}})
    last = data.draw(st.integers(0, len(times) - 1))
    cursor = Cursor([STREAM], {TOPIC: 0}, feed.end)
    identifier = cursor.take(feed.read(0, last + 1))[-1][0].decode()
    assert followed(feed, identifier) == [at for at, time_ms in enumerate(times) if time_ms > times[last]]
    entries = orjson.loads(identifier)
    entries[0]["timestamp"] -= 1
    rewound = followed(feed, orjson.dumps(entries).decode())
    assert rewound == [at for at, time_ms in enumerate(times) if time_ms >= times[last]]


@given(
    sizes=st.lists(st.lists(st.integers(0, 3_000), min_size=1, max_size=4), min_size=1, max_size=8),
    limit=st.integers(1, 6_000),
)
def test_continuation_tells_every_revision_once(sizes: list[list[int]], limit: int) -> None:
    """However small the limit: until `batchcomplete` each comes exactly once, with its text."""
    wiki = Wiki(SITE, "#REDIRECT")
    user = User("U", 1)
    for number, revisions in enumerate(sizes):
        page = wiki.create(f"P{number}", "x" * revisions[0], Deed(user, "", 1_000))
        for size in revisions[1:]:
            wiki.edit(page, "y" * size, Deed(user, "", 2_000))
    wanted = [one.identifier for page in wiki.pages.values() for one in page.revisions]
    seen: Counter[int] = Counter()
    follow: dict[str, str] = {}
    for _ in range(len(wanted) + 1):
        params = {"prop": "revisions|info", "rvprop": "ids|content", "rvslots": "main", **follow}
        params["revids"] = "|".join(str(number) for number in wanted)
        body: Any = query(wiki, Params(params), Conditions(10_000, max_result_bytes=limit))
        for page in body["query"]["pages"]:
            for revision in page.get("revisions", []):
                seen[revision["revid"]] += 1
                assert "content" in revision["slots"]["main"]
        if body.get("batchcomplete"):
            break
        follow = {key: str(value) for key, value in body["continue"].items()}
    assert seen == Counter(wanted)
