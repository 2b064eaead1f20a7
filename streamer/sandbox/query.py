"""`action=query` with formatversion=2: parameters in, the answer out. Pure.

The shapes are those of recorded answers of a real MediaWiki, down to what is left out: a page that
was not reached before the size limit has no `revisions`, an id that does not exist is in
`badrevids`, and what is hidden is told by a flag in the place of the value.
"""

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from streamer.model import rfc3339
from streamer.sandbox import siteinfo
from streamer.sandbox.events import FORMATS
from streamer.sandbox.listing import list_logs, list_recent_changes
from streamer.sandbox.pagelists import MOST, PREFIXES, PageLists
from streamer.sandbox.pages import (
    HIDDEN_COMMENT,
    HIDDEN_TEXT,
    HIDDEN_USER,
    INVALID_IN_TITLES,
    SUPPRESSED,
    Page,
    Readable,
    Revision,
)
from streamer.sandbox.params import ApiError, Params

Json = dict[str, object]
MAX_RESULT_BYTES: Final = 8_388_608
REVISION_OVERHEAD_BYTES: Final = 400
PROPS: Final = ("revisions", "info", "pageprops", "pageimages", *PREFIXES)
NOINDEX: Final = "__NOINDEX__"
ACTIONS: Final = ("query", "edit")
TOKEN: Final = "+\\"  # noqa: S105 - what MediaWiki gives everybody who has not logged in


@dataclass(frozen=True, slots=True)
class Conditions:
    """In what state the wiki is asked. `replica_lag_s`: younger revisions are not there yet."""

    now_ms: int
    max_result_bytes: int = MAX_RESULT_BYTES
    replica_lag_s: float = 0.0
    text_missing: bool = False


@dataclass
class _Selection:
    """What the ids or titles of the request meant. `chosen` holds each page's revisions."""

    pages: dict[int, Page] = field(default_factory=dict)
    chosen: dict[int, list[Revision]] = field(default_factory=dict)
    absent: list[Json] = field(default_factory=list)
    head: Json = field(default_factory=dict)
    by_revision: bool = False

    def choose(self, page: Page, revision: Revision) -> None:
        self.pages[page.identifier] = page
        revisions = self.chosen.setdefault(page.identifier, [])
        if revision not in revisions:
            revisions.append(revision)


def query(wiki: Readable, params: Params, conditions: Conditions) -> Json:
    """The whole body of the answer; raises ApiError."""
    body: Json = {"batchcomplete": True}
    answer: Json = {}
    warnings: Json = {}
    _Query(wiki, params, conditions, body, answer, warnings).run()
    if warnings:
        body["warnings"] = warnings
    if answer:
        body["query"] = answer
    return body


@dataclass(slots=True)
class _Query:
    wiki: Readable
    params: Params
    conditions: Conditions
    body: Json
    answer: Json
    warnings: Json

    def run(self) -> None:
        self._pages()
        if "siteinfo" in self.params.several("meta"):
            self.answer |= self._siteinfo()
        if "tokens" in self.params.several("meta"):
            self.answer["tokens"] = {"csrftoken": TOKEN}
        self._lists()

    def _lists(self) -> None:
        """What has come to its end is named behind `||`, and is not listed again by what continues."""
        ended = self.params.get("continue").partition("||")[2].split("|")
        tokens: dict[str, str] = {}
        for name, entries in (("logevents", list_logs), ("recentchanges", list_recent_changes)):
            if name not in self.params.several("list") or name in ended:
                continue
            found, token = entries(self.wiki, self.params)
            self.answer[name] = found
            tokens |= token
            if not token:
                ended.append(name)
        if tokens:
            self.body["continue"] = {**tokens, "continue": f"-||{'|'.join(filter(None, ended))}"}

    def _siteinfo(self) -> Json:
        parts: dict[str, Callable[[], object]] = {
            "general": lambda: siteinfo.general(self.wiki.site, self.conditions.now_ms),
            "namespaces": lambda: siteinfo.namespaces(self.wiki.site),
            "namespacealiases": list,
            "rightsinfo": lambda: siteinfo.rights(self.wiki.site),
        }
        asked = self.params.several("siprop") or ["general"]
        return {name: make() for name, make in parts.items() if name in asked}

    # ── which pages and revisions ──────────────────────────────────────────────────────────────

    def _pages(self) -> None:
        named = [name for name in ("revids", "titles", "pageids") if self.params.get(name)]
        if len(named) > 1:
            raise ApiError("multisource", f"Cannot use {named[1]} at the same time as {named[0]}.")
        if not named:
            return
        select = {"revids": self._by_revisions, "titles": self._by_titles, "pageids": self._by_ids}[named[0]]
        selection = _Selection(by_revision=named[0] == "revids")
        select(selection)
        self.answer |= selection.head
        pages = [*selection.absent, *self._describe(selection)]
        if pages:
            self.answer["pages"] = pages

    def _by_revisions(self, selection: _Selection) -> None:
        bad: dict[int, Json] = {}
        for number in self.params.numbers("revids"):
            found = self.wiki.revision(number)
            if found and self._replicated(found[1]):
                selection.choose(*found)
            else:
                bad[number] = {"revid": number, "missing": True}
        if bad:
            # PHP's JSON: an array whose keys are 0, 1, … is a list.
            is_list = sorted(bad) == list(range(len(bad)))
            selection.head["badrevids"] = (
                [bad[number] for number in sorted(bad)]
                if is_list
                else {str(number): bad[number] for number in sorted(bad)}
            )

    def _by_ids(self, selection: _Selection) -> None:
        for number in self.params.numbers("pageids"):
            page = self.wiki.page(number)
            current = self._current(page) if page else None
            if page and current:
                selection.choose(page, current)
            else:
                selection.absent.append({"pageid": number, "missing": True})

    def _by_titles(self, selection: _Selection) -> None:
        normalised: list[Json] = []
        redirects: list[Json] = []
        invalid: list[Json] = []
        for asked in self.params.several("titles"):
            bad = next((letter for letter in asked if letter in INVALID_IN_TITLES), "")
            if bad or not asked.strip(" _"):
                invalid.append(_invalid(asked, bad))
                continue
            title = self.wiki.normalised(asked)
            if title != asked:
                normalised.append({"fromencoded": False, "from": asked, "to": title})
            self._by_title(title, selection, redirects)
        selection.absent.extend(invalid)
        if normalised:
            selection.head["normalized"] = normalised
        if redirects:
            selection.head["redirects"] = redirects

    def _by_title(self, title: str, selection: _Selection, redirects: list[Json]) -> None:
        page = self.wiki.titled(title)
        if page and page.is_redirect and self.params.get("redirects"):
            target = self.wiki.normalised(page.leads_to)
            redirects.append({"from": title, "to": target})
            title, page = target, self.wiki.titled(target)
        current = self._current(page) if page else None
        if page and current:
            selection.choose(page, current)
            return
        namespace = self.wiki.site.namespace_of(title)
        if namespace < 0:
            selection.absent.append({"ns": namespace, "title": title, "special": True})
            return
        absent: Json = {"ns": namespace, "title": title, "missing": True}
        if "info" in self.params.several("prop"):
            absent |= {"contentmodel": "wikitext"} | self._language()
        selection.absent.append(absent)

    def _replicated(self, revision: Revision) -> bool:
        lag_ms = self.conditions.replica_lag_s * 1000
        return not lag_ms or revision.edited_ms <= self.conditions.now_ms - lag_ms

    def _current(self, page: Page) -> Revision | None:
        return next((revision for revision in reversed(page.revisions) if self._replicated(revision)), None)

    # ── what is said of them ───────────────────────────────────────────────────────────────────

    def _describe(self, selection: _Selection) -> list[Json]:
        done = [part for part in self.params.get("continue").split("|") if part]
        props = [prop for prop in self.params.several("prop") if prop in PROPS]
        unknown = [prop for prop in self.params.several("prop") if prop not in PROPS]
        if unknown:
            text = f'Unrecognized value for parameter "prop": {", ".join(unknown)}'
            self.warnings["query"] = {"warnings": text}
        described: dict[int, Json] = {
            identifier: {"pageid": identifier, "ns": page.namespace, "title": page.title}
            for identifier, page in sorted(selection.pages.items())
        }
        more: Json = {}
        if (
            "revisions" in props
            and "revisions" not in done
            and (cut := self._revisions(selection, described))
        ):
            more["rvcontinue"] = cut
        for identifier, page in selection.pages.items():
            target = described[identifier]
            if "info" in props and "info" not in done:
                target |= self._info(page)
            if "pageprops" in props and "pageprops" not in done:
                self._pageprops(page, target)
            if "pageimages" in props and "pageimages" not in done and page.image:
                target["original"] = self._original(page)
        more |= self._page_lists(selection, described, [prop for prop in props if prop not in done])
        if more:
            self.body.pop("batchcomplete", None)
            names = {"rv": "revisions"} | {prefix: name for name, prefix in PREFIXES.items()}
            cut_short = {names[token.removesuffix("continue")] for token in more}
            self.body["continue"] = {
                **more,
                "continue": "||" + "|".join(prop for prop in props if prop not in cut_short),
            }
        return list(described.values())

    def _page_lists(self, selection: _Selection, described: dict[int, Json], props: list[str]) -> Json:
        pages = list(selection.pages.values())
        titles = [(page.namespace, page.title) for page in pages]
        titles += [
            (int(str(one["ns"])), str(one["title"]))
            for one in selection.absent
            if "ns" in one and "special" not in one
        ]
        lists = PageLists(self.wiki, self.params, pages, titles)
        more: Json = {}
        for name, prefix in PREFIXES.items():
            if name not in props:
                continue
            if self.params.get(f"{prefix}limit") == "max":
                limits = self.body.setdefault("limits", {})
                assert isinstance(limits, dict)
                limits[name] = MOST
            if token := lists.add(name, described):
                more[f"{prefix}continue"] = token
        return more

    def _revisions(self, selection: _Selection, described: dict[int, Json]) -> int:
        """Ordered and continued by revision where revisions were asked for, else by page. Returns where to go
        on, 0 at the end.
        """
        wanted = self.params.several("rvprop") or ["ids", "timestamp", "flags", "comment", "user"]
        items = [
            (revision.identifier if selection.by_revision else identifier, identifier, revision)
            for identifier, revisions in selection.chosen.items()
            for revision in revisions
        ]
        size = 0
        start = self.params.number("rvcontinue", 0)
        for position, identifier, revision in sorted(items, key=lambda item: item[0]):
            if position < start:
                continue
            listed = described[identifier].setdefault("revisions", [])
            assert isinstance(listed, list)
            cost = REVISION_OVERHEAD_BYTES + (revision.size if "content" in wanted else 0)
            if size and size + cost > self.conditions.max_result_bytes:
                limit = f"{self.conditions.max_result_bytes:,}"
                text = (
                    "This result was truncated because it would otherwise be larger than the limit of "
                    f"{limit} bytes."
                )
                self.warnings["result"] = {"warnings": text}
                return position
            size += cost
            listed.append(self._revision(revision, wanted))
        return 0

    def _revision(self, revision: Revision, wanted: list[str]) -> Json:  # noqa: C901 - one line a property
        told: Json = {}
        hidden = revision.hidden
        if "ids" in wanted:
            told |= {"revid": revision.identifier, "parentid": revision.parent}
        if "flags" in wanted:
            told["minor"] = revision.minor
        if "user" in wanted or "userid" in wanted:
            told |= _user(revision, wanted)
        if "timestamp" in wanted:
            told["timestamp"] = rfc3339(revision.edited_ms)
        if "size" in wanted:
            told["size"] = revision.size
        if "sha1" in wanted:
            told |= {"sha1hidden": True} if hidden & HIDDEN_TEXT else {"sha1": revision.sha1}
        if "content" in wanted:
            told |= self._content(revision)
        if "comment" in wanted or "parsedcomment" in wanted:
            told |= _comment(revision, wanted)
        if "tags" in wanted:
            told["tags"] = list(revision.tags)
        if hidden & SUPPRESSED:
            told["suppressed"] = True
        return told

    def _content(self, revision: Revision) -> Json:
        content: Json
        if revision.hidden & HIDDEN_TEXT:
            content = {"texthidden": True}
        elif self.conditions.text_missing:
            content = {"textmissing": True}
        else:
            content = {
                "contentmodel": revision.model,
                "contentformat": FORMATS.get(revision.model, "text/plain"),
                "content": revision.text,
            }
        return {"slots": {"main": content}} if self.params.get("rvslots") else content

    def _language(self) -> Json:
        code = self.wiki.site.language
        return {
            "pagelanguage": code,
            "pagelanguagehtmlcode": code,
            "pagelanguagedir": "rtl" if self.wiki.site.rtl else "ltr",
        }

    def _info(self, page: Page) -> Json:
        current = self._current(page) or page.current
        info: Json = {"contentmodel": current.model, **self._language()}
        info |= {
            "touched": rfc3339(current.edited_ms),
            "lastrevid": current.identifier,
            "length": current.size,
        }
        if page.is_redirect:
            info["redirect"] = True
        if not current.parent:
            info["new"] = True
        if "protection" in self.params.several("inprop"):
            info |= {"protection": list(page.protection), "restrictiontypes": ["edit", "move"]}
        return info

    def _pageprops(self, page: Page, target: Json) -> None:
        props = {"disambiguation": ""} if page.is_disambiguation else {}
        if NOINDEX in page.current.text:
            props["noindex"] = ""
        if page.main_entity:
            props["wikibase_item"] = page.main_entity
        wanted = self.params.several("ppprop")
        told = {name: value for name, value in props.items() if not wanted or name in wanted}
        if told:
            target["pageprops"] = told

    def _original(self, page: Page) -> Json:
        name = page.image.replace(" ", "_")
        return {"source": f"https://{self.wiki.site.server_name}/images/{name}", "width": 640, "height": 480}


def _invalid(asked: str, bad: str) -> Json:
    reason = (
        f'The requested page title contains invalid characters: "{bad}".'
        if bad
        else "The requested page title is empty or contains only a namespace prefix."
    )
    return {"title": asked, "invalidreason": reason, "invalid": True}


def _user(revision: Revision, wanted: list[str]) -> Json:
    if revision.hidden & HIDDEN_USER or revision.user is None:
        return {"userhidden": True}
    user = revision.user
    told: Json = {}
    if "user" in wanted:
        told["user"] = user.name
    if "userid" in wanted:
        told["userid"] = user.identifier
    if not user.identifier:
        told["anon"] = True
    if user.is_temporary:
        told["temp"] = True
    return told


def _comment(revision: Revision, wanted: list[str]) -> Json:
    if revision.hidden & HIDDEN_COMMENT:
        return {"commenthidden": True}
    told: Json = {}
    if "comment" in wanted:
        told["comment"] = revision.comment
    if "parsedcomment" in wanted:
        told["parsedcomment"] = html.escape(revision.comment)
    return told


def errors_of(params: Mapping[str, str]) -> None:
    """What is wrong with the request as a whole; raises ApiError."""
    action = params.get("action", "help")
    if action not in ACTIONS:
        raise ApiError("badvalue", f'Unrecognized value for parameter "action": {action}.')
    if params.get("format", "json") != "json" or params.get("formatversion", "1") != "2":
        raise ApiError("badvalue", "This wiki speaks format=json with formatversion=2 only.")
