"""What `streamer partner add|list|rotate|remove` does to `partners.toml`.

The file belongs to people: comments, order and blank lines stay. It is replaced in one step, after
the new text was read back as a partners file, under a lock that keeps two commands apart; its mode
stays, a new file is its owner's alone. Secrets are returned once and kept as SHA-256 only.
"""

import os
import re
import secrets
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import tomlkit
from tomlkit.items import Array

from streamer.config import read_text
from streamer.errors import ConfigError, LogBusy
from streamer.log.claims import locked
from streamer.partners import (
    KEY_PREFIX,
    NAME,
    NOBODY,
    Demands,
    Partner,
    Partners,
    hash_key,
    load_partners,
    parse_partners,
)

SECRET_BYTES: Final = 24
"""192 random bits; at least 160 are promised."""
KEYS_KEPT: Final = 2
"""While rotating: the new one and the one before it."""
LOCK_WAIT_S: Final = 10.0


def add_partner(
    file: Path, name: str, rules: Mapping[str, Any] | None = None, demands: Demands | None = None
) -> str:
    """A new table at the end of the file, which is made if need be. Returns the secret, this once.

    `rules` are keys of the table, e.g. {"wikis": ["enwiki"]}. Raises ConfigError: a file that does not fit
    `demands` is not touched, since the service would not take it.
    """
    check_new(file, name, {})
    secret = new_secret()

    def edit(text: str, partners: Partners) -> str:
        check_new(file, name, partners)
        kept = "".join(line for line in text.splitlines(keepends=True) if line.strip() != NOBODY)
        if kept and not kept.endswith("\n"):
            kept += "\n"
        table = tomlkit.dumps({name: {"keys": [hash_key(secret)], **(rules or {})}})
        return f"{kept}\n{table}" if kept.strip() else f"{kept}{table}"

    _edit(file, edit, demands)
    return secret


def check_new(file: Path, name: str, partners: Partners) -> None:
    """ConfigError where a partner of this name can't be added."""
    if not NAME.fullmatch(name):
        raise ConfigError(name, "a partner's name is 1 to 40 of a-z, 0-9 and -")
    if name in partners:
        raise ConfigError(f"{file}: {name}", "this partner exists already; `rotate` gives it a further key")


def rotate_partner(file: Path, name: str, *, drop_old: bool = False, demands: Demands | None = None) -> str:
    """A further key; the newest two stay valid, with `drop_old` the new one alone. Returns the secret, this
    once. Raises ConfigError, as `add_partner`.
    """
    secret = new_secret()

    def edit(text: str, partners: Partners) -> str:
        _known(file, name, partners)
        document = tomlkit.parse(text)
        table: Any = document[name]
        keys = table.get("keys")
        if not isinstance(keys, Array):
            table["keys"] = keys = tomlkit.array()
        keys.append(hash_key(secret))
        kept = 1 if drop_old else KEYS_KEPT
        while len(keys) > kept:
            del keys[0]
        return tomlkit.dumps(document)

    _edit(file, edit, demands)
    return secret


def remove_partner(file: Path, name: str, demands: Demands | None = None) -> None:
    """The partner's table goes; its topic and positions stay. Raises ConfigError. `demands` are those on who
    stays.
    """

    def edit(text: str, partners: Partners) -> str:
        _known(file, name, partners)
        left = {other: partner for other, partner in partners.items() if other != name}
        shorter = _without(text, name)
        if not left:
            shorter += ("" if not shorter or shorter.endswith("\n") else "\n") + NOBODY + "\n"
        try:
            same = parse_partners(shorter, str(file)) == left
        except ConfigError:
            same = False
        if not same:
            raise ConfigError(
                f"{file}: {name}", "is written in a way that can't be removed safely; do it by hand"
            )
        return shorter

    _edit(file, edit, demands)


def list_partners(file: Path, demands: Demands | None = None) -> list[str]:
    """A line for each partner: its name, how many keys are valid, and its rules where they aren't the
    default. A missing file lists nobody. Raises ConfigError.
    """
    if not file.exists():
        return []
    partners = load_partners(file, demands)
    width = max(map(len, partners), default=0)
    return [f"{name:{width}}  {_described(partner)}" for name, partner in sorted(partners.items())]


def _described(partner: Partner) -> str:
    number = len(partner.keys)
    words = [f"{number} key{'' if number == 1 else 's'}"]
    default = Partner()
    for rule in Partner.__struct_fields__:
        value = getattr(partner, rule)
        if rule in ("name", "keys", "limits") or value == getattr(default, rule):
            continue
        shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value).lower()
        words.append(f"{rule}={shown}")
    return "  ".join(words)


def new_secret() -> str:
    return KEY_PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def _known(file: Path, name: str, partners: Partners) -> None:
    if name not in partners:
        there_are = f"there are: {', '.join(sorted(partners))}" if partners else "there is none"
        raise ConfigError(f"{file}: {name}", f"no such partner; {there_are}")


def _without(text: str, name: str) -> str:
    """The text without the partner's table and its sub-tables; comments in front of the next table stay.

    Written as tables, they go line by line, since a comment between two tables is part of the first one
    to any parser; the caller checks what came out. Anything else is left to the parser.
    """
    header = re.compile(rf"\s*\[\s*[\"']?{re.escape(name)}[\"']?\s*[.\]]")
    kept: list[str] = []
    inside = found = False
    waiting: list[str] = []  # blank lines and comments inside the table: of the next one if that follows
    for line in text.splitlines(keepends=True):
        if re.match(r"\s*\[\s*[a-z0-9\"'-]+\s*[.\]]", line):
            inside = header.match(line) is not None
            found |= inside
            if not inside:
                kept += waiting
            waiting = []
        if not inside:
            kept.append(line)
        elif line.strip() == "" or line.lstrip().startswith("#"):
            waiting.append(line)
        else:
            waiting = []
    if found:
        return "".join(kept + waiting)
    document = tomlkit.parse(text)
    document.remove(name)
    return tomlkit.dumps(document)


def _edit(file: Path, edit: Callable[[str, Partners], str], demands: Demands | None) -> None:
    """Reads, changes, checks and replaces the file, alone. `demands` are on what comes of it: so a table that
    doesn't fit them can be taken out.
    """
    target = file.resolve()  # a link stays a link
    if not target.parent.is_dir():
        raise ConfigError(str(file), f"there is no directory {target.parent}")
    try:
        # on a file beside it, since the file itself is replaced
        with locked(target.with_name(f".{target.name}.lock"), wait_s=LOCK_WAIT_S):
            text, partners = "", {}
            if target.exists():
                text = read_text(target)
                partners = dict(parse_partners(text, str(file)))
            changed = edit(text, partners)
            parse_partners(changed, str(file), demands)
            _replace(target, changed)
    except LogBusy:
        raise ConfigError(str(file), "another command is changing it; try again") from None
    except OSError as error:
        raise ConfigError(str(file), f"can't be written: {error.strerror}") from None


def _replace(target: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # its owner's alone
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as out:
            if target.exists():
                was = target.stat()
                os.fchmod(out.fileno(), was.st_mode & 0o7777)
                with suppress(PermissionError):  # only root may give a file away
                    os.fchown(out.fileno(), was.st_uid, was.st_gid)
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
