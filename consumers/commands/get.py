"""`corpus get`: one article as the corpus has it."""

import argparse
import sys
from typing import Final

import msgspec

from consumers.corpus.page import Page
from consumers.corpus.state import State
from consumers.errors import NotThere
from consumers.terminal import visible

HELP: Final = "one article, by its title or its page id"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("wiki", help="its database name, e.g. enwiki")
    parser.add_argument(
        "article", metavar="TITLE|ID", help="a title with its namespace; or a number, the page's id"
    )
    parser.add_argument("--title", action="store_true", help="ARTICLE is a title though it is a number")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="all that is known of it, as one JSON line")
    form.add_argument("--wikitext", action="store_true", help="its wikitext in place of its text")


def run(options: argparse.Namespace) -> int:
    with State(options.corpus) as state:
        page = _found(state, options)
    if options.json:
        said = msgspec.json.encode(page)
    elif options.wikitext:
        if page.wikitext is None:
            raise NotThere(f"{_name(options)} has no wikitext here: its feed brings none, or --keep is text")
        said = page.wikitext.encode()
    else:
        said = page.text.encode()
    if sys.stdout.isatty():  # to a file or a program it goes as it is
        said = visible(said.decode()).encode()
    sys.stdout.buffer.write(said + b"\n")
    sys.stdout.buffer.flush()
    return 0


def _found(state: State, options: argparse.Namespace) -> Page:
    is_number = options.article.isascii() and options.article.isdecimal() and not options.title
    if not is_number:
        page = state.titled(options.wiki, options.article.replace("_", " "))
        if page is None:
            raise NotThere(f"{_name(options)} is not in this corpus, or was withdrawn")
        return page
    row = state.row(options.wiki, int(options.article)) if len(options.article) < 19 else None
    if row is None:
        raise NotThere(f"{_name(options)} is not in this corpus")
    if row.content is None:
        what = (
            "the page was deleted" if row.gone == "deleted" else "the text of its newest revision is hidden"
        )
        raise NotThere(f"{_name(options)} was withdrawn: {what}")
    return row.content


def _name(options: argparse.Namespace) -> str:
    return f"{options.wiki}: {options.article}"
