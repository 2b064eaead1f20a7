"""What of a corpus is worth training on: flags, filters, one page of each text.

Lengths are weighed by script. The same sentence takes 130 characters in English, about as many in German,
Hindi and Thai, somewhat fewer in Arabic and Hebrew, but 45 in Chinese and 60 in Japanese; counted in bytes of
UTF-8 Chinese would be right, and Hindi and Thai three times too long. So a Han ideograph counts as three
characters, a kana or a Hangul syllable as two, any other character as one.
"""

import hashlib
import re
import sqlite3
import unicodedata
from collections.abc import Sequence
from typing import Final, Literal, get_args

from msgspec import Struct

from consumers.corpus.page import Page

Kind = Literal["redirects", "disambiguations", "stubs"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

STUB: Final = 500
"""A page with less of it (see `length`) is a stub: three or four sentences. Not by the templates that say so:
each wiki has hundreds, many have none, and they stay on pages that have grown.
"""
_DOUBLE: Final = re.compile("[\u3041-\u30ff\u31f0-\u31ff\uac00-\ud7a3\uff66-\uff9d]")
_TRIPLE: Final = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_SEEN_KB: Final = 64 * 1024
"""Of memory; what is more lies in a file of SQLite's own."""


def length(text: str) -> int:
    """In characters as of English."""
    if text.isascii():
        return len(text)
    return len(text) + len(_DOUBLE.findall(text)) + 2 * len(_TRIPLE.findall(text))


class Filters(Struct, frozen=True, kw_only=True):
    """Which pages are taken. The default: articles (namespace 0, wikitext) that have a text."""

    wikis: Sequence[str] | None = None
    """None: all; the same of the others."""
    languages: Sequence[str] | None = None
    namespaces: Sequence[int] | None = (0,)
    content_models: Sequence[str] | None = ("wikitext",)
    without: Sequence[Kind] = ()
    min_length: int | None = None
    """See `length`; the same of the next."""
    max_length: int | None = None
    without_text: bool = False
    """Also pages that have none: redirects above all, which never have."""
    duplicates: bool = False
    """Also pages whose text is that of another one."""

    def reason(self, page: Page, text_length: int) -> str | None:
        """Why a page is left out, in a word or two; None: it is taken."""
        checks = (
            ("namespace", self.namespaces is not None and page.namespace not in self.namespaces),
            (
                "content model",
                self.content_models is not None and page.content_model not in self.content_models,
            ),
            ("language", self.languages is not None and page.language not in self.languages),
            ("redirects", "redirects" in self.without and page.redirect_target is not None),
            ("disambiguations", "disambiguations" in self.without and page.is_disambiguation),
            ("no text", not text_length and not self.without_text),
            ("stubs", "stubs" in self.without and is_stub(page, text_length)),
            ("too short", self.min_length is not None and text_length < self.min_length),
            ("too long", self.max_length is not None and text_length > self.max_length),
        )
        return next((reason for reason, left_out in checks if left_out), None)


def is_stub(page: Page, text_length: int) -> bool:
    return text_length < STUB and page.redirect_target is None and not page.is_disambiguation


def fingerprint(text: str) -> bytes:
    """The same for texts that differ in white space or in how Unicode composes their characters."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return hashlib.sha256(" ".join(text.split()).encode()).digest()[:16]


class Seen:
    """Texts that were seen, in bounded memory. Who is asked of first stays: the caller's order decides."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)  # a file that SQLite deletes
        self._db.execute(f"PRAGMA cache_size = -{_SEEN_KB}")
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE seen (fingerprint BLOB PRIMARY KEY) WITHOUT ROWID")

    def add(self, text: str) -> bool:
        """Whether it is new."""
        added = self._db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (fingerprint(text),))
        return bool(added.rowcount)

    def close(self) -> None:
        self._db.close()
