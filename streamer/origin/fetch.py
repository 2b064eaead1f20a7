"""One request to one wiki, over one pooled session: the edge. Everything from outside is bounded."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from streamer.config import MediaWikiSettings
from streamer.errors import OriginUnavailable
from streamer.origin.hosts import PrivateAddress, PublicResolver
from streamer.origin.inflate import MAX_ANSWER_BYTES, Cut, TooLarge, inflate
from streamer.origin.parse import Reply
from streamer.retry_after import retry_after_s

CONNECT_S: Final = 10.0
KEPT_ALIVE_S: Final = 60.0
DNS_KEPT_S: Final = 60
GET_MOST_CHARACTERS: Final = 6_000
"""Servers take a request line of 8 kB; a GET is preferred, since Wikimedia sends POSTs to the primary
data centre unless told that they write nothing."""
RETRY_AFTER_MOST_S: Final = 300.0
INLINE_BYTES: Final = 256 * 1024
"""Unpacked beyond this on a thread, so that a large answer doesn't hold the event loop."""
API_PATH: Final = "/w/api.php"
MAX_HTML_BYTES: Final = 8 * 1024 * 1024
"""Unpacked. The largest articles have half of it; two at once are still little beside what enrich holds."""


class Fetch:
    """An async context manager. Without an endpoint: https to the server itself, and only to public
    addresses; no redirects, cookies, proxies or credentials from the environment.
    """

    def __init__(
        self, settings: MediaWikiSettings, user_agent: str, *, resolver: AbstractResolver | None = None
    ) -> None:
        """`resolver` instead of the system's; its addresses are judged all the same."""
        self._settings: Final = settings
        self._resolver: Final = resolver
        self._endpoint: Final = _endpoint(settings.endpoint)
        self._headers: Final = {
            "User-Agent": user_agent,
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
        }
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=0,  # the budget's concurrency is the bound, and may change
            resolver=None if self._endpoint else PublicResolver(self._resolver),
            ttl_dns_cache=DNS_KEPT_S,
            keepalive_timeout=KEPT_ALIVE_S,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            auto_decompress=False,
            trust_env=False,
        )
        # aiohttp repeats a GET by itself when a kept connection turns out to be closed; every request
        # is counted here, so every repetition has to be ours
        self._session._retry_connection = False  # noqa: SLF001 - there is no public switch
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def query(self, server_name: str, parameters: Mapping[str, str], timeout_s: float) -> Reply:
        """`server_name` was checked. Raises OriginUnavailable, TooLarge."""
        url = self._endpoint or URL.build(scheme="https", host=server_name, path=API_PATH)
        headers = {"Host": server_name} if self._endpoint else {}
        asked = url.with_query(parameters)
        post = len(str(asked)) > GET_MOST_CHARACTERS
        if post:
            headers["Promise-Non-Write-API-Action"] = "true"
        if post:
            return await self._exchange("POST", url, headers, timeout_s, data=parameters)
        return await self._exchange("GET", asked, headers, timeout_s)

    async def html(self, server_name: str, revision: int, timeout_s: float) -> Reply:
        """Of Parsoid, by the REST API. `server_name` was checked. Raises OriginUnavailable, TooLarge."""
        api = self._endpoint or URL.build(scheme="https", host=server_name, path=API_PATH)
        url = api.with_path(f"{api.path.removesuffix('api.php')}rest.php/v1/revision/{revision}/html")
        headers = {"Accept": "text/html"} | ({"Host": server_name} if self._endpoint else {})
        return await self._exchange("GET", url, headers, timeout_s, kind="text/html", most=MAX_HTML_BYTES)

    async def _exchange(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        timeout_s: float,
        *,
        data: Mapping[str, str] | None = None,
        kind: str = "json",
        most: int = MAX_ANSWER_BYTES,
    ) -> Reply:
        """`kind` is part of the content type that is an answer."""
        assert self._session is not None, "not entered"
        try:
            async with self._session.request(
                method,
                url,
                data=data,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(CONNECT_S, timeout_s)),
            ) as response:
                return await _read(response, kind, most)
        except Cut:
            raise OriginUnavailable("cut_off") from None
        except TimeoutError:
            raise OriginUnavailable("timeout") from None
        except aiohttp.ClientConnectorError as error:
            private = isinstance(error.os_error, PrivateAddress)
            raise OriginUnavailable("private_address" if private else "connect") from None
        except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError):
            raise OriginUnavailable("disconnected") from None
        except (aiohttp.ClientError, OSError, ValueError):
            # ValueError: what aiohttp and yarl make of malformed headers and names
            raise OriginUnavailable("connect") from None


async def _read(response: aiohttp.ClientResponse, kind: str, most: int) -> Reply:
    wait_s = retry_after_s(response.headers.get("Retry-After"), most_s=RETRY_AFTER_MOST_S)
    if response.status != 200:
        response.close()
        raise OriginUnavailable(status_reason(response.status), retry_after_s=wait_s)
    if kind not in response.headers.get("Content-Type", ""):
        # a maintenance page, a captive portal: not the API's word about anything
        response.close()
        raise OriginUnavailable("not_json" if kind == "json" else "not_html", retry_after_s=wait_s)
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > most:
            response.close()
            raise TooLarge(f"over {most} bytes")
        chunks.append(chunk)
    body = b"".join(chunks)
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding in {"gzip", "x-gzip"}:
        return Reply(await _unpack(body, most), wait_s)
    if encoding != "identity":
        raise Cut(f"encoding {encoding[:20]!a} was not asked for")
    return Reply(body, wait_s)


async def _unpack(packed: bytes, most: int) -> bytes:
    if len(packed) <= INLINE_BYTES:
        with suppress(TooLarge):
            return inflate(packed, INLINE_BYTES)
    return await asyncio.to_thread(inflate, packed, most)


def _endpoint(text: str) -> URL | None:
    """A base like `http://127.0.0.1:8391`, or the whole address of an api.php."""
    if not text:
        return None
    url = URL(text)
    return url if url.path.endswith("api.php") else url.with_path(url.path.rstrip("/") + API_PATH)


def status_reason(status: int) -> str:
    """Bounded: a metric label."""
    if 300 <= status < 400:
        return "redirect"
    if status in {403, 404, 413, 429, 500, 502, 503, 504}:
        return f"status_{status}"
    return "status_4xx" if status < 500 else "status_5xx"
