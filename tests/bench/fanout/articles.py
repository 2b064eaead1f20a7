"""What is published: invented articles of a wanted size, as partners' topics hold them.

Text is words by Zipf's law with links and references: an article of 17 KB packs to a third or so, as
Wikipedia's do. Each name has a place for the number of the event, which the load writes there: the name is
the first field, so that a reader finds the number at the beginning of the line.
"""

import random
import struct
from dataclasses import dataclass
from itertools import accumulate, count
from pathlib import Path
from typing import Final

import msgspec

from streamer.log.base import Headers, Record, partition_of
from streamer.model import (
    Article,
    ArticleBody,
    Editor,
    Event,
    Language,
    Licence,
    Namespace,
    Project,
    Size,
    Version,
    Visibility,
    article_headers,
    encode_value,
    identifier_of_event,
    page_key,
)

NUMBER_BASE: Final = 10**15
"""As stream.h has it: sixteen digits, the first one not 0."""
VARIANTS: Final = 48
"""Different articles: of 20 kB, more than a compressor with a window of 32 kB remembers."""
WORDS: Final = 3_000
LETTERS: Final = "etaoinshrdlucmfwypvbgkjq"
LICENCE: Final = Licence("CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/")
PARTITIONS: Final = 10
WIKI: Final = "enwiki"
EDITED_MS: Final = 1_763_726_400_000


def vocabulary(rng: random.Random) -> list[str]:
    by_use = [1 / (rank + 3) for rank in range(len(LETTERS))]
    found: dict[str, None] = {}
    while len(found) < WORDS:
        length = max(1, round(rng.gauss(6, 2.5)))
        found["".join(rng.choices(LETTERS, by_use, k=length))] = None
    return list(found)


def text_of(size: int, words: list[str], rng: random.Random) -> str:
    """So many characters of ASCII."""
    by_use = list(accumulate(1 / (rank + 10) for rank in range(len(words))))
    parts: list[str] = []
    missing = size
    while missing > 0:
        sentence = rng.choices(words, cum_weights=by_use, k=rng.randint(6, 25))
        sentence[::9] = [f"[[{word.title()} {sentence[-1]}]]" for word in sentence[::9]]
        parts.append(" ".join(sentence).capitalize() + ". ")
        if rng.random() < 0.3:
            site, title = rng.choices(words, k=2)
            parts.append(f"<ref>{{{{cite web|url=https://example.org/{site}|title={title}}}}}</ref> ")
        missing -= len(parts[-1])
    return "".join(parts)[:size]


def article_of(text: str) -> Article:
    """The number of its event is still the base."""
    name = f"Page {NUMBER_BASE}"
    return Article(
        name=name,
        identifier=736,
        url="https://en.wikipedia.org/wiki/Page",
        namespace=Namespace(0, ""),
        is_part_of=Project(WIKI, "https://en.wikipedia.org", in_language=Language("en")),
        event=Event(
            identifier_of_event("bench"),
            "update",
            "edit",
            NUMBER_BASE,
            "2025-11-21T12:00:00.000Z",
            "2025-11-21T12:00:01.000Z",
        ),
        version=Version(1, comment="copyedit", size=Size(len(text)), editor=Editor(1, "Somebody")),
        in_language=Language("en"),
        article_body=ArticleBody(text),
        license=[LICENCE],
        visibility=Visibility(),
    )


def values(size: int, *, variants: int = VARIANTS, seed: int = 1) -> list[bytes]:
    """Articles of exactly `size` bytes, as JSON. ValueError where one without text is larger."""
    bare = len(encode_value(article_of("")))
    if size <= bare:
        raise ValueError(f"an article without text has {bare} bytes already: ask for more than {size}")
    rng = random.Random(seed)
    words = vocabulary(rng)
    made: list[bytes] = []
    for _ in range(variants):
        # the size of the text stands in it too
        missing = size - len(encode_value(article_of("")))
        value = encode_value(article_of(text_of(missing - len(str(missing)) + 1, words, rng)))
        made.append(value)
    return made


def write_records(path: Path, made: list[bytes]) -> None:
    """As the load reads them: each behind its length, four bytes, big-endian."""
    path.write_bytes(b"".join(struct.pack(">I", len(value)) + value for value in made))


def numbered(value: bytes, number: int) -> bytes:
    """Only in the name: what the load does too."""
    return value.replace(b"%d" % NUMBER_BASE, b"%d" % (NUMBER_BASE + number), 1)


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where records go: event number n into partition n % 10, so that each partition's numbers have no holes;
    its key is one of some thousand pages, its headers are those that route writes.
    """

    topic: str
    keys: tuple[tuple[str, ...], ...]
    headers: Headers

    @classmethod
    def of(cls, topic: str) -> "Shelf":
        keys: list[list[str]] = [[] for _ in range(PARTITIONS)]
        for page in count(1):
            key = page_key(WIKI, page)
            keys[partition_of(key, PARTITIONS)].append(key)
            if min(map(len, keys)) >= 100:
                break
        headers = article_headers(
            article_of(""), key=keys[0][0], server_name="en.wikipedia.org", edited_ms=EDITED_MS
        )
        changing = ("ce_sequence", "rev")
        kept = tuple(header for header in headers if header[0] not in changing)
        return cls(topic, tuple(map(tuple, keys)), kept)

    def record(self, value: bytes, number: int) -> Record:
        partition = number % PARTITIONS
        keys = self.keys[partition]
        digits = b"%d" % (NUMBER_BASE + number)
        return Record(
            self.topic,
            partition,
            keys[number // PARTITIONS % len(keys)],
            value,
            (*self.headers, ("ce_sequence", digits), ("rev", digits)),
        )


def number_of(value: bytes) -> int:
    """Of an article that was received. Raises ValueError where it has none."""
    name = msgspec.json.decode(value, type=_Named).name
    return int(name.rpartition(" ")[2]) - NUMBER_BASE


class _Named(msgspec.Struct):
    name: str
