"""`streamer canary`: measures the path from an edit to a partner, from outside.

Exit 0 where the edit arrived in time, or after a signal; 1 where it was late, lost or failed (`--once`).
"""

import argparse
import os
import re
import signal
import ssl
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Final

from streamer.canary.run import Options, run_canary, run_once
from streamer.canary.verdict import Verdict
from streamer.canary.wiki import Bot
from streamer.config import BASE_URL, PRIVATE_URL, load
from streamer.errors import ConfigError

KEY: Final = "STREAMER_CANARY_KEY"
BOT: Final = "STREAMER_CANARY_BOT"
ROUTE: Final = "/v2/articles"
PAGE: Final = "User:Canary/page"
PRINTABLE: Final = re.compile(r"[!-~]+", re.ASCII)

Loop = Callable[[Coroutine[object, object, Verdict | None]], Verdict | None]


def add_arguments(parser: argparse.ArgumentParser, loop: Loop) -> None:
    parser.description = (
        "Edits a page of its own, waits for the edit in the feed, and tells: arrived (with the text that was"
        " written, in order, within the limit), late, lost, or failed (no edit, or no feed). Without --edit"
        " it waits for anybody's edit of the wiki or page instead, and measures by the time that the wiki"
        ' gave it. It needs a partner of its own, with `content = ["wikitext"]`,'
        " and keeps running whatever fails."
    )
    parser.add_argument(
        "--feed", metavar="URL", default="http://127.0.0.1:8080", help="the service (default: %(default)s)"
    )
    parser.add_argument("--key-file", type=Path, metavar="FILE", help=f"the partner's key; else ${KEY}")
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="who signed the service's certificate")
    parser.add_argument("--wiki", metavar="WIKI", help="its database name, e.g. testwiki", default="")
    parser.add_argument(
        "--page",
        metavar="TITLE",
        help="as the wiki spells it; nobody else may edit it (with --edit), or any (else)",
        default="",
    )
    parser.add_argument("--edit", metavar="URL", help="the wiki's API, e.g. https://…/w/api.php", default="")
    parser.add_argument(
        "--server",
        metavar="NAME",
        help="sent as Host, where that URL serves many wikis, as mediawiki.endpoint does",
        default="",
    )
    parser.add_argument(
        "--bot-file",
        type=Path,
        metavar="FILE",
        help="a bot password in two lines, Account@name and the password (Special:BotPasswords);"
        f" else ${BOT}; else it does not log in",
    )
    parser.add_argument("--limit", type=_seconds, default=30.0, metavar="S", help="in time (default 30)")
    parser.add_argument("--deadline", type=_seconds, default=120.0, metavar="S", help="lost (default 120)")
    parser.add_argument("--interval", type=_seconds, default=60.0, metavar="S", help="a run (default 60)")
    parser.add_argument("--once", action="store_true", help="one run, told in a line")
    parser.add_argument("--host", default="127.0.0.1", help="of the metrics (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=9091, help="of the metrics (default: %(default)s); 0 for any free one"
    )
    parser.set_defaults(command=partial(_canary, loop))


def _canary(loop: Loop, given: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    options = _options(given)
    if not given.once:
        loop(run_canary(options))
        return 0
    verdict = loop(run_once(options))
    if verdict is None:
        return 0
    print(told(verdict))
    return 0 if verdict.outcome == "arrived" else 1


def told(verdict: Verdict) -> str:
    """A line."""
    line = f"{verdict.outcome}: {verdict.reason}" if verdict.reason else verdict.outcome
    return line if verdict.seconds is None else f"{line} ({verdict.seconds:.3f} s)"


def _options(given: argparse.Namespace) -> Options:
    """Raises ConfigError for whatever could never work."""
    for flag, url in (("--feed", given.feed), ("--edit", given.edit)):
        if url and not BASE_URL.fullmatch(url):
            raise ConfigError(flag, f"{url!r} is no http(s) URL")
    if given.edit and not (given.wiki and given.page):
        raise ConfigError("--edit", f"needs --wiki and --page, e.g. --page {PAGE!r}")
    if given.page and not given.wiki:
        raise ConfigError("--page", "needs --wiki: titles are not the same everywhere")
    if given.server and not PRINTABLE.fullmatch(given.server):
        raise ConfigError("--server", f"{given.server!r} is no name of a server")
    if given.deadline < given.limit:
        raise ConfigError("--deadline", f"{given.deadline:g} s is before the limit of {given.limit:g} s")
    key, bot = partial(_key, given.key_file), partial(_bot, given.bot_file)
    key()
    if bot() and given.edit and not PRIVATE_URL.fullmatch(given.edit):
        raise ConfigError("--edit", "is http to another machine: the bot password would go there in clear")
    feed = given.feed.rstrip("/")
    return Options(
        feed=feed if feed.endswith(ROUTE) else feed + ROUTE,
        key=partial(_later, key),
        wiki=given.wiki,
        page=given.page,
        api=given.edit,
        server=given.server,
        bot=bot,
        user_agent=load(given.config).user_agent,
        tls=True if given.ca_file is None else _tls(given.ca_file),
        limit_s=given.limit,
        deadline_s=given.deadline,
        interval_s=given.interval,
        host=given.host,
        port=given.port,
    )


# ── secrets: never an argument, which everybody on the machine can read ────────────────────────


def _key(file: Path | None) -> str:
    where = f"${KEY}" if file is None else f"--key-file {file}"
    key = (os.environ.get(KEY, "") if file is None else _read("--key-file", file)).strip()
    if not PRINTABLE.fullmatch(key):
        raise ConfigError(where, "holds no key: one word, as `streamer partner add` prints it")
    return key


def _later(key: Callable[[], str]) -> str:
    """Nothing while the file is being rewritten."""
    try:
        return key()
    except ConfigError:
        return ""


def _bot(file: Path | None) -> Bot | None:
    where = f"${BOT}" if file is None else f"--bot-file {file}"
    text = os.environ.get(BOT, "") if file is None else _read("--bot-file", file)
    if file is None and not text.strip():
        return None
    lines = text.strip().splitlines()
    if len(lines) != 2 or not all(line.strip() for line in lines):
        raise ConfigError(where, "holds no bot password: Account@name in one line, the password in the next")
    return Bot(lines[0].strip(), lines[1].strip())


def _read(flag: str, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{flag} {file}", f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{flag} {file}", "is no text in UTF-8") from None


def _tls(file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError):
        raise ConfigError(f"--ca-file {file}", "cannot be read as certificates in PEM") from None


# ── arguments ──────────────────────────────────────────────────────────────────────────────────


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: above 0, at most 86400 seconds")
    return seconds


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)
