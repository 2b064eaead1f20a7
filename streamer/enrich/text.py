"""Plain text of wikitext: what a reader of the page would read, without what machines make of it.

Gone: templates, parser functions, tables, references, comments, files, categories, magic words, the
content of tags that are not prose. Kept: the text of links, headings as lines, list items as lines.

The module imports nothing of ours, because it is also run by its path as the worker that
`streamer.enrich.textpool` talks to: frames on stdin and stdout, each a 4-byte length and a body.
Markup is hostile input. What is done here is linear but for the parser's own work, and the parser is
bounded from outside: by input size, by a time limit that kills the worker, by an address space limit.
"""

import json
import re
import resource
import signal
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from html import unescape
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import wikitextparser

MAX_ABSTRACT_CHARS: Final = 2_000
LENGTH: Final = struct.Struct(">I")
WORKER_BYTES: Final = 1 << 30
"""Address space of a worker: markup that makes the parser eat more fails there and nowhere else."""

NOT_PROSE: Final = (
    "ref|references|gallery|timeline|math|chem|ce|score|graph|mapframe|maplink|imagemap|templatestyles|style|script"
    "|inputbox|hiero|categorytree|templatedata|indicator|section|includeonly"
)
# attributes are bounded, so that a page of nothing but "<ref" costs a constant for each
_NOT_PROSE_TAG: Final = re.compile(rf"<(/?)({NOT_PROSE})\b([^<>]{{0,1000}})>", re.IGNORECASE)
_INNER_BRACES: Final = re.compile(r"\{\{\{[^{}]*\}\}\}|\{\{[^{}]*\}\}")
_INNER_LINK: Final = re.compile(r"\[\[([^\[\]|\n]{1,1000})(?:\|([^\[\]]*))?\]\]")
MAX_NESTED: Final = 20
"""Passes: deeper nesting than any page has, and a bound for one that is made of nothing else."""
_LINE_BREAK: Final = re.compile(
    r"<br\s{0,10}/?>|</?(?:p|div|blockquote|li|ul|ol|dd|dt)\b[^<>]{0,500}>", re.IGNORECASE
)
_TAG: Final = re.compile(r"</?[A-Za-z][^<>]{0,500}>")
_QUOTES: Final = re.compile(r"'{2,5}")
_EXTERNAL: Final = re.compile(
    r"\[(?:https?:|ftp:|mailto:)?//[^\s\[\]<>]{1,2000}(?:[ \t]{1,10}([^\[\]\n]{0,1000}))?\]"
)
_MAGIC: Final = re.compile(r"__[A-Z\u00c0-\u024f]{3,30}__")
_HEADING: Final = re.compile(r"^(={1,6})[ \t]*(.{1,500}?)[ \t]*\1[ \t]*$", re.MULTILINE)
_MARKER: Final = re.compile(r"^(?:[*#:;]+[ \t]*|-{4,})", re.MULTILINE)
_EDGES: Final = re.compile(r"^[ \t]+|[ \t\r]+$", re.MULTILINE)
_SPACES: Final = re.compile(r"[ \t\u00a0]{2,}")
_BLANK_LINES: Final = re.compile(r"\n{3,}")
_EMPTY_BRACKETS: Final = re.compile(r"[ \t]?\([ \t,;:\u2013-]{0,20}\)")
_TABLE_LEFTOVER: Final = re.compile(r"^[ \t:]*(?:\{\||\|[}+-]|[|!]).*$", re.MULTILINE)


class TooDeep(ValueError):
    """A page made to be parsed for seconds; no real one is like that."""


class PlainText(NamedTuple):
    text: str
    abstract: str
    """The first paragraph before the first heading; "" where there is none."""


def plain_text(wikitext: str, dropped_namespaces: Iterable[str] = ()) -> PlainText:
    """`dropped_namespaces` are the wiki's own names of the file and category namespaces. Raises TooDeep."""
    dropped = {"file", "image", "media", "category"} | {
        name.casefold() for name in dropped_namespaces if name
    }
    source = _without_not_prose(_without_comments(wikitext))
    source = _EXTERNAL.sub(lambda match: match[1] or "", source)
    source = _without_structures(_without_well_formed(source, dropped), dropped)
    source = _LINE_BREAK.sub("\n", source)
    source = _TAG.sub("", source)
    source = _QUOTES.sub("", source)
    source = _MAGIC.sub("", source)
    source = _TABLE_LEFTOVER.sub("", source)
    source = _EMPTY_BRACKETS.sub("", source)
    heading = _HEADING.search(source)
    lead = source[: heading.start()] if heading else source
    return PlainText(_tidy(source), _abstract(_tidy(lead)))


def _tidy(source: str) -> str:
    source = _HEADING.sub(r"\n\2\n", source)
    source = _MARKER.sub("", source)
    source = _SPACES.sub(" ", unescape(source).replace("\u00a0", " "))
    return _BLANK_LINES.sub("\n\n", _EDGES.sub("", source)).strip()


def _abstract(lead: str) -> str:
    paragraph = lead.partition("\n\n")[0]
    if len(paragraph) <= MAX_ABSTRACT_CHARS:
        return paragraph
    return paragraph[:MAX_ABSTRACT_CHARS].rpartition(" ")[0] or paragraph[:MAX_ABSTRACT_CHARS]


def _without_comments(source: str) -> str:
    kept: list[str] = []
    at = 0
    while (start := source.find("<!--", at)) >= 0:
        kept.append(source[at:start])
        end = source.find("-->", start + 4)
        if end < 0:  # as MediaWiki does: an unclosed comment runs to the end
            return "".join(kept)
        at = end + 3
    kept.append(source[at:])
    return "".join(kept)


def _without_not_prose(source: str) -> str:
    """Removes these tags with what they hold; one that is never closed loses its tag only."""
    tags = list(_NOT_PROSE_TAG.finditer(source))
    if not tags:
        return source
    closing_after: list[int] = [0] * len(tags)  # index of the next closing tag of the same name, or -1
    next_closing: dict[str, int] = {}
    for i in range(len(tags) - 1, -1, -1):
        name = tags[i][2].lower()
        closing_after[i] = next_closing.get(name, -1)
        if tags[i][1]:
            next_closing[name] = i
    kept: list[str] = []
    at = 0
    for i, tag in enumerate(tags):
        if tag.start() < at:
            continue
        kept.append(source[at : tag.start()])
        at = tag.end()
        closing = closing_after[i]
        if not tag[1] and not tag[3].endswith("/") and closing >= 0:
            at = tags[closing].end()
    kept.append(source[at:])
    return "".join(kept)


def _without_well_formed(source: str, dropped: set[str]) -> str:
    """Templates, tables and links from the inside out, where their brackets simply match, which is nearly
    everywhere: several times faster than parsing, and each pass is linear. What is left is the parser's.
    """
    for _ in range(MAX_NESTED):
        source, found = _INNER_BRACES.subn("", source)
        if not found:
            break
    else:
        raise TooDeep(f"templates nested more than {MAX_NESTED} deep")
    if "{{" in source or "}}" in source:
        return source
    source = _without_tables(source)
    for _ in range(MAX_NESTED):
        source, found = _INNER_LINK.subn(lambda match: _link_text(match[1], match[2], dropped), source)
        if not found:
            break
    return source


def _link_text(target: str, text: str | None, dropped: set[str]) -> str:
    namespace, colon, _ = target.partition(":")
    if colon and namespace.strip().casefold() in dropped:
        return ""
    return target.removeprefix(":") if text is None else text


def _without_tables(source: str) -> str:
    """By lines, as MediaWiki reads them; unchanged where they don't match."""
    if "{|" not in source:
        return source
    kept: list[str] = []
    depth = 0
    for line in source.split("\n"):
        start = line.lstrip(" \t:")
        if start.startswith("{|"):
            depth += 1
        elif start.startswith("|}") and depth:
            depth -= 1
            if not depth:
                kept.append(start[2:])
        elif not depth:
            kept.append(line)
    return "\n".join(kept) if not depth else source


def _without_structures(source: str, dropped: set[str]) -> str:
    """Templates, parser functions, parameters and tables go; links leave their text."""
    if "{{" not in source and "[[" not in source and "{|" not in source:
        return source
    parsed = wikitextparser.parse(source)
    cut: list[tuple[int, int]] = [template.span for template in parsed.templates]
    cut += [function.span for function in parsed.parser_functions]
    cut += [parameter.span for parameter in parsed.parameters]
    if "{|" in source:
        cut += [table.span for table in parsed.get_tables()]
    for link in parsed.wikilinks:
        start, end = link.span
        title, text = link.title, link.text
        namespace = title.partition(":")[0].strip().casefold() if ":" in title else ""
        if namespace in dropped:
            cut.append((start, end))
        elif text is None:
            cut += [(start, start + (3 if title.startswith(":") else 2)), (end - 2, end)]
        else:
            cut += [(start, end - 2 - len(text)), (end - 2, end)]
    return _cut(source, cut)


def _cut(source: str, spans: list[tuple[int, int]]) -> str:
    kept: list[str] = []
    at = 0
    for start, end in sorted(spans):
        if start > at:
            kept.append(source[at:start])
        at = max(at, end)
    kept.append(source[at:])
    return "".join(kept)


# ── the worker ─────────────────────────────────────────────────────────────────────────────────


def read_frame(stream: BinaryIO) -> bytes | None:
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    return stream.read(length)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Request: JSON `[wikitext, [namespace name, …]]`, or a string, which is HTML. Answer: JSON
    `[text, abstract]`, or `null` where the parser gave up. Ends with its input, so it never outlives the
    process that started it.
    """
    while (frame := read_frame(requests)) is not None:
        asked = json.loads(frame)
        answer: PlainText | None
        try:
            answer = _of_html(asked) if isinstance(asked, str) else plain_text(*asked)
        except (RecursionError, MemoryError, ValueError, IndexError, AttributeError, TypeError, KeyError):
            answer = (
                None  # the parser's own defects on strange markup: an article without text, not a failure
            )
        body = json.dumps(answer).encode()
        answers.write(LENGTH.pack(len(body)) + body)
        answers.flush()


def _of_html(html: str) -> PlainText:
    from streamer.enrich.html_text import page_of  # noqa: PLC0415 - where there is no HTML, neither is its parser
    from streamer.enrich.plain import text_of  # noqa: PLC0415

    page = page_of(html)
    return PlainText(text_of(page.sections()), page.abstract)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    with suppress(ValueError, OSError):  # where the system has no such limit, the time limit remains
        resource.setrlimit(resource.RLIMIT_AS, (WORKER_BYTES, WORKER_BYTES))
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
