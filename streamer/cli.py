"""The commands. Exit 0 on success and after a drain, 2 on bad usage or configuration, 1 on any other failure.

An error that has a name is one line on standard error; a defect of ours is a log line with its places.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn

from streamer import (
    cli_canary,
    cli_deadletter,
    cli_partner,
    cli_provision,
    cli_reconcile,
    faultpoints,
    logs,
    quickstart,
)
from streamer.check import run_check
from streamer.config import load, pinned
from streamer.errors import ConfigError, LogBusy, LogTooNew, StreamerError
from streamer.groups import leaves
from streamer.loop import run
from streamer.pipeline import ROLES, run_pipeline
from streamer.progress import show_progress
from streamer.sandbox.server import Sandbox, SandboxOptions, run_sandbox

USAGE: Final = 2
FAILED: Final = 1


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script."""
    options = _parser().parse_args(arguments)
    logs.set_up()
    command: Callable[[argparse.Namespace], int | None] = options.command
    try:
        code = command(options) or 0
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except StreamerError as error:
        code = _explain([error])
    except BaseExceptionGroup as group:
        errors = leaves(group)
        named = [error for error in errors if isinstance(error, StreamerError)]
        if len(named) < len(errors):
            raise
        code = _explain(named)
    sys.exit(code)


def _explain(errors: list[StreamerError]) -> int:
    for text in dict.fromkeys(str(error) for error in errors):
        print(f"streamer: {text}", file=sys.stderr)
    usage = all(isinstance(error, ConfigError | LogBusy | LogTooNew) for error in errors)
    return USAGE if usage else FAILED


def _ready_to_stop() -> None:
    """Before the pipeline runs there is nothing to drain: SIGTERM then ends the service at once, with 0. And
    nothing to reload: the settings are read after this.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


# ── the parser ─────────────────────────────────────────────────────────────────────────────────


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamer",
        description="Wikipedia's edits, with their articles, as a live feed for every partner.",
    )
    parser.add_argument(
        "--config",
        metavar="PATH",
        help="settings; else $STREAMER_CONFIG, else streamer.toml in this directory",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    command = commands.add_parser("quickstart", help="all roles, a demo partner, one curl line to try")
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--sandbox", action="store_true", help="the built-in wiki, without asking for Wikimedia"
    )
    where.add_argument("--live", action="store_true", help="Wikimedia or nothing")
    command.add_argument("--port", type=_port, help="of the feed (default: 8080, or a free one)")
    command.add_argument(
        "--data", type=Path, default=Path("data"), help="where the log is kept (default: data)"
    )
    command.add_argument("--seed", type=int, help="of the sandbox wiki")
    command.set_defaults(command=_quickstart)

    command = commands.add_parser("run", help="the service, all roles or some")
    command.add_argument(
        "--role",
        action="append",
        choices=ROLES,
        metavar="ROLE",
        help=f"one of {', '.join(ROLES)}; may be repeated",
    )
    command.set_defaults(command=_run)

    command = commands.add_parser(
        "check", help="what is wrong before the start, from the settings to the clock"
    )
    command.set_defaults(command=_check)

    cli_partner.add_actions(commands.add_parser("partner", help="who gets a feed, and their keys"), run)
    cli_provision.add_arguments(
        commands.add_parser("provision", help="topics, users, ACLs and quotas on a cluster; idempotent"),
        run,
    )
    cli_deadletter.add_actions(
        commands.add_parser("deadletter", help="looks at what failed, and has it tried again"), run
    )
    cli_reconcile.add_arguments(
        commands.add_parser("reconcile", help="finds and repairs what the stream lost upstream"), run
    )
    cli_canary.add_arguments(
        commands.add_parser("canary", help="edits a page, and tells how long the edit takes to a partner"),
        run,
    )
    _sandbox_parser(
        commands.add_parser("sandbox", help="an invented wiki with its stream and its API, on loopback")
    )
    return parser


def _sandbox_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_port, default=8095, help="default 8095; 0 for any free one")
    parser.add_argument("--seed", type=int, help="default: a random one, printed")
    parser.add_argument("--rate", type=_rate, default=1.0, metavar="EDITS", help="edits a second (default 1)")
    parser.add_argument(
        "--recording",
        type=Path,
        metavar="FILE",
        help="answer for the events of a recording (.sse or .jsonl, .gz)",
    )
    parser.set_defaults(command=_sandbox)


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate: above 0, at most 10000 edits a second")
    return rate


# ── what they do ───────────────────────────────────────────────────────────────────────────────


def _quickstart(options: argparse.Namespace) -> None:
    _ready_to_stop()
    wish: quickstart.Wish = "sandbox" if options.sandbox else "live" if options.live else "either"
    settings = load(options.config)
    run(
        quickstart.run_quickstart(
            settings, wish=wish, data=options.data, port=options.port, seed=options.seed, out=sys.stdout
        )
    )


def _run(options: argparse.Namespace) -> None:
    _ready_to_stop()
    faultpoints.arm(os.environ)
    read = pinned(options.config)
    settings = load(read)
    roles = options.role or ROLES
    beside = [show_progress] if settings.source.url.startswith("file:") and "source" in roles else []
    run(run_pipeline(settings, roles, reload=lambda: load(read), beside=beside))


def _check(options: argparse.Namespace) -> int:
    code = 0

    async def check() -> None:
        nonlocal code
        findings = await run_check(options.config, sys.stdout)
        code = USAGE if any(finding.level == "PROBLEM" for finding in findings) else 0
        if any(finding.hangs for finding in findings):  # in a thread, for which a clean end would wait
            os._exit(code)

    run(check())
    return code


def _sandbox(options: argparse.Namespace) -> None:
    run(
        run_sandbox(
            SandboxOptions(
                host=options.host,
                port=options.port,
                seed=options.seed,
                edits_per_s=options.rate,
                recording=options.recording,
            ),
            _say_sandbox,
        )
    )


def _say_sandbox(sandbox: Sandbox) -> None:
    print(
        f"stream    {sandbox.stream_url}",
        f"wiki API  {sandbox.endpoint}/w/api.php (each wiki by its name in Host)",
        f"steering  {sandbox.endpoint}/sandbox/state",
        f"seed      {sandbox.seed}",
        sep="\n",
        flush=True,
    )
