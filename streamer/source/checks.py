"""What a field must be for an event to be of use. Each raises EventInvalid with its reason."""

import re
from datetime import datetime
from functools import lru_cache
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET

from streamer.errors import EventInvalid
from streamer.source import upstream as up
from streamer.source.titles import with_spaces

MAX_ID: Final = 9_007_199_254_740_991
"""2^53 - 1, as upstream's schemas have it."""
MAX_TITLE_CHARS: Final = 1_024
"""MediaWiki's own limit is 255 bytes and a namespace."""
LATEST_S: Final = 4_102_444_800
"""The year 2100: beyond it a time is a mistake, and would break what formats it."""
NOT_IN_TITLES: Final = re.compile(r"[\x00-\x1f\x7f|]")
"""No wiki allows these; the API takes `|` for the end of a title."""
WIKI: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
HOST: Final = re.compile(r"[A-Za-z0-9.:\[\]-]{1,253}")

T = TypeVar("T")


def decode(decoder: "msgspec.json.Decoder[T]", data: bytes) -> T:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        raise EventInvalid("shape") from None
    except (msgspec.DecodeError, RecursionError):
        must_be_utf8(data)
        raise EventInvalid("not_json") from None


def must_be_utf8(data: bytes) -> None:
    """The parser looks at no string that nobody reads, so this has to be asked."""
    try:
        data.decode()
    except UnicodeDecodeError:
        raise EventInvalid("not_utf8") from None


def is_absent(raw: object) -> bool:
    return raw is UNSET or bytes(raw) in (b"null", b'""')  # type: ignore[call-overload]


def must_be_upstream_ms(meta: up.Envelope) -> int:
    if meta.dt is None:
        raise EventInvalid("missing_field")
    return must_be_ms(meta.dt)


def may_be_ms(moment: datetime | None) -> int:
    return int(moment.timestamp() * 1_000) if moment else 0


def must_be_ms(moment: datetime) -> int:
    seconds = moment.timestamp()
    if not 0 < seconds < LATEST_S:
        raise EventInvalid("out_of_range")
    return round(seconds * 1_000)


def must_be_seconds(value: int | None) -> int:
    if value is None:
        raise EventInvalid("missing_field")
    if not 0 < value < LATEST_S:
        raise EventInvalid("out_of_range")
    return value


def must_be_id(value: int | None) -> int:
    if value is None:
        raise EventInvalid("missing_field")
    if not 0 < value <= MAX_ID:
        raise EventInvalid("out_of_range")
    return value


def may_be_id(value: int | None) -> int:
    if not value:
        return 0
    return must_be_id(value)


def must_be_number(value: int | str) -> int:
    if isinstance(value, int):
        return value
    if value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    raise EventInvalid("shape")


def must_be_namespace(value: int | None) -> int:
    if value is None:
        raise EventInvalid("missing_field")
    if not -(2**31) <= value < 2**31:
        raise EventInvalid("out_of_range")
    return value


def must_be_title(value: str | None) -> str:
    if not value:
        raise EventInvalid("missing_field")
    if len(value) > MAX_TITLE_CHARS or NOT_IN_TITLES.search(value):
        raise EventInvalid("out_of_range")
    return with_spaces(value)


@lru_cache(maxsize=4_096)
def must_be_wiki(value: str | None) -> str:
    if not value:
        raise EventInvalid("missing_field")
    if not WIKI.fullmatch(value):  # it becomes a key, where `:` and `/` have a meaning
        raise EventInvalid("out_of_range")
    return value


@lru_cache(maxsize=4_096)
def must_be_host(value: str | None) -> str:
    """No judgement of whether it may be asked: that is enrich's allow-list."""
    if not value:
        raise EventInvalid("missing_field")
    if not HOST.fullmatch(value):
        raise EventInvalid("out_of_range")
    return value
