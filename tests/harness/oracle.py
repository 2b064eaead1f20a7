"""What another program reads in Parsoid's HTML: mwparserfromhtml, of Wikimedia's own researchers.

Asked for what a reader sees: `WikiStew.to_plaintext` without the elements that are no prose, headings and
lists kept. (Its `Article.get_plaintext` leaves those out, and paragraphs that a template made.) What it can
tell and does not leave out is taken away before: navigation and notes by its own predicates, lists of
references, which it knows by an attribute that Parsoid writes since 2025, figures, and what carries the
classes by which MediaWiki itself says that it is no content.
"""

import re
from collections import Counter
from typing import Final, NamedTuple

from bs4 import BeautifulSoup
from mwparserfromhtml.parse.article import WikiStew
from mwparserfromhtml.parse.elements import Navigation, Note

NO_PROSE: Final = {
    "Category",
    "Citation",
    "Comment",
    "Infobox",
    "InlineCleanup",
    "Math",
    "Media-audio",
    "Media-img",
    "Media-other",
    "Media-video",
    "Messagebox",
    "Navigation",
    "Note",
    "Reference",
    "Table",
    "Wikitable",
}
TAKEN_AWAY: Final = '[typeof~="mw:Extension/references"], figure, style, script, .shortdescription, .metadata'
BOXES: Final = (
    Navigation.is_navigation,
    Navigation.is_navbox,
    Navigation.is_sidebar,
    Navigation.is_sidebox,
    Navigation.is_portalbox,
    Navigation.is_sister_project,
    Note.is_note,
    Note.is_hatnote,
    Note.is_dmbox,
    Note.is_asbox,
)
_WORD: Final = re.compile(r"\w+")
_NUMBER_OF_ITEM: Final = re.compile(r"^ *\d+\. ", re.MULTILINE)


class Agreement(NamedTuple):
    recall: float
    """Of the oracle's words, those that are ours too."""
    precision: float
    """Of our words, those that are the oracle's too."""
    missed: Counter[str]
    added: Counter[str]


def read(html: str) -> str:
    soup = BeautifulSoup(html, "html.parser")
    for tag in soup.select(TAKEN_AWAY):
        tag.extract()
    for tag in [tag for tag in soup.find_all() if any(is_box(tag) for is_box in BOXES)]:
        tag.extract()
    assert soup.body is not None
    return "\n\n".join(" ".join(part.split()) for part in WikiStew(soup.body).to_plaintext(NO_PROSE))


def agreement(text: str, html: str) -> Agreement:
    """Of the words, each as often as it stands there. The numbers that `text` gives to items are no words:
    the HTML has none.
    """
    ours = Counter(_WORD.findall(_NUMBER_OF_ITEM.sub("", text)))
    theirs = Counter(_WORD.findall(read(html)))
    both = (ours & theirs).total()
    return Agreement(both / max(1, theirs.total()), both / max(1, ours.total()), theirs - ours, ours - theirs)
