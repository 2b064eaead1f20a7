"""An edit's comment without the names of users, as far as links and patterns tell them.

Taken away is what links to a user, to their talk or to a special page; what is written as such a page's
title without a link; mentions, mail addresses, network addresses, temporary accounts; and wherever else
they stand the names that were found so, and those that the caller knows. Percent-encoded and as HTML
entities they are found too. Better too much goes than too little: a name of four letters goes out of the
middle of words, and behind `User:` goes all that could be a name. Other names that stand there as plain
words are not known to be any.

Pure, and linear in the comment's length for each name.
"""

import html
import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote

from streamer.userspaces import UserSpaces, folded, joins, plain

MARK: Final = "[…]"
"""What stands in a name's place. Without letters: no name is a part of it."""
MAX_CHARS: Final = 4_000
"""MediaWiki keeps 500 of a comment; one that is much longer is none that a wiki would let somebody write."""
LEVELS: Final = 8
"""How often over a comment may be encoded."""
ANYWHERE: Final = 4
"""Shorter names are looked for as words: `Al` stands in too many."""

_GONE: Final = "\x00"
"""MARK while the work goes on: it ends every name, and nothing finds anything in it."""
_LINK: Final = re.compile(r"\[\[([^\[\]\x00]*)\]\]")
_NOT_IN_NAMES: Final = re.compile(r"[#<>\[\]|{}\n\x00]|\*/")
_COLON: Final = re.compile("[:\uff1a]")
_PARAMETER: Final = re.compile(
    r"(?<![^\W_])((?:user|target|username|ip|page_?user)=)([^&\s\[\]|<>\"\x00]+)", re.IGNORECASE
)
_TEMPLATE: Final = re.compile(
    r"\{\{\s*(?:u|ul|ut|user|usertalk|ping|re|reply ?to|noping|yo|mention|m?vandal|ip ?vandal)\s*"
    r"\|([^{}\x00]*)\}\}",
    re.IGNORECASE,
)
_WIKIBASE: Final = re.compile(r"(/\*\s*(?:undo|restore)[^|*\x00]{0,40}\|\|\d+\|)([^*\x00]+)")
"""`/* undo:0||1234|Name */`: how Wikidata writes it, to be shown in each reader's language."""
_BY: Final = re.compile(
    r"((?<![^\W_])(?i:(?:revision|version|edit|change|contrib|contribution)s?(?:\s\d+)?\sby)\s)"
    r"((?![a-z\s])(?:(?!\s\(|[:;]\s|\s(?:to\s(?:last|the|an?|revision|version|previous)|using|because)\s|\*/)"
    r"[^#<>\[\]|{}\n\x00])+)"
)
"""`Reverted 2 edits by Name (talk) to last version by Name`: how tools write it, in English. Names begin with
no small letter.
"""
_PATH: Final = re.compile(
    r"(/(?:users?|(?:ec|pages|topedits|autoedits|adminscore|globalcontribs|usercontribs)/[\w.-]+)/)"
    r"([^/?#&\s\[\]|<>\"\x00]+)",
    re.IGNORECASE,
)
"""Tools' addresses: `xtools.wmcloud.org/ec/en.wikipedia.org/Name`, `…/#/user/Name`."""
_TEMPORARY: Final = re.compile(r"~2\d{3}-\d[\d-]*")
_V4: Final = re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.(?:\d{1,3}|[x*]{1,3})(?:/\d{1,2})?", re.IGNORECASE)
_V6: Final = re.compile(r"(?<![0-9A-Za-z:])([0-9A-Fa-f:]{3,45})(/\d{1,3})?(?![0-9A-Za-z:])")
_V6_WHOLE: Final = re.compile(r"(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?:/\d{1,3})?")
"""As MediaWiki writes it, whatever stands around it."""
_WORD: Final = re.compile(r"[^\s\x00]+")


def scrubbed(comment: str, names: Iterable[str], spaces: UserSpaces) -> str | None:
    """`names` are the editor's and whoever else's is known. None: it is left out, for it is too long, or
    encoded over and over, to be looked through.
    """
    if len(comment) > MAX_CHARS:
        return None
    known = {plain(name) for name in names}
    found = shown = _once(comment.replace(_GONE, ""), known, spaces)
    for _ in range(LEVELS):
        deeper = _decoded(shown)
        if deeper == shown:
            return found.replace(_GONE, MARK)
        shown = _once(deeper, known, spaces)  # with what was learned before
        if shown != deeper:  # what is kept encoded stays as it was written where there was no name in it
            found = shown
    return None


def without(text: str, names: Iterable[str]) -> str:
    """`text` with MARK in place of these names, however they are written."""
    for name in names:
        text = _without(text, plain(name))
    return text.replace(_GONE, MARK)


def without_addresses(text: str) -> str:
    """`text` with MARK in place of network addresses and temporary accounts."""
    return _addresses(text).replace(_GONE, MARK)


def decoded(text: str) -> str:
    """As MediaWiki reads a link: percent-encoding and entities are what they stand for."""
    for _ in range(LEVELS):
        deeper = _decoded(text)
        if deeper == text:
            break
        text = deeper
    return text


def _decoded(text: str) -> str:
    if "%" not in text and "&" not in text:
        return plain(text)
    parts = (html.unescape(unquote(part)).replace(_GONE, "") for part in text.split(_GONE))
    return plain(_GONE.join(parts))


def _once(text: str, names: set[str], spaces: UserSpaces) -> str:
    """`names` grows by those that are found."""
    text = _LINK.sub(lambda link: _link(link, names, spaces), text)
    if "{{" in text:
        text = _TEMPLATE.sub(lambda found: _learned(found[1].split("|"), names), text)
    if "||" in text:
        text = _WIKIBASE.sub(lambda found: found[1] + _learned([found[2].strip()], names), text)
    if "=" in text:
        text = _PARAMETER.sub(lambda found: found[1] + _learned([found[2]], names), text)
    if "/" in text:
        text = _PATH.sub(lambda found: found[1] + _learned([found[2]], names), text)
    text = _BY.sub(lambda found: found[1] + _learned([found[2].strip()], names), text)
    text = _titles(text, names, spaces)
    text = _addresses(text)
    if "@" in text:
        text = _WORD.sub(lambda word: _GONE if "@" in word[0] else word[0], text)
    for name in sorted(names, key=len, reverse=True):  # the longer one first: `Ann` is in `Anna`
        text = _without(text, name)
    return text


def _link(link: re.Match[str], names: set[str], spaces: UserSpaces) -> str:
    found = spaces.split(link[1].partition("|")[0])
    if found is None:
        return link[0]
    # `Contributions/Name` names one behind the page, `Name/subpage` before it
    return _learned(found[1].partition("#")[0].split("/"), names)


def _learned(found: Iterable[str], names: set[str]) -> str:
    """They may stand encoded in an address, and as they are elsewhere."""
    for name in found:
        for _ in range(LEVELS):
            names.add(name)
            name, before = _decoded(name), name  # noqa: PLW2901 - peeled
            if name == before:
                break
    return _GONE


def _titles(text: str, names: set[str], spaces: UserSpaces) -> str:
    """`User:Name` without a link: nothing says where the name ends, but for what can't stand in one."""
    kept: list[str] = []
    begin = 0
    for colon in _COLON.finditer(text):
        at = colon.end()
        if at <= begin or not spaces.ends(text[begin : colon.start()]):
            continue
        end = _NOT_IN_NAMES.search(text, at)
        until = end.start() if end else len(text)
        name = text[at:until].strip()
        if name:
            kept += (text[begin:at], _GONE)
            begin = until
            _learned(map(str.strip, name.split("/")), names)
    return "".join([*kept, text[begin:]])


def _addresses(text: str) -> str:
    if "~2" in text:
        text = _TEMPORARY.sub(_GONE, text)
    if "." in text:
        text = _V4.sub(_GONE, text)
    if ":" in text:
        text = _V6.sub(lambda found: _GONE if _is_v6(found[1]) else found[0], _V6_WHOLE.sub(_GONE, text))
    return text


def _is_v6(text: str) -> bool:
    """A colon before or behind it may be the sentence's."""
    for candidate in {text, text.lstrip(":"), text.rstrip(":"), text.strip(":")}:
        try:
            ip_address(candidate)
        except ValueError:
            continue
        return True
    return False


def _without(text: str, name: str) -> str:
    """No word holds what may stand between two: else a comment decides how long this takes."""
    spaced = name.replace("_", " ").strip()
    if not spaced or folded(name.replace("+", " ")) not in folded(text.replace("+", " ")):
        return text
    if "+" in spaced:
        text = _without_words(text, spaced.split(), r"[\s_]+")
    if "+" not in spaced or " " in spaced:  # with `+` for spaces, as addresses have it
        text = _without_words(text, spaced.replace("+", " ").split(), r"[\s_+]+")
    return text


def _without_words(text: str, words: list[str], between: str) -> str:
    if not words:
        return text
    pattern = between.join(map(re.escape, words))
    if not _is_looked_for_anywhere(" ".join(words)):
        pattern = rf"(?<![^\W_]){pattern}(?![^\W_])"
    return re.sub(pattern, _GONE, text, flags=re.IGNORECASE)


def _is_looked_for_anywhere(name: str) -> bool:
    return len(name) >= ANYWHERE or (len(name) > 1 and joins(name))
