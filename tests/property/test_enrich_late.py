"""`late`, sequences and cut-offs, however edits of some pages are interleaved, batched and restarted."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streamer.cutoffs import Cutoffs
from streamer.enrich.commit import Batch, Finished, Memory
from streamer.enrich.memory import Removal
from streamer.enrich.outcome import Answered, Removed, Work
from streamer.enrich.readback import recall
from streamer.log.base import Record, Stored
from streamer.model import Change, Topics
from streamer.origin.answer import Found, PageAnswer, RevisionAnswer, SiteInfo

SITE = SiteInfo(
    "w", "w.example.org", "W", "en", "ltr", {0: ""}, "", "", "/wiki/$1", "/w", "https://w.example.org", 0
)


def work(number: int, page: int, revision: int, kind: Any = "edit") -> Work:
    change = Change(
        identifier=f"id{number}", kind=kind, wiki="w", server_name="w.example.org", title=f"T{page}",
        namespace=0, edited_ms=1_000, upstream_ms=1_000,
        revision=revision if kind == "edit" else 0, page_id=page,
    )  # fmt: skip
    made = Work(number, change, number)
    if kind == "delete":
        made.outcome = Removed((page,))
        return made
    made.outcome = Answered(
        Found(
            SITE,
            PageAnswer(page, 0, f"T{page}", revision),
            RevisionAnswer(revision, revision - 1, 1_000, minor=False, size=1, sha1="", content="x"),
            0,
        )
    )
    return made


def stored(record: Record, offset: int) -> Stored:
    return Stored(record.topic, record.partition, offset, 0, record.key, record.value, record.headers)


EVENTS = st.lists(
    st.tuples(
        st.integers(1, 3), st.integers(1, 8), st.sampled_from(["edit", "edit", "edit", "refresh", "delete"])
    ),
    max_size=40,
)


@given(EVENTS, st.lists(st.integers(1, 5), max_size=40), st.lists(st.booleans(), max_size=40))
def test_the_newest_record_of_a_page_states_it_as_it_is(
    events: list[tuple[int, int, Any]], sizes: list[int], restarts: list[bool]
) -> None:
    """Edits that come after a newer revision are late, have their own key and a tombstone; all others carry
    the page's key. A refresh that was overtaken is superseded.
    Sequences only grow. Batches and restarts (memory read back from the log) change nothing, nor does a clock
    that stands still.
    """
    works = [work(i + 1, *event) for i, event in enumerate(events)]
    memory, last, counts = Memory(), 0, dict[str, int]()
    log: list[Record] = []
    left = list(works)
    while left:
        if restarts and restarts.pop():
            memory = Memory()
            for offset, record in enumerate(log):
                if record.topic == "wiki.articles.v1":
                    recall(stored(record, offset), memory)
        batch = Batch(memory, Topics(), 10, last_sequence=last, counts=counts, now_us=1_000_000)
        for _ in range(sizes.pop() if sizes else 3):
            if left:
                taken = left.pop(0)
                if taken.change.kind == "delete":
                    memory.removals.resolved("w", taken.change.page_id, Removal(taken.read_no, 0))
                batch.add(Finished(taken))
        log += batch.records
        last, counts = batch.last_sequence, batch.counts
        batch.committed()

    newest: dict[int, int] = {}
    told: list[tuple[int, int, Any]] = []
    for page, revision, kind in events:
        if kind == "refresh" and revision < newest.get(page, 0):
            continue
        told.append((page, revision, kind))
        newest[page] = 0 if kind == "delete" else max(revision, newest.get(page, 0))
    if works:
        assert counts["admitted"] == len(works)
        assert (counts["published"], counts["superseded"]) == (len(told), len(works) - len(told))
    events = told
    articles = [r for r in log if r.topic == "wiki.articles.v1" and r.value is not None]
    sequences = [msgspec.json.decode(r.value or b"")["event"]["sequence"] for r in articles]
    assert sequences == sorted(set(sequences))
    known: dict[int, int] = {}
    for (page, revision, kind), record in zip(events, articles, strict=True):
        late = kind == "edit" and revision < known.get(page, 0)
        assert record.key == (f"w:{page}/{revision}" if late else f"w:{page}")
        if not late:
            assert kind == "delete" or revision >= known.get(page, 0)
            known[page] = 0 if kind == "delete" else revision
    tombstones = [r.key for r in log if r.value is None]
    assert tombstones == [r.key for r in articles if "/" in r.key]
    cutoffs = Cutoffs()
    for offset, record in enumerate(log):
        if record.topic == "wiki.withdrawals.v1":
            cutoffs.apply(stored(record, offset))
    for index, ((page, revision, kind), record) in enumerate(zip(events, articles, strict=True)):
        deleted_later = any(p == page and k == "delete" for p, _, k in events[index + 1 :])
        hidden = cutoffs.hidden(record.key, revision if kind != "delete" else 0, sequences[index])
        assert ("text" in hidden) == deleted_later
