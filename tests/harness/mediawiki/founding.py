"""The folder of a farm: three empty wikis, copies of one that MediaWiki's own installer has made."""

import asyncio
import json
import os
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from harness.mediawiki.packages import CODE
from harness.mediawiki.relay import socket_name

HERE: Final = Path(__file__).resolve().parent
INSTALL_S: Final = 120.0
PASSWORD: Final = "a long enough password"
STEWARD, ROBOT, WRITER = "Steward", "Robot", "Writer"
USERS: Final[Mapping[str, Sequence[str]]] = {
    STEWARD: ("sysop", "suppress", "bureaucrat", "interface-admin"),
    ROBOT: ("bot",),
    WRITER: (),
}
PHP: Final = (
    "php",
    *("-d", "memory_limit=512M"),
    *("-d", "display_errors=0"),
    *("-d", "log_errors=1"),
    *("-d", "html_errors=0"),
    *("-d", "max_execution_time=60"),
    *("-d", "upload_max_filesize=32M"),
    *("-d", "post_max_size=32M"),
    *("-d", "opcache.enable=1"),
    *("-d", "opcache.enable_cli=1"),
    *("-d", "opcache.validate_timestamps=0"),
)


@dataclass(frozen=True, slots=True)
class Site:
    """What distinguishes a wiki; `name` is its database's, `wiki` in the events."""

    name: str
    server_name: str
    language: str
    site_name: str
    licence: str
    licence_url: str


SITES: Final = (
    Site(
        "enproof",
        "en.proof.example",
        "en",
        "Proof",
        "Creative Commons Attribution-ShareAlike 4.0",
        "https://creativecommons.org/licenses/by-sa/4.0/",
    ),
    Site(
        "deproof",
        "de.proof.example",
        "de",
        "Beweis",
        "Creative Commons Attribution 4.0",
        "https://creativecommons.org/licenses/by/4.0/",
    ),
    Site(
        "arproof",
        "ar.proof.example",
        "ar",
        "برهان",
        "GNU Free Documentation License 1.3",
        "https://www.gnu.org/licenses/fdl-1.3.html",
    ),
)


def compiled(origin: Path) -> tuple[str, ...]:
    """PHP, with what it has compiled kept for the next process."""
    return (*PHP, "-d", f"opcache.file_cache={origin / 'opcache'}")


def environment(folder: Path, origin: Path) -> dict[str, str]:
    """Of every PHP process of the farm in `folder`."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return kept | {
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "MW_CONFIG_FILE": str(HERE / "settings.php"),
        "PROOF_CODE": str(CODE),
        "PROOF_EVENTS": socket_name(folder),
        "PROOF_FOLDER": str(folder),
        "PROOF_LANGUAGES": str(origin / "languages"),
    }


async def found(folder: Path, origin: Path) -> None:
    """Fills the empty `folder` with copies of what is in `origin`, which is filled first where that was not
    done yet: with the database, and caches of compiled code and of languages.
    """
    made = origin / SITES[0].name / "made"
    if not made.exists():
        await _found_origin(origin)
        made.touch()
    _list_sites(folder)
    for site in SITES:
        _copy(origin / SITES[0].name, SITES[0].name, folder, site.name)


async def _found_origin(origin: Path) -> None:
    installed = origin / "installed"
    for name in (installed, origin / "languages", origin / "opcache"):
        name.mkdir(parents=True)
    _list_sites(origin)
    await _install(origin, installed)
    first = SITES[0].name
    _copy(installed, "origin", origin, first)
    await _run(
        origin,
        str(HERE / "found.php"),
        PROOF_WIKI=first,
        PROOF_USERS=json.dumps(USERS),
        PROOF_PASSWORD=PASSWORD,
    )
    _empty(origin / first / f"{first}.sqlite")


def _list_sites(folder: Path) -> None:
    (folder / "wikis.json").write_text(json.dumps({site.name: asdict(site) for site in SITES}), "utf-8")


async def _install(origin: Path, installed: Path) -> None:
    await _run(
        origin,
        str(CODE / "maintenance/install.php"),
        *("--dbtype", "sqlite", "--dbname", "origin", "--dbpath", str(installed)),
        *("--confpath", str(installed), "--scriptpath", "/w", "--server", "https://origin.example"),
        *("--pass", PASSWORD, "Origin", "Founder"),
        MW_CONFIG_FILE=str(installed / "LocalSettings.php"),
    )


def _copy(source: Path, name: str, folder: Path, copy: str) -> None:
    target = folder / copy
    for inner in (target, target / "tmp", target / "images"):
        inner.mkdir()
    for ending in (".sqlite", "_jobqueue.sqlite"):
        with (
            sqlite3.connect(source / f"{name}{ending}") as original,
            sqlite3.connect(target / f"{copy}{ending}") as made,
        ):
            original.backup(made)
            made.execute("PRAGMA journal_mode=WAL")
    shutil.copyfile(source / "wikicache.sqlite", target / "wikicache.sqlite")


def _empty(database: Path) -> None:
    """The installer's main page was never told to anybody: no reader of the streams can know it."""
    connection = sqlite3.connect(database)
    with connection:
        tables = "page revision slots content text recentchanges logging log_search comment change_tag"
        for table in tables.split():
            connection.execute(f"DELETE FROM {table}")
        connection.execute("UPDATE user SET user_editcount = 0")
    connection.close()


async def _run(origin: Path, script: str, *arguments: str, **environ: str) -> None:
    await ran(origin, script, *arguments, env={**environment(origin, origin), **environ}, within_s=INSTALL_S)


async def ran(origin: Path, script: str, *arguments: str, env: Mapping[str, str], within_s: float) -> None:
    """A script of MediaWiki's own, which ends with us. Raises AssertionError with what it said."""
    process = await asyncio.create_subprocess_exec(
        "setpriv",
        "--pdeathsig",
        "KILL",
        *compiled(origin),
        script,
        *arguments,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(within_s):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode("utf-8", "replace")[-2_000:]
