"""Dumps: the same pages of every packing, and a place in the file for all that is wrong."""

import bz2
import gc
import gzip
import weakref
from pathlib import Path

import pytest
from harness import dumps
from harness.dumps import dump, head, page, revision, written

from consumers.corpus.dump import LAG_US, Pages
from consumers.corpus.page import Listed, Page
from consumers.corpus.pieces import opened, pieces
from consumers.corpus.site import Site
from consumers.corpus.workers import Done, Job, done
from consumers.corpus.xml import MAX_TEXT_CHARS
from consumers.errors import DumpError

TEXTS = {
    "ar": "'''القاهرة''' هي عاصمة [[مصر]] و[[ملف:Cairo.jpg|تصغير|صورة]]أكبر مدنها.",
    "de": "'''Köln''' ist eine [[Stadt]] am [[Rhein|Rheine]].",
    "he": "'''ירושלים''' היא עיר ב[[ישראל]].<ref>מקור</ref>",
    "hi": "'''दिल्ली''' [[भारत]] की राजधानी है।",
    "ja": "'''東京'''は[[日本]]の首都である。{{Lang|en|Tokyo}}",
    "th": "'''กรุงเทพ'''เป็นเมืองหลวงของ[[ประเทศไทย]]",
    "zh": "'''北京'''是[[中国]]的首都。",
    "en": "'''A & B''' <!-- not this --> are [[letter]]s < 3.",
}
PAGES = [
    page(number, f"Title {name}", revision(number * 10, text))
    for number, (name, text) in enumerate(TEXTS.items(), 1)
]


def read(
    path: Path, *, begun: int | None = 5 << 40, processes: int = 1, since: int = 0, **sizes: int
) -> list[Done]:
    looked_at = opened(path)
    return list(done(pieces(looked_at, since, **sizes), Job(looked_at.site, begun), processes))


def rows(path: Path, **how: int) -> list[Listed]:
    return [row for each in read(path, **how) for row in each.rows]


def content(row: Listed) -> Page:
    assert row.content is not None
    return row.content


@pytest.mark.parametrize("form", dumps.PACKED)
def test_all_packings_give_the_same_pages(tmp_path: Path, form: str) -> None:
    """Title, revision, text (by the wiki's own names of namespaces) and wikitext of each page in eight
    languages, and that the end was seen.
    """
    start = head(namespaces={**dumps.NAMESPACES, 6: "ملف"})
    each = read(written(tmp_path, dump(PAGES, start=start), form))
    found = [content(row) for one in each for row in one.rows]
    assert [(one.page, one.revision, one.title) for one in found] == [
        (number, number * 10, f"Title {name}") for number, name in enumerate(TEXTS, 1)
    ]
    assert [one.wikitext for one in found] == list(TEXTS.values())
    assert [one.text for one in found][:2] == [
        "القاهرة هي عاصمة مصر وأكبر مدنها.",
        "Köln ist eine Stadt am Rheine.",
    ]
    assert any(one.closed for one in each)


@pytest.mark.parametrize("form", dumps.PACKED)
@pytest.mark.parametrize("size", [1, 300, 1_000])
def test_pieces_of_any_size_hold_each_page_once(tmp_path: Path, form: str, size: int) -> None:
    """Cut finer than a page or a stream, nothing is lost or doubled; so with any beginning at a border."""
    path = written(tmp_path, dump(PAGES), form)
    each = read(path, range_bytes=size, chunk_bytes=size)
    assert [row.page for one in each for row in one.rows] == list(range(1, len(PAGES) + 1))
    for number in range(0, len(each), max(1, len(each) // 5)):
        rest = read(path, since=each[number].piece.end, range_bytes=size, chunk_bytes=size)
        expected = [row.page for one in each[number + 1 :] for row in one.rows]
        assert [row.page for one in rest for row in one.rows] == expected


def test_only_a_stream_of_its_own_pages_is_read_as_multistream(tmp_path: Path) -> None:
    """bz2 of one stream, and of streams that end anywhere, is unpacked from its beginning."""
    seen = {form: opened(written(tmp_path, dump(PAGES), form)).is_multistream for form in dumps.PACKED}
    assert [form for form, is_multistream in seen.items() if is_multistream] == ["multistream.xml.bz2"]


def test_processes_read_the_same_as_one(tmp_path: Path) -> None:
    """In the order of the file, of both ways to cut it."""
    for form in ("xml", "multistream.xml.bz2"):
        path = written(tmp_path, dump(PAGES), form)
        alone = read(path, range_bytes=200, chunk_bytes=500)
        assert read(path, processes=2, range_bytes=200, chunk_bytes=500) == [
            one._replace(piece=one.piece._replace(xml=None)) for one in alone
        ]


def test_a_page_has_what_the_dump_says(tmp_path: Path) -> None:
    """Address, SHA-1 in hex, date, minor, redirect, model; the wiki's language and server from the head."""
    pages = [
        page(3, "Straße & Co?", revision(31, "text", more="<minor />")),
        page(4, "Weg", revision(41, "#WEITERLEITUNG [[Straße]]"), redirect="Straße"),
        page(5, "Module:X", revision(51, "return {}", model="Scribunto"), namespace=828),
    ]
    start = head("dewiki", "https://de.wikipedia.org/wiki/Wikipedia:Hauptseite", "de", schema="0.10")
    first, leads, module = map(content, rows(written(tmp_path, dump(pages, start=start))))
    assert (first.wiki, first.language, first.namespace, first.is_minor) == ("dewiki", "de", 0, True)
    assert first.url == "https://de.wikipedia.org/wiki/Stra%C3%9Fe_%26_Co%3F"
    assert (first.date_modified, first.sha1) == (
        "2026-01-02T03:04:05Z",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    )
    assert first.attribution == "“Straße & Co?” by the contributors to Wiki (de.wikipedia.org)."
    assert (leads.redirect_target, leads.text, leads.wikitext) == ("Straße", "", "#WEITERLEITUNG [[Straße]]")
    assert (module.text, module.content_model, module.namespace) == ("", "Scribunto", 828)


def test_the_newest_revision_counts(tmp_path: Path) -> None:
    """Of a dump with histories, whatever the order; a hidden newest one is hidden."""
    pages = [
        page(1, "A", revision(12, "newest"), revision(11, "older")),
        page(2, "B", revision(21, "shown"), revision(22, None)),
    ]
    shown, hidden = rows(written(tmp_path, dump(pages)))
    assert content(shown).text == "newest"
    assert (hidden.revision, hidden.content, hidden.gone) == (22, None, "hidden")


def test_a_row_is_as_of_the_dumps_beginning(tmp_path: Path) -> None:
    """Less what replicas lag; where nobody knows when that was, as of its revision."""
    path = written(tmp_path, dump(PAGES[:1]))
    assert [row.at for row in rows(path)] == [(5 << 40) - LAG_US]
    [each] = read(path, begun=None)
    assert [row.at for row in each.rows] == [1_767_323_045_000_000 - LAG_US]
    assert each.newest == "2026-01-02T03:04:05Z"


def test_a_text_that_the_wiki_could_not_load_is_counted(tmp_path: Path) -> None:
    """And makes no row: the page is neither empty nor hidden."""
    broken = revision(11, "x").replace(
        '<text bytes="1" sha1="x" xml:space="preserve">x</text>', '<text bytes="1" />'
    )
    [each] = read(written(tmp_path, dump([page(1, "A", broken), PAGES[1]])))
    assert (each.unreadable, [row.page for row in each.rows]) == (1, [2])


BOMB = '<!DOCTYPE m [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
WRONG = {
    "no xml": (b"\x00\x01" * 500, "no <siteinfo>"),
    "empty": (b"", "no <siteinfo>"),
    "html": (b"<html><body><siteinfo></siteinfo></body></html>", "begins with <html>"),
    "no wiki": (dump(PAGES, start=head("")), "names no wiki"),
    "entities": (BOMB.encode() + dump(PAGES), "document type"),
    "entities later": (dump([BOMB, *PAGES]), "is no XML"),
    "unknown entity": (dump([page(1, "A", revision(1, "x").replace(">x<", ">&b;<"))]), "undefined entity"),
    "no utf-8": (dump(PAGES).replace("Köln".encode(), b"K\xffln"), "is no XML"),
    "logs": (dump(["<logitem><id>1</id></logitem>"]), "not a dump of pages"),
    "nested": (dump(["<page>" * 40]), "nested too deeply"),
    "page of no id": (dump([PAGES[0].replace("<id>1</id>", "")]), "without id"),
    "a number that is none": (dump([PAGES[0].replace("<id>1</id>", "<id>one</id>")]), "number that is none"),
    "a long title": (dump([page(1, "x" * 70_000, revision(1, "x"))]), "larger than any wiki allows"),
    "a stub": (
        dump([page(1, "A", revision(1, "x").replace('sha1="x" xml:space="preserve">x', 'location="tt:1">'))]),
        "stub",
    ),
    "cut off in a page": (dump(PAGES)[:-200], "page 8"),
    "cut off between pages": (dump(PAGES)[: -len(dumps.END)], ""),
    "something behind it": (dump(PAGES) + b"<more/>", "junk after document element"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_dump_is_refused_with_its_place(tmp_path: Path, case: str) -> None:
    """The error names the file and what is wrong; a dump that only lacks its end says so by `closed`."""
    data, says = WRONG[case]
    path = written(tmp_path, data)
    if not says:
        assert not any(one.closed for one in read(path))
        return
    with pytest.raises(DumpError, match=f"{path.name}.*{says}") as raised:
        read(path)
    assert "Köln" not in str(raised.value)


def test_a_text_larger_than_any_wikis_is_refused(tmp_path: Path) -> None:
    """Before all of it is in memory."""
    path = written(tmp_path, dump([page(9, "A", revision(1, "x" * (MAX_TEXT_CHARS + 1)))]), "xml.gz")
    with pytest.raises(DumpError, match=r"page 9: <text> is larger"):
        read(path)


@pytest.mark.parametrize("form", [form for form in dumps.PACKED if form != "xml"])
def test_a_packed_file_that_is_not_whole_is_refused(tmp_path: Path, form: str) -> None:
    """Cut off anywhere, also within its head, and damaged in its middle."""
    whole = dumps.PACKED[form](dump(PAGES * 30))
    path = tmp_path / f"cut.{form}"
    for end in (10, 200, len(whole) // 2, len(whole) - 4):
        path.write_bytes(whole[:end])
        with pytest.raises(DumpError, match=path.name):
            assert any(one.closed for one in read(path)), DumpError(path.name)
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + b"\x00" * 40 + whole[middle + 40 :])
    with pytest.raises(DumpError, match=path.name):
        read(path)


def test_streams_that_end_within_a_page_are_no_multistream(tmp_path: Path) -> None:
    """A file that only begins like one is refused where it stops being one, and not read wrongly."""
    packed = dumps.multistream(dump(PAGES * 4))
    last = len(bz2.compress(dumps.END))
    path = tmp_path / "odd.xml.bz2"
    path.write_bytes(packed[:-last] + bz2.compress(b"<page><title>half") + bz2.compress(dumps.END))
    with pytest.raises(DumpError, match=r"odd\.xml\.bz2 at the bz2 streams from byte"):
        read(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """As is one that is a folder."""
    with pytest.raises(DumpError, match="No such file"):
        opened(tmp_path / "none.xml")
    with pytest.raises(DumpError, match="directory"):
        opened(tmp_path)


def test_a_bomb_is_unpacked_a_block_at_a_time(tmp_path: Path) -> None:
    """A head that never ends is given up after a megabyte."""
    path = tmp_path / "bomb.xml.gz"
    path.write_bytes(gzip.compress(b"<mediawiki>" + b" " * (64 << 20)))
    with pytest.raises(DumpError, match="no <siteinfo>"):
        opened(path)


def test_what_was_read_is_let_go_at_once() -> None:
    """Not when Python looks for circles: a dump of any size is read in the memory of some pieces."""
    gc.disable()
    try:
        pages = Pages(Site("enwiki", "https://x.example"), "dump", "byte", 0, at=0)
        pages.feed("".join(PAGES).encode())
        gone = weakref.ref(pages)
        assert len(pages.read().rows) == len(PAGES)
        del pages
        assert gone() is None
    finally:
        gc.enable()
