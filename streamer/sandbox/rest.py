"""`/w/rest.php/v1/revision/{id}/html`: the wiki is chosen by Host, errors have a status of their own."""

import gzip
from collections import Counter
from collections.abc import Callable
from typing import Final

from aiohttp import web

from streamer.sandbox import parsoid
from streamer.sandbox.api import GZIP_FROM_BYTES, agent_refused, bomb, host_of
from streamer.sandbox.faults import Fault, FaultBox
from streamer.sandbox.pages import HIDDEN_TEXT, Readable
from streamer.sandbox.spoil import reset, spoil

PATH: Final = "/w/rest.php/v1/revision/{revision:[0-9]{1,18}}/html"
HTML: Final = "text/html"


class Rest:
    def __init__(
        self, wiki_at: Callable[[str], Readable | None], faults: FaultBox, requests: Counter[str]
    ) -> None:
        self._wiki_at = wiki_at
        self._faults = faults
        self._requests = requests

    async def html(self, request: web.Request) -> web.StreamResponse:
        self._requests["html"] += 1
        if agent_refused(request):
            return web.Response(status=403, text="Please set a User-Agent that names you.\n")
        wiki = self._wiki_at(host_of(request))
        if wiki is None:
            return web.Response(status=404, text="Domain not found.\n")
        self._requests[f"html:{wiki.site.wiki}"] += 1
        fault = self._faults.draw("html", wiki.site.wiki)
        if fault:
            self._requests[f"fault:{fault.kind}"] += 1
            spoilt = await spoil(request, fault)
            if spoilt is None:
                spoilt = _no_document(fault)
            if spoilt is not None:
                return spoilt
        return await self._document(request, wiki, fault)

    async def _document(
        self, request: web.Request, wiki: Readable, fault: Fault | None
    ) -> web.StreamResponse:
        identifier = int(request.match_info["revision"])
        found = wiki.revision(identifier)
        if found is None:
            return _error(404, "Not Found", f"The specified revision ({identifier}) does not exist")
        page, revision = found
        if revision.hidden & HIDDEN_TEXT:
            message = f"User doesn't have access to the requested revision ({identifier})."
            return _error(403, "Forbidden", message)
        kind = fault.kind if fault else ""
        about = identifier + 1 if kind == "another_page" else identifier
        data = parsoid.document(wiki.site, page, revision, about=about).encode()
        headers = {
            "Content-Type": "text/html;charset=UTF-8",
            "Cache-Control": "max-age=5",
            "ETag": f'"{about}/00000000-0000-0000-0000-000000000000/view/html"',
        }
        if "gzip" in request.headers.get("Accept-Encoding", "") and len(data) >= GZIP_FROM_BYTES:
            data = gzip.compress(data, 1)
            headers["Content-Encoding"] = "gzip"
        if kind != "cut_body":
            return web.Response(body=data, headers=headers)
        response = web.StreamResponse(headers=headers)
        response.content_length = len(data)
        await response.prepare(request)
        await response.write(data[: len(data) // 2])
        reset(request)
        return response


def _no_document(fault: Fault) -> web.Response | None:
    match fault.kind:
        case "html":  # a page, and not Parsoid's
            return web.Response(text="<!DOCTYPE html><title>Error</title>", content_type=HTML)
        case "broken_json":
            return web.Response(text="{", content_type="application/json")
        case "gzip_bomb":
            return web.Response(
                body=bomb(fault.bytes), headers={"Content-Encoding": "gzip"}, content_type=HTML
            )
        case _:
            return None


def _error(status: int, reason: str, message: str) -> web.Response:
    body = {"messageTranslations": {"en": message}, "httpCode": status, "httpReason": reason}
    return web.json_response(body, status=status)
