"""HTML like Parsoid's of the invented wikis' texts. Pure.

It knows the wikitext that they are written in (streamer.sandbox.languages), and shows the rest as it stands:
the head, the sections and the attributes are what a client goes by, and those are as the real one's.
"""

import html
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from streamer.sandbox.events import iso_ms
from streamer.sandbox.pages import Page, Revision, Site

_HEADING: Final = re.compile(r"(={1,6})\s*(.+?)\s*\1\s*")
_INLINE: Final = re.compile(
    r"<ref>(?P<ref>.*?)</ref>|'''(?P<bold>.+?)'''|''(?P<italic>.+?)''|\[\[(?P<link>[^\[\]|]+)(?:\|(?P<text>[^\[\]]*))?\]\]"
    r"|\{\{(?P<template>[^{}|]+)(?:\|(?P<argument>[^{}]*))?\}\}"
)


def document(site: Site, page: Page, revision: Revision, *, about: int | None = None) -> str:
    """`about` another revision than it is: a wiki that mixes them up."""
    base = f"https://{site.server_name}/wiki/"
    direction = "rtl" if site.rtl else "ltr"
    before = f'<link rel="dc:replaces" resource="mwr:revision/{revision.parent}"/>' if revision.parent else ""
    return (
        '<!DOCTYPE html>\n<html prefix="dc: http://purl.org/dc/terms/ mw: http://mediawiki.org/rdf/"'
        f' about="{base}Special:Redirect/revision/{about or revision.identifier}">'
        f'<head prefix="mwr: {base}Special:Redirect/"><meta charset="utf-8"/>'
        f'<meta property="mw:pageId" content="{page.identifier}"/>'
        f'<meta property="mw:pageNamespace" content="{page.namespace}"/>{before}'
        f'<meta property="mw:revisionSHA1" content="{revision.sha1}"/>'
        f'<meta property="dc:modified" content="{iso_ms(revision.edited_ms)}"/>'
        '<meta property="mw:htmlVersion" content="2.8.0"/><meta property="mw:html:version" content="2.8.0"/>'
        f'<link rel="dc:isVersionOf" href="{base}{_path(page.title)}"/><base href="{base}"/>'
        f"<title>{html.escape(page.title)}</title>"
        f'<meta http-equiv="content-language" content="{site.language}"/></head>'
        f'<body lang="{site.language}" class="mw-content-{direction} {direction} parsoid-body mediawiki'
        f' mw-parser-output" dir="{direction}">{_Body(page.title).of(revision.text)}</body></html>'
    )


class _Body:
    def __init__(self, title: str) -> None:
        self._path = _path(title)
        self._notes: list[str] = []
        self._transclusions = 0

    def of(self, text: str) -> str:
        parts = ['<section data-mw-section-id="0">']
        for number, (heading, block) in enumerate(_sections(text)):
            if heading is not None:
                level, words = heading
                parts.append(f'</section><section data-mw-section-id="{number}">')
                parts.append(f"<h{level}>{self._inline(words)}</h{level}>\n")
            parts += (self._block(lines) for lines in re.split(r"\n\s*\n", block) if lines.strip())
        return "".join(parts) + self._references() + "</section>"

    def _block(self, text: str) -> str:
        text = text.strip("\n")
        if text.startswith("{|"):
            rows = "".join(f"<tr><td>{self._inline(row)}</td></tr>" for row in text.split("\n|-\n"))
            return f'<table class="wikitable"><tbody>{rows}</tbody></table>\n'
        if text.startswith("{{Infobox"):
            box, _, rest = text.partition("}}")
            return f"{self._template('table', 'infobox', box)}{self._block(rest) if rest.strip() else ''}"
        lines = text.split("\n")
        for mark, tag in (("*", "ul"), ("#", "ol")):
            if all(line.startswith(mark) for line in lines) and not text.startswith("#REDIRECT"):
                items = "\n".join(f"<li>{self._inline(line.lstrip(mark).strip())}</li>" for line in lines)
                return f"<{tag}>{items}</{tag}>\n"
        return f"<p>{self._inline(text)}</p>\n"

    def _template(self, tag: str, name: str, text: str) -> str:
        self._transclusions += 1
        inside = (
            f"<tbody><tr><td>{html.escape(text)}</td></tr></tbody>" if tag == "table" else f"<p>{text}</p>"
        )
        about = f'about="#mwt{self._transclusions}" typeof="mw:Transclusion"'
        return f'<{tag} class="{name}" {about}>{inside}</{tag}>'

    def _inline(self, text: str) -> str:
        shown, at = "", 0
        for match in _INLINE.finditer(text):
            shown += html.escape(text[at : match.start()]) + self._made(match)
            at = match.end()
        return shown + html.escape(text[at:])

    def _made(self, match: re.Match[str]) -> str:
        if match["ref"] is not None:
            self._notes.append(match["ref"])
            number = len(self._notes)
            return (
                f'<sup class="mw-ref reference" id="cite_ref-{number}" rel="dc:references"'
                f' typeof="mw:Extension/ref"><a href="./{self._path}#cite_note-{number}">'
                f'<span class="mw-reflink-text">[{number}]</span></a></sup>'
            )
        if match["bold"] is not None:
            return f"<b>{html.escape(match['bold'])}</b>"
        if match["italic"] is not None:
            return f"<i>{html.escape(match['italic'])}</i>"
        if match["template"] is not None:
            return f"{self._template('div', 'quote', html.escape(match['argument'] or ''))}"
        target = match["link"].strip()
        if ":" in target and match["text"] is None:
            return f'<link rel="mw:PageProp/Category" href="./{_path(target)}"/>'
        words = html.escape(match["link"] if match["text"] is None else match["text"])
        return f'<a rel="mw:WikiLink" href="./{_path(target)}" title="{html.escape(target)}">{words}</a>'

    def _references(self) -> str:
        if not self._notes:
            return ""
        notes = "".join(
            f'<li id="cite_note-{number}"><span class="mw-reference-text">{html.escape(note)}</span></li>'
            for number, note in enumerate(self._notes, 1)
        )
        return (
            '<div class="mw-references-wrap" typeof="mw:Extension/references">'
            f'<ol class="mw-references references">{notes}</ol></div>'
        )


def _sections(text: str) -> Iterator[tuple[tuple[int, str] | None, str]]:
    """Each with its heading; the first has none."""
    heading: tuple[int, str] | None = None
    lines: list[str] = []
    for line in text.split("\n"):
        found = _HEADING.fullmatch(line)
        if found is None:
            lines.append(line)
            continue
        yield heading, "\n".join(lines)
        heading, lines = (len(found[1]), found[2]), []
    yield heading, "\n".join(lines)


def _path(title: str) -> str:
    return quote(title.replace(" ", "_"), safe=":/")
