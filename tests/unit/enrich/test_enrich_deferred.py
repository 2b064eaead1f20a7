"""Deferred letters replay by themselves, once each, when their wiki answers: over the real embedded log."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from streamer.deadletters import GROUP, Filter, read_all
from streamer.enrich.stage import run_enrich
from streamer.errors import HostNotAllowed, OriginUnavailable
from streamer.log.base import Bounds, Record, Stored, TopicPartition, partition_of
from streamer.log.local import LocalLog
from streamer.metrics import COMMITTED, DEFERRED_WAITING, DISCARDED, RECEIVED
from streamer.model import Change, DeadLetter, encode_value
from streamer.plan import Plan

Make = Callable[..., Any]
SERVER = "test.example.org"
SILENT = OriginUnavailable("timeout")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer.enrich.deferred.PROBE_FIRST_S", 0.05)
    monkeypatch.setattr("streamer.enrich.deferred.LOOK_S", 0.02)
    monkeypatch.setattr("streamer.enrich.deferred.IDLE_COMMIT_S", 0.1)


@asynccontextmanager
async def running(bench: Any, wikis: Any) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_enrich(bench.runtime, wikis, lambda: Plan(text=False)))
        yield
        bench.runtime.draining.set()
    bench.restarted()


async def killed(bench: Any, wikis: Any, until: Callable[[], Any]) -> None:
    """enrich, cancelled at an instant: as near to kill -9 as one process gets."""
    task = asyncio.create_task(run_enrich(bench.runtime, wikis, lambda: Plan(text=False)))
    try:
        await bench.until(until)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    bench.restarted()


async def put(bench: Any, *changes: Change, code: str = "deferred") -> None:
    """Letters as a commit of enrich leaves them."""
    await bench.runtime.log.append(
        [
            Record(
                bench.topics.deadletter,
                partition_of(change.wiki, 10),
                change.wiki,
                encode_value(DeadLetter(change, "enrich", code, 5, 3_000_000)),
            )
            for change in changes
        ]
    )


async def replays(bench: Any) -> list[dict[str, Any]]:
    records: list[Stored] = await bench.read(bench.topics.changes)
    return [msgspec.json.decode(r.value or b"", type=dict[str, Any]) for r in records]


async def test_they_wait_while_their_wiki_is_silent_and_go_when_it_answers(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """One wiki is silent, the other answers: its letters go, those of the first wait, are counted as waiting,
    and go once a probe is answered. Letters of other codes are nobody's business here.
    """
    other = {"wiki": "otherwiki", "server_name": "other.example.org"}
    wikis.script(("probe", SERVER), SILENT)
    for revision in range(1, 9):
        wiki = "testwiki" if revision < 5 else "otherwiki"
        wikis.script(("revision", revision), found(revision, revision, wiki=wiki))
    await put(bench, *(change("edit", r, f"T{r}") for r in range(1, 5)))
    await put(bench, *(change("edit", r, f"T{r}", **other) for r in range(5, 9)))
    await put(bench, change("edit", 99), code="textmissing")
    async with running(bench, wikis):
        await bench.until_admitted(4)
        assert {c["wiki"] for c in await replays(bench)} == {"otherwiki"}
        waiting = DEFERRED_WAITING.labels(str(partition_of("testwiki", 10)))
        assert waiting._value.get() == 4
        wikis.script(("probe", SERVER), None)
        counts = await bench.until_admitted(8)
        await bench.until(lambda: waiting._value.get() == 0)
    assert counts["published"] == 8
    made = await replays(bench)
    assert len(made) == 8
    assert {(c["kind"], c["cause"]) for c in made} == {("refresh", "replay")}
    assert COMMITTED.totals("deferred") == {"replayed": 8}
    assert COMMITTED.totals("replay") == {"admitted": 8}
    letters, status = await read_all(bench.runtime.log, bench.topics.deadletter, Filter().compiled())
    assert not any(status.waits(each) for each in letters)
    assert {each.body.code: status.times(each) for each in letters if each.body} == {
        "deferred": 1,
        "textmissing": 0,
    }


async def test_a_silent_wiki_is_not_probed_all_the_time(bench: Any, wikis: Any, change: Make) -> None:
    """Ever more seldom, and once a probe however many letters it has."""
    wikis.script(("probe", SERVER), SILENT)
    wikis.failing_since = 0.0
    await put(bench, *(change("edit", r) for r in range(1, 300)))
    async with running(bench, wikis):
        await bench.until(lambda: wikis.asked.count(("probe", SERVER)) >= 4)
        await asyncio.sleep(0.3)
    assert wikis.asked.count(("probe", SERVER)) <= 5
    assert set(wikis.asked) == {("probe", SERVER)}
    assert await replays(bench) == []


async def test_servers_that_never_answer_keep_nobody_from_being_asked(
    bench: Any, wikis: Any, change: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Probes that take longer than the pause between two of one server: each server has its turn."""
    monkeypatch.setattr("streamer.enrich.deferred.PROBE_MOST_S", 0.01)
    monkeypatch.setattr("streamer.enrich.deferred.PROBE_FIRST_S", 0.01)
    servers = [f"s{number}.example.org" for number in range(5)]
    wikis.failing_since = 0.0

    async def slow(_wiki: str, server: str, /) -> None:
        await asyncio.sleep(0.03)
        wikis.asked.append(("probe", server))
        raise SILENT

    monkeypatch.setattr(wikis, "probe", slow)
    await put(bench, *(change("edit", n, server_name=server) for n, server in enumerate(servers, 1)))
    async with running(bench, wikis):
        await bench.until(lambda: {server for _, server in wikis.asked} == set(servers), deadline_s=5)


async def test_live_changes_that_are_answered_bring_the_probe_at_once(
    bench: Any, wikis: Any, change: Make, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour's pause ends when the wiki is heard."""
    monkeypatch.setattr("streamer.enrich.deferred.PROBE_MOST_S", 3600.0)
    wikis.script(("probe", SERVER), SILENT)
    wikis.script(("revision", 1), found(1, 1))
    wikis.failing_since = 0.0
    await put(bench, change("edit", 1))
    async with running(bench, wikis):
        await bench.until(lambda: wikis.asked.count(("probe", SERVER)) >= 3)
        wikis.script(("probe", SERVER), None)
        wikis.failing_since = None
        await bench.until_admitted(1)


async def test_a_host_that_may_not_be_asked_any_more_holds_nothing(
    bench: Any, wikis: Any, change: Make
) -> None:
    """Each of its letters is told so: a letter of another code, which an operator sees."""
    wikis.script(("probe", "gone.example.com"), HostNotAllowed("not in mediawiki.hosts"))
    wikis.failing_since = 0.0
    await put(bench, change("edit", 1, server_name="gone.example.com"))
    async with running(bench, wikis):
        counts = await bench.until_admitted(1)
    assert counts["deadletter"] == 1
    codes = [msgspec.json.decode(r.value)["code"] for r in await bench.read(bench.topics.deadletter)]
    assert codes == ["deferred", "host_not_allowed"]


async def test_only_so_many_are_under_way(bench: Any, wikis: Any, change: Make, found: Make) -> None:
    """The next go when those before are finished, so that live changes find room between them."""
    for revision in range(1, 501):
        wikis.script(("revision", revision), found(revision, revision))
        wikis.hold(("revision", revision))
    await put(bench, *(change("edit", r, f"T{r}") for r in range(1, 501)))
    async with running(bench, wikis):
        await bench.until(lambda: len(wikis.asked) >= 201)
        await asyncio.sleep(0.3)
        assert len(await replays(bench)) == 200
        for revision in range(1, 501):
            wikis.go(("revision", revision))
        counts = await bench.until_admitted(500)
    assert counts["published"] == 500


async def test_a_wiki_that_falls_silent_again_is_waited_for_again(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """What was appended is deferred anew, as letters of its own; the rest is not sent into the silence."""

    def fall_silent() -> OriginUnavailable:
        """With its first failure, as a wiki does: what fails before that is the change's own fault."""
        if wikis.failing_since is None:
            wikis.failing_since = bench.runtime.clock.monotonic_s()
            wikis.script(("probe", SERVER), SILENT)
        return SILENT

    for revision in range(1, 301):
        wikis.script(("revision", revision), fall_silent)
    await put(bench, *(change("edit", r, f"T{r}") for r in range(1, 301)))

    async with running(bench, wikis):

        async def deferred_again() -> bool:
            appended = len(await replays(bench))
            return appended > 0 and len(await bench.read(bench.topics.deadletter)) == 300 + appended

        await bench.until(deferred_again)
        appended = len(await replays(bench))
        assert appended <= 200
        await asyncio.sleep(0.3)
        assert len(await replays(bench)) == appended
        for revision in range(1, 301):
            wikis.script(("revision", revision), found(revision, revision))
        wikis.failing_since = None
        wikis.script(("probe", SERVER), None)
        counts = await bench.until_admitted(300 + appended)
    assert counts["published"] == 300
    assert counts["deadletter"] == appended
    out = [r.header("ce_id") for r in await bench.read(bench.topics.articles)]
    assert len(set(out)) == 300


async def test_killed_at_random_each_replays_once(
    bench: Any, wikis: Any, change: Make, found: Make, rng: random.Random
) -> None:
    """Three wikis, one of them silent for most of the time: across kills no letter is forgotten and none
    replays twice.
    """
    changes = []
    for number in range(1, 901):
        name = f"w{rng.randrange(3)}"
        wikis.script(("revision", number), found(number, number, wiki=f"{name}wiki"))
        changes.append(
            change("edit", number, f"T{number}", wiki=f"{name}wiki", server_name=f"{name}.example.org")
        )
    wikis.script(("probe", "w0.example.org"), SILENT)
    await put(bench, *changes[:600])
    silent = sum(c.wiki == "w0wiki" for c in changes)
    bound = 0
    for kill in range(6):
        bound += rng.randrange(20, 80)

        async def reached(bound: int = bound) -> bool:
            return len(await replays(bench)) >= bound

        await killed(bench, wikis, reached)
        if kill == 3:
            await put(bench, *changes[600:])
    async with running(bench, wikis):
        await bench.until_admitted(900 - silent)
        wikis.script(("probe", "w0.example.org"), None)
        await bench.until_admitted(900)
    made = [c["identifier"] for c in await replays(bench)]
    assert len(made) == len(set(made)) == 900
    for partition, position in (
        (tp.partition, at) for tp, at in (await bench.runtime.log.committed(GROUP)).items()
    ):
        end = (await bench.runtime.log.bounds(TopicPartition(bench.topics.deadletter, partition))).end
        assert (position.next, position.state["silent"]) == (end, {})


async def test_more_silent_wikis_than_a_position_holds(
    bench: Any, wikis: Any, change: Make, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lane stops reading there, forgets nothing, and goes on when one of them answers."""
    monkeypatch.setattr("streamer.enrich.deferred.SILENT_CHARS", 130)
    names = [f"s{number}.example.org" for number in range(5)]
    for number, name in enumerate(names, 1):
        wikis.script(("probe", name), SILENT)
        wikis.script(("revision", number), found(number, number))
    wikis.failing_since = 0.0
    await put(bench, *(change("edit", n, f"T{n}", server_name=name) for n, name in enumerate(names, 1)))
    async with running(bench, wikis):
        await bench.until(lambda: {("probe", name) for name in names[:3]} <= set(wikis.asked))
        await asyncio.sleep(0.2)
        assert {name for _, name in wikis.asked} == set(names[:3])
        for name in names:
            wikis.script(("probe", name), None)
        await bench.until_admitted(5)
    assert len(await replays(bench)) == 5


async def test_letters_that_expire_are_lost_and_counted(
    bench: Any, wikis: Any, change: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a wiki that never answered as soon as retention has taken them; the sum of the stage holds."""
    monkeypatch.setattr("streamer.enrich.deferred.EXPIRED_S", 0.0)
    monkeypatch.setattr("streamer.enrich.letters.STRETCH", 1)
    wikis.script(("probe", SERVER), SILENT)
    tp = TopicPartition(bench.topics.deadletter, partition_of("testwiki", 10))
    earliest = 0

    async def bounds(_: LocalLog, asked: TopicPartition) -> Bounds:
        there = await told(bench.runtime.log, asked)
        return Bounds(earliest, there.end) if asked == tp else there

    told = LocalLog.bounds
    monkeypatch.setattr(LocalLog, "bounds", bounds)
    lost = DISCARDED.labels("enrich", "expired", "false")._value
    taken = RECEIVED.labels("enrich")._value
    before, received_before = lost.get(), taken.get()
    await put(bench, *(change("edit", r, f"T{r}") for r in range(1, 6)))
    async with running(bench, wikis):
        waiting = DEFERRED_WAITING.labels(str(tp.partition))
        await bench.until(lambda: waiting._value.get() == 5)
        earliest = 3
        await bench.until(lambda: lost.get() == before + 3)
        await bench.until(lambda: waiting._value.get() == 2)
    assert taken.get() == received_before + 3
