"""XML as dumps have it, read by expat: where it is, the texts that are wanted, and a place for each error.

No document type, so no entities but XML's own five; no depth and no text beyond what a dump has.
"""

from typing import Final
from xml.parsers import expat

from consumers.errors import DumpError

MAX_TEXT_CHARS: Final = 16 << 20
"""MediaWiki itself takes 2 MiB of a text."""
MAX_FIELD_CHARS: Final = 65_536
"""Of a title, a date, a number: comments, the longest of the rest, have some thousands."""
MAX_DEPTH: Final = 12

Path = tuple[str, ...]
"""Of an element: its name, and those of all that it is in."""


class Xml:
    """What both readers have in common: the path, the collected text, and where it went wrong."""

    def __init__(self, file: str, where: str, start: int, fields: frozenset[Path]) -> None:
        """`fields` are the elements whose text is wanted; `start` is where what is fed begins in `where`."""
        self._fields = fields
        self._file, self._where, self._start = file, where, start
        self._path: Path = ()
        self._text: list[str] | None = None
        self._chars = 0
        self._attributes: dict[str, str] = {}
        self._about = ""
        self._parser = parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.buffer_size = 65_536
        parser.StartElementHandler = self._open
        parser.EndElementHandler = self._close
        parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, data: bytes, *, final: bool = False) -> None:
        """Raises DumpError, which names file and place."""
        try:
            self._parser.Parse(data, final)
        except expat.ExpatError as error:
            raise self.error(f"is no XML: {expat.errors.messages[error.code]}") from None

    def let_go(self) -> None:
        """Of the parser, which knows this object as this one does it: all that was read would stay in memory
        until Python looks for circles.
        """
        parser = self._parser
        parser.StartElementHandler = parser.EndElementHandler = None
        parser.CharacterDataHandler = parser.StartDoctypeDeclHandler = None

    def error(self, what: str) -> DumpError:
        at = self._start + max(self._parser.ErrorByteIndex, 0)
        about = f", {self._about}" if self._about else ""
        return DumpError(f"{self._file} at {self._where} {at}{about}: {what}")

    def _doctype(self, *_: object) -> None:
        raise self.error("has a document type, which no dump has")

    def _open(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._path) >= MAX_DEPTH:
            raise self.error("is nested too deeply for a dump")
        self._path = (*self._path, name)
        if self._path in self._fields:
            self._text, self._chars, self._attributes = [], 0, attributes
            self._parser.CharacterDataHandler = self._characters
        self.opened(self._path, attributes)

    def _characters(self, data: str) -> None:
        assert self._text is not None
        self._chars += len(data)
        if self._chars > (MAX_TEXT_CHARS if self._path[-1] == "text" else MAX_FIELD_CHARS):
            raise self.error(f"<{self._path[-1]}> is larger than any wiki allows")
        self._text.append(data)

    def _close(self, name: str) -> None:  # noqa: ARG002  # expat's
        path = self._path
        if path in self._fields and self._text is not None:
            text, self._text = "".join(self._text), None
            self._parser.CharacterDataHandler = None
            self.field(path, text, self._attributes)
        self._path = path[:-1]
        self.closed(path)

    def opened(self, path: Path, attributes: dict[str, str]) -> None: ...
    def field(self, path: Path, text: str, attributes: dict[str, str]) -> None: ...
    def closed(self, path: Path) -> None: ...
