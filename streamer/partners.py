"""`partners.toml`: who gets what, and which keys they show.

Strict like the configuration: a typo names the partner and the key, and a file that is wrong changes
nothing. Secrets are kept as SHA-256 only.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from streamer.config import convert, read_toml
from streamer.errors import ConfigError
from streamer.model import Kind

NAME: Final = re.compile(r"[a-z0-9-]{1,40}")
KEY_PREFIX: Final = "wrs_"
"""What secret scanners look for."""
DURATION: Final = re.compile(r"(\d{1,6})(s|m|h)")
SECONDS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600}

KeyHash = Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")]
Content = Literal["wikitext", "text", "html"]


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """0 means unlimited."""

    connections: Annotated[int, Meta(ge=0)] = 100
    requests_per_minute: Annotated[int, Meta(ge=0)] = 600
    bytes_per_second: Annotated[int, Meta(ge=0)] = 0


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
    content: tuple[Content, ...] = ("wikitext", "text")
    fields: tuple[str, ...] = ()
    """The projection, with `.*`; empty: all."""
    editor: Literal["full", "pseudonym", "none"] = "full"
    settle: Annotated[str, Meta(pattern="^[0-9]{1,6}[smh]$")] = "0s"
    revisions: Literal["all", "latest"] = "all"
    limits: Limits = Limits()

    @property
    def settle_s(self) -> int:
        match = DURATION.fullmatch(self.settle)
        assert match
        return int(match[1]) * SECONDS[match[2]]


Partners = Mapping[str, Partner]


def load_partners(file: Path) -> Partners:
    """All partners of the file, by name. ConfigError names file, partner and key; an empty file is one
    too, so that a file caught half-written never reads as "no partners".
    """
    tree = read_toml(file)
    if not tree:
        raise ConfigError(str(file), "holds no partner; to serve nobody, remove the file")
    partners: dict[str, Partner] = {}
    for name, table in tree.items():
        if not NAME.fullmatch(name):
            raise ConfigError(f"{file}: {name}", "a partner's name is 1 to 40 of a-z, 0-9 and -")
        if not isinstance(table, dict):
            raise ConfigError(f"{file}: {name}", "is not a table; partners are written as [name]")
        if "name" in table:
            raise ConfigError(f"{file}: {name}.name", "unknown key; the name is the table's")
        partner = convert({**table, "name": name}, Partner, f"{file}: {name}")
        partners[name] = partner
    return partners


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
