r"""A recording of the streams as a set of wikis: titles from the file, content derived from the revision.

Content differs for each revision, so that a swap of two articles is caught, and is a fixed formula, so
that a script that knows nothing of this code can check it:

    content(w, r) = "\n\n".join([f"Revision {r} of {w}."] + [sha256(f"{w}:{r}")] * (1 + r % 40))
    page id(w, t) = int(sha256(f"{w}:{t}")[:7], 16) + 1

where a title that a move in the recording created has the id of the page that moved there, and a page
of which an event tells the id has that one. The current revision of a page is the highest that the
recording has of it, and 1,000,000 + page id where it has none. Every revision is answered for,
whatever the recording later deletes.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from streamer.errors import ConfigError
from streamer.sandbox.languages import NAMESPACES
from streamer.sandbox.pages import LogEntry, Page, RecentChange, Revision, Site, User
from streamer.sandbox.sighting import Event, Sighting, integer, mapping, sighting

WHERE: Final = "--recording"
UNRECORDED: Final = 1_000_000
CC0: Final = ("Creative Commons CC0", "https://creativecommons.org/publicdomain/zero/1.0/")
BY_SA: Final = (
    "Creative Commons Attribution-Share Alike 4.0",
    "https://creativecommons.org/licenses/by-sa/4.0/deed.en",
)
RTL: Final = frozenset({"ar", "arz", "azb", "ckb", "fa", "he", "ps", "sd", "ug", "ur", "yi"})


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event as it is sent again: the bytes of the file."""

    topic: str
    stream: str
    time_ms: int
    data: bytes


def content(wiki: str, revision: int) -> str:
    digest = hashlib.sha256(f"{wiki}:{revision}".encode()).hexdigest()
    return "\n\n".join([f"Revision {revision} of {wiki}.", *[digest] * (1 + revision % 40)])


def derived_page_id(wiki: str, title: str) -> int:
    return int(hashlib.sha256(f"{wiki}:{title}".encode()).hexdigest()[:7], 16) + 1


class RecordedWiki:
    """Answers as `wiki.Readable`. Titles are taken as they stand in the file."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.logs: list[LogEntry] = []
        self.changes: list[RecentChange] = []
        self._ids: dict[str, int] = {}
        self._namespaces: dict[str, int] = {}
        self._titles: dict[int, str] = {}
        self._revisions: dict[int, tuple[str, Revision]] = {}
        self._pages: dict[int, Page] = {}

    def normalised(self, title: str) -> str:
        return " ".join(title.replace("_", " ").split())

    def revision(self, identifier: int) -> tuple[Page, Revision] | None:
        found = self._revisions.get(identifier)
        if found is None:
            return None
        title, revision = found
        return self._as(self._pages[revision.page_id], title), revision

    def titled(self, title: str) -> Page | None:
        identifier = self._ids.get(title)
        return self._as(self._pages[identifier], title) if identifier is not None else None

    def page(self, identifier: int) -> Page | None:
        return self._pages.get(identifier)

    def redirects_to(self, title: str) -> Sequence[Page]:  # noqa: ARG002 - texts are invented, without links
        return ()

    def kept(self, identifier: int) -> Revision | None:
        """While the file is read: the page that it belongs to isn't known yet."""
        found = self._revisions.get(identifier)
        return found[1] if found else None

    def page_id(self, title: str) -> int:
        return self._ids.setdefault(title, derived_page_id(self.site.wiki, title))

    def see(self, seen: Sighting) -> None:
        if seen.page_id:
            self._ids[seen.title] = seen.page_id
        self._namespaces[seen.title] = seen.namespace
        self._titles[self.page_id(seen.title)] = seen.title
        if seen.parent > 0 and seen.parent not in self._revisions:
            self._keep(replace(seen, revision=seen.parent, parent=0, user=UNKNOWN, comment="", minor=False))
        if seen.revision > 0:
            self._keep(seen)

    def move(self, source: str, target: str, namespace: int) -> None:
        self._ids[target] = self.page_id(source)
        self._namespaces[target] = namespace
        self._titles[self._ids[target]] = target

    def add_log(self, entry: LogEntry, number: int) -> None:
        self.logs.append(entry)
        self.changes.append(
            RecentChange(
                number,
                "log",
                entry.namespace,
                entry.title,
                entry.page_id,
                entry.time_ms,
                entry.user,
                entry.comment,
                log=entry,
            )
        )

    def close(self, last_ms: int) -> None:
        """Puts the pages together once the whole file is known."""
        for title, revision in self._revisions.values():
            revision.page_id = self.page_id(title)
            self._page(revision.page_id).revisions.append(revision)
        for identifier in set(self._ids.values()):
            page = self._page(identifier)
            if page.revisions:
                page.revisions.sort(key=lambda revision: revision.identifier)
                continue
            number = UNRECORDED + identifier
            revision = self._made(number, 0, last_ms, UNKNOWN, "")
            revision.page_id = identifier
            page.revisions.append(revision)
            self._revisions.setdefault(number, (page.title, revision))

    def _keep(self, seen: Sighting) -> None:
        revision = self._made(seen.revision, seen.parent, seen.time_ms, seen.user, seen.comment)
        revision.minor = seen.minor
        self._revisions[seen.revision] = seen.title, revision

    def _made(self, number: int, parent: int, time_ms: int, user: User | None, comment: str) -> Revision:
        return Revision(number, parent, 0, time_ms, user, comment, content(self.site.wiki, number))

    def _page(self, identifier: int) -> Page:
        title = self._titles.get(identifier, "")
        return self._pages.setdefault(identifier, Page(identifier, self._namespaces.get(title, 0), title, []))

    def _as(self, page: Page, title: str) -> Page:
        if page.title == title:
            return page
        return replace(page, title=title, namespace=self._namespaces.get(title, page.namespace))


class Recording:
    """All of a file: its events in order, and the wikis that it tells of, by server name."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self.events: list[Recorded] = []
        self.wikis: dict[str, RecordedWiki] = {}
        self.unreadable = 0
        parsed = [event for line in lines if (event := self._take(line)) is not None]
        sightings = [(event, seen) for event in parsed if (seen := sighting(event)) is not None]
        names = _namespace_names(seen for _, seen in sightings)
        for event, seen in sightings:
            wiki = self.wikis.get(seen.server_name)
            if wiki is None:
                site = _site(seen.wiki, seen.server_name, names.get(seen.wiki, {}))
                wiki = self.wikis[seen.server_name] = RecordedWiki(site)
            _apply(wiki, event, seen)
        last_ms = max((seen.time_ms for _, seen in sightings), default=0)
        for wiki in self.wikis.values():
            wiki.close(last_ms)

    def _take(self, line: bytes) -> Event | None:
        """A line that is no event is sent again as it is: the source must cope with it."""
        previous = (
            self.events[-1]
            if self.events
            else Recorded("eqiad.mediawiki.recentchange", "recentchange", 0, b"")
        )
        try:
            event = json.loads(line)
            meta = event["meta"]
            stream = str(meta.get("stream") or "mediawiki.recentchange")
            time_ms = int(datetime.fromisoformat(meta["dt"]).timestamp() * 1000)
        except (ValueError, KeyError, TypeError, AttributeError):
            self.unreadable += 1
            self.events.append(replace(previous, data=line))
            return None
        topic = str(meta.get("topic") or f"eqiad.{stream}")
        name = "recentchange" if stream == "mediawiki.recentchange" else stream
        self.events.append(Recorded(topic, name, time_ms, line))
        return event if isinstance(event, dict) else None


def load(path: Path) -> Recording:
    """`.sse` or `.jsonl`, each also with `.gz`. Raises ConfigError."""
    names = path.suffixes[-2:]
    kind = names[0] if len(names) == 2 and names[1] == ".gz" else path.suffix
    if kind not in (".sse", ".jsonl"):
        raise ConfigError(f"{WHERE} {path}", "must end in .sse or .jsonl, or in one of these and .gz")
    try:
        raw = path.read_bytes()
        body = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except FileNotFoundError:
        raise ConfigError(f"{WHERE} {path}", "no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{WHERE} {path}", f"can't be read: {error}") from None
    recording = Recording(_lines(body, kind))
    if len(recording.events) == recording.unreadable:
        raise ConfigError(f"{WHERE} {path}", "holds no event")
    return recording


def _lines(body: bytes, kind: str) -> Iterator[bytes]:
    for line in body.split(b"\n"):
        text = line.strip()
        if kind == ".sse":
            text = text[5:].strip() if text.startswith(b"data:") else b""
        if text:
            yield text


# ── reading events ─────────────────────────────────────────────────────────────────────────────

UNKNOWN: Final = User("Recorded editor", 1)
"""Of revisions that the recording names without telling whose they are."""


def _apply(wiki: RecordedWiki, event: Event, seen: Sighting) -> None:
    params = event.get("log_params")
    if event.get("log_type") == "move" and isinstance(params, dict) and params.get("target"):
        target = wiki.normalised(str(params["target"]))
        namespace = wiki.site.namespace_of(target)
        same_prefix = target.partition(":")[0] == seen.title.partition(":")[0] and ":" in target
        wiki.see(seen)
        wiki.move(seen.title, target, seen.namespace if same_prefix else namespace)
    else:
        wiki.see(seen)
    if event.get("type") == "log" and event.get("log_id"):
        wiki.add_log(
            LogEntry(
                integer(event.get("log_id")),
                str(event.get("log_type")),
                str(event.get("log_action")),
                wiki.page_id(seen.title),
                seen.namespace,
                seen.title,
                params if isinstance(params, dict) else {},
                seen.user,
                seen.comment,
                seen.time_ms,
            ),
            integer(event.get("id")),
        )
    elif event.get("type") in ("edit", "new") and (found := wiki.kept(seen.revision)):
        length = mapping(event.get("length"))
        wiki.changes.append(
            RecentChange(
                integer(event.get("id")),
                str(event["type"]),
                seen.namespace,
                seen.title,
                wiki.page_id(seen.title),
                seen.time_ms,
                seen.user,
                seen.comment,
                found,
                integer(length.get("old")),
            )
        )


def _namespace_names(sightings: Iterator[Sighting]) -> dict[str, dict[int, str]]:
    """What each wiki calls its namespaces, by the prefixes of its titles."""
    names: dict[str, dict[int, str]] = {}
    for seen in sightings:
        prefix, colon, _ = seen.title.partition(":")
        if colon and seen.namespace:
            names.setdefault(seen.wiki, {}).setdefault(seen.namespace, prefix)
    return names


def _site(wiki: str, server_name: str, names: Mapping[int, str]) -> Site:
    label = server_name.partition(".")[0]
    language = label if 2 <= len(label) <= 3 and label != "www" else "en"
    licence = CC0 if wiki == "wikidatawiki" else BY_SA
    return Site(
        wiki,
        server_name,
        f"Recorded {wiki}",
        language,
        language in RTL,
        *licence,
        dict(NAMESPACES) | dict(names),
    )
