"""What one recorded event says of a page and of a revision, whichever stream it is of. Pure."""

import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from streamer.sandbox.pages import User

Event = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Sighting:
    """What any event says of a page and, where it names one, of a revision."""

    wiki: str
    server_name: str
    title: str
    namespace: int
    page_id: int
    revision: int
    parent: int
    time_ms: int
    user: User | None
    comment: str
    minor: bool


def sighting(event: Event) -> Sighting | None:
    """None for what tells of no page: canaries, and what has another shape."""
    meta = mapping(event.get("meta"))
    wiki = event.get("wiki") or event.get("wiki_id") or event.get("database")
    server = event.get("server_name") or meta.get("domain")
    page, revision = mapping(event.get("page")), mapping(event.get("revision"))
    title = event.get("title") or event.get("page_title") or page.get("page_title")
    if not (isinstance(wiki, str) and isinstance(server, str) and isinstance(title, str)):
        return None
    by = mapping(revision.get("editor")) or mapping(event.get("performer"))
    comment = revision.get("comment") if page else event.get("comment")
    stamp = event.get("timestamp") or revision.get("rev_dt") or event.get("rev_timestamp")
    return Sighting(
        wiki,
        server,
        " ".join(title.replace("_", " ").split()),
        integer(event.get("namespace") or event.get("page_namespace") or page.get("namespace_id")),
        integer(event.get("page_id") or page.get("page_id")),
        integer(revision.get("new") or revision.get("rev_id") or event.get("rev_id")),
        integer(revision.get("old") or revision.get("rev_parent_id") or event.get("rev_parent_id")),
        _time_ms(stamp) or _time_ms(meta.get("dt")),
        _user(event.get("user") or by.get("user_text"), bot=bool(event.get("bot"))),
        comment if isinstance(comment, str) else "",
        bool(event.get("minor") or revision.get("is_minor_edit")),
    )


def mapping(value: object) -> Event:
    return value if isinstance(value, dict) else {}


def integer(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _time_ms(value: object) -> int:
    if isinstance(value, int):
        return value * 1000
    try:
        return int(datetime.fromisoformat(str(value)).timestamp() * 1000)
    except ValueError:
        return 0


def _user(name: object, *, bot: bool) -> User | None:
    if not isinstance(name, str):
        return None
    try:
        ipaddress.ip_address(name)
    except ValueError:
        identifier = int(hashlib.sha256(name.encode()).hexdigest()[:6], 16) + 1
        return User(name, identifier, is_bot=bot, is_temporary=name.startswith("~"))
    return User(name)
