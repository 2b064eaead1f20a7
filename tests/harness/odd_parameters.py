"""Well-formed requests with a good key whose parameters make no sense, or nearly do.

Pure: the same generator gives the same bytes. Values are JSON text, as much of what JSON text may be as
possible, and some that is none.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from harness.malformed import MARK

PARAMETERS = (
    "since", "fields", "filters", "parts", "offsets", "since_per_partition", "last_event_id", "on_gap",
)  # fmt: skip
STRANGERS = (
    "Since", "since ", "fields[]", "topic", "partner", "__proto__", "", "\u0000", "x" * 200,
    "partition", "epoch", "a.b", "ticket", "valid_s",
)  # fmt: skip
DEEP = 100_000
NUMBERS = (
    "0", "-0", "1", "-1", "9", "10", "1.0", "1.5", "1e3", "1E400", "-1e999", "2147483648",
    "9223372036854775807",
    "9223372036854775808", "18446744073709551616", "1" + "0" * 400, "0.1e-400", "NaN", "Infinity",
    "-Infinity", "01", "0x1", "1_0",
)  # fmt: skip
STRINGS = (
    "", " ", "0", "-1", "x", "null", "\u0000", "\ud7ff", "\U0001f600", "\u202e", "a\u2028b", "\x7f",
    "name", "version.*", "*", ".*",
    "event.offset", "name,url", "..", "../../etc/passwd", "%00", "' OR 1=1", "<script>", "${jndi:x}",
    "true", "continue", "fail",
    "2020-01-01T00:00:00Z", "2020-01-01T00:00:00+25:00", "0000-00-00T00:00:00Z", "9999-12-31T23:59:59Z",
    "2020-02-30T00:00:00Z",
    "0001-01-01T00:00:00+14:00", "2020-01-01", "1577836800", "2020-01-01t00:00:00z",
    "-2020-01-01T00:00:00Z", "text", "\u0661", "\u00b2",
)  # fmt: skip
ESCAPES = ('"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\\x"', '"\\', "'x'", '"\x01"', '"\t"')
FIELDS = (
    "name", "version.*", "version.identifier", "version.editor.name", "event.partition", "event.offset",
    "categories.name",
    "article_body.wikitext", "visibility.text", "nonsense", "name.*", "version", "is_part_of.identifier",
    "", "*", "a.b.c.d.e.f.g.h.i.j",
    "version.tags", "namespace.identifier", "version.is_minor_edit", "event.type",
)  # fmt: skip
ACCEPTS = (
    "*/*", "text/event-stream", "application/x-ndjson", "text/*;q=0", "text/html", "", ",", ";;;", "q=1",
    "*/*;q=nan", "*/*;q=-1",
    "*/*;q=1e999", "text/event-stream;q=inf", "application/*;q=0.5,text/event-stream;q=0.4",
    "text/event-stream;" * 400, "*",
    "application/json", "a/b" * 2_000, "text/event-stream;q=\u00b2",
    ",".join(f"a/{n};q=0.{n}" for n in range(900)),
)  # fmt: skip
ENCODINGS = (
    "gzip",
    "identity;q=0",
    "*;q=0",
    "gzip;q=0, identity;q=0",
    "br",
    "",
    ",,",
    "gzip;q=x",
    "gzip;q=nan",
    "gzip" * 1_000,
)
TYPES = (
    "application/json", "text/plain", "application/json; charset=utf-16", "multipart/form-data; boundary=",
    "", "x" * 5_000, "application/x-www-form-urlencoded", 'multipart/form-data; boundary="',
    "application/json; charset=nonsense",
)  # fmt: skip
NUMBERED = ("0", "1", "9", "10", "99999", "-1", "", "00", "\u0661")
OFFSETS = ("0", "1", "2", "7", str(2**62), str(2**63), "-1", "", "1e3", "9" * 30)
PARTITIONS = ("0", "1", "9", "10", "-1", str(2**70), '"0"')


@dataclass(frozen=True)
class Feed:
    """What a client may know, or guess: its own epoch and topic, and another's."""

    epoch: str
    topic: str
    other_epoch: str
    other_topic: str


def quoted(text: str) -> str:
    """As JSON."""
    escaped = "".join(f"\\u{ord(c):04x}" if c < " " or c in '"\\' else c for c in text)
    return f'"{escaped}"'


def any_json(rng: random.Random, depth: int = 0) -> str:  # noqa: PLR0911 - a kind a line
    kind = rng.randrange(9 if depth < 4 else 5)
    if kind == 0:
        return rng.choice(("null", "true", "false"))
    if kind == 1:
        return rng.choice(NUMBERS)
    if kind == 2:
        return quoted(rng.choice(STRINGS))
    if kind == 3:
        return rng.choice(ESCAPES)
    if kind == 4:
        return quoted(MARK + rng.choice(STRINGS))
    if kind == 5:
        return "[" + ",".join(any_json(rng, depth + 1) for _ in range(rng.choice((0, 1, 2, 3)))) + "]"
    if kind == 6:
        pairs = [
            f"{quoted(rng.choice((*STRINGS, '0', '1', '99')))}:{any_json(rng, depth + 1)}"
            for _ in range(rng.randrange(4))
        ]
        return "{" + ",".join(pairs * rng.choice((1, 1, 2))) + "}"
    if kind == 7:
        return "[" + ",".join([any_json(rng, 4)] * rng.choice((10, 100, 1_001))) + "]" if not depth else "[]"
    if depth:
        return "{}"
    return rng.choice(("[", '{"x":', '"' + "a" * 9)) * rng.choice(
        (50, 2_000, 2_000, DEEP if rng.random() < 0.1 else 10)
    )


def an_id(rng: random.Random, feed: Feed) -> str:
    epoch = rng.choice((feed.epoch, feed.epoch, feed.other_epoch, "00000000", feed.epoch.upper(), "x", ""))
    pairs = [f"{rng.choice(NUMBERED)}:{rng.choice(OFFSETS)}" for _ in range(rng.choice((0, 1, 1, 2, 10)))]
    made = f"{epoch}.{','.join(pairs)}"
    chance = rng.random()
    if chance < 0.1:
        return made * rng.choice((2, 100, 3_000))
    if chance < 0.5:
        entries = [
            f'{{"topic":{quoted(rng.choice((feed.topic, feed.topic, feed.other_topic, "x", "", MARK)))},'
            f'"partition":{rng.choice(PARTITIONS)},'
            f"{quoted(rng.choice(('offset', 'timestamp', 'x')))}:{rng.choice(NUMBERS)}}}"
            for _ in range(rng.choice((0, 1, 1, 2, 11)))
        ]
        return "[" + ",".join(entries) + rng.choice(("]", "]", ""))
    return made + rng.choice(("", "", "", " ", "\u0000", MARK, ","))


def a_filter(rng: random.Random) -> str:
    """JSON of one that is good, or in one place is not."""
    field = quoted(rng.choice(FIELDS)) if rng.random() < 0.9 else any_json(rng, 3)
    value = (
        any_json(rng, 3)
        if rng.random() < 0.6
        else rng.choice(("0", "1", "true", '"enwiki"', '["a","b"]', "[0,1]", "1000000"))
    )
    more = rng.choice(("", "", "", ',"field":"name"', ',"x":1', ',"value":null'))
    return f'{{"field":{field},"value":{value}{more}}}'


def filters(rng: random.Random) -> str:
    count = rng.choice((0, 1, 1, 1, 2, 3, 4)) if rng.random() < 0.97 else rng.choice((100, 101, 1_001))
    return "[" + ",".join(a_filter(rng) for _ in range(count)) + "]"


def value_of(rng: random.Random, name: str, feed: Feed) -> str:  # noqa: PLR0911 - a parameter a line
    """JSON text: half of them nearly what it takes, half anything."""
    if rng.random() < 0.45:
        return any_json(rng)
    if name == "since":
        return quoted(rng.choice(STRINGS))
    if name == "fields":
        return (
            "[" + ",".join(quoted(rng.choice(FIELDS)) for _ in range(rng.choice((0, 1, 2, 200, 201)))) + "]"
        )
    if name == "filters":
        return filters(rng)
    if name == "parts":
        return "[" + ",".join(rng.choice(NUMBERS) for _ in range(rng.choice((0, 1, 2, 10, 300)))) + "]"
    if name in ("offsets", "since_per_partition"):
        keys = ("0", "1", "9", "10", "-1", "00", "1e0", "99999", "", "\u0661")
        values = [
            rng.choice((*NUMBERS, *(quoted(s) for s in STRINGS))) for _ in range(rng.choice((0, 1, 1, 2, 10)))
        ]
        return "{" + ",".join(f"{quoted(rng.choice(keys))}:{value}" for value in values) + "}"
    if name == "last_event_id":
        return quoted(an_id(rng, feed))
    return quoted(rng.choice(STRINGS))


def in_query(rng: random.Random, name: str, value: str) -> str:
    text = value[1:-1] if value.startswith('"') and rng.random() < 0.9 else value
    raw = text.encode("utf-8", "surrogatepass")
    return f"{quote(name)}={quote(raw, safe=rng.choice(('', ',:')))}"


def odd_request(
    rng: random.Random, feed: Feed, names: Sequence[str] = PARAMETERS
) -> tuple[str, str, dict[str, str], bytes]:
    """Method, target, further headers, body."""
    query: list[str] = []
    body: list[str] = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        name = rng.choice(names) if rng.random() < 0.95 else rng.choice(STRANGERS)
        value = value_of(rng, name, feed)
        if name in ("fields", "filters"):
            value = value.replace(MARK, "unknown")  # names of fields are said again
        where = rng.random()
        if where < 0.5 or (where < 0.55 and len(value) < 2_000):
            query.append(in_query(rng, name, value))
        if where >= 0.5:
            body.append(f"{quoted(name)}:{value}")
    headers: dict[str, str] = {}
    if rng.random() < 0.2:
        headers["Accept"] = rng.choice(ACCEPTS)
    if rng.random() < 0.2:
        headers["Accept-Encoding"] = rng.choice(ENCODINGS)
    if rng.random() < 0.2:
        headers["Content-Type"] = rng.choice(TYPES)
    if rng.random() < 0.2:
        headers["Last-Event-ID"] = an_id(rng, feed).replace("\u0000", "")
    text = "{" + ",".join(body) + "}" if body else ""
    if rng.random() < 0.05:
        text = rng.choice((any_json(rng), text[: len(text) // 2], "\ufeff" + text, text + text))
    path = (
        "/v2/articles"
        if rng.random() < 0.95
        else rng.choice(("/v2/tickets", "/v2/status", "/openapi.json", "/"))
    )
    method = rng.choice(("GET", "POST")) if text else rng.choice(("GET", "GET", "POST"))
    return (
        method,
        path + ("?" + "&".join(query) if query else ""),
        headers,
        text.encode("utf-8", "surrogatepass"),
    )


def wire(key: str, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", f"Authorization: Bearer {key}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body
