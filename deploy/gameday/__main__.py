"""`python -m deploy.gameday`: one thing breaks, and you find out which. `--script`: all of it, by itself.

Exit 0 where all was detected and over in time, or where Ctrl-C ended an exercise; 1 else.
"""

import argparse
import asyncio
import contextlib
import random
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.gameday.drill import Drill, heading, named
from deploy.gameday.process import Failed
from deploy.gameday.scenarios import SCENARIOS
from deploy.gameday.world import World

SPEED: Final = 30.0
SEEDS: Final = 1_000_000
READY_S: Final = (5.0, 20.0)


async def play(folder: Path, options: argparse.Namespace) -> int:
    """Until it is over, or a signal."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    working = loop.create_task(_work(folder, options), name="gameday")
    stopping = loop.create_task(stop.wait(), name="signal")
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        working.cancel()
        await asyncio.wait((working,))
        return 1 if options.script else 0
    return working.result()


async def _work(folder: Path, options: argparse.Namespace) -> int:
    print("starting a practice world: some seconds", flush=True)
    async with World(folder, options.seed, options.speed) as world:
        drill = Drill(world)
        chosen = named(options.scenario, has_tls=world.has_tls)
        if options.script:
            if world.prometheus is None:
                drill.say("no Prometheus here: symptoms are looked for in the service's own metrics")
            drill.say(heading())
            results = await drill.script(chosen)
            return 0 if results and all(result.is_good for result in results) else 1
        rng = random.Random(options.seed)  # noqa: S311 - a game, not a secret
        drill.introduce()
        await drill.exercise(rng.choice(chosen), rng.uniform(*READY_S), _answers())
        await asyncio.Event().wait()
    return 0


def _answers() -> "asyncio.Queue[str]":
    """What is typed; nothing, where there is nobody who could."""
    typed: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def heard() -> None:
        text = sys.stdin.readline()
        if not text:
            loop.remove_reader(sys.stdin)
        typed.put_nowait(text)

    with contextlib.suppress(OSError, ValueError):  # a file, or closed
        loop.add_reader(sys.stdin, heard)
    return typed


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 1 <= speed <= 60:
        raise argparse.ArgumentTypeError(f"{text!r} is no speed: 1 to 60")
    return speed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m deploy.gameday", description=__doc__)
    parser.add_argument("--list", action="store_true", help="what can break")
    parser.add_argument(
        "--scenario",
        action="append",
        default=[],
        choices=[scenario.name for scenario in SCENARIOS],
        metavar="NAME",
        help="this one; may be repeated (default: any)",
    )
    parser.add_argument("--script", action="store_true", help="all, or the named, without a person")
    parser.add_argument("--seed", type=int, help="of the choice and of the wiki (default: printed)")
    parser.add_argument(
        "--speed", type=_speed, default=SPEED, metavar="N", help=f"of the alerts (default {SPEED:g} times)"
    )
    options = parser.parse_args(arguments)
    if options.list:
        for scenario in SCENARIOS:
            print(f"{scenario.name:<17}{scenario.says}: {', '.join(sorted(scenario.alerts))}")
        return 0
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(SEEDS)
    with tempfile.TemporaryDirectory(prefix="streamer-gameday-") as folder:
        try:
            return asyncio.run(play(Path(folder), options))
        except Failed as error:
            print(error, file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
