"""The streams' memory: ids, resuming and their defects, as production has them."""

import json
from typing import Any

import pytest

from streamer.sandbox.feed import BadId, Cursor, Feed, frame, resume, since

EQIAD = "eqiad.mediawiki.recentchange"
CODFW = "codfw.mediawiki.recentchange"


def event(name: str) -> dict[str, object]:
    return {"name": name, "meta": {}}


def filled(*times_ms: int, data_centre: str = "eqiad", coarse_ms: int = 1, capacity: int = 100) -> Feed:
    feed = Feed(coarse_ms=coarse_ms, capacity=capacity)
    for number, time_ms in enumerate(times_ms):
        feed.append(data_centre, "recentchange", time_ms, event(f"e{number}"))
    return feed


def names(feed: Feed, starts: dict[str, int], streams: tuple[str, ...] = ("recentchange",)) -> list[str]:
    cursor = Cursor(streams, starts, feed.end)
    return [json.loads(entry.data)["name"] for _, entry in cursor.take(feed.read(cursor.sequence, 100))]


def ids(feed: Feed, starts: dict[str, int]) -> list[Any]:
    cursor = Cursor(("recentchange",), starts, feed.end)
    return [json.loads(identifier) for identifier, _ in cursor.take(feed.read(cursor.sequence, 100))]


def test_an_id_is_the_time_plus_one_ms_and_minus_one_for_what_was_not_seen() -> None:
    """An entry per topic of both data centres; unseen ones say `offset: -1`."""
    feed = filled(1000, 2000)
    assert ids(feed, since(feed, ["recentchange"], 0)) == [
        [
            {"topic": EQIAD, "partition": 0, "timestamp": at + 1},
            {"topic": CODFW, "partition": 0, "offset": -1},
        ]
        for at in (1000, 2000)
    ]


def test_resuming_by_an_id_skips_what_shares_its_millisecond() -> None:
    """Production's defect, which a client must cope with: three at 1000 ms, the id of the first skips two."""
    feed = filled(1000, 1000, 1000, 1001)
    first = json.dumps(ids(feed, since(feed, ["recentchange"], 0))[0])
    assert names(feed, resume(feed, first)) == ["e3"]


def test_coarse_times_share_an_id() -> None:
    """With whole seconds, as in older data, a second of events has one id."""
    feed = filled(1000, 1400, 1999, 2000, coarse_ms=1000)
    assert [entry[0]["timestamp"] for entry in ids(feed, since(feed, ["recentchange"], 0))] == [1001] * 3 + [
        2001
    ]


def test_offset_minus_one_means_the_end_as_of_now() -> None:
    """What the other data centre produced meanwhile is lost."""
    feed = filled(1000, 2000, data_centre="codfw")
    last = json.dumps([{"topic": CODFW, "partition": 0, "offset": -1}])
    assert names(feed, resume(feed, last)) == []


def test_a_time_for_every_topic_makes_a_switchover_lossless() -> None:
    """Entries of the form timestamp find what either data centre has."""
    feed = filled(1000, 2000)
    feed.append("codfw", "recentchange", 3000, event("there"))
    last = json.dumps([{"topic": topic, "partition": 0, "timestamp": 1500} for topic in (EQIAD, CODFW)])
    assert names(feed, resume(feed, last)) == ["e1", "there"]


def test_beyond_retention_it_starts_at_the_earliest_without_a_word() -> None:
    """No error tells that events are gone."""
    feed = filled(1000, 2000, 3000, 4000, capacity=2)
    last = json.dumps([{"topic": EQIAD, "partition": 0, "timestamp": 1}])
    assert names(feed, resume(feed, last)) == ["e2", "e3"]


def test_only_the_asked_streams_come() -> None:
    """Several streams share one feed; a connection sees its own."""
    feed = filled(1000)
    feed.append("eqiad", "mediawiki.page_change.v1", 1000, event("other"))
    assert names(feed, since(feed, ["recentchange"], 0)) == ["e0"]
    both = ("recentchange", "mediawiki.page_change.v1")
    assert names(feed, since(feed, both, 0), both) == ["e0", "other"]


@pytest.mark.parametrize(
    "last",
    [
        "",
        "x",
        "{}",
        "[1]",
        '[{"topic":"t"}]',
        '[{"topic":"t","partition":0}]',
        '[{"partition":0,"offset":1}]',
    ],
)
def test_a_bad_id_is_refused(last: str) -> None:
    """It becomes status 400."""
    with pytest.raises(BadId):
        resume(filled(1), last)


def test_meta_says_topic_offset_and_time() -> None:
    """Offsets grow by one within a topic and have nothing to do with those of another."""
    feed = filled(1234, 1235)
    feed.append("codfw", "recentchange", 1236, event("there"))
    metas = [json.loads(entry.data)["meta"] for entry in feed.read(0, 10)]
    assert metas[0]["dt"] == "1970-01-01T00:00:01.234Z"
    assert metas[0]["stream"] == "mediawiki.recentchange"
    assert [meta["topic"] for meta in metas] == [EQIAD, EQIAD, CODFW]
    assert metas[1]["offset"] == metas[0]["offset"] + 1
    assert metas[2]["offset"] not in (metas[1]["offset"], metas[1]["offset"] + 1)


def test_a_frame_looks_as_upstream_writes_it() -> None:
    """event, id, data, LF only."""
    assert frame(b"[]", b"{}") == b"event: message\nid: []\ndata: {}\n\n"
