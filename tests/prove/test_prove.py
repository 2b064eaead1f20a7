"""`make prove`, short: real wikis, both layouts, kills and cuts; and the same on the invented one."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from harness.mediawiki import absent
from harness.service import LEASH

from deploy.kafka import Unavailable
from prove import report
from prove.engine import Cluster, Engine, Local
from prove.invented import Invented
from prove.judge import SSE, Verdict, page_of
from prove.real import Real
from prove.run import Evidence, Outcome, Plan, prove
from prove.wiki import Json, Wiki

CHANGES, CUTS, KILLS = 50, 5, 4
STOPPED = 130
TOGETHER, APART = pytest.param(False, id="together"), pytest.param(True, id="apart")
TOGETHER_SOAKED, APART_SOAKED = (
    pytest.param(apart, id=name, marks=pytest.mark.soak)
    for apart, name in ((False, "together"), (True, "apart"))
)
"""Each layout is run on one of the two wikis; on the other as well by `make soak`."""
ROOT = Path(__file__).resolve().parents[2]


def short(rng: random.Random) -> Plan:
    return Plan(
        rng.randrange(1_000_000), changes=CHANGES, kills=KILLS, kills_every_s=1.0, cuts=CUTS, deeds_per_s=8
    )


async def short_run(
    wiki: AbstractAsyncContextManager[Wiki], engine: Engine, folder: Path, plan: Plan
) -> Outcome:
    async with wiki as opened:
        outcome = await prove(opened, engine, folder, plan)
    print(report.text(outcome))
    assert outcome.is_right, report.text(outcome)
    assert set(outcome.cuts.values()) == {CUTS}
    assert outcome.deaths.random.total() > 0
    assert outcome.deaths.at_point.total() > 0
    return outcome


@pytest.mark.timeout(600)
@pytest.mark.parametrize("apart", [TOGETHER_SOAKED, APART])
async def test_real_wikis_are_mirrored_under_kills_and_cuts(
    tmp_path: Path, rng: random.Random, *, apart: bool
) -> None:
    """Three partners' clients hold what the wikis hold, nothing is lost, doubled or out of order, and every
    change is accounted for, while processes are killed and lines are cut.
    """
    if reason := absent():
        pytest.skip(reason)
    engine = Local(tmp_path / "streamer.db", apart=apart)
    await short_run(Real(tmp_path / "wikis"), engine, tmp_path, short(rng))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("apart", [TOGETHER, APART_SOAKED])
async def test_the_invented_wiki_is_mirrored_under_kills_and_cuts(
    tmp_path: Path, rng: random.Random, *, apart: bool
) -> None:
    """The same where no MediaWiki can be had; and had one event gone wrong, it would have been seen."""
    engine = Local(tmp_path / "streamer.db", apart=apart)
    outcome = await short_run(Invented(rng.randrange(1_000_000)), engine, tmp_path, short(rng))
    for partner in outcome.evidence.got[SSE]:
        would_be_seen(outcome.evidence, partner, rng)


@pytest.mark.timeout(600)
async def test_the_fleet_on_kafka_is_right_under_all_that_befalls_it(
    tmp_path: Path, rng: random.Random
) -> None:
    """With two processes of enrich and of route: kills, a broker that is killed and started again, a worker
    that is stopped between send and commit and whose commit is refused when it wakes, one that leaves and one
    that joins. Each partner's SSE client, librdkafka and Kafka's console consumer hold what the wikis hold.
    """
    try:
        async with Cluster(tmp_path / "brokers", brokers=1) as engine:
            wiki = Invented(rng.randrange(1_000_000))
            plan = replace(short(rng), kills_every_s=2.0, deeds_per_s=5, rounds=1)
            outcome = await short_run(wiki, engine, tmp_path, plan)
    except Unavailable as error:
        pytest.skip(str(error))
    assert outcome.evidence.got.keys() == {SSE, "librdkafka", "console"}
    for client in outcome.evidence.got:
        would_be_seen(outcome.evidence, "everything", rng, client)


def would_be_seen(evidence: Evidence, partner: str, rng: random.Random, client: str = SSE) -> None:
    """Any event of the run, lost, doubled or come too early; any text that is not as it was."""
    received = evidence.got[client][partner]
    at = rng.randrange(len(received))

    def judged(changed: Sequence[Json]) -> Verdict:
        others = replace(evidence, got={client: {**evidence.got[client], partner: changed}})
        return next(verdict for verdict in others.verdicts() if verdict.partner == partner)

    assert judged(received).is_right
    assert judged([*received, received[at]]).doubled
    assert judged([article | {"name": "Another"} for article in received]).differing
    page = [article for article in received if page_of(article) == page_of(received[at])]
    if len(page) > 1:
        assert judged([page[-1], *(article for article in received if article is not page[-1])]).out_of_order
    lost = judged([*received[:at], *received[at + 1 :]])
    assert lost.lost or lost.withdrawn > judged(received).withdrawn


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_no_process_remains(number: signal.Signals, tmp_path: Path) -> None:
    """However it is stopped in the midst of its work."""
    if number == signal.SIGKILL and not LEASH:
        pytest.skip("no setpriv here (util-linux), which ends what a killed process has started")
    driver = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.prove", "--invented", "--apart", "--kills-every", "1"),
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=asyncio.subprocess.DEVNULL,
    )
    begun: set[int] = set()
    try:
        async with asyncio.timeout(300):
            while not any(command(pid) == "curl" for pid in begun):
                begun |= descendants(driver.pid)
                await asyncio.sleep(0.05)
        driver.send_signal(number)
        async with asyncio.timeout(120):
            code = await driver.wait()
            while remaining := [pid for pid in begun if command(pid)]:
                await asyncio.sleep(0.05)
    finally:
        if driver.returncode is None:
            driver.kill()
    assert code == (-number if number == signal.SIGKILL else STOPPED)
    assert not remaining


def descendants(pid: int) -> set[int]:
    children = {child for child in running() if parent(child) == pid}
    return children.union(*map(descendants, children))


def running() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def parent(pid: int) -> int:
    return int((stat(pid) or "? 0").split()[1])


def command(pid: int) -> str:
    """Its name; "" once it has ended."""
    told = stat(pid)
    if not told or told.startswith("Z"):
        return ""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def stat(pid: int) -> str:
    """State and parent first; "" where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].strip()
    except OSError:
        return ""
