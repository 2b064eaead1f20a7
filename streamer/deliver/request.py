"""What a client asked for: parameters of a query or of a JSON body, checked, as one frozen value.

Nothing is ignored in silence: an unknown parameter, a value that makes no sense and a parameter given
twice are each a 422 that names it. Where to start is decided by the first of `Last-Event-ID`,
`offsets`, `since_per_partition`, `since`; those it beats are checked all the same.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import msgspec

from streamer.deliver.fields import is_name
from streamer.deliver.filters import Filters, parse_filters
from streamer.deliver.negotiate import Encoding, quality
from streamer.deliver.position import (
    EARLIEST,
    LIVE,
    MAX_OFFSET,
    At,
    ClientPosition,
    PositionInvalid,
    Since,
    Start,
    parse_id,
)
from streamer.deliver.problems import Problem, bad_position, field_unknown, invalid, unknown_parameter
from streamer.errors import FieldUnknown
from streamer.projection import Projection

Format = Literal["sse", "ndjson"]
Parameters = Mapping[str, object]
StartOf = Callable[[str, object], Start]
"""From a parameter's name (for the message) and its value for one partition."""
PARTS: Final = 10
"""Part p is a tenth of the partitions, as in Enterprise's API."""
MEDIA: Final[Mapping[Format, tuple[str, ...]]] = {
    "sse": ("text/event-stream", "text/*", "*/*"),
    "ndjson": ("application/x-ndjson", "application/ndjson", "application/*", "*/*"),
}
"""The ranges that cover each format, the more specific first."""
EXACT_FLOAT: Final = 2**53
"""From here on a float may stand for several whole numbers."""
FUTURE_TOLERANCE_MS: Final = 5_000
"""A client's clock may run ahead of ours by so much: its `since` is then now."""
Form = Literal["text", "list", "json"]
Known = Mapping[str, Form]
PARAMETERS: Final[Known] = {
    "since": "text",
    "fields": "list",
    "filters": "json",
    "parts": "list",
    "offsets": "json",
    "since_per_partition": "json",
    "last_event_id": "text",
    "on_gap": "text",
}
"""All there are, and how each stands in a query. streamer.deliver.openapi has the schema of each."""
MAX_FIELDS: Final = 200
_RFC3339: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(\.\d{1,9})?([Zz]|[+ -]\d{2}:\d{2})", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Ask:
    """`starts` names some partitions; the others begin at `rest`. `partitions` are those wanted."""

    format: Format
    partitions: frozenset[int]
    starts: Mapping[int, Start]
    rest: Start
    parameter: str = ""
    """What said where to start, for messages; "" for nothing: live."""
    epoch: str = ""
    """The topic's, where the position says it; checked against the log."""
    topic: str = ""
    """Its name, where the position says that instead."""
    continue_on_gap: bool = False
    projection: Projection | None = None
    """What of an article is asked for; None: all of it."""
    filters: Filters | None = None
    """Which articles are asked for; None: all of them."""
    encoding: Encoding = "identity"


def format_of(accept: str | None) -> Format:
    """The better liked of the two formats; 406 where neither will do. Of each the most specific range that
    covers it decides (RFC 9110, 12.5.1); of two that are liked the same the one that is named, then the
    one that stands first, and SSE where it does not matter.
    """
    said: dict[str, tuple[float, int]] = {}
    for place, item in enumerate((accept or "*/*").split(",")):
        media, *parameters = (part.strip().lower() for part in item.split(";"))
        said.setdefault(media, (quality(parameters), -place))
    best: Format | None = None
    best_rank = (0.0, False, 0)
    for fmt, ranges in MEDIA.items():
        media = next((media for media in ranges if media in said), "")
        weight, place = said.get(media, (0.0, 0))
        rank = weight, "*" not in media, place
        if weight and (best is None or rank > best_rank):
            best, best_rank = fmt, rank
    if best is None:
        raise Problem(406, "not_acceptable", "this feed speaks text/event-stream and application/x-ndjson")
    return best


def parameters_of(
    query: Iterable[tuple[str, str]], body: bytes, known: Known = PARAMETERS
) -> dict[str, object]:
    """The two places where parameters stand, as one mapping of plain JSON values."""
    found = _of_query(query, known)
    for name, value in _of_body(body, known).items():
        if name in found:
            raise invalid(name, "stands in the query and in the body; say it once")
        if value is not None:  # what Enterprise's SDKs send for "not given"
            found[name] = value
    return found


def _of_query(query: Iterable[tuple[str, str]], known: Known) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, text in query:
        if name not in known:
            raise unknown_parameter(name, known)
        value: object = text
        form = known[name]
        if form == "json":
            try:
                value = msgspec.json.decode(text)
            except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
                raise invalid(name, "is not JSON; in a query it is written as JSON text") from None
        elif form == "list":
            value = [part.strip() for part in text.split(",") if part.strip()]
        before = found.get(name)
        if before is None:
            found[name] = value
        elif isinstance(before, list) and isinstance(value, list):
            before.extend(value)
        else:
            raise invalid(name, "is given twice")
    return found


def _of_body(body: bytes, known: Known) -> dict[str, object]:
    if not body:
        return {}
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(400, "bad_body", "the body is not JSON") from None
    if not isinstance(decoded, dict):
        raise Problem(400, "bad_body", "the body is not a JSON object of parameters")
    for name in decoded:
        if name not in known:
            raise unknown_parameter(name, known)
    return decoded


def parse(
    parameters: Parameters,
    *,
    fmt: Format,
    last_event_id: str,
    partitions: int,
    now_ms: int,
    encoding: Encoding = "identity",
) -> Ask:
    """`last_event_id` is the header ("" for none) and beats the parameter of that name."""
    wanted = _partitions(parameters.get("parts"), partitions)
    offsets = _starts(parameters, "offsets", partitions, wanted, _offset)
    sinces = _starts(
        parameters, "since_per_partition", partitions, wanted, lambda n, v: Since(_time(n, v, now_ms))
    )
    since = Since(_time("since", parameters["since"], now_ms)) if "since" in parameters else None
    continue_on_gap = _on_gap(parameters.get("on_gap"), fmt)
    projection = _projection(parameters.get("fields"))
    filters = parse_filters(parameters.get("filters"))
    position = _position(parameters, last_event_id, partitions, now_ms)
    starts: Mapping[int, Start] = {}
    rest: Start = LIVE
    parameter = epoch = topic = ""
    if position is not None:
        starts, rest, parameter = position.starts, EARLIEST, "last_event_id"
        epoch, topic = position.epoch, position.topic
    elif offsets is not None:
        starts, parameter = offsets, "offsets"
    elif sinces is not None:
        starts, parameter = sinces, "since_per_partition"
    elif since is not None:
        rest, parameter = since, "since"
    return Ask(
        fmt,
        wanted,
        starts,
        rest,
        parameter,
        epoch,
        topic,
        continue_on_gap,
        projection,
        filters,
        encoding,
    )


def _projection(value: object) -> Projection | None:
    """All where `fields` is not given, or is empty."""
    if value is None or value == []:
        return None
    if not isinstance(value, list) or len(value) > MAX_FIELDS:
        raise invalid("fields", f"is a list of at most {MAX_FIELDS} names of fields")
    names: list[str] = []
    for name in value:
        if not is_name(name):
            raise invalid("fields", "a field is named as in `name`, `version.identifier` or `version.*`")
        names.append(name)
    try:
        return Projection(names)
    except FieldUnknown as error:
        raise field_unknown("fields", error) from None


def _position(parameters: Parameters, header: str, partitions: int, now_ms: int) -> ClientPosition | None:
    text = header or parameters.get("last_event_id", "")
    if not isinstance(text, str):
        raise invalid("last_event_id", "is not a string")
    if not text:
        return None
    try:
        position = parse_id(text)
    except PositionInvalid as error:
        raise bad_position("last_event_id", str(error)) from None
    for partition, start in position.starts.items():
        if partition >= partitions:
            raise bad_position("last_event_id", f"names partition {partition}; there are {partitions}")
        if isinstance(start, Since) and not 0 <= start.time_ms <= now_ms + FUTURE_TOLERANCE_MS:
            raise bad_position("last_event_id", f"has an impossible time for partition {partition}")
    return position


def _partitions(value: object, partitions: int) -> frozenset[int]:
    """All of them where `parts` is not given, or is empty: Enterprise's SDKs write that for the same."""
    if value is None or value == []:
        return frozenset(range(partitions))
    if not isinstance(value, list):
        raise invalid("parts", f"is a list of numbers from 0 to {PARTS - 1}")
    wanted: set[int] = set()
    for item in value:
        is_text = isinstance(item, str) and re.fullmatch(r"\d{1,2}", item, re.ASCII)
        part = int(item) if is_text else whole(item)
        if part is None or not 0 <= part < PARTS:
            raise invalid("parts", f"each part is a number from 0 to {PARTS - 1}")
        wanted.update(range(part * partitions // PARTS, (part + 1) * partitions // PARTS))
    return frozenset(wanted)


def _starts(
    parameters: Parameters,
    name: str,
    partitions: int,
    wanted: frozenset[int],
    convert: StartOf,
) -> dict[int, Start] | None:
    value = parameters.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise invalid(name, 'is an object, e.g. {"0": …}, with a value for each partition')
    starts: dict[int, Start] = {}
    for key, item in value.items():
        if not re.fullmatch(r"\d{1,5}", key, re.ASCII) or int(key) >= partitions:
            raise invalid(name, f"a partition is a number from 0 to {partitions - 1}")
        if int(key) not in wanted:
            raise invalid(name, f"partition {int(key)} is in none of the parts that are asked for")
        starts[int(key)] = convert(name, item)
    return starts or None


def _offset(name: str, value: object) -> Start:
    offset = whole(value)
    if offset is None:
        raise invalid(name, "an offset is a whole number")
    if not 0 <= offset <= MAX_OFFSET:
        raise bad_position(name, "an offset is never negative, nor beyond 63 bits")
    return At(offset)


def whole(value: object) -> int | None:
    """A JSON number without a fraction, `1.0` too (JSON Schema's `integer`); None for anything else."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < EXACT_FLOAT else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _time(name: str, value: object, now_ms: int) -> int:
    """Unix, ms. RFC 3339 only; a `+` that the query's decoding made a space is read as one."""
    match = _RFC3339.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise invalid(name, "is not an RFC 3339 time, e.g. 2026-11-21T12:00:00Z")
    date, clock, fraction, zone = match.groups()
    zone = "+00:00" if zone in "Zz" else zone.replace(" ", "+")
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}{(fraction or '')[:7]}{zone}")
        time_ms = int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise invalid(name, "is no time that ever was, e.g. a month of 13") from None
    if time_ms > now_ms + FUTURE_TOLERANCE_MS:
        raise invalid(name, "lies in the future")
    return time_ms


def _on_gap(value: object, fmt: Format) -> bool:
    if value is None:
        return False
    if value not in ("continue", "fail"):
        raise invalid("on_gap", "is either fail (the default: 410) or continue")
    return value == "continue" and fmt == "sse"  # NDJSON cannot say that there is a gap: always 410
