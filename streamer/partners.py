"""`partners.toml`: who gets what, and which keys they show.

Strict like the configuration: a typo names the partner and the key, and a file that is wrong changes
nothing. Secrets are kept as SHA-256 only.
"""

import asyncio
import hashlib
import hmac
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from streamer.clock import Clock
from streamer.config import Settings, convert, parse_toml, read_text
from streamer.errors import ConfigError, FieldUnknown
from streamer.globs import check_globs
from streamer.metrics import PARTNERS_FILE_INVALID, PARTNERS_RELOADS
from streamer.model import Kind
from streamer.projection import selection

NAME: Final = re.compile(r"[a-z0-9-]{1,40}")
KEY_PREFIX: Final = "wrs_"
"""What secret scanners look for."""
_KEY: Final = re.compile(rf"{KEY_PREFIX}[^\s'\",\]]+")
_HIDDEN_KEY: Final = f"{KEY_PREFIX}…"
POLL_S: Final = 1.0
MISSING_POLLS: Final = 3
"""A file that is not there for so many polls is gone; less is an editor that replaces it."""
DURATION: Final = re.compile(r"(\d{1,6})(s|m|h)")
SECONDS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600}

logger = logging.getLogger(__name__)

KeyHash = Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}\\Z")]
Content = Literal["wikitext", "text", "html", "sections", "infoboxes"]
PageList = Literal["categories", "templates", "redirects"]
PAGE_LISTS: Final[tuple[PageList, ...]] = get_args(PageList)


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """0 means unlimited."""

    connections: Annotated[int, Meta(ge=0)] = 100
    requests_per_minute: Annotated[int, Meta(ge=0)] = 600
    bytes_per_second: Annotated[int, Meta(ge=0)] = 0
    feeds: Annotated[int, Meta(ge=0)] = 0
    """Distinct ones at a time, by what is asked for (filters, fields, parts, format, encoding)."""


class Partner(Struct, frozen=True, forbid_unknown_fields=True):
    """One partner's table. Empty tuples mean no restriction, None no opinion."""

    name: str = ""
    """Set by the loader from the table's name."""
    keys: tuple[KeyHash, ...] = ()
    wikis: tuple[str, ...] = ()
    """Globs."""
    languages: tuple[str, ...] = ()
    namespaces: tuple[int, ...] = ()
    kinds: tuple[Kind, ...] = ()
    bots: bool = True
    minor: bool = True
    min_size: Annotated[int, Meta(ge=0)] = 0
    """Bytes of the revision."""
    max_size: Annotated[int, Meta(ge=0)] = 0
    """Bytes of the revision; 0: any."""
    tags: tuple[str, ...] = ()
    """At least one of these; empty: any."""
    without_tags: tuple[str, ...] = ()
    """None of these."""
    max_revert_risk: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """How likely a revert may be; 1: any. What has no score passes."""
    min_size_change: Annotated[int, Meta(ge=0)] = 0
    """Bytes that an edit adds or takes away; where that is not known, it passes. What reverts passes this,
    the two before it, `bots`, `minor` and the sizes (streamer.route.rules).
    """
    content: tuple[Content, ...] = ("wikitext", "text")
    fields: tuple[str, ...] = ()
    """The projection, with `.*`; empty: all but what costs the origin more, which is asked for by name."""
    lists: tuple[PageList, ...] = ()
    """Lists of the page to have beside `fields`; each costs requests of its own."""
    editor: Literal["full", "pseudonym", "none"] = "full"
    settle: Annotated[str, Meta(pattern="^[0-9]{1,6}[smh]\\Z")] = "0s"
    revisions: Literal["all", "latest"] = "all"
    limits: Limits = Limits()

    @property
    def settle_s(self) -> int:
        match = DURATION.fullmatch(self.settle)
        assert match
        return int(match[1]) * SECONDS[match[2]]

    @property
    def page_lists(self) -> frozenset[PageList]:
        """Those it has: of `lists`, or named in `fields`."""
        named = {field.partition(".")[0] for field in self.fields}
        return frozenset(name for name in PAGE_LISTS if name in self.lists or name in named)

    @property
    def selected(self) -> tuple[str, ...]:
        """`fields`, where there are any, and with them its lists."""
        return (*self.fields, *(f"{name}.*" for name in self.lists)) if self.fields else ()

    @property
    def rules(self) -> str:
        """A digest of what decides what its feed holds. What a newer version could say besides, and the
        table does not, changes nothing.
        """
        usual = Partner()
        said = {
            name: value
            for name in self.__struct_fields__
            if name not in ("keys", "limits") and (value := getattr(self, name)) != getattr(usual, name)
        }
        return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()[:24]


Partners = Mapping[str, Partner]


@dataclass(frozen=True, slots=True)
class Demands:
    """What partners' tables must go with, beyond themselves."""

    history_s: float
    """`log.history_hours`: what is held back for longer than half of it could be compacted first."""
    has_secret: bool = True
    """False: a process that would have to make pseudonyms has no secret for it."""

    @classmethod
    def of(cls, settings: Settings, *, has_secret: bool = True) -> "Demands":
        return cls(settings.log.history_hours * 3600, has_secret)

    def check(self, partner: Partner, where: str) -> None:
        """Raises ConfigError. Protection that is asked for and can't be had is refused, never left out."""
        if partner.settle_s * 2 > self.history_s:
            raise ConfigError(
                f"{where}.settle",
                f"{partner.settle} is more than half of log.history_hours = {self.history_s / 3600:g}:"
                f" at most {int(self.history_s / 2)}s, or keep a longer history",
            )
        if partner.editor == "pseudonym" and not self.has_secret:
            raise ConfigError(
                f"{where}.editor",
                "pseudonyms are made with a secret, and there is none: name a file with one as"
                " privacy.secret_file, or set $STREAMER_PRIVACY__SECRET",
            )


NOBODY: Final = "# streamer: no partners"
"""The line by which a file says that it is empty on purpose."""


def load_partners(file: Path, demands: Demands | None = None) -> Partners:
    """All partners of the file, by name. ConfigError names file, partner and key; an empty file is one
    too, so that a file caught half-written never reads as "no partners". Without `demands` the file is
    judged by itself.
    """
    return parse_partners(read_text(file), str(file), demands)


def parse_partners(text: str, where: str, demands: Demands | None = None) -> Partners:
    """`text` as a partners file; errors are said of `where`."""
    with _telling_no_key():
        tree = parse_toml(text, where)
        if not tree and NOBODY not in (line.strip() for line in text.splitlines()):
            raise ConfigError(
                where, f"holds no partner; to serve nobody, remove the file or write the line `{NOBODY}`"
            )
        owners: dict[str, str] = {}
        return {name: _partner(name, table, where, owners, demands) for name, table in tree.items()}


@contextmanager
def _telling_no_key() -> Iterator[None]:
    """A key may stand anywhere: for its hash, a name, another value; what is said here is printed, logged."""
    try:
        yield
    except ConfigError as error:
        where, problem = _KEY.sub(_HIDDEN_KEY, error.where), _KEY.sub(_HIDDEN_KEY, error.problem)
        if (where, problem) == (error.where, error.problem):
            raise
        raise ConfigError(where, f"{problem} (a key stands here: keep its SHA-256, and rotate it)") from None


def mistakes(file: Path, demands: Demands | None = None) -> list[str]:
    """One of each partner, for who has to mend them; empty where there is none, or no TOML."""
    try:
        tree = parse_toml(read_text(file), str(file))
    except ConfigError:
        return []
    owners: dict[str, str] = {}
    found: list[str] = []
    for name, table in tree.items():
        try:
            with _telling_no_key():
                _partner(name, table, str(file), owners, demands)
        except ConfigError as error:
            found.append(str(error))
    return found


def _partner(
    name: str, table: object, where: str, owners: dict[str, str], demands: Demands | None
) -> Partner:
    """`owners`: who has which key, of the partners before this one; its own are added."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"{where}: {name}", "a partner's name is 1 to 40 of a-z, 0-9 and -")
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: {name}", "is not a table; partners are written as [name]")
    if "name" in table:
        raise ConfigError(f"{where}: {name}.name", "unknown key; the name is the table's")
    partner = replace(convert(table, Partner, where, name), name=name)
    _check(partner, f"{where}: {name}")
    if demands is not None:
        demands.check(partner, f"{where}: {name}")
    for key in partner.keys:
        if owners.setdefault(key, name) != name:
            raise ConfigError(f"{where}: {name}.keys", f"the partner {owners[key]} has the same key")
    return partner


def _check(partner: Partner, where: str) -> None:
    """What types can't say."""
    try:
        check_globs(partner.wikis)
    except ValueError as error:
        raise ConfigError(f"{where}.wikis", str(error)) from None
    if partner.max_size and partner.max_size < partner.min_size:
        raise ConfigError(f"{where}.max_size", f"is below min_size ({partner.min_size}): nothing would pass")
    try:
        selection(partner.fields)
    except FieldUnknown as error:
        raise ConfigError(f"{where}.fields", str(error)) from None


def hash_key(secret: str) -> str:
    return "sha256:" + hashlib.sha256(secret.encode()).hexdigest()


def authenticate(partners: Partners, secret: str) -> Partner | None:
    """The partner that this secret belongs to. Compares with every key in constant time."""
    digest = hash_key(secret)
    found: Partner | None = None
    for partner in partners.values():
        for key in partner.keys:
            if hmac.compare_digest(key, digest):
                found = partner
    return found


Stamp = tuple[int, int, int] | None
"""Modification time (ns), size and inode of the file; None: no such file."""
_UNREACHED: Final[Stamp] = (-1, -1, -1)
"""No file has it: whatever is found next is read anew."""


class PartnersWatch:
    """The partners in force, for every role of the process; `run` keeps them up to date.

    The file is read once it has stood unchanged from one poll to the next, so a writer that is still at
    it is waited for: a change is in force within 2 to 3 seconds. One that is wrong changes nothing: the
    rules before it stay, an alarm is raised (`streamer_partners_file_invalid`, a log event), and it is
    read again when it changes. A missing file means no partners.

    Raises ConfigError where the file is wrong at the start.
    """

    def __init__(
        self,
        file: Path,
        demands: Demands | None = None,
        *,
        poll_s: float = POLL_S,
        clock: Clock | None = None,
    ) -> None:
        self._file = file
        self._demands = demands
        self._poll_s = poll_s
        self._clock = clock or Clock()
        self._loaded = self._seen = _stamp(file)
        self._missed = 0
        self._changed = asyncio.Event()
        self.generation = 1
        self.current: Partners = load_partners(file, demands) if self._loaded else {}
        self._since_ms = dict.fromkeys(self.current, self._clock.now_ms())
        PARTNERS_FILE_INVALID.set(0)

    def since_ms(self, name: str) -> int:
        """When this process first saw the partner in force (Unix, ms): where a new one's feed begins. Now,
        for one that was taken out again while somebody was still at it.
        """
        return self._since_ms.get(name, self._clock.now_ms())

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(self._poll_s)
            await self._poll()

    async def changed(self, generation: int) -> int:
        """Returns the generation in force once it is another than `generation`."""
        while self.generation == generation:
            await self._changed.wait()
        return self.generation

    async def _poll(self) -> None:
        try:
            stamp = await asyncio.to_thread(_stamp, self._file)
        except OSError as error:  # out of reach is not gone: a directory's mode, a file system that hangs
            PARTNERS_FILE_INVALID.set(1)
            logger.error(  # noqa: TRY400 - its name says all
                "partners file can't be reached, the rules before it stay in force",
                extra={"reason": error.strerror},
            )
            self._loaded = self._seen = _UNREACHED
            return
        stands, self._seen = stamp == self._seen, stamp
        self._missed = 0 if stamp else self._missed + 1
        if stamp == self._loaded or not stands or (stamp is None and self._missed < MISSING_POLLS):
            return
        try:
            partners = await asyncio.to_thread(load_partners, self._file, self._demands) if stamp else {}
        except (ConfigError, OSError) as error:
            self._loaded = stamp
            PARTNERS_FILE_INVALID.set(1)
            PARTNERS_RELOADS.labels("invalid").inc()
            # the problem is not logged: it may quote a key that was put in place of its hash
            logger.error(  # noqa: TRY400 - a wrong file is told by its place, not by a traceback
                "partners file is wrong, the rules before it stay in force",
                extra={"where": error.where if isinstance(error, ConfigError) else str(self._file)},
            )
            return
        try:
            unchanged = await asyncio.to_thread(_stamp, self._file) == stamp
        except OSError:
            unchanged = False
        if not unchanged:
            return  # it changed while it was read; the next poll sees it
        self._loaded = stamp
        PARTNERS_FILE_INVALID.set(0)
        PARTNERS_RELOADS.labels("applied").inc()
        if partners != self.current:
            self._put_in_force(partners)

    def _put_in_force(self, partners: Partners) -> None:
        now_ms = self._clock.now_ms()
        self._since_ms = {name: self._since_ms.get(name, now_ms) for name in partners}
        self.current = partners
        self.generation += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        logger.info("partners in force", extra={"partners": len(partners), "generation": self.generation})


def _stamp(file: Path) -> Stamp:
    try:
        status = os.stat(file)  # noqa: PTH116 - follows a link to the file that counts
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
