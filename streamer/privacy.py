"""What a partner learns of editors: `editor = "full"`, `"pseudonym"` or `"none"`.

Under `pseudonym` a name with an account becomes `user-…`, the same one for this partner as long as the
secret stays, another one for every other partner; addresses and temporary accounts become nothing. Under
`none` there is no editor and no link to the revision. Under both, comments (streamer.comments), titles that
name users and what is made of these titles lose the names. What a page's own text says stays: it is what
was asked for.
"""

import hmac
import re
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from typing import Final, Literal
from urllib.parse import quote, urlsplit

from msgspec import Raw

from streamer.comments import MARK, decoded, scrubbed, without, without_addresses
from streamer.config import PRIVACY_SECRET_CHARS, PrivacySettings, read_secret
from streamer.errors import ConfigError
from streamer.nameless import is_nameless
from streamer.objects import Object, drop, is_object, lists, object_in, objects, put, put_text, raw, text_in
from streamer.userspaces import USER, UserSpaces, plain

Kind = Literal["full", "pseudonym", "none"]

KEY: Final = "privacy.secret_file"
PREFIX: Final = "user-"
"""No account of Wikimedia's begins in lower case."""
BYTES: Final = 15
"""Of a pseudonym: 24 letters. Of a billion names two share one with a chance of 10^-18."""
KEPT_OF_EDITOR: Final[tuple[str, ...]] = ("is_bot", "is_anonymous", "is_temporary")
"""Beside the pseudonym. Groups, edit count and registration tell editors apart: on a small wiki each by
itself.
"""
WITHHELD: Final[Mapping[Kind, frozenset[str]]] = {
    "full": frozenset(),
    "pseudonym": frozenset(
        f"version.editor.{part}"
        for part in ("identifier", "edit_count", "groups", "is_admin", "date_started")
    ),
    "none": frozenset({"version.editor", "attribution.revision_url"}),
}
"""What a feed never holds, nor anything below it."""
LINKS: Final = ("categories", "templates", "redirects")
FROM_HTML: Final = "from_html"
"""Of FullArticle: what stands in no article that leaves."""
IN_ADDRESSES: Final = ";@$!*(),/~:"
"""What MediaWiki leaves as it is in an address."""
_ASKS_WHO: Final = re.compile("REVISIONUSER", re.IGNORECASE | re.ASCII)


def privacy_secret(settings: PrivacySettings) -> bytes:
    """What pseudonyms are made with, empty where there is none; the file beats the setting. Raises
    ConfigError.
    """
    if not settings.secret_file:
        return settings.secret.strip().encode()
    return read_secret(settings.secret_file, KEY, chars=PRIVACY_SECRET_CHARS).encode()


@dataclass(frozen=True, slots=True)
class Policy:
    """One partner's. Equal ones make the same of an article."""

    kind: Kind = "full"
    partner: str = ""
    """Of pseudonyms alone."""
    secret: bytes = field(default=b"", repr=False)
    spaces: UserSpaces = field(default_factory=UserSpaces, compare=False, repr=False)

    @classmethod
    def of(cls, kind: Kind, partner: str, secret: bytes, spaces: UserSpaces) -> "Policy":
        """Raises ConfigError where pseudonyms are to be made without a secret: never is one left out."""
        if kind != "pseudonym":
            return cls(kind, spaces=spaces)
        if not secret:
            raise ConfigError(
                KEY, f"the partner {partner} is to get pseudonyms, and there is no secret for them"
            )
        return cls(kind, partner, secret, spaces)

    @property
    def is_full(self) -> bool:
        return self.kind == "full"

    @property
    def digest(self) -> str:
        """Equal policies have equal ones, and only they; of the secret it tells nothing."""
        return f"{self.kind}/{self.partner}/{self._keyed('digest', '')}"

    def pseudonym(self, name: str) -> str | None:
        """None of who has no account: addresses and temporary accounts leave in no form."""
        name = " ".join(plain(name).replace("_", " ").split())
        if not name or is_nameless(name):
            return None
        return PREFIX + self._keyed("editor", name[0].upper() + name[1:])

    def _keyed(self, what: str, text: str) -> str:
        """Two purposes never share a result."""
        message = f"{what}\0{self.partner}\0{text}".encode()
        return b32encode(hmac.digest(self.secret, message, sha256)[:BYTES]).decode().lower()

    def apply(self, article: Object) -> None:
        """In place."""
        if self.kind == "full":
            return
        drop_rendered_name(article)
        names = self._titles(article)
        self._version(article, names)
        if self.kind == "none":
            drop(article, "attribution", ("revision_url",))

    # ── the version ────────────────────────────────────────────────────────────────────────────

    def _version(self, article: Object, names: set[str]) -> None:
        """`names` of users are known beside the editor's."""
        version = object_in(article, "version")
        editor = object_in(version, "editor")
        name = text_in(editor, "name")
        if "comment" in version:
            wiki = text_in(object_in(article, "is_part_of"), "identifier")
            comment = text_in(version, "comment")
            shown = None
            if comment and name and wiki and self.spaces.knows(wiki):
                shown = scrubbed(comment, {name, *names}, self.spaces)
            if shown is not None:
                put_text(version, "comment", shown)
            elif comment != "":  # what can't be looked through: nothing says whom it names
                del version["comment"]
        version.pop("editor", None)
        if editor and self.kind == "pseudonym":
            kept = {part: editor[part] for part in KEPT_OF_EDITOR if part in editor}
            if name and not _is_nameless(editor) and (pseudonym := self.pseudonym(name)):
                put_text(kept, "name", pseudonym)
            put(version, "editor", kept)
        if is_object(article, "version"):
            put(article, "version", version)

    # ── titles ─────────────────────────────────────────────────────────────────────────────────

    def _titles(self, article: Object) -> set[str]:
        """Those that name users lose them, in whatever namespace they are. Returns these names."""
        names: set[str] = set()
        name = text_in(article, "name") or ""
        title = self._title(name, _space(article), names)
        if title != name or _space(article) in USER:
            put_text(article, "name", title)
            self._addresses(article, name, title)
            drop_html(article)  # it names its page, in its head, in each link to it, and by {{PAGENAME}}
        if b'"previous"' in bytes(article.get("event", b"")):
            self._previous(article, names)
        target = text_in(article, "redirect_target")
        if target is not None:
            put_text(article, "redirect_target", self._target(target, names))
        for links in LINKS:
            if bytes(article.get(links, b""))[:1] == b"[":
                article[links] = self._links(article[links])
        return names

    def _title(self, title: str, space: int | None, names: set[str]) -> str:
        """`User:Name/subpage` with the user's pseudonym, or with none; also behind another namespace
        (`Thread:User talk:Name/…`), and addresses anywhere. `names` gets the names. `space` None: not known.
        """
        head, colon, rest = title.partition(":")
        if not colon:
            # an article may be about an address (1.1.1.1), and has no namespace before it
            return MARK if space in USER else title if not space else without_addresses(title)
        shown = ""
        users: list[str] = []
        while colon:
            is_user = (not shown and space in USER) or self.spaces.has(head.rpartition("/")[2])
            shown += without(head, users) + colon
            if is_user:
                user, slash, rest = rest.partition("/")
                users.append(user)
                shown += ((self.pseudonym(user) if self.kind == "pseudonym" else None) or MARK) + slash
            head, colon, rest = rest.partition(":")
        names.update(users)
        return without_addresses(shown + without(head, users))

    def _target(self, title: str, names: set[str]) -> str:
        """Of a redirect, as the text has it: special pages name users too, behind their own names."""
        kept, rest = "", (told := decoded(title))
        while ":" in rest:
            head, colon, rest = rest.partition(":")
            kept += head + colon
            if self.spaces.has(head.rpartition("/")[2]):
                names.update(rest.split("/"))
                names.update(rest.rpartition(":")[2].split("/"))
                return kept + MARK
        shown = self._title(told, None, names)
        return title if shown == told else shown

    def _addresses(self, article: Object, title: str, shown: str) -> None:
        """Those of the page name it by its id: MediaWiki takes that for the title."""
        page = bytes(article.get("identifier", b"0")).decode()
        attribution = object_in(article, "attribution")
        history = text_in(attribution, "history_url")
        url = text_in(article, "url")
        index = _index(history, url)
        if url is not None:
            put_text(article, "url", f"{index}?curid={page}")
        if not attribution:
            return
        if "title" in attribution:
            put_text(attribution, "title", shown)
        if history is not None:
            put_text(attribution, "history_url", f"{index}?curid={page}&action=history")
        revision = re.search(r"[?&]oldid=(\d+)", text_in(attribution, "revision_url") or "", re.ASCII)
        if revision:
            put_text(attribution, "revision_url", f"{index}?oldid={revision[1]}")
        else:
            attribution.pop("revision_url", None)
        text = text_in(attribution, "text")
        if text is not None:
            put_text(attribution, "text", text.replace(title, shown))
        put(article, "attribution", attribution)

    def _previous(self, article: Object, names: set[str]) -> None:
        event = object_in(article, "event")
        previous = object_in(event, "previous")
        name = text_in(previous, "name") or ""
        title = self._title(name, _space(previous), names)
        if title != name:
            put_text(previous, "name", title)
            put(event, "previous", previous)
            put(article, "event", event)

    def _links(self, links: Raw) -> Raw:
        """A link to a page whose title names a user is left out: its address has nothing else to be made
        of.
        """
        kept = []
        for link in lists.decode(links):
            name = text_in(objects.decode(link), "name") if bytes(link)[:1] == b"{" else None
            if name is not None and self._title(name, None, set()) == name:
                kept.append(link)
        return raw(kept)


FULL: Final = Policy()


def drop_html(article: Object) -> None:
    """And what is made of it: what was made of the wikitext is there in any case."""
    article.pop(FROM_HTML, None)
    if b'"html"' in bytes(article.get("article_body", b"")):
        drop(article, "article_body", ("html",))


def drop_rendered_name(article: Object) -> None:
    """HTML says who made the revision where the page, or a template of it, asks for that
    (`{{REVISIONUSER}}`): then the name stands in the HTML, and not because the wikitext has it.
    """
    name = " ".join(plain(text_in(object_in(object_in(article, "version"), "editor"), "name") or "").split())
    if not name or b'"html"' not in bytes(article.get("article_body", b"")):
        return
    body = object_in(article, "article_body")
    wikitext = text_in(body, "wikitext") or ""
    if (_ASKS_WHO.search(wikitext) or not _says(wikitext, name)) and _says(text_in(body, "html") or "", name):
        drop_html(article)


def _says(text: str, name: str) -> bool:
    """In an address or with entities too. To decode the text instead takes ten times as long."""
    return any(form in text for form in _forms(name))


def _forms(name: str) -> set[str]:
    """As MediaWiki and Parsoid write it: in text, in an attribute, in an address."""
    spaced = {name.replace("_", " "), name.replace(" ", "_")}
    encoded = {quote(one, safe=safe) for one in spaced for safe in ("", IN_ADDRESSES, IN_ADDRESSES + "'")}
    encoded |= {
        re.sub(r"[\"%&+?\\^`]", lambda found: quote(found[0]), one) for one in spaced
    }  # the rest as it is
    forms = spaced | {name.replace(" ", "\u00a0")}
    forms |= {escape(one, quote=False) for one in forms}
    forms |= {one.replace('"', mark) for one in forms for mark in ("&quot;", "&#34;")}
    forms |= {one.replace("'", mark) for one in forms for mark in ("&#39;", "&#039;", "&#x27;", "&apos;")}
    forms |= {one.replace("&amp;", mark) for one in forms for mark in ("&#38;", "&#x26;")}
    forms |= {one.replace("\u00a0", mark) for one in forms for mark in ("&nbsp;", "&#160;", "&#xA0;")}
    return forms | encoded


def _is_nameless(editor: Object) -> bool:
    """By what the wiki said; a policy looks at the name too."""
    return any(bytes(editor.get(flag, b"")) == b"true" for flag in ("is_anonymous", "is_temporary"))


def _space(of: Object) -> int:
    """The namespace's number; 0 where there is none."""
    number = bytes(object_in(of, "namespace").get("identifier", b""))
    return int(number) if re.fullmatch(rb"-?\d{1,9}", number) else 0


def _index(history: str | None, url: str | None) -> str:
    """The address of the wiki's index.php."""
    if history and "?" in history:
        return history.partition("?")[0]
    parts = urlsplit(url or "")
    return f"{parts.scheme}://{parts.netloc}/w/index.php"
