"""Clients that mean no good, by the thousand, against a process of its own: others are served as before, and
what it holds is what it held.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import quantiles
from typing import Final

import pytest
from harness import mob
from harness.apart import Apart, Held, apart, many_descriptors, written
from harness.live import Live, living
from harness.mob import Attack, Mob, drops

pytestmark = pytest.mark.timeout(600)

LIVE: Final = 5
ARTICLES: Final = 15
"""In a phase: each is awaited by all who are well before the next is written."""
PHASES: Final = 4
RATIO: Final = 3
SLACK_S: Final = 0.01
"""Of some turns of this process's own loop, in which the crowd lives too, on a busy machine.
A write to each of two thousand before theirs would be several times that."""
CLIENT_BYTES: Final = 32_768
"""At most, for one who is connected."""
GROWN_BYTES: Final = 16_000_000
"""An allocator's, beyond what the same crowd left behind the first time."""
SETTINGS: Final = "heartbeat_s = 1\nretained_mb = 4\nmax_connections = 20000"


@dataclass
class Seen:
    """How late articles were, in s, and footprints."""

    quiet_s: list[float] = field(default_factory=list)
    beset_s: list[float] = field(default_factory=list)
    before: list[Held] = field(default_factory=list)
    during: list[Held] = field(default_factory=list)

    def check(self) -> None:
        """Of the tenth that came soonest: whatever else the machine does makes articles later, never sooner,
        and what each of them has to wait for shows there, too.
        """
        quiet_s, beset_s = quantiles(self.quiet_s, n=10)[0], quantiles(self.beset_s, n=10)[0]
        assert beset_s <= RATIO * quiet_s + SLACK_S, str(self)

    def __str__(self) -> str:
        lines = []
        for name, tenth in (("soonest tenth", 0), ("median", 4)):
            quiet_s, beset_s = quantiles(self.quiet_s, n=10)[tenth], quantiles(self.beset_s, n=10)[tenth]
            both = f"{quiet_s * 1e3:.2f} ms without, {beset_s * 1e3:.2f} ms with them"
            lines.append(f"{name}: {both}: {beset_s / quiet_s:.2f} ×")
        lines += [f"before: {held}" for held in self.before]
        lines += [f"during: {held}" for held in self.during]
        return "\n".join(lines)


async def beset(server: Apart, live: Live, crowd: Sequence[tuple[int, Attack]], seen: Seen) -> None:
    """Some phases without them, then with them, until they are gone."""
    for _ in range(PHASES):
        seen.quiet_s += await live.late_s(ARTICLES)
    async with Mob(server.port) as there:
        for count, attack in crowd:
            await there.gather(count, attack)
        for _ in range(PHASES):
            seen.beset_s += await live.late_s(ARTICLES)
        seen.during.append(await server.held())
    await server.until_streams(LIVE)


async def withstood(
    folder: Path,
    crowd: Sequence[tuple[int, Attack]],
    *,
    rounds: int = 2,
    client_bytes: int = CLIENT_BYTES,
) -> None:
    """Each round the same crowd: the first warms what is kept for the next, of which nothing may be left."""
    count = sum(number for number, _ in crowd)
    bound = count * client_bytes + GROWN_BYTES
    many_descriptors(2 * count + 1_000)
    seen = Seen()
    async with (
        written(folder) as writes,
        apart(writes, deliver=SETTINGS) as server,
        living(writes, server.port, LIVE) as live,
    ):
        await live.late_s(ARTICLES)
        seen.before.append(await server.held())
        for round_ in range(rounds):
            await beset(server, live, crowd, seen)
            grown_bytes = GROWN_BYTES if round_ else bound
            seen.before.append(await server.regained(seen.before[bool(round_)], grown_bytes=grown_bytes))
    print(seen)
    for held in seen.during:
        assert held.process.bytes - seen.before[0].process.bytes < bound, str(seen)
    seen.check()


SLOW_READERS: Final = (mob.never_read, mob.read_a_byte_a_second)
SLOW_ASKERS: Final = (mob.send_a_slow_head, mob.send_a_slow_body)


@pytest.mark.parametrize("attacks", [SLOW_READERS, SLOW_ASKERS], ids=["readers", "askers"])
async def test_two_thousand_who_are_slow(tmp_path: Path, attacks: Sequence[Attack]) -> None:
    """They hold a stream and take next to nothing of it, or take for ever to ask for one."""
    await withstood(tmp_path, [(1_000, attack) for attack in attacks])


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "attack", [*SLOW_READERS, *SLOW_ASKERS, mob.never_ask], ids=lambda attack: attack.__name__
)
async def test_two_thousand_of_each_kind(tmp_path: Path, attack: Attack) -> None:
    """The same, again and again, each kind alone."""
    await withstood(tmp_path, [(2_000, attack)], rounds=5)


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_all_leave_at_once(tmp_path: Path) -> None:
    """Again and again, amid heartbeats that are on their way to them."""
    many_descriptors(5_000)
    settings = SETTINGS.replace("heartbeat_s = 1", "heartbeat_s = 0.2")
    async with (
        written(tmp_path) as writes,
        apart(writes, deliver=settings) as server,
        living(writes, server.port, LIVE) as live,
    ):
        for _ in range(20):
            async with Mob(server.port) as there:
                await there.gather(2_000, mob.never_read)
                await live.late_s(ARTICLES)
            await server.until_streams(LIVE)


async def test_who_talks_on_a_stream(tmp_path: Path) -> None:
    """What is sent behind the request is not read, but for what was on its way, however much it is."""
    await withstood(tmp_path, [(300, mob.talk_on_the_stream)], client_bytes=131_072)


async def test_unread_data_wakes_nobody(tmp_path: Path) -> None:
    """A descriptor that stays readable must not keep the process busy."""
    many_descriptors(2_000)
    async with written(tmp_path) as writes, apart(writes, deliver=SETTINGS) as server:
        async with Mob(server.port) as there:
            await there.gather(200, mob.talk_on_the_stream)
            before = (await server.held()).process.cpu_s
            began_s = time.monotonic()
            await asyncio.sleep(1.5)
            took_s = time.monotonic() - began_s
            assert (await server.held()).process.cpu_s - before < 0.25 * took_s
        await server.until_streams(0)


async def test_who_sends_without_an_end(tmp_path: Path) -> None:
    """Heads and bodies of which nobody takes so much: refused, closed, and next to nothing of them kept."""
    floods = [(15, mob.send_a_huge_head), (15, mob.send_a_huge_body)]
    await withstood(tmp_path, floods, client_bytes=524_288)


# ── on the same feed ───────────────────────────────────────────────────────────────────────────

FILLING: Final = 60
"""Articles of 20 kB: more than the kernel takes for one who does not read."""
OVERFLOWING: Final = 400
"""And more than is retained."""
TEXT: Final = "x" * 20_000


async def stalled(folder: Path, count: int) -> None:
    bound = count * CLIENT_BYTES + GROWN_BYTES
    many_descriptors(2 * count + 1_000)
    seen = Seen()
    async with written(folder) as both:
        writes = replace(both, partner="globex", written=[])  # who has the crowd, too
        async with apart(writes, deliver=SETTINGS) as server, living(writes, server.port, LIVE) as live:
            await live.late_s(FILLING, text=TEXT)
            for _ in range(PHASES):
                seen.quiet_s += await live.late_s(ARTICLES)
            seen.before.append(await server.held())
            async with Mob(server.port) as there:
                for attack in SLOW_READERS:
                    await there.gather(count // 2, attack)
                await live.late_s(FILLING, text=TEXT)
                assert await server.streams() == LIVE + count
                for _ in range(PHASES):
                    seen.beset_s += await live.late_s(ARTICLES)
                seen.during.append(await server.held())
                assert await server.streams() == LIVE + count
                for _ in range(OVERFLOWING // 50):
                    await live.reached((await writes.write([page % 20 for page in range(50)], text=TEXT))[-1])
                await server.until_streams(LIVE)
            seen.before.append(await server.regained(seen.before[0], grown_bytes=bound))
    print(seen)
    assert seen.during[0].process.bytes - seen.before[0].process.bytes < bound, str(seen)
    seen.check()


async def test_stalled_clients_of_the_same_feed(tmp_path: Path) -> None:
    """Whose buffers are full costs nothing while it stalls, and is cut once it is behind what is retained."""
    await stalled(tmp_path, 300)


@pytest.mark.soak
async def test_two_thousand_stalled_clients_of_the_same_feed(tmp_path: Path) -> None:
    """The same: a GB in the kernel's buffers, and nothing in the process."""
    await stalled(tmp_path, 2_000)


# ── who comes and goes ─────────────────────────────────────────────────────────────────────────


PACED_PER_S: Final = 300
"""Of connections, while it is measured how late articles are: each costs the service half a millisecond."""


async def dropped(folder: Path, rng: random.Random, count: int) -> None:
    many_descriptors(2_000)
    seen = Seen()
    async with written(folder) as writes, apart(writes, deliver=SETTINGS) as server:
        large = replace(writes, partner="globex", written=[])
        await large.write(range(1, 9), text=rng.randbytes(75_000).hex())
        async with living(writes, server.port, LIVE) as live:
            await live.late_s(ARTICLES)
            for round_ in range(2):
                for _ in range(PHASES):
                    seen.quiet_s += await live.late_s(ARTICLES)
                async with asyncio.TaskGroup() as group:
                    pacing = group.create_task(drops(server.port, rng, count, 4, per_s=PACED_PER_S))
                    for _ in range(PHASES):
                        seen.beset_s += await live.late_s(ARTICLES)
                    assert not pacing.done()
                    pacing.cancel()
                # half of them warm what is kept for the next
                await drops(server.port, rng, count // 2, 32)
                await server.until_streams(LIVE)
                if round_:
                    seen.before.append(await server.regained(seen.before[0], grown_bytes=GROWN_BYTES))
                else:
                    seen.before.append(await server.held())
    print(seen)
    seen.check()


async def test_five_thousand_who_open_and_drop(tmp_path: Path, rng: random.Random) -> None:
    """Before, within and behind the request, in the middle of a frame, by a reset or a close, or by half of
    one: no descriptor, task or page is left of them.
    """
    await dropped(tmp_path, rng, 5_000)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
async def test_a_hundred_thousand_who_open_and_drop(tmp_path: Path, rng: random.Random) -> None:
    """The same: twenty times as many must leave no more."""
    await dropped(tmp_path, rng, 100_000)
