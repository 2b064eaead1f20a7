"""Which feeds a command reads, from its options: SSE, or the partner's topic on Kafka; whole, or in parts.

    def arguments(parser):
        feeds.arguments(parser)

    for feed in feeds.opened(options, state.positions()):
        async for batch in feed.batches(state.position(feed.name)): …

A feed's name says what it reads (`sse:0-4`, `kafka:wiki.articles.v1.acme:0-9:dewiki,enwiki`), and its
position is kept under it. So another number of connections, or other wikis, are other feeds: under a corpus
that was read by some they are refused, unless `--since` says where the new ones begin. Who reads again what
the corpus has loses nothing by it.
"""

import argparse
import os
import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from consumers.errors import UsageError
from consumers.event import Feed
from consumers.kafka import Access, KafkaFeed
from consumers.parts import ALL, Parts
from consumers.sse import SseFeed

URL: Final = "http://127.0.0.1:8080"
"""Where `make run` serves."""
PATH: Final = "/v2/articles"
KEY: Final = "CORPUS_KEY"
TOPIC: Final = "wiki.articles.v1."
"""And the partner's name."""
_KEY: Final = re.compile(r"[!-~]{1,1000}", re.ASCII)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say which feed is read."""
    add = parser.add_argument_group("the feed").add_argument
    add("--url", default=URL, help="of the service (default: %(default)s)")
    add("--key-file", type=Path, metavar="FILE", help=f"holds the key (default: it is in ${KEY})")
    add(
        "--since",
        type=time_of,
        metavar="TIME",
        help="where a feed begins that has no position yet, e.g. 2026-11-21T12:00:00Z (default: now)",
    )
    add("--parts", type=_parts, default=ALL, metavar="A-B", help="of the ten parts (default: 0-9)")
    add("--connections", type=_count, default=1, metavar="N", help="that share the parts (default: 1)")
    add("--wikis", type=_wikis, default=(), metavar="NAME,…", help="these only, e.g. enwiki,dewiki")
    add(
        "--on-gap",
        choices=("fail", "continue"),
        default="fail",
        help="what to do where the feed no longer holds what follows (default: %(default)s)",
    )
    add("--kafka", metavar="HOST:PORT,…", help="read the topic on this cluster, in place of --url")
    add("--topic", help=f"on Kafka (default: {TOPIC}USER)")
    add("--user", help="on Kafka: the partner's name")
    add("--password-file", type=Path, metavar="FILE", help="of the user on Kafka")
    add("--ca-file", type=Path, metavar="FILE", help="PEM, in place of the system's authorities")
    add("--insecure", action="store_true", help="without TLS, also to other hosts than this one")


def opened(options: argparse.Namespace, positions: Collection[str] = ()) -> list[Feed]:
    """The feeds that the options ask for; nothing is asked of a server yet. `positions` are the names under
    which the corpus has positions. Raises UsageError.
    """
    found: list[Feed] = [*(_on_kafka(options) if options.kafka else _by_sse(options))]
    new = [feed.name for feed in found if feed.name not in positions]
    if new and positions and options.since is None:
        raise UsageError(
            f"this corpus was read by {', '.join(sorted(positions))}"
            f" and has no position of {', '.join(new)}: read it with the same --parts, --connections, --wikis"
            " and source as before, or say by --since from when on these are to be read; what is read twice"
            " does no harm"
        )
    return found


def _by_sse(options: argparse.Namespace) -> Iterable[SseFeed]:
    try:
        place = urlsplit(options.url)
        is_address = place.scheme in ("http", "https") and bool(place.hostname) and place.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise UsageError(f"--url: is no address of a service, e.g. {URL}")
    if place.username or place.password or place.query or place.fragment:
        raise UsageError("--url: is an address and nothing more; the key is given by --key-file")
    if place.scheme == "http" and not (options.insecure or _is_here(str(place.hostname))):
        raise UsageError(
            f"--url {options.url}: the key would travel for all to see; use https, or --insecure"
        )
    url = _address(place)
    key = partial(_key, options.key_file)
    key()
    for parts in options.parts.split(options.connections):
        yield SseFeed(
            name=_name("sse", parts, options.wikis),
            url=url,
            key=key,
            parts=parts,
            wikis=options.wikis,
            since=options.since,
            goes_on=options.on_gap == "continue",
            ca_file=options.ca_file,
        )


def _address(place: SplitResult) -> str:
    path = place.path.rstrip("/").removesuffix(PATH)
    return f"{place.scheme}://{place.netloc}{path}{PATH}"


def _key(file: Path | None) -> str:
    """Read whenever a connection is made, so that a key can be changed under a reader."""
    where = f"--key-file {file}" if file else f"${KEY}"
    key = _read(file, "--key-file").strip() if file else os.environ.get(KEY, "")
    if not key:
        raise UsageError(f"{where}: there is no key; `--key-file FILE` names a file that holds it")
    if not _KEY.fullmatch(key):
        raise UsageError(f"{where}: is no key, which is one line of ASCII without spaces")
    return key


def _on_kafka(options: argparse.Namespace) -> Iterable[KafkaFeed]:
    hosts = tuple(part.strip() for part in options.kafka.split(",") if part.strip())
    for host in hosts:
        if not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^\s:/]+):\d{1,5}", host):
            raise UsageError(f"--kafka {options.kafka}: {host} is no HOST:PORT")
    if not hosts:
        raise UsageError("--kafka: names no HOST:PORT")
    topic = options.topic or (TOPIC + options.user if options.user else "")
    if not topic:
        raise UsageError("--kafka: needs --topic, or --user with --password-file")
    if bool(options.user) != bool(options.password_file):
        raise UsageError("--kafka: --user and --password-file are given together")
    is_local = all(_is_here(host.rpartition(":")[0].strip("[]")) for host in hosts)
    access = Access(
        hosts,
        user=options.user or "",
        password=_read(options.password_file, "--password-file").strip() if options.user else "",
        is_encrypted=bool(options.ca_file) or not (options.insecure or is_local),
        ca_file=options.ca_file,
    )
    for parts in options.parts.split(options.connections):
        yield KafkaFeed(
            name=_name(f"kafka:{topic}", parts, options.wikis),
            access=access,
            topic=topic,
            parts=parts,
            wikis=frozenset(options.wikis),
            since=options.since,
            goes_on=options.on_gap == "continue",
        )


def _name(kind: str, parts: Parts, wikis: Iterable[str]) -> str:
    return ":".join([kind, str(parts), *([",".join(wikis)] if wikis else [])])


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(file: Path, option: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise UsageError(f"{option} {file}: {reason}") from None


# ── single options ─────────────────────────────────────────────────────────────────────────────


def time_of(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time, e.g. 2026-11-21T12:00:00Z") from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} does not say its time zone; a Z at its end is UTC")
    return moment.astimezone(UTC)


def _parts(text: str) -> Parts:
    match = re.fullmatch(r"(\d)(?:-(\d))?", text, re.ASCII)
    if match is None or int(match[1]) > int(match[2] or match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no range of the parts 0 to 9, e.g. 0-4")
    return Parts(int(match[1]), int(match[2] or match[1]))


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,2}", text, re.ASCII) or not 1 <= int(text) <= 10:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 10")
    return int(text)


def _wikis(text: str) -> tuple[str, ...]:
    names = tuple(sorted({name.strip() for name in text.split(",")} - {""}))
    if not names or not all(re.fullmatch(r"[a-z0-9_]+", name, re.ASCII) for name in names):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of database names, e.g. enwiki,dewiki")
    return names
