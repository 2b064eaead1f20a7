"""Articles as a browser shows them: with titles, comments and addresses of any kind, edited just now."""

import time
from collections.abc import Mapping
from typing import Final

from msgspec import UNSET

from streamer.log.base import Record
from streamer.model import (
    EVENT_TYPE,
    Article,
    Direction,
    Editor,
    Event,
    Kind,
    Language,
    Licence,
    Namespace,
    PreviousVersion,
    Project,
    Size,
    Version,
    article_headers,
    encode_value,
    identifier_of_event,
    page_key,
    rfc3339_ms,
)

from .delivering import Delivering

LICENCES: Final = [
    Licence("CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/", identifier="CC-BY-SA-4.0")
]
DIRECTIONS: Final[Mapping[str, Direction]] = {"ar": "rtl", "he": "rtl"}


def told(
    topic: str,
    sequence: int,
    *,
    name: str = "Title",
    comment: str = "",
    url: str = "https://en.example.org/wiki/Title",
    wiki: str = "enwiki",
    language: str = "en",
    kind: Kind = "edit",
    size: tuple[float, float] | None = None,
    bot: bool = False,
    age_s: float = 0,
) -> Record:
    """`size`: before and after. `sequence` is the page's id too, so each is a page of its own; all are on one
    partition, so that they come in their order.
    """
    now_ms = int(time.time() * 1000)
    edited_ms = now_ms - int(age_s * 1000)
    version = Version(
        sequence,
        comment=comment,
        size=Size(size[1]) if size else UNSET,
        editor=Editor(1, "Somebody", is_bot=bot),
    )
    article = Article(
        name=name,
        identifier=sequence,
        url=url,
        namespace=Namespace(0, ""),
        is_part_of=Project(wiki),
        in_language=Language(language, direction=DIRECTIONS.get(language, "ltr")),
        event=Event(
            identifier_of_event(f"event-{sequence}"),
            EVENT_TYPE[kind],
            kind,
            sequence,
            rfc3339_ms(edited_ms),
            rfc3339_ms(now_ms),
        ),
        version=version if kind != "delete" else UNSET,
        previous_version=PreviousVersion(sequence, size=Size(size[0])) if size else UNSET,
        license=LICENCES,
    )
    key = page_key(wiki, sequence)
    headers = article_headers(article, key=key, server_name="en.example.org", edited_ms=edited_ms)
    return Record(topic, 0, key, encode_value(article), headers)


async def tell(server: Delivering, *articles: Mapping[str, object]) -> None:
    """Each is given to `told`."""
    first = server.sequence + 1
    server.sequence += len(articles)
    await server.log.append(
        [told(server.topic, first + i, **article) for i, article in enumerate(articles)]  # type: ignore[arg-type]
    )
