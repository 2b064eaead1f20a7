"""Dumps of a few pages, and how they may be packed."""

import bz2
import gzip
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape, quoteattr

import zstandard

END: Final = b"</mediawiki>\n"
END_OF_HEAD: Final = b"</siteinfo>\n"
END_OF_PAGE: Final = b"</page>\n"
PAGES_A_STREAM: Final = 3
NAMESPACES: Final = {-2: "Media", -1: "Special", 0: "", 1: "Talk", 6: "File", 14: "Category"}


def head(
    wiki: str = "enwiki",
    base: str = "https://en.wikipedia.org/wiki/Main_Page",
    language: str = "en",
    namespaces: Mapping[int, str] = NAMESPACES,
    schema: str = "0.11",
) -> str:
    names = "".join(
        f'\n      <namespace key={quoteattr(str(key))} case="first-letter">{escape(name)}</namespace>'
        for key, name in namespaces.items()
    )
    return (
        f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-{schema}/" version="{schema}"'
        f' xml:lang="{language}">'
        f"\n  <siteinfo>\n    <sitename>Wiki</sitename>\n    <dbname>{wiki}</dbname>\n    <base>{base}</base>"
        f"\n    <namespaces>{names}\n    </namespaces>\n  </siteinfo>\n"
    )


def revision(
    number: int,
    text: str | None,
    *,
    timestamp: str = "2026-01-02T03:04:05Z",
    sha1: str = "phoiac9h4m842xq45sp7s6u21eteeq1",
    model: str = "wikitext",
    more: str = "",
) -> str:
    """`text` None: hidden. `more` stands between comment and text."""
    given = (
        '<text bytes="7" sha1="x" deleted="deleted" />'
        if text is None
        else f'<text bytes="{len(text.encode())}" sha1="x" xml:space="preserve">{escape(text)}</text>'
    )
    return (
        f"    <revision>\n      <id>{number}</id>\n      <timestamp>{timestamp}</timestamp>\n"
        "      <contributor>\n        <username>Somebody</username>\n        <id>77</id>\n"
        "      </contributor>\n"
        f"      <comment>as it was</comment>\n      {more}<model>{model}</model>\n"
        f"      <format>text/x-wiki</format>\n      {given}\n      <sha1>{sha1}</sha1>\n    </revision>\n"
    )


def page(number: int, title: str, *revisions: str, namespace: int = 0, redirect: str | None = None) -> str:
    leads = "" if redirect is None else f"    <redirect title={quoteattr(redirect)} />\n"
    return (
        f"  <page>\n    <title>{escape(title)}</title>\n    <ns>{namespace}</ns>\n    <id>{number}</id>\n"
        f"{leads}{''.join(revisions)}  </page>\n"
    )


def dump(pages: Iterable[str], *, start: str = "") -> bytes:
    return (start or head()).encode() + "".join(pages).encode() + END


def multistream(xml: bytes, pages: int = PAGES_A_STREAM) -> bytes:
    """As Wikimedia packs it: the head, some pages each, the end."""
    start = xml.index(END_OF_HEAD) + len(END_OF_HEAD)
    body = xml[start : xml.rindex(END.strip())]
    each = [part + END_OF_PAGE for part in body.split(END_OF_PAGE) if part.strip()]
    streams = [xml[:start], *(b"".join(each[at : at + pages]) for at in range(0, len(each), pages)), END]
    return b"".join(map(bz2.compress, streams))


def _halves(xml: bytes) -> bytes:
    """Of streams that end anywhere, as pbzip2 makes them."""
    middle = len(xml) // 2
    return bz2.compress(xml[:middle]) + bz2.compress(xml[middle:])


PACKED: Final[dict[str, Callable[[bytes], bytes]]] = {
    "xml": bytes,
    "xml.gz": gzip.compress,
    "xml.zst": zstandard.ZstdCompressor().compress,
    "xml.bz2": bz2.compress,
    "halves.xml.bz2": _halves,
    "multistream.xml.bz2": multistream,
}


def written(folder: Path, xml: bytes, form: str = "xml", name: str = "dump") -> Path:
    path = folder / f"{name}.{form}"
    path.write_bytes(PACKED[form](xml))
    return path
