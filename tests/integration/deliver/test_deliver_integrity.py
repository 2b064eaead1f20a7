"""Whatever else goes on, each reader gets every article once, in order, and byte for byte; and nothing of
what was withdrawn before it was sent.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest
from harness.apart import NO_LIMITS, Apart, apart, many_descriptors, written
from harness.certificates import self_signed
from harness.chronicle import PAGES, WITHDRAWN_PAGES, Ask, Chronicle, Clockwork, final_pages
from harness.delivering import KEY, OTHER_KEY
from harness.following import Follower, Habit

from tests.conformance.endpoint.wire import Endpoint, Key

pytestmark = pytest.mark.timeout(600)

PACED: Final = NO_LIMITS.replace(" }", ", bytes_per_second = 6_000_000 }")
SETTINGS: Final = "heartbeat_s = 1\nretained_mb = 2"
HIDES: Final = (("text",), ("comment",), ("editor",), ("comment", "editor"))
SIZES: Final = ((200, 60), (3_000, 25), (20_000, 12), (200_000, 3))
"""Bytes of text, and how often of a hundred."""
HUGE_BYTES: Final = 2_000_000
FINAL: Final = frozenset(final_pages())
SOME_PAGES: Final = frozenset(range(1, PAGES, 3)) | FINAL
ASKS: Final = (
    Ask(),
    Ask(fields=("name", "version.*")),
    Ask(fields=("article_body.*",)),
    Ask(pages=SOME_PAGES),
    Ask(fields=("version.*", "visibility.*"), pages=SOME_PAGES),
    Ask(parts=frozenset({1, 4, 7})),
    Ask(fields=("url", "article_body.*"), parts=frozenset({0, 9})),
)


def habits(rng: random.Random, count: int) -> list[Habit]:
    """One of each format, encoding and pace at least; the rest as it falls."""
    found = []
    for number in range(count):
        fmt = ("sse", "ndjson")[number % 2]
        pace = ("fast", "slow", "breaking")[number % 3]
        starts = ["first", "ever", "offsets", "late"] + ["late live"] * (fmt == "sse")
        found.append(
            Habit(
                format=fmt,
                gzip=number // 6 % 2 == 1,
                version="1.0" if rng.random() < 0.2 else "1.1",
                ask=ASKS[0] if rng.random() < 0.4 else rng.choice(ASKS),
                start="first" if number < 4 else rng.choice(starts),
                pace=pace,
                process=int(rng.random() < 0.3),
                hops=pace == "breaking" and rng.random() < 0.5,
            )
        )
    return found


def texts(rng: random.Random, count: int) -> list[str]:
    """Half of each is what gzip can do nothing with, and some what lines must not be split at."""
    found = []
    for _ in range(count):
        size = rng.choices([size for size, _ in SIZES], [weight for _, weight in SIZES])[0]
        size = rng.randrange(size // 2, size)
        text = rng.randbytes(size // 4).hex() + "é\u2028\n\u0085x" * (size // 16)
        found.append(text)
    return found


async def write(
    clock: Clockwork, chronicles: list[Chronicle], rng: random.Random, count: int, huge: int
) -> None:
    """So many articles for the first, a fifth of that for the others, and cut-offs for all between them."""
    left = count
    huge_at = {rng.randrange(count) for _ in range(huge)}
    while left > 0:
        size = min(left, rng.choice((1, 1, 3, 10, 30)))
        batch = [(rng.randrange(1, PAGES + 1), text) for text in texts(rng, size)]
        if huge_at & set(range(left - size, left)):
            batch[0] = (batch[0][0], rng.randbytes(HUGE_BYTES // 2).hex())
        left -= size
        await chronicles[0].write(batch)
        for other in chronicles[1:]:
            if rng.random() < 0.3:
                await other.write(batch)
        if rng.random() < 0.3:
            page = rng.randrange(1, WITHDRAWN_PAGES + 1)
            revision = chronicles[0].recent(rng, page) if rng.random() < 0.5 else 0
            await clock.withdraw(page, rng.choice(HIDES), revision)
        await asyncio.sleep(rng.random() * 0.02)
    for chronicle in chronicles:
        await chronicle.write([(page, "the last one") for page in sorted(FINAL)])
    clock.over.set()


@dataclass
class Stage:
    """Two processes over one log, the second with TLS, and what is written: of acme and of globex."""

    servers: list[Apart]
    endpoints: dict[str, list[Endpoint]]
    clock: Clockwork
    chronicles: list[Chronicle]

    def follower(self, habit: Habit, rng: random.Random, partner: str = "acme") -> Follower:
        chronicle = self.chronicles[partner == "globex"]
        return Follower(habit, self.endpoints[partner], chronicle, self.clock, random.Random(rng.random()))

    async def ended(self, followers: Sequence[Follower]) -> None:
        """Once all have all, the processes are told to end: each stream must end as a whole."""
        for follower in followers:
            await follower.done.wait()
        for server in self.servers:
            assert await server.service.terminate() == 0


@asynccontextmanager
async def on_stage(folder: Path, settings: str, *, of_globex: str = NO_LIMITS) -> AsyncIterator[Stage]:
    many_descriptors(2_000)
    pair = self_signed(folder)
    secure = f'{settings}\ncertificate = "{pair.certificate}"\nprivate_key = "{pair.private_key}"'
    async with (
        written(folder, of_globex=of_globex) as writes,
        apart(writes, "plain", deliver=settings) as plain,
        apart(writes, "tls", deliver=secure) as tls,
    ):
        endpoints = {
            partner: [
                Endpoint(f"http://127.0.0.1:{plain.port}/v2/articles", Key(key)),
                Endpoint(f"https://127.0.0.1:{tls.port}/v2/articles", Key(key), pair.trusting()),
            ]
            for partner, key in (("acme", KEY), ("globex", OTHER_KEY))
        }
        clock = Clockwork(writes)
        chronicles = [Chronicle(writes, clock), Chronicle(replace(writes, partner="globex"), clock)]
        yield Stage([plain, tls], endpoints, clock, chronicles)


async def integrity(
    folder: Path, rng: random.Random, *, readers: int, paced: int, articles: int, huge: int
) -> None:
    async with on_stage(folder, SETTINGS, of_globex=PACED) as stage, asyncio.TaskGroup() as group:
        followers = [stage.follower(habit, rng) for habit in habits(rng, readers)]
        followers += [stage.follower(habit, rng, "globex") for habit in habits(rng, paced)]
        for follower in followers:
            if not follower.habit.start.startswith("late"):
                group.create_task(follower.follow())
        for follower in followers:
            if follower.habit.start == "first":
                await follower.ready.wait()
        writing = group.create_task(write(stage.clock, stage.chronicles, rng, articles, huge))
        for follower in followers:
            if follower.habit.start.startswith("late"):
                await asyncio.sleep(rng.random() * 0.1)
                group.create_task(follower.follow())
        await writing
        await stage.ended(followers)
    ends: Counter[str] = Counter()
    for follower in followers:
        ends += follower.connections
        print(f"{follower.articles:6} articles  {follower.habit}: {dict(follower.connections)}")
    print(dict(ends), f"{len(stage.clock.cutoffs)} cut-offs")
    assert "broken" in ends


async def test_every_reader_gets_every_article_once(tmp_path: Path, rng: random.Random) -> None:
    """Fast, slow and breaking readers of all kinds on two processes, one with TLS, while it is written and
    withdrawn: what each got is what was stored, and its stream is whole at the end.
    """
    await integrity(tmp_path, rng, readers=18, paced=4, articles=400, huge=2)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("run", range(5))
async def test_many_readers_for_long(tmp_path: Path, rng: random.Random, run: int) -> None:
    """The same, with more of everything."""
    print(f"run {run}")
    await integrity(tmp_path, rng, readers=40, paced=8, articles=2_000, huge=10)


STALLED: Final = (
    Habit(),
    Habit("ndjson"),
    Habit(gzip=True),
    Habit("ndjson", gzip=True),
    Habit(version="1.0"),
    Habit(ask=Ask(fields=("version.*", "visibility.*", "article_body.*"))),
    Habit("ndjson", gzip=True, ask=Ask(pages=SOME_PAGES | {1, 2, 3, WITHDRAWN_PAGES + 1})),
    Habit(process=1),
    Habit("ndjson", gzip=True, process=1),
)
AMID_BYTES: Final = 3_000_000
"""Several times what the kernel takes for one who does not read."""
WAITING_BYTES: Final = 40_000
ROUNDS: Final = 15


@pytest.mark.parametrize(
    "amid",
    [
        pytest.param(WITHDRAWN_PAGES + 1, id="another"),
        pytest.param(1, id="a withdrawn one", marks=pytest.mark.soak),
    ],
)
async def test_what_waits_for_a_stalled_reader_is_withdrawn(
    tmp_path: Path, rng: random.Random, amid: int
) -> None:
    """A text, a comment, an editor: behind the article that a reader is amid, nothing comes with them, in any
    format and encoding, and its stream goes on as a whole; amid one that is withdrawn itself it is reset.
    """
    async with (
        on_stage(tmp_path, "heartbeat_s = 1\nretained_mb = 200") as stage,
        asyncio.TaskGroup() as group,
    ):
        fast = [stage.follower(Habit(process=process), rng) for process in (0, 1)]
        stalled = [stage.follower(replace(habit, pace="stalled"), rng) for habit in STALLED]
        for follower in (*fast, *stalled):
            group.create_task(follower.follow())
            await follower.ready.wait()
        for process, server in enumerate(stage.servers):
            await server.until_streams(1 + sum(habit.process == process for habit in STALLED))
        await stage.chronicles[0].write([(amid, rng.randbytes(AMID_BYTES // 2).hex())])
        for _ in range(ROUNDS):
            waiting = [(page, rng.randbytes(WAITING_BYTES // 2).hex()) for page in (1, 2, 3)]
            await stage.chronicles[0].write([*waiting, (WITHDRAWN_PAGES + 1, "a short one")])
        for page, part in ((1, "text"), (2, "comment"), (3, "editor")):
            await stage.clock.withdraw(page, (part,))
        await stage.chronicles[0].write([(page, "the last one") for page in sorted(FINAL)])
        stage.clock.over.set()
        for follower in fast:
            await follower.done.wait()
        for follower in stalled:
            follower.awake.set()
        await stage.ended([*fast, *stalled])
    for follower in stalled:
        print(f"{follower.articles:6} articles  {follower.habit}: {dict(follower.connections)}")
        assert bool(follower.connections["torn"]) == (amid == 1)
        assert follower.articles == 3 * ROUNDS + (amid != 1) + len(FINAL)
