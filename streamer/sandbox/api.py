"""The action API over HTTP: the wiki is chosen by Host, errors come with status 200."""

import gzip
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

import orjson
from aiohttp import web

from streamer.sandbox.faults import Fault, FaultBox
from streamer.sandbox.pagelists import PREFIXES
from streamer.sandbox.pages import Readable
from streamer.sandbox.params import ApiError, Params
from streamer.sandbox.query import Conditions, Json, errors_of, query
from streamer.sandbox.spoil import reset, retry_after, spoil

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Disposition": "inline; filename=api-result.json",
    "Cache-Control": "private, must-revalidate, max-age=0",
}
DEFAULT_AGENTS: Final = ("python-requests", "Python-urllib", "Python/", "Go-http-client", "Java/", "axios")
"""How libraries call themselves when nobody says otherwise."""
COUNTED: Final = ("revids", "titles", "pageids", "meta", "list", "rvcontinue", "clcontinue", "tlcontinue",
                  "rdcontinue")  # fmt: skip
RETRY_AFTER_S: Final = 5
GZIP_FROM_BYTES: Final = 256
BOMB_BLOCK: Final = 1 << 20
ERRORS: Final[Mapping[str, str]] = {
    "readonly": "The wiki is currently in read-only mode.",
    "ratelimited": "You are making too many requests to the API.",
    "internal": "[00000000-0000-0000-0000-000000000000] Caught exception of type DBQueryError",
}


def agent_refused(request: web.Request) -> bool:
    """No User-Agent, or a library's own."""
    agent = request.headers.get("User-Agent", "")
    return not agent.strip() or agent.startswith(DEFAULT_AGENTS)


def host_of(request: web.Request) -> str:
    return request.host.rpartition(":")[0] if ":" in request.host else request.host


class Api:
    """`wiki_at` finds a wiki by its server name; `requests` counts by kind."""

    def __init__(
        self,
        wiki_at: Callable[[str], Readable | None],
        faults: FaultBox,
        now_ms: Callable[[], int],
        requests: Counter[str],
        *,
        max_result_bytes: int,
        save: Callable[[Readable, Params], Json],
    ) -> None:
        self._save = save
        self._wiki_at = wiki_at
        self._faults = faults
        self._now_ms = now_ms
        self._requests = requests
        self._max_result_bytes = max_result_bytes

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self._requests["api"] += 1
        if agent_refused(request):
            self._requests["api_refused"] += 1
            return web.Response(status=403, text="Please set a User-Agent that names you.\n")
        wiki = self._wiki_at(host_of(request))
        if wiki is None:
            self._requests["api_unknown_host"] += 1
            return web.Response(status=404, text="Domain not found.\n")
        name = wiki.site.wiki
        self._requests[f"api:{name}"] += 1
        fault = self._faults.draw("api", name)
        if fault:
            self._requests[f"fault:{fault.kind}"] += 1
            spoilt = await spoil(request, fault)
            if spoilt is None:
                spoilt = _no_answer(fault)
            if spoilt is not None:
                return spoilt
        form = await request.post() if request.method == "POST" else {}
        values = {**request.query, **{key: value for key, value in form.items() if isinstance(value, str)}}
        self._requests.update(kind for kind in COUNTED if values.get(kind))
        self._requests.update(PREFIXES.keys() & set(values.get("prop", "").split("|")))
        headers: dict[str, str] = {}
        try:
            body = self._answer(wiki, values, fault)
        except ApiError as error:
            self._requests["api_error"] += 1
            headers = {"MediaWiki-API-Error": error.code, **error.headers}
            body = _error(error, wiki.site.server_name)
        return await _send(request, body, headers, fault)

    def _answer(self, wiki: Readable, values: Mapping[str, str], fault: Fault | None) -> Json:
        kind = fault.kind if fault else ""
        if fault and kind in ERRORS:
            code = "internal_api_error_DBQueryError" if kind == "internal" else kind
            raise ApiError(code, ERRORS[kind], headers=retry_after(fault))
        errors_of(values)
        params = Params(values)
        _check_lag(params, fault)
        if params.get("action") == "edit":
            return self._save(wiki, params)
        conditions = Conditions(
            self._now_ms(),
            self._max_result_bytes,
            self._faults.replica_lag_s(wiki.site.wiki),
            text_missing=kind == "text_missing",
        )
        body = query(wiki, params, conditions)
        if params.get("requestid"):
            body["requestid"] = params.get("requestid")
        if kind == "another_page":
            _swap(body)
        elif kind == "another_wiki":
            _rename(body)
        return body


def _check_lag(params: Params, fault: Fault | None) -> None:
    lag_s = fault.seconds if fault and fault.kind == "maxlag" else 0.0
    if not params.get("maxlag") or lag_s <= params.number("maxlag", 0):
        return
    headers = {"Retry-After": str(RETRY_AFTER_S), "X-Database-Lag": str(int(lag_s))}
    if fault and fault.retry_after_s == 0:
        del headers["Retry-After"]  # as seen in the wild
    extra: Json = {"host": "192.0.2.10", "lag": lag_s, "type": "db"}
    raise ApiError("maxlag", f"Waiting for 192.0.2.10: {lag_s} seconds lagged.", extra=extra, headers=headers)


def _error(error: ApiError, server_name: str) -> Json:
    docref = f"See https://{server_name}/w/api.php for API usage."
    return {"error": {"code": error.code, "info": error.info, **error.extra, "docref": docref}}


def _no_answer(fault: Fault) -> web.Response | None:
    """The bodies that the API never made; None where the answer is still to be made."""
    match fault.kind:
        case "html":
            return web.Response(text="<!DOCTYPE html><title>Error</title>", content_type="text/html")
        case "gzip_bomb":
            headers = {**HEADERS, "Content-Encoding": "gzip"}
            return web.Response(body=bomb(fault.bytes), headers=headers, content_type="application/json")
        case _:
            return None


async def _send(
    request: web.Request, body: Json, headers: Mapping[str, str], fault: Fault | None
) -> web.StreamResponse:
    kind = fault.kind if fault else ""
    data = orjson.dumps(body)
    if kind == "broken_json":
        data = data[: len(data) // 2]
    merged = {**HEADERS, **headers, "Vary": "Accept-Encoding, Treat-as-Untrusted, Cookie"}
    if "gzip" in request.headers.get("Accept-Encoding", "") and len(data) >= GZIP_FROM_BYTES:
        data = gzip.compress(data, 1)
        merged["Content-Encoding"] = "gzip"
    if kind != "cut_body":
        return web.Response(body=data, headers=merged, content_type="application/json", charset="utf-8")
    response = web.StreamResponse(headers={**merged, "Content-Type": "application/json; charset=utf-8"})
    response.content_length = len(data)
    await response.prepare(request)
    await response.write(data[: len(data) // 2])
    reset(request)
    return response


def _swap(body: Json) -> None:
    """Every page is told as another one: what is judged by title only is fooled."""
    for page in _pages(body):
        if "pageid" in page:
            page["pageid"] = int(str(page["pageid"])) + 1
        page["title"] = f"{page.get('title')} (another)"
        revisions = page.get("revisions")
        for revision in revisions if isinstance(revisions, list) else []:
            revision["revid"] = int(str(revision.get("revid", 0))) + 1


def _rename(body: Json) -> None:
    answer = body.get("query")
    general = answer.get("general") if isinstance(answer, dict) else None
    if isinstance(general, dict):
        general["wikiid"] = f"not{general['wikiid']}"


def _pages(body: Json) -> list[Json]:
    answer = body.get("query")
    pages = answer.get("pages") if isinstance(answer, dict) else None
    return pages if isinstance(pages, list) else []


@lru_cache(maxsize=2)
def bomb(size: int) -> bytes:
    """Valid gzip of about `size` bytes of JSON, made from one compressed block."""
    head, block, tail = b'{"batchcomplete":true', b" " * BOMB_BLOCK, b"}"
    count = max(1, size // BOMB_BLOCK)
    parts, crc = [b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"], zlib.crc32(head)
    parts.append(_block(head))
    parts += [_block(block)] * count
    for _ in range(count):
        crc = zlib.crc32(block, crc)
    crc = zlib.crc32(tail, crc)
    last = zlib.compressobj(9, zlib.DEFLATED, -15)
    parts.append(last.compress(tail) + last.flush())
    total = len(head) + count * BOMB_BLOCK + len(tail)
    return b"".join([*parts, struct.pack("<II", crc, total & 0xFFFFFFFF)])


@lru_cache(maxsize=4)
def _block(data: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(data) + deflate.flush(zlib.Z_FULL_FLUSH)
