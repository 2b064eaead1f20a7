"""`streamer provision`, and what `partner remove --purge` does beside the partners file.

Whoever runs them is an administrator of the cluster: `log.security` as it is, from the environment for
instance. What they print is a line a thing, and never a password.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamer.config import Settings, load
from streamer.errors import ConfigError, LogUnavailable
from streamer.log.open import open_log
from streamer.partners import NAME, NOBODY, Demands, Partners, load_partners

if TYPE_CHECKING:
    from streamer.provision.plan import Step

TAKEN_S: Final = 15.0
"""So long what was done may take to be seen: a new user needs a second."""
LOOK_S: Final = 0.5

Loop = Callable[[Coroutine[object, object, None]], None]


def add_arguments(parser: argparse.ArgumentParser, loop: Loop) -> None:
    parser.description = (
        "Brings the cluster to what the settings and partners.toml ask for: topics with their policies, a"
        " user for each partner and role, what they may do, quotas. A second run changes nothing. Run it as"
        " an administrator of the cluster: log.security, or STREAMER_LOG__SECURITY__USERNAME and"
        " …__PASSWORD_FILE in the environment."
    )
    parser.add_argument("--dry-run", action="store_true", help="prints the plan, and touches nothing")
    add_secrets(parser, "where the passwords of new users are written, a file each (default: secrets)")
    parser.add_argument(
        "--new-password",
        action="append",
        default=[],
        metavar="USER",
        help="gives this user another password; may be repeated",
    )
    parser.set_defaults(command=partial(_provision, loop))


def add_secrets(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--secrets", type=Path, default=Path("secrets"), metavar="DIR", help=what)


def _provision(loop: Loop, options: argparse.Namespace) -> None:
    settings = load(options.config)
    if settings.log.kind != "kafka":
        raise ConfigError(
            "log.kind",
            f'is "{settings.log.kind}", where there is nothing to provision: the service makes its topics'
            ' itself. For a cluster set it to "kafka"',
        )
    partners = _partners(settings)
    loop(
        _bring(settings, partners, options.secrets, frozenset(options.new_password), dry_run=options.dry_run)
    )


def _partners(settings: Settings) -> Partners:
    file = Path(settings.partners.file)
    return load_partners(file, Demands.of(settings)) if file.exists() else {}


async def _bring(
    settings: Settings, partners: Partners, folder: Path, new_passwords: frozenset[str], *, dry_run: bool
) -> None:
    # librdkafka is needed here alone: no other command should load it
    from streamer.provision.cluster import Admin  # noqa: PLC0415
    from streamer.provision.desired import desired  # noqa: PLC0415
    from streamer.provision.passwords import Passwords  # noqa: PLC0415
    from streamer.provision.plan import plan, summary  # noqa: PLC0415

    wanted = desired(settings, partners)
    strangers = sorted(new_passwords - set(wanted.users))
    if strangers:
        raise ConfigError("--new-password", f"{strangers[0]} is no user of ours: {', '.join(wanted.users)}")
    passwords = Passwords(folder)
    async with Admin(settings) as admin:
        found = plan(
            settings.log.prefix,
            wanted,
            await admin.present(wanted),
            passwords.kept(wanted.users),
            new_passwords=new_passwords,
        )
        _check_file(settings, found)
        if any(step.user for step in found):
            passwords.check()
        for step in found:
            print(step)
        sys.stdout.flush()  # what was about to be done is told, whatever becomes of it
        if not dry_run:
            await admin.apply(found, passwords)
            until_s = time.monotonic() + TAKEN_S
            while any(
                step.does
                for step in plan(
                    settings.log.prefix, wanted, await admin.present(wanted), passwords.kept(wanted.users)
                )
            ):
                if time.monotonic() > until_s:
                    raise LogUnavailable(
                        f"not all of it is to be seen on the cluster within {TAKEN_S:g} s: run it again"
                    )
                await asyncio.sleep(LOOK_S)
    told = summary(found, dry_run=dry_run)
    if any(step.user for step in found):
        told += f"; passwords {'would be' if dry_run else 'are'} in {folder}"
    print(f"dry run: {told}" if dry_run else told)


def _check_file(settings: Settings, steps: "Sequence[Step]") -> None:
    """A file that is not there is no wish to take every partner's rights away: it may be elsewhere."""
    from streamer.provision.desired import role_users  # noqa: PLC0415

    file = Path(settings.partners.file)
    gone = {step.acl.user for step in steps if step.acl and step.verb == "remove"}
    gone -= set(role_users(settings.log.prefix))
    if gone and not file.exists():
        raise ConfigError(
            str(file),
            f"no such file, and {', '.join(sorted(gone))} would lose rights: run it where the file is, or"
            f" write the line `{NOBODY}` into it",
        )


# ── the end of a partner ───────────────────────────────────────────────────────────────────────


def check_purge(settings: Settings, name: str) -> None:
    """Before anything is removed. Raises ConfigError."""
    from streamer.provision.desired import check_name  # noqa: PLC0415

    if not NAME.fullmatch(name):
        raise ConfigError(name, "a partner's name is 1 to 40 of a-z, 0-9 and -")
    if settings.log.kind == "kafka":
        check_name(name, settings.log, "--purge")


async def purge(settings: Settings, name: str, folder: Path, take_out: Callable[[], bool]) -> None:
    """What is left of it in the log, on the cluster and in the folder of passwords, after `take_out` has
    taken its table out of the file. ConfigError where there was neither that nor anything else.
    """
    if settings.log.kind == "local":
        from streamer.provision.purge import purge_from_file, unknown  # noqa: PLC0415

        known, was_partner = False, take_out()
        if _has_file(settings):
            async with open_log(settings) as log:
                known = await purge_from_file(log, settings, name, _say)
    else:
        from streamer.provision.cluster import Admin  # noqa: PLC0415
        from streamer.provision.passwords import Passwords  # noqa: PLC0415
        from streamer.provision.purge import purge_from_cluster, unknown  # noqa: PLC0415

        async with Admin(settings) as admin, open_log(settings) as log:
            await admin.check([name])  # who may not do this should lose nothing by it
            was_partner = take_out()
            known = await purge_from_cluster(admin, log, settings, name, _say, passwords=Passwords(folder))
    if not known and not was_partner:
        raise unknown(settings.partners.file, name)
    print(f"{name}: nothing is left" if known else f"{name}: is removed; the log held nothing of it")


def _has_file(settings: Settings) -> bool:
    """Opening the log would make it."""
    return Path(settings.log.path).exists()


def _say(line: str) -> None:
    print(line, flush=True)
