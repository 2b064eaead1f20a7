"""Both formats, line by line and strictly: each deviation from the contract is an AssertionError."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.harness.schema import checked

PREAMBLE = b"retry: 3000\n:ok\n"
CONTROL = frozenset({"cursor", "gap", "bye"})
SPLITTERS = ("\x85", "\u2028", "\u2029")
"""What some clients take for the end of a line."""
BOM = b"\xef\xbb\xbf"
EVENT = re.compile(rb"id: ([^\n]+)\ndata: (\{[^\n]*\})\n\n")
CONTROL_EVENT = re.compile(
    rb"(?:id: (?P<before>[^\n]+)\n)?event: (?P<name>[a-z]+)\n(?:id: (?P<id>[^\n]+)\n)?"
    rb"data: (?P<data>\{[^\n]*\})\n\n"
)
COMMENT = re.compile(rb":([a-z]+)\n")
PLACE = re.compile(rb'"partition":(\d+),"offset":(\d+)')
ID = re.compile(r"([0-9a-f]{8})\.(\d+:\d+(?:,\d+:\d+)*)")


@dataclass(frozen=True)
class Item:
    """An article ("message"), a control event by its name, or a heartbeat ("hb")."""

    name: str
    id: str = ""
    data: bytes = b""

    @cached_property
    def object(self) -> dict[str, Any]:
        try:
            found = json.loads(self.data)
        except ValueError as error:
            raise AssertionError(f"no JSON: {error}") from None
        assert isinstance(found, dict)
        return found

    @property
    def place(self) -> tuple[int, int]:
        """Partition and offset, from the article itself."""
        event = self.object["event"]
        return event["partition"], event["offset"]

    def checked(self) -> "Item":
        """An article must be placed, typed, licensed and named; its times are as Enterprise's clients need
        them, and nothing in it splits a line.
        """
        text = self.data.decode("utf-8")
        assert not any(splitter in text for splitter in SPLITTERS), "a raw line separator"
        article = self.object
        assert {"name", "identifier", "event", "namespace", "is_part_of"} <= article.keys()
        partition, offset = self.place
        assert (type(partition), type(offset)) == (int, int)
        assert article["event"]["type"] in ("update", "delete", "visibility-change")
        for name in ("date_created", "date_modified", "date_previously_modified"):
            if name in article:
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", article[name]), name
        for name in ("categories", "templates", "redirects", "license", "protection"):
            assert article.get(name, []) is not None, f"{name} is null"
        checked(article)
        if "article_body" in article:
            assert article["license"], "a text without its licence"
            assert article["attribution"]
        return self


def vector(position: str) -> dict[int, int]:
    """An id's next offset of each partition."""
    match = ID.fullmatch(position)
    assert match, f"no id: {position!r}"
    pairs = [pair.split(":") for pair in match[2].split(",")]
    found = {int(partition): int(offset) for partition, offset in pairs}
    assert len(found) == len(pairs), "an id names a partition twice"
    return found


def epoch(position: str) -> str:
    return position.partition(".")[0]


class Sse:
    """`feed` it what comes, get the items that are complete."""

    def __init__(self) -> None:
        self._buffer = b""
        self._begun = False

    @property
    def rest(self) -> bytes:
        """What is not complete."""
        return self._buffer

    def feed(self, data: bytes) -> list[Item]:
        assert b"\r" not in data, "a carriage return"
        buffer, at, found = self._buffer + data, 0, []
        if not self._begun:
            assert PREAMBLE.startswith(buffer[: len(PREAMBLE)]), buffer[:40]
            if len(buffer) < len(PREAMBLE):
                self._buffer = buffer
                return []
            self._begun, at = True, len(PREAMBLE)
        while at < len(buffer):
            if match := EVENT.match(buffer, at):
                found.append(Item("message", match[1].decode(), match[2]))
            elif match := COMMENT.match(buffer, at):
                assert match[1] == b"hb", f"the comment {match[1]!r}"
                found.append(Item("hb"))
            elif match := CONTROL_EVENT.match(buffer, at):
                assert match["name"].decode() in CONTROL, f"an event named {match['name']!r}"
                position = match["before"] or match["id"] or b""
                found.append(Item(match["name"].decode(), position.decode(), match["data"]))
            else:
                break
            at = match.end()
        self._buffer = buffer[at:]
        assert not self._buffer.startswith((b"\n", BOM)), "a blank line that ends no event, or a BOM"
        assert b"\n\n" not in self._buffer, f"no event of this contract: {self._buffer[:200]!r}"
        return found


class Ndjson:
    """The same for NDJSON: objects, each on its line, and single spaces between lines."""

    def __init__(self) -> None:
        self._buffer = b""

    @property
    def rest(self) -> bytes:
        return self._buffer

    def feed(self, data: bytes) -> list[Item]:
        assert b"\r" not in data, "a carriage return"
        found = []
        *lines, rest = (self._buffer + data).split(b"\n")
        for line in lines:
            found += [Item("hb")] * (len(line) - len(line.lstrip(b" ")))
            data = line.lstrip(b" ")
            assert data.startswith(b"{"), f"no object on this line: {data[:80]!r}"
            assert data.endswith(b"}"), f"no object on this line: {data[-80:]!r}"
            found.append(Item("message", "", data))
        found += [Item("hb")] * (len(rest) - len(rest.lstrip(b" ")))
        self._buffer = rest.lstrip(b" ")
        assert self._buffer[:1] in (b"", b"{"), f"no object on this line: {self._buffer[:80]!r}"
        return found
