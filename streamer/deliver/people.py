"""`/` and `/page/<name>`: the live page for people, which works with a key in any browser of today.

Its files lie in `page/`, are read once at the start and are served as they are: there is no build step,
and nothing comes from elsewhere. What an article says is hostile text to a browser, so the page may load
from this server alone, may run nothing that stands in a document, and has no way at all from a string to
a script (Trusted Types): a `<script>` in a title stays text even where the page had a mistake.
"""

import gzip
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePath
from typing import Final

from aiohttp import web

from streamer.deliver.negotiate import encoding_or_identity

INDEX: Final = "index.html"
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Final = {
    "Cache-Control": "no-cache",  # asked for each time, answered by 304: a new version is seen at once
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Vary": "Accept-Encoding",
}


@dataclass(frozen=True, slots=True)
class File:
    """One file as it goes over the wire, plain and packed; each has an ETag of its own (RFC 9110, 8.8.3)."""

    content_type: str
    plain: bytes
    packed: bytes
    tag: str

    @classmethod
    def of(cls, suffix: str, data: bytes) -> "File":
        digest = hashlib.sha256(data).hexdigest()[:24]
        return cls(TYPES[suffix], data, gzip.compress(data, 9, mtime=0), digest)

    def response(self, *, packed: bool, known: Iterable[str]) -> web.Response:
        """A 304 where the client has it. A weak comparison, and either form will do: they hold the same."""
        tag = f"{self.tag}-gzip" if packed else self.tag
        headers = {**HEADERS, "ETag": f'"{tag}"'}
        if any(tag in ("*", self.tag, f"{self.tag}-gzip") for tag in known):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = self.content_type
        if packed:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=self.packed if packed else self.plain, headers=headers)


class People:
    """The handlers. Made once: the files are in memory, some 60 kB."""

    def __init__(self) -> None:
        folder = files("streamer.deliver") / "page"
        self._files = {
            entry.name: File.of(PurePath(entry.name).suffix, entry.read_bytes())
            for entry in folder.iterdir()
            if PurePath(entry.name).suffix in TYPES
        }
        self._index = self._files.pop(INDEX)

    def names(self) -> list[str]:
        """Of the assets."""
        return sorted(self._files)

    def routes(self) -> list[web.RouteDef]:
        """For GET and HEAD."""
        return [web.get("/", self.index), web.get("/page/{name}", self.asset)]

    async def index(self, request: web.Request) -> web.Response:
        return _answer(self._index, request)

    async def asset(self, request: web.Request) -> web.Response:
        file = self._files.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound
        return _answer(file, request)


def _answer(file: File, request: web.Request) -> web.Response:
    shown = ",".join(request.headers.getall("If-None-Match", ()))
    known = [tag.strip().removeprefix("W/").strip('"') for tag in shown.split(",")]
    accept = ",".join(request.headers.getall("Accept-Encoding", ()))
    return file.response(packed=encoding_or_identity(accept) == "gzip", known=known)
