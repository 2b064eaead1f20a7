"""Between the service and the wikis: counts, holds, delays and spoils what is asked.

    service ──► /w/api.php, /w/rest.php ──► before PHP is asked ──► PHP ──► after it has answered ──► service

Editors don't pass here: what the service asks is all that is counted.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from harness.mediawiki.editors import Wiki
from harness.mediawiki.php import Php
from streamer.sandbox.api import host_of

HOP_BY_HOP: Final = ("Connection", "Transfer-Encoding", "Content-Length", "Keep-Alive", "Host")


class Gate:
    """`requests` counts by wiki."""

    def __init__(self, php: Php, wikis: Mapping[str, Wiki]) -> None:
        self._php = php
        self._wikis = {wiki.server_name: wiki for wiki in wikis.values()}
        self.requests: Counter[str] = Counter()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.route("*", "/w/api.php", self.handle),
            web.route("*", "/w/rest.php/{path:.*}", self.handle),
        ]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        wiki = self._wikis.get(host_of(request))
        if wiki is None:
            return web.Response(status=404, text="Domain not found.\n")
        self.requests[wiki.name] += 1
        reply = await self._php.ask(
            wiki.server_name,
            request.raw_path,
            method=request.method,
            headers=_end_to_end(request.headers),
            data=await request.read() or None,
        )
        return web.Response(status=reply.status, headers=_end_to_end(reply.headers), body=reply.body)


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in HOP_BY_HOP:
        kept.popall(name, None)
    return kept
