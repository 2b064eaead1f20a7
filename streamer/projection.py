"""What of an article a reader gets: fields, content, editor; and what a cut-off takes away.

An article is taken apart only as deep as the selection goes: what stays is copied as the bytes it
was, so that nothing changes by passing through.

Whatever the selection says, `identifier name namespace.identifier is_part_of.identifier event license
attribution` stay: without them a record could not be placed, ordered or lawfully used.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from types import UnionType
from typing import Final, Union, get_args, get_origin, get_type_hints

from msgspec import Raw, Struct

from streamer.errors import FieldUnknown
from streamer.model import Article, Hideable
from streamer.objects import Object, change, drop, encode, is_object, lists, object_in, objects, raw
from streamer.privacy import FROM_HTML, FULL, LINKS, Policy, drop_rendered_name

Tree = dict[str, "Tree | None"]
"""Names to what is wanted of them; None: all."""

Wanted = tuple[str, Tree]
"""Of a part of the article: a text that is equal only for equal wishes, and these."""

NOTHING_HIDDEN: Final[frozenset[Hideable]] = frozenset()
ALWAYS: Final[Tree] = {
    "identifier": None,
    "name": None,
    "namespace": {"identifier": None},
    "is_part_of": {"identifier": None},
    "event": None,
    "license": None,
    "attribution": None,
}
OF_A_REMOVAL: Final = frozenset(
    {"identifier", "name", "url", "namespace", "is_part_of", "in_language", "event", "license", "attribution"}
)
"""What a record keeps that is told without its text, be it that a page has left a partner's scope."""

ALIASES: Final[Mapping[str, str]] = {
    "version.sizes.*": "version.size.*",
    "image.contentUrl": "image.content_url",
}
"""Avro names of the Enterprise API that its clients ask for."""
NOT_HERE: Final[Tree] = {
    "event": {"partition": None, "offset": None},
}
"""Fields that may be asked for and that our articles do not hold: deliver adds them."""

_FALSE: Final = Raw(b"false")
_TRUE: Final = Raw(b"true")
_DELETE: Final = Raw(b'"delete"')


class Projection:
    """Compiled once per distinct selection. Equal ones compare equal, so that their output is shared."""

    __slots__ = (
        "_has_html",
        "_hash",
        "_key",
        "_parts",
        "_policy",
        "_shares",
        "_without",
        "content",
        "digest",
    )

    def __init__(
        self,
        fields: Iterable[str] = (),
        *,
        content: Iterable[str] | None = None,
        lists: Iterable[str] | None = None,
        policy: Policy = FULL,
    ) -> None:
        """No `fields`: all. `content`: the parts of `article_body` to keep, None: all. `lists`: those of the
        page to keep where there are no `fields`, None: all. `policy`: what is told of editors. Raises
        FieldUnknown.
        """
        wanted = tuple(sorted(set(fields)))
        self._parts = _compiled(wanted) if wanted else None
        self.content = None if content is None else frozenset(content)
        self._without = frozenset() if wanted or lists is None else frozenset(LINKS).difference(lists)
        self._policy = policy
        self._key = (wanted, self.content, self._without, policy)
        self._hash = hash(self._key)
        parts = None if self.content is None else sorted(self.content)
        self._has_html = self.content is not None and "html" in self.content
        of_policy = policy.digest
        self._shares = (f"{of_policy} {self._has_html}", f"content {parts}")
        """Those who have the same share what is made by policy, and of the body."""
        said = repr((wanted, parts, sorted(self._without), of_policy))
        self.digest = blake2b(said.encode(), digest_size=16).digest()
        """Equal selections have equal ones, and only they."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Projection) and self._key == other._key

    def __hash__(self) -> int:
        return self._hash

    @property
    def fields(self) -> tuple[str, ...]:
        """As they were asked for; none: all."""
        return self._key[0]

    def is_identity(self, body: Iterable[str], lists: Iterable[str] = ()) -> bool:
        """Whether an article passes as it is that has these lists, and these parts of `article_body`."""
        return (
            self._parts is None
            and self._policy.is_full
            and (self.content is None or all(part in self.content for part in body))
            and self._without.isdisjoint(lists)
        )

    def apply(
        self,
        value: bytes,
        *,
        hides: frozenset[Hideable] = NOTHING_HIDDEN,
        removed: bool = False,
        beside: bool = False,
    ) -> bytes:
        """The record's value as its reader may see it. `hides` is what cut-offs take from it; `removed`
        makes it a `delete` without text, `beside` a late record of what it says beside its text. Raises
        msgspec.DecodeError where `value` is no JSON object.
        """
        return self.apply_to(Opened(value, hides), removed=removed, beside=beside)

    def apply_to(self, opened: "Opened", *, removed: bool = False, beside: bool = False) -> bytes:
        """The same of an article that is there for others too."""
        of_policy, of_body = self._shares
        article = opened.told(
            of_policy, self._policy, removed=removed, beside=beside, has_html=self._has_html
        )
        if self.content is not None and is_object(article, "article_body"):
            article = {**article, "article_body": opened.body(article["article_body"], of_body, self.content)}
        if self._parts is not None:
            article = opened.selected(article, self._parts)
        if not self._without.isdisjoint(article):
            article = {name: part for name, part in article.items() if name not in self._without}
        return encode(article)


class Opened:
    """An article that several projections are made of: what they have in common is made once. `hides` is what
    cut-offs take from it.
    """

    __slots__ = ("_article", "_hides", "_made", "_told")

    def __init__(self, value: bytes, hides: frozenset[Hideable] = NOTHING_HIDDEN) -> None:
        """Raises msgspec.DecodeError where `value` is no JSON object."""
        self._article: Final[Object] = objects.decode(value)
        self._hides = hides
        self._told: dict[tuple[str, bool, bool], Object] = {}
        self._made: dict[tuple[int, str], tuple[Raw, Raw]] = {}
        """What was made of a part, by the part's address; the part is held, so that no other one gets it."""

    def told(self, shares: str, policy: Policy, *, removed: bool, beside: bool, has_html: bool) -> Object:
        """All that may be told, not to be changed. `shares` is equal where `policy` and `has_html` are."""
        key = (shares, removed, beside)
        article = self._told.get(key)
        if article is None:
            if removed or beside:
                article = {name: part for name, part in self._article.items() if name in OF_A_REMOVAL}
                change(article, "event", {"type": _DELETE} if removed else {"late": _TRUE})
            else:
                article = dict(self._article)
            policy.apply(article)  # before the editor is hidden: the comment may repeat the name
            hide(article, self._hides)
            _take_html(article, has_html=has_html)  # as far as it may be told
            self._told[key] = article
        return article

    def body(self, body: Raw, shares: str, content: frozenset[str]) -> Raw:
        """With these parts only."""
        key = (id(body), shares)
        if key not in self._made:
            parts = objects.decode(body)
            kept = {name: part for name, part in parts.items() if name in content}
            self._made[key] = body, body if len(kept) == len(parts) else raw(kept)
        return self._made[key][1]

    def selected(self, article: Object, parts: Mapping[str, Wanted | None]) -> Object:
        """Of what was told, the parts that are wanted."""
        kept: Object = {}
        for name, part in article.items():
            if name in parts:
                wanted = parts[name]
                kept[name] = part if wanted is None else self._part(part, wanted)
        return kept

    def _part(self, part: Raw, wanted: Wanted) -> Raw:
        said, tree = wanted
        key = (id(part), said)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = part, _select_in(part, tree)
        return found[1]


def _take_html(article: Object, *, has_html: bool) -> None:
    """Who has HTML gets the text that was made of it (of such a partner the plan asks for HTML wherever
    that shows: streamer.plan); where it came from goes in any case.
    """
    made = object_in(article, FROM_HTML)
    article.pop(FROM_HTML, None)
    if not made or not has_html:
        return
    article.pop("abstract", None)
    if "abstract" in made:
        article["abstract"] = made.pop("abstract")
    drop(article, "article_body", ("text",))
    change(article, "article_body", made)


def hide(article: Object, hides: frozenset[Hideable]) -> None:
    """Takes away a hidden comment or editor, and says so in `visibility`. Hidden text is not for here: such
    a record is not served at all.
    """
    gone = hides & {"comment", "editor"}
    if "editor" in gone:
        drop_rendered_name(article)
    if gone:
        drop(article, "version", gone)
        change(article, "visibility", dict.fromkeys(sorted(gone), _FALSE))


def selection(fields: Iterable[str]) -> Tree:
    """What `fields` name, together with what always stays. Raises FieldUnknown."""
    tree: Tree = {}
    for field in fields:
        path = ALIASES.get(field, field).split(".")
        _check(field, path)
        if path[-1] == "*":
            path.pop()
        _graft(tree, path)
    return _union(tree, ALWAYS)


def _check(field: str, path: list[str]) -> None:
    known: Tree | None = FIELDS
    for depth, name in enumerate(path):
        if name == "*" and depth == len(path) - 1 and depth > 0 and known is not None:
            return
        if known == {}:  # any name
            return
        if known is None or name not in known:
            raise FieldUnknown(field, f"field with name '{field}' not found")
        known = known[name]
    if known is not None:
        raise FieldUnknown(
            field,
            f"use wildcard '{field}.*' to select all fields from the object",  # noqa: S608 - no SQL
        )


def _graft(tree: Tree, path: list[str]) -> None:
    for name in path[:-1]:
        below = tree.setdefault(name, {})
        if below is None:  # all of it is wanted already
            return
        tree = below
    tree[path[-1]] = None


def _union(one: Tree, other: Tree) -> Tree:
    both: Tree = dict(one)
    for name, wanted in other.items():
        mine = one.get(name, {})
        both[name] = None if mine is None or wanted is None else _union(mine, wanted)
    return both


def _compiled(fields: Iterable[str]) -> dict[str, Wanted | None]:
    """What is wanted of each part; None: all."""
    said: dict[str, str] = {}
    for field in sorted(ALIASES.get(field, field) for field in fields):
        name = field.partition(".")[0]
        said[name] = f"{said.get(name, '')} {field}"
    return {
        name: None if below is None else (said.get(name, ""), below)
        for name, below in selection(fields).items()
    }


def _select(article: Object, tree: Tree) -> Object:
    kept: Object = {}
    for name, part in article.items():
        if name not in tree:
            continue
        below = tree[name]
        kept[name] = part if below is None else _select_in(part, below)
    return kept


def _select_in(part: Raw, tree: Tree) -> Raw:
    """Of an object, or of each object of a list; anything else (null) stays."""
    start = bytes(memoryview(part)[:1])
    if start == b"{":
        return raw(_select(objects.decode(part), tree))
    if start == b"[":
        return raw([_select_in(element, tree) for element in lists.decode(part)])
    return part


def _fields_of(kind: type[Struct]) -> Tree:
    return {name: _below(hint) for name, hint in get_type_hints(kind).items()}


def _below(hint: object) -> Tree | None:
    """The fields of what a field holds; {} where any name may be asked for, None where there are none."""
    origin = get_origin(hint)
    if origin in (Union, UnionType, list):
        below = [found for found in map(_below, get_args(hint)) if found is not None]
        return below[0] if below else None
    if origin is dict:
        return {}
    if isinstance(hint, type) and issubclass(hint, Struct):
        return _fields_of(hint)
    return None


FIELDS: Final[Tree] = _union(_fields_of(Article), NOT_HERE)
"""Every field that an article can have."""
