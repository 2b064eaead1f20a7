"""`streamer partner`: who gets a feed, and their keys."""

import argparse
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from streamer.cli_provision import add_secrets, check_purge, purge
from streamer.cli_time import past_ms
from streamer.config import Settings, load
from streamer.errors import ConfigError, TopicRefused
from streamer.log.open import open_log
from streamer.model import Topics
from streamer.partners import Demands, load_partners
from streamer.partners_edit import add_partner, check_new, list_partners, remove_partner, rotate_partner
from streamer.route.rebuilder import Rebuilder
from streamer.route.starts import record_start
from streamer.runtime import article_spec, topic_specs

Loop = Callable[[Coroutine[object, object, None]], None]


def add_actions(parser: argparse.ArgumentParser, loop: Loop) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    action = actions.add_parser("add", help="a new partner; prints its key, once")
    action.add_argument("name")
    action.add_argument(
        "--since", metavar="T", help="route history from this time on (RFC 3339); default: from now on"
    )
    action.set_defaults(command=partial(_add, loop))
    action = actions.add_parser("list", help="the partners and their rules")
    action.set_defaults(command=_list)
    action = actions.add_parser("rotate", help="a further key; prints it, once. The newest two are valid")
    action.add_argument("name")
    action.add_argument(
        "--drop-old", action="store_true", help="the new key alone is valid: for a leaked one"
    )
    action.set_defaults(command=_rotate)
    action = actions.add_parser("remove", help="cuts the partner off")
    action.add_argument("name")
    action.add_argument(
        "--purge",
        action="store_true",
        help="deletes its topic and positions too, and on a cluster its user, ACLs and quotas; works again"
        " after an end in between",
    )
    add_secrets(action, "of a cluster: where its password lies, to be deleted (default: secrets)")
    action.set_defaults(command=partial(_remove, loop))
    _add_rebuild(actions, loop)


def _add_rebuild(actions: Any, loop: Loop) -> None:  # noqa: ANN401 - argparse has no public name for it
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
    action.set_defaults(command=partial(_rebuild, loop))


def _file_of(options: argparse.Namespace) -> tuple[Settings, Path, Demands]:
    """No command makes a pseudonym: who runs them needs no secret."""
    settings = load(options.config)
    return settings, Path(settings.partners.file), Demands.of(settings)


def _add(loop: Loop, options: argparse.Namespace) -> None:
    settings, file, demands = _file_of(options)
    since_ms = None if options.since is None else past_ms("--since", options.since)
    check_new(file, options.name, load_partners(file, demands) if file.exists() else {})
    if since_ms is not None or settings.log.kind == "kafka" or Path(settings.log.path).exists():
        # before it stands in the file, so that a running service never takes it as starting now
        loop(_record_start(settings, options.name, since_ms))
    print(add_partner(file, options.name, demands=demands))


async def _record_start(settings: Settings, name: str, since_ms: int | None) -> None:
    async with open_log(settings) as log:
        topics = Topics(settings.log.prefix)
        await log.ensure_topics(topic_specs(settings))
        with suppress(TopicRefused):  # who may not make it leaves that to who may; the partner waits for it
            # here, since lanes that had to make it would keep the others waiting meanwhile
            await log.ensure_topics([article_spec(settings, topics.of_partner(name))])
        await record_start(log, topics, name, since_ms)


def _list(options: argparse.Namespace) -> None:
    _, file, demands = _file_of(options)
    lines = list_partners(file, demands)
    for line in lines:
        print(line)
    if not lines:  # beside stdout, which holds partners and nothing else
        print(f"no partners in {file}; `streamer partner add NAME` makes one", file=sys.stderr)


def _rotate(options: argparse.Namespace) -> None:
    _, file, demands = _file_of(options)
    print(rotate_partner(file, options.name, drop_old=options.drop_old, demands=demands))


def _remove(loop: Loop, options: argparse.Namespace) -> None:
    settings, file, demands = _file_of(options)
    if not options.purge:
        remove_partner(file, options.name, demands)
        if settings.log.kind == "kafka":
            print("on the cluster its user reads its topic until `streamer provision`", file=sys.stderr)
        return
    check_purge(settings, options.name)

    def take_out() -> bool:
        """First, so that a running service lets go of it."""
        is_partner = file.exists() and options.name in load_partners(file)
        if is_partner:
            remove_partner(file, options.name, demands)
        return is_partner

    loop(purge(settings, options.name, options.secrets, take_out))


def _rebuild(loop: Loop, options: argparse.Namespace) -> None:
    settings, file, demands = _file_of(options)
    name: str = options.name

    def rules() -> str | None:
        partner = load_partners(file, demands).get(name) if file.exists() else None
        return None if partner is None else partner.rules

    if rules() is None:
        raise ConfigError(f"{file}: {name}", "there is no such partner")
    since_ms = None if options.since is None else past_ms("--since", options.since)
    if settings.log.kind == "local" and not Path(settings.log.path).exists():
        raise ConfigError("log.path", f"there is no log at {settings.log.path}")
    loop(_run(settings, name, since_ms, wait=not options.no_wait, rules=rules))


async def _run(
    settings: Settings, name: str, since_ms: int | None, *, wait: bool, rules: Callable[[], str | None]
) -> None:
    async with open_log(settings) as log:
        await Rebuilder(log, settings, name, _say).run(since_ms, wait=wait, rules=rules)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
