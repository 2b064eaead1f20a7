"""`corpus`: exit 0 on success and on a graceful stop, 2 on bad usage, 1 on any other failure with a name."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Final, NoReturn, Protocol, cast

from consumers.errors import CorpusError, StateError, UsageError

COMMANDS: Final[tuple[str, ...]] = (
    "bootstrap",
    "follow",
    "get",
    "status",
    "snapshot",
    "diff",
    "jsonl",
    "index",
    "search",
    "erase",
    "plot",
    "verify",
)
"""Each a module of `consumers.commands`; imported only when it, or help, is asked for."""


class Command(Protocol):
    HELP: str

    def arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, options: argparse.Namespace) -> int | None: ...


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    options = _parser(_command(arguments)).parse_args(arguments)
    try:
        code = cast("Command", options.module).run(options) or 0
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BrokenPipeError:  # whoever read what is printed has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    except CorpusError as error:
        print(f"corpus: {error}", file=sys.stderr)
        code = 2 if isinstance(error, UsageError | StateError) else 1
    sys.exit(code)


def _command(arguments: Sequence[str] | None) -> str | None:
    """The one that is named, so that no other's libraries are loaded; None: help, or none that there is."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--corpus")
    parser.add_argument("command", nargs="?")
    with suppress(argparse.ArgumentError):
        command = parser.parse_known_args(arguments)[0].command
        return str(command) if command in COMMANDS else None
    return None


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="corpus", description="A training corpus that is at every moment what the wikis say."
    )
    parser.add_argument(
        "--corpus", type=Path, default=Path("corpus.db"), help="the corpus, one file (default: %(default)s)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in [chosen] if chosen else COMMANDS:
        module = cast("Command", import_module(f"consumers.commands.{name}"))
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.arguments(command)
        command.add_argument("--corpus", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        command.set_defaults(module=module)
    return parser
