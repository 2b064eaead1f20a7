"""A change record that does not decode: written by a newer version, or damaged.

The source has counted it as admitted, so it must end in a counted outcome, and a dead letter needs a
change. What stands in for it holds whatever can still be read; the rest is unknown.
"""

from typing import Final

import msgspec
from msgspec import Raw

from streamer.log.base import Stored
from streamer.model import Change, Visibility, identifier_of_event

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises on bytes that are no record of ours."""

_fields = msgspec.json.Decoder(dict[str, Raw])


def is_hint(record: Stored) -> bool:
    """Hints are never counted: one that can't be read is only left out."""
    return _text(_read(record), "record") == "hint"


def stand_in(record: Stored) -> Change:
    """The kind is `refresh`, which says least, unless the record says that something is removed: who
    judges by kind has to know that.
    """
    fields = _read(record)
    told = _text(fields, "kind")
    return Change(
        identifier=_text(fields, "identifier")
        or identifier_of_event(f"{record.topic}|{record.partition}|{record.offset}"),
        kind="delete" if told == "delete" else "visibility" if told == "visibility" else "refresh",
        wiki=record.key,
        server_name=_text(fields, "server_name"),
        title=_text(fields, "title"),
        namespace=_number(fields, "namespace"),
        edited_ms=_number(fields, "edited_ms") or record.timestamp_ms,
        upstream_ms=_number(fields, "upstream_ms") or record.timestamp_ms,
        page_id=_number(fields, "page_id"),
        revision=_number(fields, "revision"),
        log_id=_number(fields, "log_id"),
        visibility=_visibility(fields) if told == "visibility" else None,
    )


def _visibility(fields: dict[str, Raw]) -> Visibility:
    """What can't be read may have hidden everything."""
    try:
        return msgspec.json.decode(fields["visibility"], type=Visibility)
    except (KeyError, *UNDECODABLE):
        return Visibility(text=False, editor=False, comment=False)


def _read(record: Stored) -> dict[str, Raw]:
    try:
        return _fields.decode(record.value or b"")
    except UNDECODABLE:
        return {}


def _text(fields: dict[str, Raw], name: str) -> str:
    try:
        return msgspec.json.decode(fields[name], type=str)
    except (KeyError, *UNDECODABLE):
        return ""


def _number(fields: dict[str, Raw], name: str) -> int:
    try:
        return msgspec.json.decode(fields[name], type=int)
    except (KeyError, *UNDECODABLE):
        return 0
