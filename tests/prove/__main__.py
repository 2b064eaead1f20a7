"""`make prove`: everything this service promises, at once, on real wikis.

    python -m tests.prove [--apart | --together] [--invented] [--changes 500] [--kills-every 2.0] [--kills N]
                          [--cuts 20] [--seed N] [--json FILE]
    python -m tests.prove --kafka [--brokers 1] [--rounds 3] …

On Kafka the run starts brokers of its own, each role has its own processes, two of enrich and of route, and
each round stops a worker in a transaction, kills a broker, and has workers come and go (tests/prove/harm.py).

Exit codes: 0 all is right, 1 anything differs, 2 bad usage, no wiki or no broker, 130 stopped by a signal.
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from pathlib import Path

# the tests' own modules are named from here, as pytest does (pyproject.toml: pythonpath)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.mediawiki import absent

from deploy.kafka.artefacts import Unavailable, jars, java
from prove import report
from prove.engine import Cluster, Engine, Local
from prove.fleet import Broken
from prove.invented import Invented
from prove.real import Real
from prove.run import Outcome, Plan, prove
from streamer.groups import leaves

Engines = Callable[[Path], AbstractAsyncContextManager[Engine]]
"""Each opens one in a folder."""
STOPPED = 130
"""By a signal; every process has ended."""


def main() -> int:
    wanted = _arguments()
    seed = random.SystemRandom().randrange(1_000_000) if wanted.seed is None else wanted.seed
    if not wanted.invented and (reason := absent()):
        print(f"{reason}; or prove it on the built-in sandbox wiki: --invented", file=sys.stderr)
        return 2
    if wanted.kafka and (reason := _no_broker()):
        print(reason, file=sys.stderr)
        return 2
    print(f"seed {seed}", flush=True)
    outcomes: list[Outcome] = []
    broken: list[BaseException] = []
    for engine in _engines(wanted):
        plan = Plan(
            seed=seed,
            changes=wanted.changes,
            kills=wanted.kills,
            kills_every_s=wanted.kills_every,
            cuts=wanted.cuts,
            rounds=wanted.rounds,
        )
        try:
            outcomes.append(asyncio.run(_one(plan, engine, is_invented=wanted.invented)))
            print(report.text(outcomes[-1]), flush=True)
        except* (Broken, TimeoutError) as group:
            broken += leaves(group)
            print(f"WRONG: {plan}: {leaves(group)}", flush=True)
    if wanted.json:
        wanted.json.parent.mkdir(parents=True, exist_ok=True)
        wanted.json.write_text(json.dumps([report.as_json(outcome) for outcome in outcomes], indent=2))
    return 0 if not broken and all(outcome.is_right for outcome in outcomes) else 1


def _no_broker() -> str:
    """Why there can be none here; "" where there can."""
    try:
        java()
        jars()
    except Unavailable as error:
        return str(error)
    return ""


def _engines(wanted: argparse.Namespace) -> list[Engines]:
    if wanted.kafka:
        return [lambda folder: Cluster(folder / "brokers", brokers=wanted.brokers)]
    layouts = [False, True] if wanted.apart == wanted.together else [wanted.apart]
    return [partial(_local, apart=apart) for apart in layouts]


def _local(folder: Path, *, apart: bool) -> AbstractAsyncContextManager[Engine]:
    return nullcontext(Local(folder / "streamer.db", apart=apart))


async def _one(plan: Plan, opened: Engines, *, is_invented: bool) -> Outcome:
    """A signal leaves every `async with` on the way out: no process remains."""
    running = asyncio.current_task()
    assert running
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    with tempfile.TemporaryDirectory(prefix="streamer-prove-") as folder:
        wiki = Invented(plan.seed) if is_invented else Real(Path(folder) / "wikis")
        async with opened(Path(folder)) as engine, wiki:
            return await prove(wiki, engine, Path(folder), plan, tell=_tell)


def _tell(text: str) -> None:
    print(f"   {text}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__.split("\n")[0])
    parser.add_argument("--apart", action="store_true", help="only with one process a role")
    parser.add_argument("--together", action="store_true", help="only with all roles in one process")
    parser.add_argument("--kafka", action="store_true", help="on a cluster of its own, roles apart")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="of the cluster")
    parser.add_argument("--rounds", type=_at_least(0), default=3, help="of harm to the cluster and workers")
    parser.add_argument("--invented", action="store_true", help="the built-in sandbox wiki, not real ones")
    parser.add_argument("--changes", type=_at_least(1), default=500)
    parser.add_argument("--kills", type=_at_least(0), default=0, help="at least; deeds go on until then")
    parser.add_argument("--kills-every", type=_seconds, default=2.0, metavar="SECONDS")
    parser.add_argument("--cuts", type=_at_least(0), default=20, help="of each reader")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        found = int(text)
        if found < least:
            raise argparse.ArgumentTypeError(f"{found} is below {least}")
        return found

    return number


def _seconds(text: str) -> float:
    found = float(text)
    if not 0.1 <= found <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not within 0.1 and 3600")
    return found


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(STOPPED)
