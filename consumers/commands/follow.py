"""`corpus follow`: keeps the corpus what the wikis say, until it is stopped."""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from consumers import feeds, logs
from consumers.corpus import beginning, display, metrics
from consumers.corpus.follow import Follower, Reason
from consumers.corpus.lock import feeding
from consumers.corpus.progress import begins
from consumers.corpus.start import since_of, started
from consumers.corpus.state import State
from consumers.errors import BadEvent, FeedError, FeedRefused, PositionLost, UsageError
from consumers.event import Feed

logger = logging.getLogger(__name__)

HELP: Final = "keep the corpus current: apply the feed as it comes"
_WHAT_TO_DO: Final[dict[type[FeedError], str]] = {
    PositionLost: "`corpus bootstrap` again closes the gap, and follow goes on from there; without a dump,"
    " follow once with --on-gap continue, and what is lost stays missing",
    FeedRefused: "what was committed is kept; mend it and start again",
    BadEvent: "what came before it is committed",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    feeds.arguments(parser)
    add = parser.add_argument_group("following").add_argument
    add(
        "--keep",
        choices=("wikitext", "text"),
        default="wikitext",
        help="wikitext beside the text, or the text alone (default: %(default)s)",
    )
    add("--until-idle", type=_seconds, metavar="S", help="end when nothing came for S seconds")
    add("--strict", action="store_true", help="end at what is no article; else it is counted and passed over")
    add("--json", action="store_true", help="a JSON line each interval, as where stdout is no terminal")
    add("--interval", type=_seconds, default=10.0, metavar="S", help="of these (default: %(default)s)")
    add("--metrics-port", type=_port, metavar="PORT", help="serve Prometheus' metrics there")
    add("--metrics-host", default="127.0.0.1", metavar="HOST", help="(default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    is_live = sys.stdout.isatty() and not options.json
    logs.set_up(as_json=not is_live)
    with feeding(options.corpus), State(options.corpus, create=True) as state:
        positions = state.positions()
        new = {feed.name for feed in feeds.opened(options)}.difference(positions)
        if options.since is None and new:
            options.since = since_of(state, new) if positions else begins(state)
        opened = feeds.opened(options, positions)
        _checked(state, options, opened)
        started(state, new, options.since)
        follower = Follower(
            state,
            opened,
            keep_wikitext=options.keep == "wikitext",
            idle_s=options.until_idle,
            strict=options.strict,
        )
        with _metrics(options):
            try:
                reason = asyncio.run(_follow(follower, options, is_live=is_live))
            except FeedError as error:
                raise _with_advice(error) from None
    if is_live:
        print(f"{reason}: {follower.tally.events:,} events are in {options.corpus}")
    return 0


def _checked(state: State, options: argparse.Namespace, opened: Sequence[Feed]) -> None:
    """That nothing is lost in silence between the bootstraps and where the feeds begin."""
    if options.on_gap == "continue":
        beginning.forgotten(state, opened)
        return

    def begun_at(since: datetime) -> Sequence[Feed]:
        return feeds.opened(argparse.Namespace(**{**vars(options), "since": since}))

    since = options.since or begins(state)
    if since is None:
        return
    try:
        asyncio.run(beginning.reaches_back(state, begun_at, since, wikis=options.wikis))
    except FeedError as error:
        raise _with_advice(error) from None


async def _follow(follower: Follower, options: argparse.Namespace, *, is_live: bool) -> Reason:
    tally = follower.tally
    with _stopped() as stop:
        shown = asyncio.create_task(
            display.live(tally, f"corpus follow · {options.corpus}")
            if is_live
            else display.lines(tally, _say, options.interval)
        )
        reason: Reason | None = None
        try:
            reason = await follower.run(stop)
        finally:
            shown.cancel()
            await asyncio.wait([shown])
            if not is_live:
                _say(display.line(tally, display.Rates(), follower.clock(), final=reason or "failed"))
    return reason


def _with_advice(error: FeedError) -> FeedError:
    for kind, advice in _WHAT_TO_DO.items():
        if isinstance(error, kind):
            return kind(f"{error}: {advice}")
    return error


@contextmanager
def _stopped() -> Iterator[asyncio.Event]:
    """What SIGTERM and SIGINT set. The second one ends the process as it always does, which costs nothing but
    what was not yet committed.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)

    def hear() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, hear)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextmanager
def _metrics(options: argparse.Namespace) -> Iterator[None]:
    if options.metrics_port is None:
        yield
        return
    from prometheus_client import start_http_server  # noqa: PLC0415 - brings a server

    try:
        server, thread = start_http_server(options.metrics_port, options.metrics_host, metrics.REGISTRY)
    except OSError as error:
        where = f"{options.metrics_host}:{options.metrics_port}"
        raise UsageError(f"metrics can't be served at {where}: {error.strerror}") from None
    address = f"http://{options.metrics_host}:{server.server_port}/metrics"
    logger.info("metrics are served", extra={"url": address})
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _say(line: str) -> None:
    print(line, flush=True)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 <= int(text) < 65_536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port")
    return int(text)
