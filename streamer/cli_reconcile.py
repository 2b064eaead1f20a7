"""`streamer reconcile`: has wikis compared with their own lists, and says what was found.

The command asks no wiki: it leaves its wish in the log, and the processes with the role enrich, which hold
the budget, do it behind their live work. Ended at any instant it does no harm; what was asked for is done.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from streamer.admission import Rules
from streamer.cli_time import past_ms
from streamer.clock import Clock
from streamer.config import Settings, load
from streamer.errors import ConfigError, NotCompared, RoleMissing
from streamer.globs import check_globs, matcher
from streamer.groups import alone_by_name
from streamer.log.base import Log, partition_of
from streamer.log.open import open_log
from streamer.log.table import Table
from streamer.model import Topics, rfc3339
from streamer.reconciled import GROUP, Ask, Counts, Reconciled, Standing, ask_record

POLL_S: Final = 0.25
TELL_S: Final = 5.0
"""Between two lines of progress."""
SUPERSEDED: Final = "superseded by a command that asked for less"
SILENT_S: Final = 30.0
"""Lanes that run say that they live every 5 s; one that is on its way to another process takes some more."""

Loop = Callable[[Coroutine[object, object, None]], None]


def add_arguments(parser: argparse.ArgumentParser, loop: Loop) -> None:
    parser.description = (
        "Compares what wikis themselves list (recent changes and logs, of the last 30 days) with what the"
        " stream told, and has the pages restated of which something was lost. The processes with the role"
        " `enrich` do it, within their budget and behind live work; this waits for them."
    )
    parser.add_argument(
        "wiki", nargs="*", metavar="WIKI", help="e.g. enwiki, *wiktionary; default: all that are followed"
    )
    parser.add_argument(
        "--since",
        metavar="T",
        help="what happened from this time on (RFC 3339); default, and the furthest: since the wiki is"
        " followed, or 30 days",
    )
    parser.add_argument("--no-wait", action="store_true", help="asks for it, and ends")
    parser.set_defaults(command=partial(_reconcile, loop))


def _reconcile(loop: Loop, options: argparse.Namespace) -> None:
    try:
        check_globs(options.wiki)
    except ValueError as error:
        raise ConfigError("reconcile", str(error)) from None
    since_ms = 0 if options.since is None else past_ms("--since", options.since)
    settings = load(options.config)
    if settings.source.url.startswith("file:"):
        raise ConfigError("source.url", "a recording is what it is: there is nothing to compare it with")
    if settings.log.kind == "local" and not Path(settings.log.path).exists():
        raise ConfigError("log.path", f"{settings.log.path}: there is no log yet; the service makes it")
    loop(_run(settings, options.wiki, since_ms, wait=not options.no_wait))


async def _run(settings: Settings, patterns: Sequence[str], since_ms: int, *, wait: bool) -> None:
    topics = Topics(settings.log.prefix)
    async with open_log(settings) as log:
        info = await log.topic(topics.meta)
        if info is None:
            raise ConfigError(
                "log.prefix", f"there is no topic {topics.meta}; the service makes it at its start"
            )
        command = Command(log, settings, topics.meta, info.partitions)
        await command.ask(patterns, since_ms)
        if wait:
            await command.wait()


class Command:
    """`ask`, then perhaps `wait`."""

    def __init__(self, log: Log, settings: Settings, topic: str, partitions: int) -> None:
        self._log = log
        self._settings = settings
        self._topic = topic
        self._partitions = partitions
        self._known = Reconciled()
        self._meta = Table(log, topic, self._known.apply)
        self._asks: dict[str, Ask] = {}
        self._alive: dict[int, int] = {}

    async def ask(self, patterns: Sequence[str], since_ms: int) -> None:
        await self._meta.load()
        wikis = chosen(patterns, self._known, Rules.of(self._settings).admits_wiki)
        self._alive = await self._beats()
        now_ms = Clock().now_ms()
        fresh: dict[str, Ask] = {}
        for wiki in wikis:
            before, standing = self._known.asks.get(wiki, Ask(0)), self._known.standings.get(wiki)
            is_open = before.number and not (standing and standing.has_done(before))
            if is_open and before.since_ms == since_ms:
                self._asks[wiki] = before  # of a command that was ended: this goes on with it
            else:
                self._asks[wiki] = fresh[wiki] = Ask(max(now_ms, before.number + 1), since_ms)
        await self._log.append(
            [ask_record(self._topic, self._partitions, wiki, ask) for wiki, ask in fresh.items()]
        )
        print(f"asked for {len(wikis)} wiki{'' if len(wikis) == 1 else 's'}", file=sys.stderr)

    async def wait(self) -> None:
        """Raises RoleMissing, and NotCompared once the others are told."""
        with alone_by_name():
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(self._meta.run())
                await self._wait()
                following.cancel()
        standings = {wiki: self._result(wiki) for wiki in sorted(self._asks)}
        for wiki, standing in standings.items():
            print(told(wiki, standing, self._asks[wiki].since_ms))
        found = sum(sum(standing.found.values()) for standing in standings.values())
        print(f"found {found} in {sum(standing.listed for standing in standings.values())} rows")
        failed = [f"{wiki} ({standing.problem})" for wiki, standing in standings.items() if standing.problem]
        if failed:
            raise NotCompared(f"not compared to the end: {', '.join(failed)}; ask again when they answer")
        is_since = any(ask.since_ms for ask in self._asks.values())
        if is_since and not any(map(_is_compared, standings.values())):
            raise NotCompared("nothing was compared: ask again when the stream was read beyond that time")

    async def _wait(self) -> None:
        heard_s = dict.fromkeys(self._lanes(), time.monotonic())
        told_s = time.monotonic()
        while left := self._lanes():
            now_s = time.monotonic()
            for partition, alive in (await self._beats()).items():
                if self._alive.get(partition) != alive:
                    self._alive[partition] = alive
                    heard_s[partition] = now_s
            silent = [
                wiki
                for lane in left
                if now_s - heard_s.setdefault(lane, now_s) > SILENT_S
                for wiki in left[lane]
            ]
            if silent:
                more = f" and {len(silent) - 1} more" if len(silent) > 1 else ""
                raise RoleMissing(
                    f"no process with the role `enrich` deals with {silent[0]}{more} (for {SILENT_S:.0f} s):"
                    " start one (`streamer run --role enrich`); it does what was asked, and the same command"
                    " waits for it"
                )
            if now_s - told_s >= TELL_S:
                told_s = now_s
                self._tell_progress(left)
            await asyncio.sleep(POLL_S)

    def _lanes(self) -> dict[int, list[str]]:
        """What is not done, by partition."""
        left: dict[int, list[str]] = {}
        for wiki in self._asks:
            if not self._is_over(wiki):
                left.setdefault(partition_of(wiki, self._partitions), []).append(wiki)
        return left

    def _is_over(self, wiki: str) -> bool:
        """Done, or superseded by another command that asked for less. One that asked for as much at least is
        waited for instead: it starts anew.
        """
        mine, newest = self._asks[wiki], self._known.asks.get(wiki)
        if self._done(wiki):
            return True
        if newest and newest.number >= mine.number:
            if newest.since_ms > mine.since_ms:
                return True
            self._asks[wiki] = newest
        return self._done(wiki) is not None

    def _done(self, wiki: str) -> Standing | None:
        standing = self._known.standings.get(wiki)
        is_done = standing and standing.ask == self._asks[wiki].number and standing.is_done
        return standing if is_done else None

    def _result(self, wiki: str) -> Standing:
        return self._done(wiki) or Standing(0, 0).finished(self._asks[wiki].number, SUPERSEDED)

    async def _beats(self) -> dict[int, int]:
        committed = await self._log.committed(GROUP)
        return {tp.partition: Counts.of(position).alive for tp, position in committed.items()}

    def _tell_progress(self, left: dict[int, list[str]]) -> None:
        wikis = [wiki for each in left.values() for wiki in each]
        at = [
            f"{wiki} up to {rfc3339(standing.at_ms)}"
            for wiki in wikis
            if (standing := self._known.standings.get(wiki)) and standing.ask == self._asks[wiki].number
        ]
        under_way = f": {', '.join(at[:3])}" if at else ""
        print(f"{len(self._asks) - len(wikis)} of {len(self._asks)} done{under_way}", file=sys.stderr)


def chosen(patterns: Sequence[str], known: Reconciled, admits: Callable[[str], bool]) -> list[str]:
    """The wikis that are meant. Raises ConfigError for a pattern that means none."""
    followed = [wiki for wiki in known.servers if admits(wiki)]
    if not patterns:
        if not followed:
            raise ConfigError(
                "reconcile", "no wiki is followed yet: start the service, and wait for the first article"
            )
        return followed
    for pattern in patterns:
        matches = matcher((pattern,))
        if any(map(matches, followed)):
            continue
        if any(map(matches, known.servers)) or ("*" not in pattern and not admits(pattern)):
            raise ConfigError(
                f"reconcile {pattern}", "not admitted: [admit] wikis of the settings leaves it out"
            )
        names = ", ".join(sorted(followed)[:5]) or "none yet"
        raise ConfigError(
            f"reconcile {pattern}",
            f"no such wiki is followed: nothing was ever heard of it. There are {len(followed)}: {names}",
        )
    matches = matcher(tuple(patterns))
    return [wiki for wiki in followed if matches(wiki)]


def _is_compared(standing: Standing) -> bool:
    return standing.at_ms > standing.since_ms


def told(wiki: str, standing: Standing, asked_ms: int = 0) -> str:
    """A line. `asked_ms`: from where on it was asked for, 0 from as far back as can be."""
    if standing.problem:
        return f"{wiki}  {standing.problem}"
    if not _is_compared(standing):
        return f"{wiki}  nothing to compare yet: the stream was not read beyond {rfc3339(standing.since_ms)}"
    found = sum(standing.found.values())
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(standing.found.items()))
    span = f"{rfc3339(standing.since_ms)} to {rfc3339(standing.at_ms)}"
    cut = (
        "; not before: this log does not follow it for longer, or lists end"
        if 0 < asked_ms < standing.since_ms
        else ""
    )
    return f"{wiki}  {span}  {standing.listed} listed  {found} lost{f' ({kinds})' if found else ''}{cut}"
