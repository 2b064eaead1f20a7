"""What `/openapi.json` shows, made by the code that makes what partners get."""

from typing import Any, Final

import msgspec

from streamer.deliver.encode import HEARTBEAT, PREAMBLE, cursor, frame_of
from streamer.deliver.figures import Completeness, Freshness, Positions, Status, Stream
from streamer.deliver.position import format_id
from streamer.log.base import Stored
from streamer.model import (
    Article,
    ArticleBody,
    Attribution,
    Editor,
    Event,
    Language,
    Licence,
    MaintenanceTags,
    Namespace,
    PreviousVersion,
    Project,
    Size,
    Version,
    Visibility,
    article_headers,
    encode_value,
    identifier_of_revision,
)

EPOCH: Final = "e7c14a09"
LICENCE: Final = "https://creativecommons.org/licenses/by-sa/4.0/"
TITLE: Final = "https://en.wikipedia.org/w/index.php?title=Douglas_Adams"
ARTICLE: Final = Article(
    name="Douglas Adams",
    identifier=8091,
    url="https://en.wikipedia.org/wiki/Douglas_Adams",
    namespace=Namespace(0, ""),
    is_part_of=Project(
        "enwiki", "Wikipedia", "https://en.wikipedia.org", Language("en", "English", "ltr")
    ),
    event=Event(
        identifier_of_revision("enwiki", 1_290_000_001),
        "update",
        "edit",
        1_795_262_401_250_000,
        "2026-11-21T12:00:00.000Z",
        "2026-11-21T12:00:01.250Z",
    ),
    abstract="Douglas Adams was an English author.",
    date_modified="2026-11-21T12:00:00Z",
    version=Version(
        1_290_000_001,
        comment="a comma",
        tags=[],
        is_minor_edit=True,
        number_of_characters=50,
        size=Size(50),
        scores={"revertrisk": {"prediction": False, "probability": {"true": 0.25, "false": 0.75}}},
        editor=Editor(42, "Marvin", is_bot=False, is_anonymous=False, is_temporary=False),
        is_current=True,
        parent_identifier=1_289_999_999,
        sha1="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
        content_model="wikitext",
        size_change=1,
        noindex=False,
        maintenance_tags=MaintenanceTags(0, 0, 0, 0),
    ),
    previous_version=PreviousVersion(1_289_999_999, size=Size(49)),
    in_language=Language("en", "English", "ltr"),
    article_body=ArticleBody(
        "'''Douglas Adams''' was an [[England|English]] author.", "Douglas Adams was an English author."
    ),
    license=[Licence("CC BY-SA 4.0", LICENCE, "CC-BY-SA-4.0")],
    visibility=Visibility(),
    protection=[],
    attribution=Attribution(
        "\u201cDouglas Adams\u201d by the contributors to Wikipedia (en.wikipedia.org), licensed under"
        f" CC BY-SA 4.0 ({LICENCE}).",
        "Douglas Adams",
        f"{TITLE}&oldid=1290000001",
        f"{TITLE}&action=history",
        [Licence("CC BY-SA 4.0", LICENCE, "CC-BY-SA-4.0")],
    ),
    is_disambiguation=False,
)  # fmt: skip
_KEY: Final = "enwiki:8091"
_STORED: Final = Stored(
    "wiki.articles.v1.acme", 0, 1042, 1_795_262_401_250, _KEY, encode_value(ARTICLE),
    article_headers(ARTICLE, key=_KEY, server_name="en.wikipedia.org", edited_ms=1_795_262_400_000),
)  # fmt: skip
AFTER: Final = format_id(EPOCH, (1043, 999))
_FRAME: Final = frame_of(_STORED, AFTER, frozenset())
SSE: Final = (PREAMBLE + _FRAME.sse + HEARTBEAT + cursor(format_id(EPOCH, (1043, 1001)))).decode()
NDJSON: Final = _FRAME.ndjson().decode()
DELIVERED: Final[dict[str, Any]] = msgspec.json.decode(_FRAME.data())
TICKET: Final = {
    "ticket": f"acme.9f86d081884c7d65.1795266000.{'0a' * 32}",
    "expires_at": "2026-11-21T13:00:00.000Z",
    "valid_s": 3_600,
}
STATUS: Final[dict[str, Any]] = msgspec.to_builtins(
    Status(
        partner="acme",
        time="2026-11-21T12:00:05.000Z",
        freshness=Freshness(600, 412, 1.21, 4.5),
        completeness=Completeness(41_200, 310, 0, 2, 0, 0, 0, 1.0, 3, 0, rebuilding=False),
        positions=Positions(format_id(EPOCH, (17, 4)), AFTER),
        partitions=2,
        history_hours=6.0,
        connections=[
            Stream("sse", "gzip", "2026-11-21T09:13:07.482Z", AFTER, 0, 0.0, "live"),
        ],
    )
)
