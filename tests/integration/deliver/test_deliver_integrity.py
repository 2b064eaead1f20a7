"""Whatever else goes on, each reader gets every article once, in order, and byte for byte; and nothing of
what was withdrawn before it was sent.
"""

import asyncio
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from harness.apart import NO_LIMITS, apart, many_descriptors, written
from harness.certificates import self_signed
from harness.chronicle import PAGES, WITHDRAWN_PAGES, Ask, Chronicle, Clockwork, final_pages
from harness.delivering import KEY, OTHER_KEY
from harness.following import Follower, Habit

from tests.conformance.endpoint.wire import Endpoint, Key

pytestmark = pytest.mark.timeout(300)

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


async def integrity(
    folder: Path, rng: random.Random, *, readers: int, paced: int, articles: int, huge: int
) -> None:
    many_descriptors(2_000)
    pair = self_signed(folder)
    secure = f'{SETTINGS}\ncertificate = "{pair.certificate}"\nprivate_key = "{pair.private_key}"'
    async with (
        written(folder, of_globex=PACED) as writes,
        apart(writes, "plain", deliver=SETTINGS) as plain,
        apart(writes, "tls", deliver=secure) as tls,
    ):
        clock = Clockwork(writes)
        of_globex = replace(writes, partner="globex")
        chronicles = [Chronicle(writes, clock), Chronicle(of_globex, clock)]
        followers = []
        for number, habit in enumerate([*habits(rng, readers), *habits(rng, paced)]):
            is_paced = number >= readers
            key = Key(OTHER_KEY if is_paced else KEY)
            endpoints = [
                Endpoint(f"http://127.0.0.1:{plain.port}/v2/articles", key),
                Endpoint(f"https://127.0.0.1:{tls.port}/v2/articles", key, pair.trusting()),
            ]
            own = random.Random(rng.random())
            followers.append(Follower(habit, endpoints, chronicles[is_paced], clock, own))
        async with asyncio.TaskGroup() as group:
            for follower in followers:
                if not follower.habit.start.startswith("late"):
                    group.create_task(follower.follow())
            for follower in followers:
                if follower.habit.start == "first":
                    await follower.ready.wait()
            writing = group.create_task(write(clock, chronicles, rng, articles, huge))
            for follower in followers:
                if follower.habit.start.startswith("late"):
                    await asyncio.sleep(rng.random() * 0.1)
                    group.create_task(follower.follow())
            await writing
        ends: Counter[str] = Counter()
        for follower in followers:
            ends += follower.connections
            print(f"{follower.articles:6} articles  {follower.habit}: {dict(follower.connections)}")
        print(dict(ends), f"{len(clock.cutoffs)} cut-offs")
        assert {"done", "broken"} <= ends.keys()


async def test_every_reader_gets_every_article_once(tmp_path: Path, rng: random.Random) -> None:
    """Fast, slow and breaking readers of all kinds on two processes, one with TLS, while it is written and
    withdrawn: what each got is what was stored.
    """
    await integrity(tmp_path, rng, readers=18, paced=4, articles=500, huge=2)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("run", range(5))
async def test_many_readers_for_long(tmp_path: Path, rng: random.Random, run: int) -> None:
    """The same, with more of everything."""
    print(f"run {run}")
    await integrity(tmp_path, rng, readers=40, paced=8, articles=2_000, huge=10)
