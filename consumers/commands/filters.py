"""The options of which pages are taken, of several commands."""

import argparse
from typing import cast

from consumers.corpus.quality import KINDS, STUB, Filters, Kind
from consumers.corpus.split import SHARE
from consumers.errors import UsageError

WEIGHED = "a Han ideograph counts as three, a kana or a Hangul syllable as two"


def arguments(parser: argparse.ArgumentParser, *, of_rows: bool = True) -> None:
    """`of_rows`: whole pages are written, which also may be empty, and are split."""
    taken = parser.add_argument_group(
        "which pages are taken", "Others than articles with a text are left out."
    )
    taken.add_argument("--wikis", type=_names, metavar="enwiki,…", help="of these wikis (default: all)")
    taken.add_argument("--languages", type=_names, metavar="en,…", help="in these languages (default: all)")
    taken.add_argument(
        "--namespaces",
        default="0",
        metavar="0,…|all",
        help="of these namespaces (default: %(default)s, articles)",
    )
    taken.add_argument("--content-models", default="wikitext", metavar="…|all", help="default: %(default)s")
    taken.add_argument(
        "--without", type=_names, default=(), metavar="KIND,…",
        help=f"leave out {', '.join(KINDS)} (those of less than {STUB} characters)",
    )  # fmt: skip
    taken.add_argument("--min-chars", type=int, metavar="N", help=f"of text; {WEIGHED}")
    taken.add_argument("--max-chars", type=int, metavar="N")
    if not of_rows:
        parser.set_defaults(with_empty=False, validation=SHARE)
        return
    taken.add_argument(
        "--with-empty", action="store_true", help="also pages without text: redirects, above all"
    )
    taken.add_argument(
        "--validation", type=float, default=SHARE, metavar="SHARE",
        help="of the pages; by wiki and page id: no page ever changes sides (default: %(default)s)",
    )  # fmt: skip


def filters_of(options: argparse.Namespace, *, duplicates: bool) -> Filters:
    """Raises UsageError that names the option."""
    for kind in options.without:
        if kind not in KINDS:
            raise UsageError(f"--without: there is no kind {kind!r}; there are {', '.join(KINDS)}")
    if not 0 <= options.validation <= 1:
        raise UsageError(f"--validation: {options.validation} is no share: give 0 to 1")
    return Filters(
        wikis=options.wikis,
        languages=options.languages,
        namespaces=namespaces_of(options.namespaces),
        content_models=None if options.content_models == "all" else _names(options.content_models),
        without=cast("list[Kind]", options.without),
        min_length=options.min_chars,
        max_length=options.max_chars,
        without_text=options.with_empty,
        duplicates=duplicates,
    )


def _names(value: str) -> list[str]:
    return [name for name in value.replace(" ", "").split(",") if name]


def namespaces_of(value: str) -> list[int] | None:
    """None: all. Raises UsageError."""
    if value == "all":
        return None
    try:
        return [int(number) for number in _names(value)]
    except ValueError:
        raise UsageError(f"--namespaces: {value!r} is no list of numbers, as 0,4; or give `all`") from None
