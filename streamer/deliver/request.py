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
from streamer.deliver.problems import Problem, bad_position, invalid
from streamer.errors import FieldUnknown
from streamer.projection import Projection

Format = Literal["sse", "ndjson"]
Parameters = Mapping[str, object]
StartOf = Callable[[str, object], Start]
"""From a parameter's name (for the message) and its value for one partition."""
PARTS: Final = 10
"""Part p is a tenth of the partitions, as in Enterprise's API."""
FUTURE_TOLERANCE_MS: Final = 5_000
"""A client's clock may run ahead of ours by so much: its `since` is then now."""
PARAMETERS: Final = frozenset(
    {
        "since",
        "fields",
        "filters",
        "parts",
        "offsets",
        "since_per_partition",
        "last_event_id",
        "on_gap",
    }
)
MAX_FIELDS: Final = 200
JSON_IN_QUERY: Final = frozenset({"filters", "offsets", "since_per_partition"})
LISTS: Final = frozenset({"fields", "parts"})
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
    """The better liked of the two formats, SSE where it does not matter; 406 where neither will do."""
    best: Format | None = None
    best_quality = 0.0
    for item in (accept or "*/*").split(","):
        media, *parameters = (part.strip().lower() for part in item.split(";"))
        offered: Format
        if media in ("text/event-stream", "*/*", "text/*"):
            offered = "sse"
        elif media in ("application/x-ndjson", "application/ndjson", "application/*"):
            offered = "ndjson"
        else:
            continue
        weight = quality(parameters)
        if weight > best_quality:
            best, best_quality = offered, weight
    if best is None:
        raise Problem(406, "not_acceptable", "this feed speaks text/event-stream and application/x-ndjson")
    return best


def parameters_of(query: Iterable[tuple[str, str]], body: bytes) -> dict[str, object]:
    """The two places where parameters stand, as one mapping of plain JSON values."""
    found = _of_query(query)
    for name, value in _of_body(body).items():
        if name in found:
            raise invalid(name, "stands in the query and in the body; say it once")
        if value is not None:  # what Enterprise's SDKs send for "not given"
            found[name] = value
    return found


def _of_query(query: Iterable[tuple[str, str]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, text in query:
        if name not in PARAMETERS:
            raise _unknown(name)
        value: object = text
        if name in JSON_IN_QUERY:
            try:
                value = msgspec.json.decode(text)
            except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
                raise invalid(name, "is not JSON; in a query it is written as JSON text") from None
        elif name in LISTS:
            value = [part.strip() for part in text.split(",") if part.strip()]
        before = found.get(name)
        if before is None:
            found[name] = value
        elif isinstance(before, list) and isinstance(value, list):
            before.extend(value)
        else:
            raise invalid(name, "is given twice")
    return found


def _of_body(body: bytes) -> dict[str, object]:
    if not body.strip():
        return {}
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(400, "bad_body", "the body is not JSON") from None
    if not isinstance(decoded, dict):
        raise Problem(400, "bad_body", "the body is not a JSON object of parameters")
    for name in decoded:
        if name not in PARAMETERS:
            raise _unknown(name)
    return decoded


def _unknown(name: str) -> Problem:
    shown = name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,40}", name) else "?"
    return Problem(
        422,
        "unknown_parameter",
        f"there is no parameter {shown!r}; known are {', '.join(sorted(PARAMETERS))}",
        parameter=shown,
    )


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
    """All where `fields` is not given, or is empty. The messages are Enterprise's own."""
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
        raise Problem(422, "field_unknown", str(error), parameter="fields") from None


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
        part = int(item) if isinstance(item, str) and re.fullmatch(r"\d{1,2}", item, re.ASCII) else item
        if isinstance(part, bool) or not isinstance(part, int) or not 0 <= part < PARTS:
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
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(name, "an offset is a whole number")
    if not 0 <= value <= MAX_OFFSET:
        raise bad_position(name, "an offset is never negative, nor beyond 63 bits")
    return At(value)


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
