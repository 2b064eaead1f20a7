"""`streamer deadletter list|replay`: what failed, and having it tried again.

Both work beside a running service and without one. A replay is appended to the changes; the role enrich
does it, now or once it runs.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from streamer.cli_time import time_ms
from streamer.config import Settings, load
from streamer.deadletters import CODES, Filter, Letter, Status, read_all
from streamer.enrich.outbox import GROUP as ENRICH
from streamer.errors import ConfigError, LogError
from streamer.globs import check_globs
from streamer.log.base import Lane, Log
from streamer.log.open import open_log
from streamer.model import DEFERRED, KINDS, DeadLetter, Topics, encode_value, rfc3339
from streamer.replays import Plan, append, plan

GROUP: Final = "replay"
"""Held while a replay is appended: a second command would append the same."""

Loop = Callable[[Coroutine[object, object, None]], None]


def add_actions(parser: argparse.ArgumentParser, loop: Loop) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="the dead letters, a line each, and how many of each code")
    _add_filters(listing)
    listing.add_argument("--json", action="store_true", help="a JSON object a line, without the summary")
    listing.set_defaults(command=partial(_list, loop))
    replaying = actions.add_parser(
        "replay",
        help="restates their pages as they are now",
        description="Has the pages of dead letters asked for again and published as they are now. What was"
        f" replayed before is left out, and so is `{DEFERRED}`, which replays by itself.",
    )
    _add_filters(replaying)
    replaying.add_argument("--all", action="store_true", help="without a filter: all there are")
    replaying.add_argument("--again", action="store_true", help="those too that were replayed before")
    replaying.add_argument("--dry-run", action="store_true", help="says how many, and does nothing")
    replaying.set_defaults(command=partial(_replay, loop))


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wiki", action="append", default=[], metavar="GLOB", help="e.g. enwiki, *wiktionary"
    )
    parser.add_argument("--code", action="append", default=[], metavar="CODE", help="e.g. origin_unavailable")
    parser.add_argument(
        "--kind", action="append", default=[], choices=KINDS, metavar="KIND", help="e.g. edit"
    )
    parser.add_argument("--since", metavar="T", help="failed at or after this time (RFC 3339)")
    parser.add_argument("--until", metavar="T", help="failed before it")
    parser.add_argument("--limit", type=_count, metavar="N", help="the newest N of them")


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def _filter(options: argparse.Namespace) -> Filter:
    try:
        check_globs(options.wiki)
    except ValueError as error:
        raise ConfigError("--wiki", str(error)) from None
    since_ms = None if options.since is None else time_ms("--since", options.since)
    until_ms = None if options.until is None else time_ms("--until", options.until)
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise ConfigError("--until", "is not after --since: nothing lies between")
    return Filter(tuple(options.wiki), frozenset(options.code), frozenset(options.kind), since_ms, until_ms)


# ── looking ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Found:
    """What was asked for, those that can't be read apart."""

    letters: Sequence[Letter]
    unreadable: int
    status: Status


async def _find(log: Log, topics: Topics, wanted: Filter, limit: int | None) -> Found:
    if await log.topic(topics.deadletter) is None:
        raise _no_topic(topics)
    matches = wanted.compiled()
    codes: set[str] = set()

    def noting(letter: DeadLetter) -> bool:
        codes.add(letter.code)
        return matches(letter)

    letters, status = await read_all(log, topics.deadletter, noting)
    unknown = sorted(wanted.codes - codes - CODES)
    if unknown:
        there_are = f"there are {', '.join(sorted(codes))}" if codes else "there is no dead letter"
        raise ConfigError("--code", f"{_shown(unknown[0])} is no code that is known; {there_are}")
    readable = [letter for letter in letters if letter.body]
    return Found(readable[-limit:] if limit else readable, len(letters) - len(readable), status)


def _no_topic(topics: Topics) -> ConfigError:
    return ConfigError(
        "log.prefix", f"there is no topic {topics.deadletter}; the service makes it at its start"
    )


def _settings(options: argparse.Namespace) -> Settings:
    settings = load(options.config)
    if settings.log.kind == "local" and not Path(settings.log.path).exists():
        raise ConfigError("log.path", f"{settings.log.path}: there is no log yet; the service makes it")
    return settings


def _list(loop: Loop, options: argparse.Namespace) -> None:
    wanted, settings = _filter(options), _settings(options)
    loop(_tell(settings, wanted, options.limit, as_json=options.json))


async def _tell(settings: Settings, wanted: Filter, limit: int | None, *, as_json: bool) -> None:
    async with open_log(settings) as log:
        found = await _find(log, Topics(settings.log.prefix), wanted, limit)
    try:
        for letter in found.letters:
            print(_json(letter, found.status) if as_json else _line(letter, found.status))
        if not as_json and found.letters:
            print(_summary(found))
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has enough; and Python must not stumble over it when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not found.letters:  # beside stdout, which holds letters and nothing else
        print("no dead letters" + (" match" if wanted != Filter() else ""), file=sys.stderr)
    if found.unreadable:
        print(f"{found.unreadable} dead letters can't be read: by another version?", file=sys.stderr)


def _line(letter: Letter, status: Status) -> str:
    assert letter.body
    change = letter.body.change
    ids = " ".join(
        f"{name} {number}"
        for name, number in (("page", change.page_id), ("revision", change.revision))
        if number
    )
    attempts = letter.body.attempts
    parts = [
        rfc3339(letter.body.failed_ms),
        _shown(change.wiki),
        change.meant,
        _shown(letter.body.code),
        f"{attempts} attempt{'' if attempts == 1 else 's'}",
        ids or "no id",
        _word(letter, status),
        _shown(change.title),
    ]
    return "  ".join(filter(None, parts))


def _word(letter: Letter, status: Status) -> str:
    if status.waits(letter):
        return "waits"
    return "replayed" if status.times(letter) else ""


def _shown(text: str) -> str:
    """Titles come from outside: one must not steer the operator's terminal."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def _json(letter: Letter, status: Status) -> str:
    assert letter.body
    body, change = letter.body, letter.body.change
    return encode_value(
        {
            "failed": rfc3339(body.failed_ms),
            "wiki": change.wiki,
            "kind": change.meant,
            "title": change.title,
            "namespace": change.namespace,
            "page_id": change.page_id,
            "revision": change.revision,
            "identifier": change.identifier,
            "stage": body.stage,
            "code": body.code,
            "attempts": body.attempts,
            "replayed": status.times(letter),
            "waits": status.waits(letter),
            "partition": letter.partition,
            "offset": letter.offset,
        }
    ).decode()


def _summary(found: Found) -> str:
    codes = Counter(letter.body.code for letter in found.letters if letter.body)
    words: dict[str, Counter[str]] = {code: Counter() for code in codes}
    for letter in found.letters:
        if letter.body and (word := _word(letter, found.status)):
            words[letter.body.code][word] += 1
    lines = ["", f"{len(found.letters)} dead letters"]
    for code, count in codes.most_common():
        told = ", ".join(
            f"{number} {'wait' if word == 'waits' else word}" for word, number in words[code].items()
        )
        lines.append(f"{count:8}  {_shown(code)}{f'  ({told})' if told else ''}")
    return "\n".join(lines)


# ── replaying ──────────────────────────────────────────────────────────────────────────────────


def _replay(loop: Loop, options: argparse.Namespace) -> None:
    wanted = _filter(options)
    if wanted == Filter() and not options.all:
        raise ConfigError(
            "deadletter replay", "say which: --wiki, --code, --kind, --since or --until, or --all of them"
        )
    if wanted != Filter() and options.all:
        raise ConfigError("--all", "does not go with a filter: leave out one of them")
    settings = _settings(options)
    loop(_replay_all(settings, wanted, options.limit, again=options.again, is_dry=options.dry_run))


async def _replay_all(
    settings: Settings, wanted: Filter, limit: int | None, *, again: bool, is_dry: bool
) -> None:
    topics = Topics(settings.log.prefix)
    async with open_log(settings) as log:
        if is_dry:
            found = await _find(log, topics, wanted, limit)
            planned = plan(found.letters, found.status, again=again)
            _say(planned, found.unreadable, f"would replay {len(planned.letters)}")
            return

        failed: list[LogError] = []

        async def main(lane: Lane) -> None:
            # looked at under the lock, so that no other command has them in hand
            found = await _find(log, topics, wanted, limit)
            planned = plan(found.letters, found.status, again=again)
            try:
                sampled = settings.tracing.sampled
                await append(log, lane, topics, planned, found.status, group=ENRICH, sampled=sampled)
            except LogError as error:  # said, not tried for ever as a service would
                failed.append(error)
                return
            _say(planned, found.unreadable, f"replays {len(planned.letters)}")

        if await log.topic(topics.deadletter) is None:
            raise _no_topic(topics)
        # one lane stands for the command, as one stands for the source
        await log.run_lanes(GROUP, topics.deadletter, main, partitions=[0])
        if failed:
            raise failed[0]


def _say(planned: Plan, unreadable: int, done: str) -> None:
    left = [
        f"{count} {reason}"
        for count, reason in (
            (planned.replayed, "were replayed before (--again)"),
            (planned.waiting, f"are {DEFERRED} and replay by themselves once their wiki answers"),
            (planned.unreadable + unreadable, "can't be replayed, since what they were can't be read"),
        )
        if count
    ]
    print(f"{done} dead letters" + (f"; left out: {', '.join(left)}" if left else ""))
