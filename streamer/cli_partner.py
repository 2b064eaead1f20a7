"""`streamer partner rebuild`."""

import argparse
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from streamer.cli_time import past_ms
from streamer.config import Settings, load
from streamer.errors import ConfigError
from streamer.log.open import open_log
from streamer.partners import load_partners
from streamer.route.rebuilder import Rebuilder

Loop = Callable[[Coroutine[object, object, None]], None]


def add_rebuild(actions: Any, loop: Loop) -> None:  # noqa: ANN401 - argparse has no public name for it
    action = actions.add_parser(
        "rebuild",
        help="makes a partner's feed anew from the articles that are kept; asks no wiki",
        description="The topic is deleted and made anew (a new epoch: clients that resume get 410), and"
        " the processes with the role route fill it. Ended at any instant it does no harm, and the same"
        " command goes on with it. The settings must be of a user that may delete and make topics.",
    )
    action.add_argument("name")
    action.add_argument(
        "--since", metavar="T", help="from this time on (RFC 3339); default: from the earliest that is kept"
    )
    action.add_argument(
        "--no-wait", action="store_true", help="ends when the feed is being routed, not when it is live again"
    )
    action.set_defaults(command=lambda options: _rebuild(options, loop))


def _rebuild(options: argparse.Namespace, loop: Loop) -> None:
    settings = load(options.config)
    file = Path(settings.partners.file)
    name: str = options.name

    def is_known() -> bool:
        return file.exists() and name in load_partners(file)

    if not is_known():
        raise ConfigError(f"{file}: {name}", "there is no such partner")
    since_ms = None if options.since is None else past_ms("--since", options.since)
    if settings.log.kind == "local" and not Path(settings.log.path).exists():
        raise ConfigError("log.path", f"there is no log at {settings.log.path}")
    loop(_run(settings, name, since_ms, wait=not options.no_wait, is_known=is_known))


async def _run(
    settings: Settings, name: str, since_ms: int | None, *, wait: bool, is_known: Callable[[], bool]
) -> None:
    async with open_log(settings) as log:
        await Rebuilder(log, settings, name, _say).run(since_ms, wait=wait, is_known=is_known)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
