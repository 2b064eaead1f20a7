"""What upstream should never send, each with a mark in it that must not come out anywhere."""

import copy
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson

from streamer.sandbox.server import Sandbox

TOPIC = "eqiad.mediawiki.recentchange"
MARK = "Wq7Geheimnis"
"""In titles, comments and user names of the spoilt events."""
TOO_LARGE_BYTES = 20_000_000


def edit(sandbox: Sandbox, *, age: timedelta = timedelta()) -> dict[str, Any]:
    """A well-formed edit that names the newest revision of a page of the sandbox."""
    assert sandbox.world
    wiki = next(iter(sandbox.world.wikis.values()))
    page = next(page for page in wiki.pages.values() if page.namespace == 0 and not page.is_redirect)
    host = wiki.site.server_name
    moment = datetime.now(UTC) - age
    return {
        "$schema": "/mediawiki/recentchange/1.0.1",
        "meta": {
            "uri": f"https://{host}/wiki/{MARK}",
            "id": str(uuid4()),
            "domain": host,
            "stream": "mediawiki.recentchange",
            "dt": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "topic": TOPIC,
            "partition": 0,
            "offset": 1,
        },
        "type": "edit",
        "namespace": 0,
        "title": page.title,
        "comment": f"{MARK} comment",
        "timestamp": int(moment.timestamp()),
        "user": f"{MARK} user",
        "bot": False,
        "minor": False,
        "server_url": f"https://{host}",
        "server_name": host,
        "server_script_path": "/w",
        "wiki": wiki.site.wiki,
        "length": {"old": 1, "new": 2},
        "revision": {"old": page.current.identifier, "new": page.current.identifier},
    }


def changed(event: Mapping[str, Any], **changes: object) -> bytes:
    return orjson.dumps({**copy.deepcopy(dict(event)), **changes})


def spoilt_events(sandbox: Sandbox) -> dict[str, bytes]:
    """By the reason under which each is counted as dropped, once."""
    good = edit(sandbox)
    whole = orjson.dumps(good)
    return {
        "not_json": whole[: len(whole) // 2],
        "not_utf8": whole.replace(MARK.encode(), MARK.encode() + b"\xff\xfe"),
        "type_unknown": changed(good, type="142"),
        "schema_major": changed(good, **{"$schema": "/mediawiki/recentchange/2.0.0"}),
        "frame_too_large": changed(good, comment=MARK * (TOO_LARGE_BYTES // len(MARK))),
        "out_of_range": changed(good, wiki=f"{MARK}:/x"),
    }


def stranger_events(sandbox: Sandbox) -> list[bytes]:
    """Edits that name servers which must never be asked: loopback, link-local, credentials, elsewhere."""
    good = edit(sandbox)
    hosts = ("127.0.0.1", "169.254.169.254", "localhost", "evil.example")
    return [
        changed(
            good,
            server_name=host,
            server_url=f"https://{MARK}:{MARK}@{host}",
            revision={"old": 1, "new": 9_000_000 + number},
            meta=good["meta"] | {"id": str(uuid4())},
        )
        for number, host in enumerate(hosts)
    ]


def send(sandbox: Sandbox, *events: bytes) -> None:
    for data in events:
        sandbox.feed.append_raw(TOPIC, sandbox.options.clock.now_ms(), data)
    sandbox._bell.ring()
