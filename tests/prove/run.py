"""One run: a wiki, a service, three partners; deeds, kills and cuts; then silence, and the verdicts."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import msgspec
from harness.service import free_port

from prove.cutting import Hop
from prove.fleet import Deaths, Fleet
from prove.judge import Cutoff, Logged, Verdict, doubled, judge, out_of_order
from prove.mirror import Mirror, event_of, mirror_of
from prove.partners import Partner, partners_for, write_partners
from prove.readers import Reader, Receipt, WithAiohttp, WithCurl, WithSseclient
from prove.told import Told, told_by
from prove.wiki import Json, Wiki
from streamer.log.base import Stored, TopicPartition
from streamer.log.local import LocalLog
from streamer.log.position import Position
from streamer.model import Topics, is_tick

START_S: Final = 120.0
STILL_S: Final = 2.0
"""Nothing more came from upstream for so long after the last deed: its slowest stream takes 0.9 s."""
TELL_EVERY_S: Final = 10.0
CUT_BYTES: Final = 6_000
"""A cut comes within so many bytes: in the midst of a frame, mostly."""
UPSTREAM: Final = 0.03
"""Deeds after which the wikis' stream is cut, reset or silenced."""
OUTCOMES: Final = ("published", "gone", "superseded", "deadletter")
FULL: Final = 300
"""Changes from which on a run must have killed, and each kind of deed must be among them."""
PATH: Final = "/v2/articles"
TOPICS: Final = Topics()


@dataclass(frozen=True, slots=True)
class Plan:
    """`kills`: so many at least; deeds go on until both are reached."""

    seed: int
    apart: bool
    changes: int = 500
    kills: int = 0
    kills_every_s: float = 2.0
    cuts: int = 20
    deeds_per_s: float = 6.0
    settle_s: float = 90.0
    """For the whole path to end after the last deed."""


@dataclass(frozen=True, slots=True)
class Positions:
    """Every count, as the log has committed it."""

    source: Counter[str]
    enrich: Counter[str]
    partners: dict[str, Counter[str]]


@dataclass(frozen=True, slots=True)
class Outcome:
    plan: Plan
    deeds: Counter[str]
    deaths: Deaths
    cuts: dict[str, int]
    connections: dict[str, int]
    verdicts: Sequence[Verdict]
    sums: Positions
    faults: Sequence[str]
    """What is wrong beyond a partner's verdict, in words."""
    requests: int
    freshness_s: Sequence[float]
    """From the telling of the stream to the receipt; of the partner that sees all, sorted."""
    took_s: float
    evidence: "Evidence"

    @property
    def is_right(self) -> bool:
        return not self.faults and all(verdict.is_right for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the verdicts were found on: another look may be taken at it."""

    partners: Sequence[Partner]
    received: dict[str, Sequence[Json]]
    logged: Logged
    before: Mirror
    truth: Mirror

    def verdicts(self) -> list[Verdict]:
        return [
            judge(partner, self.received[partner.name], self.logged, before=self.before, truth=self.truth)
            for partner in self.partners
        ]


def nobody(_: str) -> None:
    """Listens to how a run gets on."""


async def prove(wiki: Wiki, folder: Path, plan: Plan, *, tell: Callable[[str], None] = nobody) -> Outcome:
    """`tell` hears how it gets on.

    Raises TimeoutError where the service never began, Broken where a process of it ended by itself.
    """
    began_s = time.monotonic()
    rng = Random(plan.seed)
    partners = partners_for(wiki.wikis)
    write_partners(folder / "partners.toml", partners)
    port, log_path = free_port(), folder / "streamer.db"
    before, told_before = await wiki.truth(), len(wiki.events())
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(LocalLog(log_path, clean_every_s=3600))
        fleet = await stack.enter_async_context(Fleet(folder, _config(wiki, folder, port), apart=plan.apart))
        async with asyncio.timeout(START_S):
            await _begun(log, fleet, wiki, rng, partners)
        hops = {partner.name: await stack.enter_async_context(Hop(port)) for partner in partners}
        readers = _readers(partners, hops)
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(reader.run()) for reader in readers.values()]
            background.append(tending := group.create_task(fleet.tend()))
            killing = group.create_task(fleet.kill_in_turn(Random(rng.random()), plan.kills_every_s))
            await _act(wiki, fleet, hops, plan, rng=rng, tell=tell)
            killing.cancel()
            await fleet.disarm()
            await _all_cut(hops)
            tell("the last change is made")
            truth = await _settled(log, wiki, readers, plan.settle_s)
            requests = wiki.requests
            tending.cancel()
            faults = await fleet.drain()
            for task in background:
                task.cancel()
        logged = await read_log(log)
        sums = await _positions(log, partners)
    told = told_by(wiki.events()[told_before:])
    evidence = Evidence(
        partners,
        {name: [receipt.article for receipt in reader.received] for name, reader in readers.items()},
        logged,
        before,
        truth,
    )
    return Outcome(
        plan=plan,
        deeds=wiki.done,
        deaths=fleet.deaths,
        cuts={name: hop.cuts for name, hop in hops.items()},
        connections={name: hop.answered for name, hop in hops.items()},
        verdicts=evidence.verdicts(),
        sums=sums,
        faults=[
            *faults,
            *unproven(plan, wiki.undone, fleet.deaths.total),
            *unequal(sums, logged),
            *told.wrongs(logged.admitted),
        ],
        requests=requests,
        freshness_s=_ages_s(readers[partners[0].name].received, told),
        took_s=time.monotonic() - began_s,
        evidence=evidence,
    )


def _config(wiki: Wiki, folder: Path, port: int) -> str:
    hosts = ", ".join(f'"{host}"' for host in wiki.allowed_hosts)
    return f"""
[source]
url = "{wiki.stream_url}"
[mediawiki]
endpoint = "{wiki.endpoint}"
hosts = [{hosts}]
requests_per_minute = 6000
timeout_s = 10.0
missing_retry_s = 0.5
[log]
path = "{folder / "streamer.db"}"
[deliver]
port = {port}
admin_port = 0
heartbeat_s = 1
[partners]
file = "{folder / "partners.toml"}"
"""


def _readers(partners: Sequence[Partner], hops: dict[str, Hop]) -> dict[str, Reader]:
    everything, articles, nameless = partners

    def url(partner: Partner) -> str:
        return f"http://127.0.0.1:{hops[partner.name].port}{PATH}"

    return {
        everything.name: WithSseclient("127.0.0.1", hops[everything.name].port, PATH, everything.key),
        articles.name: WithCurl(url(articles), articles.key),
        nameless.name: WithAiohttp(url(nameless), nameless.key),
    }


async def _begun(log: LocalLog, fleet: Fleet, wiki: Wiki, rng: Random, partners: Sequence[Partner]) -> None:
    """Source and partners begin live: whoever kills them before that is durable moves the beginning, which is
    no loss. The source's is durable with its first commit, so there must be something to commit.
    """
    await fleet.serving("source").event("connected to the stream")
    topic = await log.topic(TOPICS.changes)
    assert topic
    while len(await log.committed("route")) < len(partners) * topic.partitions:
        await asyncio.sleep(0.05)
    while not await log.committed("source"):
        await wiki.deed(rng)
        await asyncio.sleep(0.1)


async def _act(
    wiki: Wiki,
    fleet: Fleet,
    hops: Mapping[str, Hop],
    plan: Plan,
    *,
    rng: Random,
    tell: Callable[[str], None],
) -> None:
    """Deeds, and in their midst the cuts."""
    cuts, told_s = 0, time.monotonic()
    while wiki.done.total() < plan.changes or fleet.deaths.total < plan.kills:
        await wiki.deed(rng)
        done = wiki.done.total() / plan.changes
        while cuts < plan.cuts and (cuts + 0.5) / plan.cuts <= done:
            cuts += 1
            for hop in hops.values():
                hop.cut_after(rng.randrange(CUT_BYTES), abort=rng.random() < 0.5)
        if rng.random() < UPSTREAM:
            if rng.random() < 0.25:
                wiki.silence(rng.uniform(0.5, 2.0))
            else:
                wiki.cut(abort=rng.random() < 0.5)
        if time.monotonic() - told_s >= TELL_EVERY_S:
            told_s = time.monotonic()
            tell(f"{wiki.done.total()} of {plan.changes} changes, {fleet.deaths.total} kills, {cuts} cuts")
        await asyncio.sleep(rng.uniform(0, 2 / plan.deeds_per_s))
    for hop in hops.values():
        hop.hasten()


async def _all_cut(hops: dict[str, Hop]) -> None:
    """Heartbeats pass each second, so that the last cuts have something to cut."""
    async with asyncio.timeout(START_S):
        while any(hop.is_waiting for hop in hops.values()):
            await asyncio.sleep(0.05)


async def _settled(log: LocalLog, wiki: Wiki, readers: dict[str, Reader], within_s: float) -> Mirror:
    """The wikis' state, once everything that was done has come out at the far end; or when `within_s` has
    passed, for the verdicts to say what did not.
    """
    truth = await wiki.truth()
    everything = next(iter(readers.values()))
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    admitted, still_s = -1, loop.time()
    while loop.time() < deadline_s:
        now = (await _positions(log, ())).source["admitted"]
        ends = await _ends(log)
        if now != admitted or not await _caught_up(log, ends, readers):
            admitted, still_s = now, loop.time()
        elif loop.time() - still_s >= STILL_S and _holds(everything, truth):
            return truth
        await asyncio.sleep(0.1)
    return truth


def _holds(reader: Reader, truth: Mirror) -> bool:
    held = mirror_of(receipt.article for receipt in list(reader.received))
    return all(
        state == truth.get(page) or (state.deleted and page not in truth) for page, state in held.items()
    )


async def _ends(log: LocalLog) -> dict[TopicPartition, int]:
    return {
        TopicPartition(topic.name, number): bounds.end
        for topic in await log.topics()
        for number, bounds in enumerate(await log.all_bounds(topic.name))
    }


async def _caught_up(log: LocalLog, ends: dict[TopicPartition, int], readers: dict[str, Reader]) -> bool:
    """Each role and each reader has all that stood there at `ends`."""
    enrich, route = await log.committed("enrich"), await log.committed("route")
    for tp, end in ends.items():
        if tp.topic == TOPICS.changes and end and (tp not in enrich or enrich[tp].next < end):
            return False
        if tp.topic == TOPICS.articles and end:
            for name in readers:
                if route[TopicPartition(TOPICS.of_partner(name), tp.partition)].next < end:
                    return False
    return all(
        read_to(reader.last_id).get(tp.partition, 0) >= end
        for name, reader in readers.items()
        for tp, end in ends.items()
        if tp.topic == TOPICS.of_partner(name)
    )


def read_to(position: str) -> dict[int, int]:
    """An id's next offset of each partition; it is opaque to partners, but not to those who wrote it."""
    pairs = position.partition(".")[2].split(",")
    return {int(number): int(offset) for number, _, offset in (pair.partition(":") for pair in pairs if pair)}


# ── what the log holds in the end ──────────────────────────────────────────────────────────────


async def read_log(log: LocalLog) -> Logged:
    articles = [record for record in await _all(log, TOPICS.articles) if record.value and not is_tick(record)]
    dead = [record for record in await _all(log, TOPICS.deadletter) if record.value and not is_tick(record)]
    changes = [json.loads(record.value) for record in await _all(log, TOPICS.changes) if record.value]
    return Logged(
        admitted=[change["identifier"] for change in changes if change.get("record") == "change"],
        articles=[json.loads(record.value or b"") for record in articles],
        cutoffs=[cutoff for record in await _all(log, TOPICS.withdrawals) if (cutoff := _cutoff_of(record))],
        dead_letters=Counter(json.loads(record.value or b"")["code"] for record in dead),
    )


async def _all(log: LocalLog, topic: str) -> list[Stored]:
    bounds = await log.all_bounds(topic)
    starts = {TopicPartition(topic, number): bound.earliest for number, bound in enumerate(bounds)}
    found: list[Stored] = []
    async with log.reader(starts) as reader:
        while any(reader.position(tp) < bounds[tp.partition].end for tp in starts):
            found += await reader.read()
    return found


def _cutoff_of(record: Stored) -> Cutoff | None:
    if record.value is None or is_tick(record):
        return None
    withdrawal = json.loads(record.value)
    if "text" not in withdrawal["hides"]:
        return None
    page, _, revision = record.key.partition("/")
    wiki, _, number = page.rpartition(":")
    return Cutoff((wiki, int(number)), int(revision or 0), withdrawal["sequence"])


async def _positions(log: LocalLog, partners: Sequence[Partner]) -> Positions:
    route = await log.committed("route")
    return Positions(
        _counts((await log.committed("source")).values()),
        _counts((await log.committed("enrich")).values()),
        {
            partner.name: _counts(
                position for tp, position in route.items() if tp.topic == TOPICS.of_partner(partner.name)
            )
            for partner in partners
        },
    )


def _counts(positions: Iterable[Position]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for position in positions:
        counts.update(msgspec.convert(position.state.get("counts", {}), dict[str, int]))
    return counts


def unproven(plan: Plan, undone: Sequence[str], deaths: int) -> list[str]:
    """What a run did not show, however right it was."""
    if plan.changes < FULL:
        return []
    wrong = [f"never done: {', '.join(undone)}"] if undone else []
    return wrong if deaths else [*wrong, "nobody was killed"]


def unequal(sums: Positions, logged: Logged) -> list[str]:
    """Sums that should be equal and are not; what all partners' common log holds twice or out of order."""
    wrong: list[str] = []
    admitted = sums.source["admitted"]
    finished = sum(sums.enrich[outcome] for outcome in OUTCOMES)
    if not admitted == sums.enrich["admitted"] == finished:
        wrong.append(f"admitted {admitted}, taken up {sums.enrich['admitted']}, finished {finished}")
    if len(logged.admitted) != admitted:
        wrong.append(f"admitted {admitted}, in the log {len(logged.admitted)}")
    if len(logged.articles) != sums.enrich["published"]:
        wrong.append(f"published {sums.enrich['published']}, in the log {len(logged.articles)}")
    if logged.dead_letters.total() != sums.enrich["deadletter"]:
        wrong.append(f"dead {sums.enrich['deadletter']}, in the log {logged.dead_letters.total()}")
    for name, counts in sums.partners.items():
        if counts.total() != sums.enrich["published"]:
            wrong.append(f"{name} was routed {counts.total()} of {sums.enrich['published']}: {dict(counts)}")
    wrong += [f"twice in the log: {name}" for name in doubled(logged.articles)]
    wrong += [f"out of order in the log: {name}" for name in out_of_order(logged.articles)]
    return wrong


def _ages_s(receipts: Iterable[Receipt], told: Told) -> list[float]:
    ages_s = (
        receipt.at_s - at_s
        for receipt in receipts
        if (at_s := told.at_s(str(event_of(receipt.article)["identifier"]))) is not None
    )
    return sorted(ages_s)
