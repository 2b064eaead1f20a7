"""Pages of a partner's corpus, in eight languages, and changes of them."""

import random
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

from consumers.corpus.page import Page, Told
from consumers.corpus.state import State
from consumers.event import Licence
from consumers.wikitext.text import plain_text
from harness.wikitext import LANGUAGES, article

ROOT: Final = Path(__file__).parents[2]
COMMAND: Final = (sys.executable, "-c", "from consumers.cli import main; main()")
"""`corpus`, in a process of its own."""
LICENCE: Final = Licence(
    "Creative Commons Attribution-ShareAlike 4.0",
    "https://creativecommons.org/licenses/by-sa/4.0/",
    "CC-BY-SA-4.0",
)


@cache
def text_in(language: str) -> str:
    return plain_text(article(language)).text or ""


def page(language: str, number: int, text: str | None = None, **more: Any) -> Page:
    """Of `enwiki` and its like, with all that the feed may tell."""
    host = f"https://{language}.wikipedia.org"
    title = f"{text_in(language)[:20].strip()} {number}"
    values: dict[str, Any] = {
        "wiki": f"{language}wiki",
        "page": number,
        "revision": 1_000 + number,
        "title": title,
        "url": f"{host}/wiki/{title.replace(' ', '_')}",
        "namespace": 0,
        "text": f"{number}. {text_in(language)}" if text is None else text,
        "language": language,
        "wikidata": f"Q{number}" if number % 2 else None,
        "date_created": "2019-05-01T10:00:00Z" if number % 3 == 0 else None,
        "date_modified": "2026-11-29T12:00:00.123Z",
        "licence": [LICENCE],
        "attribution": f"From {title}, by its authors",
        "revision_url": f"{host}/w/index.php?oldid={1_000 + number}",
        "history_url": f"{host}/w/index.php?curid={number}&action=history",
        "sha1": f"{number:040x}",
        "tags": ["visualeditor", "mobile edit"] if number % 2 else [],
        "is_minor": bool(number % 2),
        "revert_risk": number / 997 if number % 2 else None,
        "is_reverted": number % 5 == 0,
    }
    return Page(**(values | more))


def told(content: Page, sequence: int) -> Told:
    return Told(content.wiki, content.page, sequence, content.revision, content=content)


def deleted(wiki: str, number: int, sequence: int) -> Told:
    return Told(wiki, number, sequence, 0, "deleted")


def corpus(path: Path, pages: Iterable[Page], position: str = "0:1") -> State:
    """A new one; the caller closes it. Sequences count from 1."""
    state = State(path, create=True)
    changes = [told(content, sequence) for sequence, content in enumerate(pages, 1)]
    state.commit(changes, {"sse": position})
    return state


def in_all_languages(each: int) -> list[Page]:
    return [page(language, number) for language in LANGUAGES for number in range(1, each + 1)]


def random_page(rng: random.Random, language: str, number: int, revision: int) -> Page:
    """Short or long, now and then a redirect, a stub, the text of another page."""
    lines = text_in(language).split("\n")
    text = "\n".join(rng.choices(lines, k=rng.choice((0, 1, 1, 3, 20))))
    return page(
        language,
        number,
        text,
        revision=revision,
        redirect_target="Elsewhere" if not text else None,
        namespace=rng.choice((0, 0, 0, 0, 4)),
        is_disambiguation=rng.random() < 0.1,
    )


def random_changes(
    rng: random.Random,
    count: int,
    sequence: int,
    languages: Iterable[str] = ("en", "th", "zh"),
    ids: int = 40,
) -> list[Told]:
    """Edits, new pages and deletes, from `sequence` on."""
    chosen = list(languages)
    changes = []
    for each in range(sequence, sequence + count):
        language, number = rng.choice(chosen), rng.randrange(1, ids)
        if rng.random() < 0.2:
            changes.append(deleted(f"{language}wiki", number, each))
        else:
            changes.append(told(random_page(rng, language, number, each), each))
    return changes
