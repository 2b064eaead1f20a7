"""One run: a wiki, a service, three partners; deeds, kills and cuts; then silence, and the verdicts."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from harness.cutting import Hop
from harness.service import free_port

from prove.engine import Engine
from prove.fleet import Deaths, Fleet
from prove.harm import KINDS
from prove.judge import SSE, Logged, Verdict, judge
from prove.ledger import Positions, positions_of, read_log, tail, unequal
from prove.mirror import Mirror, event_of, mirror_of
from prove.partners import Partner, partners_for, write_partners
from prove.readers import Reader, Receipt, WithAiohttp, WithCurl, WithSseclient
from prove.told import Told, told_by
from prove.wiki import Json, Wiki
from streamer.errors import LogUnavailable
from streamer.log.base import Log, TopicPartition
from streamer.model import Topics

START_S: Final = 120.0
STILL_S: Final = 2.0
"""Nothing more came from upstream for so long after the last deed: its slowest stream takes 0.9 s."""
TELL_EVERY_S: Final = 10.0
CUT_BYTES: Final = 6_000
"""A cut comes within so many bytes: in the midst of a frame, mostly."""
UPSTREAM: Final = 0.03
"""Deeds after which the wikis' stream is cut, reset or silenced."""
FULL: Final = 300
"""Changes from which on a run must have killed, and each kind of deed must be among them."""
PARTNERS: Final = 3
PATH: Final = "/v2/articles"


@dataclass(frozen=True, slots=True)
class Plan:
    """`kills`: so many at least, one of them at a fault point; deeds go on until both are reached, and the
    harm to a cluster is done.
    """

    seed: int
    changes: int = 500
    kills: int = 0
    kills_every_s: float = 2.0
    cuts: int = 20
    rounds: int = 0
    """Of harm, where the engine has any."""
    harm_every_s: float = 2.0
    deeds_per_s: float = 6.0
    settle_s: float = 120.0
    """For the whole path to end after the last deed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    plan: Plan
    layout: str
    deeds: Counter[str]
    deaths: Deaths
    harm: Counter[str]
    """By kind (prove.harm)."""
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
    got: Mapping[str, Mapping[str, Sequence[Json]]]
    """By client and partner: over its connections (SSE), and what its topic holds, where it has clients."""
    logged: Logged
    before: Mirror
    truth: Mirror

    def verdicts(self) -> list[Verdict]:
        return [
            judge(
                partner, got[partner.name], self.logged, before=self.before, truth=self.truth, client=client
            )
            for client, got in self.got.items()
            for partner in self.partners
        ]


def nobody(_: str) -> None:
    """Listens to how a run gets on."""


async def prove(
    wiki: Wiki, engine: Engine, folder: Path, plan: Plan, *, tell: Callable[[str], None] = nobody
) -> Outcome:
    """`tell` hears how it gets on.

    Raises TimeoutError where the service never began, Broken where a process of it ended by itself.
    """
    began_s = time.monotonic()
    rng = Random(plan.seed)
    partners = partners_for(wiki.wikis)
    write_partners(folder / "partners.toml", partners)
    names = [partner.name for partner in partners]
    port = free_port()
    before, told_before = await wiki.truth(), len(wiki.events())
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(engine.open())
        config = _config(wiki, engine, folder, port)
        fleet = await stack.enter_async_context(Fleet(folder, config, engine.layout, engine=engine.points))
        async with asyncio.timeout(START_S):
            await _begun(log, engine.topics, fleet, wiki, rng)
        hops = {partner.name: await stack.enter_async_context(Hop(port)) for partner in partners}
        readers = _readers(partners, hops)
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(reader.run()) for reader in readers.values()]
            background.append(tending := group.create_task(fleet.tend()))
            killing = group.create_task(fleet.kill_in_turn(Random(rng.random()), plan.kills_every_s))
            harm = engine.harm(fleet)
            harming = harm and group.create_task(
                harm.run(Random(rng.random()), plan.harm_every_s, plan.rounds)
            )
            await _act(wiki, fleet, hops, plan, harming, rng=rng, tell=tell)
            killing.cancel()
            await fleet.disarm()
            await _all_cut(hops)
            tell("the last change is made")
            truth = await _settled(log, engine.topics, wiki, readers, plan.settle_s)
            requests = wiki.requests
            tending.cancel()
            faults = await fleet.drain()
            for task in background:
                task.cancel()
        logged = await read_log(log, engine.topics)
        sums = await positions_of(log, engine.topics, partners)
        in_topics = await engine.read(names)
    told = told_by(wiki.events()[told_before:])
    evidence = Evidence(
        partners,
        {
            SSE: {name: [receipt.article for receipt in reader.received] for name, reader in readers.items()},
            **in_topics,
        },
        logged,
        before,
        truth,
    )
    return Outcome(
        plan=plan,
        layout=engine.name,
        deeds=wiki.done,
        deaths=fleet.deaths,
        harm=harm.done if harm else Counter(),
        cuts={name: hop.cuts for name, hop in hops.items()},
        connections={name: hop.answered for name, hop in hops.items()},
        verdicts=evidence.verdicts(),
        sums=sums,
        faults=[
            *faults,
            *unproven(plan, wiki.undone, fleet.deaths.total),
            *(unharmed(harm.done) if harm and plan.rounds else ()),
            *unequal(sums, logged),
            *told.wrongs(logged.admitted),
        ],
        requests=requests,
        freshness_s=_ages_s(readers[partners[0].name].received, told),
        took_s=time.monotonic() - began_s,
        evidence=evidence,
    )


def _config(wiki: Wiki, engine: Engine, folder: Path, port: int) -> str:
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
{engine.settings}
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


async def _begun(log: Log, topics: Topics, fleet: Fleet, wiki: Wiki, rng: Random) -> None:
    """Source and partners begin live: whoever kills them before that is durable moves the beginning, which is
    no loss. The source's is durable with its first commit, so there must be something to commit.
    """
    await fleet.serving("source").event("connected to the stream")
    topic = await log.topic(topics.changes)
    assert topic
    while len(await log.committed("route")) < PARTNERS * topic.partitions:
        await asyncio.sleep(0.05)
    while not await log.committed("source"):
        await wiki.deed(rng)
        await asyncio.sleep(0.1)


async def _act(
    wiki: Wiki,
    fleet: Fleet,
    hops: Mapping[str, Hop],
    plan: Plan,
    harming: asyncio.Task[None] | None,
    *,
    rng: Random,
    tell: Callable[[str], None],
) -> None:
    """Deeds, and in their midst the cuts; until all of the plan is done, harm too."""
    cuts, told_s = 0, time.monotonic()
    while (
        wiki.done.total() < plan.changes
        or fleet.deaths.total < plan.kills
        or (plan.kills and not fleet.deaths.at_point)
        or not (harming is None or harming.done())
    ):
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


async def _settled(
    log: Log, topics: Topics, wiki: Wiki, readers: dict[str, Reader], within_s: float
) -> Mirror:
    """The wikis' state, once everything that was done has come out at the far end; or when `within_s` has
    passed, for the verdicts to say what did not.
    """
    truth = await wiki.truth()
    everything = next(iter(readers.values()))
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    admitted, still_s = -1, loop.time()
    names = [topics.changes, topics.articles, *map(topics.of_partner, readers)]
    async with tail(log, names) as records:
        while loop.time() < deadline_s:
            try:
                now = (await positions_of(log, topics, ())).source["admitted"]
                is_there = await _caught_up(log, topics, await records.ends(), readers)
            except LogUnavailable:  # a position is being decided, by a worker that has just begun
                continue
            if now != admitted or not is_there:
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


async def _caught_up(
    log: Log, topics: Topics, ends: dict[TopicPartition, int], readers: dict[str, Reader]
) -> bool:
    """Each role and each reader has all that stood there at `ends`."""
    enrich, route = await log.committed("enrich"), await log.committed("route")
    for tp, end in ends.items():
        if tp.topic == topics.changes and (tp not in enrich or enrich[tp].next < end):
            return False
        if tp.topic == topics.articles:
            for name in readers:
                if route[TopicPartition(topics.of_partner(name), tp.partition)].next < end:
                    return False
    return all(
        read_to(reader.last_id).get(tp.partition, 0) >= end
        for name, reader in readers.items()
        for tp, end in ends.items()
        if tp.topic == topics.of_partner(name)
    )


def read_to(position: str) -> dict[int, int]:
    """An id's next offset of each partition; it is opaque to partners, but not to those who wrote it."""
    pairs = position.partition(".")[2].split(",")
    return {int(number): int(offset) for number, _, offset in (pair.partition(":") for pair in pairs if pair)}


def unproven(plan: Plan, undone: Sequence[str], deaths: int) -> list[str]:
    """What a run did not show, however right it was."""
    if plan.changes < FULL:
        return []
    wrong = [f"never done: {', '.join(undone)}"] if undone else []
    return wrong if deaths else [*wrong, "nobody was killed"]


def unharmed(done: Counter[str]) -> list[str]:
    """What a cluster and its workers did not suffer."""
    return [f"never suffered: {kind}" for kind in KINDS if not done[kind]]


def _ages_s(receipts: Iterable[Receipt], told: Told) -> list[float]:
    ages_s = (
        receipt.at_s - at_s
        for receipt in receipts
        if (at_s := told.at_s(str(event_of(receipt.article)["identifier"]))) is not None
    )
    return sorted(ages_s)
