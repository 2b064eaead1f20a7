"""The clients on httpx: httpx-sse, and Enterprise's Python SDK."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
from clients.ndjson import PARTITIONS
from clients.python_sse import in_thread, take
from clients.reading import SILENCE_S, Offsets, Sink, Target
from httpx_sse import connect_sse


async def by_httpx_sse(target: Target, sink: Sink) -> None:
    """Resumed by this loop; every event without data would be a heartbeat that was taken for one."""

    def read() -> None:
        last_id = ""
        with httpx.Client(timeout=httpx.Timeout(5.0, read=SILENCE_S)) as client:
            while True:
                try:
                    with connect_sse(
                        client,
                        "GET",
                        target.url,
                        params={} if last_id else target.start,
                        headers=target.headers(last_id),
                    ) as source:
                        source.response.raise_for_status()
                        sink.opened(source.response.headers)
                        for event in source.iter_sse():
                            if not event.data:
                                sink.empty += 1
                                continue
                            take(sink, event.event, event.json())
                            last_id = event.id
                except httpx.HTTPStatusError as error:
                    sink.refuse(error.response.status_code, error.response.headers)
                except httpx.TransportError:
                    pass
                sink.go_on()

    await in_thread(read)


@dataclass(slots=True)
class PythonSdk:
    """Asks and reads as Wikimedia Enterprise's Python SDK does: GET with a JSON body from which everything
    empty is left out, and httpx's lines, of which each that is not empty is JSON or is skipped.
    """

    url: str
    """With a slash behind it, as the SDK's `realtime_url`."""
    token: str
    method: str = "GET"
    skipped: list[str] = field(default_factory=list)
    """Lines that are no JSON: a lone heartbeat at the end."""

    def stream_articles(
        self,
        each: Callable[[dict[str, Any]], bool],
        *,
        opened: Callable[[Mapping[str, str]], None] = lambda _: None,
        encoding: str = "",
        **request: Any,
    ) -> None:
        """Until `each` says False or the stream ends. Raises httpx's errors; the SDK gives them other names.

        `encoding`: httpx asks for gzip by itself; the SDK leaves it at that.
        """
        standing = {
            "User-Agent": "WME Python SDK",
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.token}",
        }
        of_stream = {
            "Cache-Control": "no-cache",
            "Accept": "application/x-ndjson",
            "Connection": "keep-alive",
        } | ({"Accept-Encoding": encoding} if encoding else {})
        body = {name: _as_json(value) for name, value in request.items() if value not in (None, [], {}, "")}
        with (
            httpx.Client(
                headers=standing,
                timeout=30.0,
                transport=httpx.HTTPTransport(retries=3),
                follow_redirects=True,
            ) as client,
            client.stream(self.method, f"{self.url}v2/articles", json=body, headers=of_stream) as response,
        ):
            response.raise_for_status()
            opened(response.headers)
            for line in response.iter_lines():
                if not line:
                    continue
                try:
                    article = json.loads(line)
                except ValueError:
                    self.skipped.append(line)
                    continue
                if not each(article):
                    return


def _as_json(value: Any) -> Any:
    """Times as Python writes them; so without a zone where they have none."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _as_json(inner) for key, inner in value.items()}
    return value


def strict_dates(article: Mapping[str, Any]) -> list[datetime]:
    """As its model parses an article: anything but this form is an error."""
    names = ("date_created", "date_modified", "date_previously_modified")
    return [datetime.strptime(article[name], "%Y-%m-%dT%H:%M:%SZ") for name in names if article.get(name)]  # noqa: DTZ007 - as there


async def by_python_sdk(target: Target, sink: Sink) -> None:
    """Resumed by this loop, from event.partition and event.offset."""
    offsets = Offsets(PARTITIONS, target.start)
    sdk = PythonSdk(target.base(), target.key)

    def each(article: dict[str, Any]) -> bool:
        if offsets.is_new(article):
            sink.take(article)
        return not sink.stopped

    def read() -> None:
        while True:
            try:
                sdk.stream_articles(each, opened=sink.opened, encoding=target.encoding, **offsets.ask())
            except httpx.HTTPStatusError as error:
                sink.refuse(error.response.status_code, error.response.headers)
            except httpx.RequestError:
                pass
            sink.torn += sum(bool(line.strip()) for line in sdk.skipped)
            sink.go_on()

    await in_thread(read)
