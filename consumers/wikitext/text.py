"""Plain text of wikitext: what a reader of the page would read, without what machines make of it.

Gone: templates but for the words that `consumers.wikitext.prose` knows of, tables, references, comments,
files, categories, links to other languages, magic words, the content of tags that are not prose. Kept: the
text of links, headings, lists. In the form of `consumers.wikitext.plain`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from consumers.wikitext.infobox import Boxes, is_box_by_name, is_named_box
from consumers.wikitext.languages import NAMES
from consumers.wikitext.lines import tell, without_tables, without_variants
from consumers.wikitext.links import Links, with_files, without_external, without_files
from consumers.wikitext.literal import cleaned
from consumers.wikitext.plain import Page, text_of
from consumers.wikitext.plain import Section as Part
from consumers.wikitext.prose import prose_of
from consumers.wikitext.structure import Infobox, InfoboxField, Section
from consumers.wikitext.tags import without_not_prose, without_tags
from consumers.wikitext.templates import Call, without_templates

HIDDEN_NAMESPACES: Final = frozenset({-2, 6, 14})
"""Media, files, categories: a link to them shows no text, or a picture."""
MAX_SECTIONS: Final = 2_000
"""The longest lists of real wikis have some hundreds."""
MAX_HEADING_CHARS: Final = 500_000
MAX_NAMED: Final = 100
"""Times that a page may name itself: a text is not to be much longer than its wikitext."""
LANGUAGES: Final = NAMES.keys() | {"simple"}
"""What links to other languages begin with."""
_PAGE_NAMES: Final = frozenset({"pagename", "fullpagename", "basepagename", "subpagename"})
_OF_USERS: Final = frozenset({2, 3})
_WITHOUT_SUBPAGES: Final = frozenset({0, 6, 14})
_PAGE_NAME_CHARS: Final = 20


class Make(NamedTuple):
    """What is to be made."""

    text: bool = True
    sections: bool = False
    infoboxes: bool = False


class Origin(NamedTuple):
    """Where wikitext is from."""

    title: str = ""
    """With its namespace's name, as `{{FULLPAGENAME}}` shows it."""
    hidden: tuple[str, ...] = ()
    """The wiki's own names of HIDDEN_NAMESPACES, with aliases."""
    names: tuple[str, ...] = ()
    """Those of all namespaces."""
    namespace: int = 0

    def named(self, word: str) -> str:
        """What the page shows of its name for one of _PAGE_NAMES. Nothing on a page of a user, whose name
        has to be hidden by privacy where it is told, and in a text it would not be found.
        """
        if self.namespace in _OF_USERS:
            return ""
        if word == "fullpagename":
            return self.title
        name = self.title.partition(":")[2] if self.namespace else self.title
        if word == "pagename" or self.namespace in _WITHOUT_SUBPAGES:
            return name
        base, _, sub = name.rpartition("/")
        return sub if word == "subpagename" else base or name


class PlainText(NamedTuple):
    text: str | None
    """None: not asked for; the same of the others."""
    abstract: str = ""
    """The first paragraph before the first heading; "" where there is none."""
    sections: list[Section] | None = None
    """Also None where a page is made of headings only (MAX_SECTIONS)."""
    infoboxes: list[Infobox] | None = None


TEXT: Final = Make()
ANYWHERE: Final = Origin()


def plain_text(wikitext: str, origin: Origin = ANYWHERE, make: Make = TEXT) -> PlainText:
    """Linear in what it is given. Raises nothing but MemoryError."""
    return _Text(origin, make).of(wikitext)


def nothing(make: Make) -> PlainText:
    """Of what has no text of its own, as a redirect."""
    return PlainText(
        "" if make.text else None, "", [] if make.sections else None, [] if make.infoboxes else None
    )


def smaller(plain: PlainText | None) -> list[PlainText | None]:
    """It, and what can be left of it where a record would be too large, down to nothing."""
    if plain is None:
        return [None]
    if plain.sections is None and plain.infoboxes is None:
        return [plain, None]
    return [plain, plain._replace(sections=None, infoboxes=None), None]


def origin_of(
    title: str, namespaces: Mapping[int, str], aliases: Mapping[str, int], namespace: int = 0
) -> Origin:
    names = [(name, number) for number, name in namespaces.items()] + list(aliases.items())
    return Origin(
        title,
        tuple(name for name, number in names if number in HIDDEN_NAMESPACES),
        tuple(name for name, _ in names),
        namespace,
    )


def sections_of(parts: Sequence[Part]) -> list[Section] | None:
    """None where they are made to be many, or long: each repeats the headings above it."""
    heading_chars = sum(len(heading) for part in parts for heading in part.path)
    if len(parts) > MAX_SECTIONS or heading_chars > MAX_HEADING_CHARS:
        return None
    return [Section(list(part.path), part.level, part.text, part.hash) for part in parts]


class _Text:
    def __init__(self, origin: Origin, make: Make) -> None:
        self._origin = origin
        self._links = Links(origin.hidden, origin.names, LANGUAGES)
        self._make = make
        self._boxes = Boxes(self._value) if make.infoboxes else None
        self._named = 0
        self._outermost = (-1, False)
        """Where the template began that was looked at last, and whether it is an infobox."""

    def of(self, wikitext: str) -> PlainText:
        markup = without_variants(without_not_prose(cleaned(wikitext)))
        markup = without_templates(self._links.without_links(markup), self._shown)
        boxes = None
        if self._boxes:
            boxes = [
                Infobox(box.name, [InfoboxField(key, value) for key, value in box.fields])
                for box in self._boxes.found()
            ]
        if not self._make.text and not self._make.sections:
            return PlainText(None, infoboxes=boxes)
        page = self._page(markup, without_files)
        parts = page.sections()
        return PlainText(
            text_of(parts) if self._make.text else None,
            page.abstract if self._make.text else "",
            sections_of(parts) if self._make.sections else None,
            boxes,
        )

    def _page(self, markup: str, files: Callable[[str], str]) -> Page:
        """Of markup without templates. `files` says what becomes of those that are all of a value."""
        markup = without_tables(without_variants(markup))
        markup = files(self._links.without_leftovers(self._links.without_links(markup)))
        page = Page()
        tell(without_tags(without_external(markup)), page)
        return page

    def _shown(self, call: Call) -> str:
        if len(call.body) < _PAGE_NAME_CHARS and (word := call.body.strip().casefold()) in _PAGE_NAMES:
            self._named += 1
            return self._origin.named(word) if self._named <= MAX_NAMED else ""
        if self._boxes:  # what is asked for changes nothing of the text
            self._boxes.offer(call)
        within_box = bool(call.depth) and self._is_within_box(call)
        if within_box and is_box_by_name(call):
            return ""  # no value, but a box of its own
        return prose_of(call, within_box=within_box)

    def _is_within_box(self, call: Call) -> bool:
        at, is_box = self._outermost
        if at != call.outermost:
            is_box = is_named_box(call.source, call.outermost)
            self._outermost = (call.outermost, is_box)
        return is_box

    def _value(self, markup: str) -> str:
        """Of a field of an infobox: a line for each item."""
        if markup.isalnum():
            return markup
        lines = text_of(self._page(markup, with_files).sections()).split("\n")
        return "\n".join(line for line in (line.strip().removeprefix("- ") for line in lines) if line)
