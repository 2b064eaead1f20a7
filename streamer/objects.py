"""JSON objects taken apart one level deep: what stays is copied as the bytes that it was."""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Raw

from streamer.model import encode_value

Object = dict[str, Raw]

objects: Final = msgspec.json.Decoder(Object)
lists: Final = msgspec.json.Decoder(list[Raw])
encode: Final = msgspec.json.Encoder().encode
"""Of what is copied: line separators are escaped in it already, and no name of a field holds one; looking for
them in every copy took four times as long as all the rest.
"""


def is_object(of: Object, name: str) -> bool:
    """A null, which other writers of JSON put for what is absent, has no parts to be taken."""
    return name in of and bytes(memoryview(of[name])[:1]) == b"{"


def object_in(of: Object, name: str) -> Object:
    """{} where there is none."""
    return objects.decode(of[name]) if is_object(of, name) else {}


def text_in(of: Object, name: str) -> str | None:
    """None where there is none that can be read."""
    if name not in of:
        return None
    try:
        return msgspec.json.decode(of[name], type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def put(of: Object, name: str, value: Object) -> None:
    of[name] = raw(value)


def put_text(of: Object, name: str, text: str) -> None:
    """What was made here: its line separators have to be escaped."""
    of[name] = Raw(encode_value(text))


def change(of: Object, name: str, changes: Object) -> None:
    if is_object(of, name):
        put(of, name, {**objects.decode(of[name]), **changes})


def drop(of: Object, name: str, parts: Iterable[str]) -> None:
    if is_object(of, name):
        kept = objects.decode(of[name])
        for part in parts:
            kept.pop(part, None)
        put(of, name, kept)


def raw(value: Object | list[Raw]) -> Raw:
    return Raw(encode(value))
