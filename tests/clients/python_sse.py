"""The Python clients of server-sent events, each used as the README says."""

import asyncio
import http.client
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from urllib.parse import urlsplit

import requests
import requests_sse
import sseclient
from clients.reading import SILENCE_S, Sink, Stopped, Target

TIMEOUT = (5.0, SILENCE_S)


class Sseclient:
    """sseclient-py across connections.

    What stands at a stream's end it gives out as if it were whole, with its id, or fails on half a
    character of it. So nothing counts, the id least of all, before the data was parsed: then each article
    comes exactly once.
    """

    def __init__(self, sink: Sink) -> None:
        self.last_id = ""
        self._sink = sink

    def read(self, stream: Iterable[bytes]) -> None:
        try:
            for event in sseclient.SSEClient(stream).events():
                take(self._sink, event.event, json.loads(event.data))
                self.last_id = event.id or self.last_id
        except ValueError:  # no JSON, or no UTF-8: the connection broke in it
            self._sink.torn += 1


def take(sink: Sink, name: str, data: dict[str, object]) -> None:
    if name == "message":
        sink.take(data)
    else:
        sink.controls[name] += 1


async def by_sseclient(target: Target, sink: Sink) -> None:
    """Over requests: a broken connection is an exception, and the loop resumes."""

    def read() -> None:
        client = Sseclient(sink)
        while True:
            try:
                with requests.get(
                    target.url,
                    params={} if client.last_id else target.start,
                    headers=target.headers(client.last_id),
                    stream=True,
                    timeout=TIMEOUT,
                ) as response:
                    response.raise_for_status()
                    sink.opened(response.headers)
                    client.read(response.iter_content(None))
            except requests.HTTPError as error:
                sink.refuse(error.response.status_code, error.response.headers)
            except requests.RequestException:
                pass
            sink.go_on()

    await in_thread(read)


class _Old(http.client.HTTPConnection):
    """As many a proxy asks: HTTP/1.0, where the end of an answer and a broken connection look the same."""

    _http_vsn = 10
    _http_vsn_str = "HTTP/1.0"


async def by_sseclient_over_http_1_0(target: Target, sink: Sink) -> None:
    """Where a break is a clean end of the stream: only the reader's own care keeps it exact."""

    def read() -> None:
        client = Sseclient(sink)
        place = urlsplit(target.first_url())
        while True:
            connection = _Old(place.netloc, timeout=SILENCE_S)
            try:
                query = "" if client.last_id else f"?{place.query}"
                connection.request("GET", place.path + query, headers=target.headers(client.last_id))
                response = connection.getresponse()
                if response.status == 200:
                    sink.opened(response.headers)
                    client.read(iter(response.readline, b""))
                else:
                    sink.refuse(response.status, response.headers)
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            sink.go_on()

    await in_thread(read)


async def by_requests_sse(target: Target, sink: Sink) -> None:
    """Resumes by itself; any status but 200 ends it, and the loop starts another one at its last id."""

    class Noting(requests.Session):
        def request(self, *args: object, **kwargs: object) -> requests.Response:
            response = super().request(*args, **kwargs)  # type: ignore[arg-type] # what it was given
            if response.ok:
                sink.opened(response.headers)
            return response

    def read() -> None:
        last_id = ""
        with Noting() as session:
            while True:
                source = requests_sse.EventSource(
                    target.first_url(),
                    session=session,
                    timeout=TIMEOUT,  # type: ignore[arg-type] # requests' own forms
                    headers=target.headers(),
                    reconnection_time=timedelta(milliseconds=10),
                    latest_event_id=last_id,
                    on_error=sink.go_on,
                )
                try:
                    with source:
                        for event in source:
                            take(sink, event.type or "", json.loads(event.data or ""))
                            last_id = event.last_event_id
                except requests_sse.InvalidStatusCodeError as error:
                    sink.refuse(
                        error.status_code, error.response.headers if error.response is not None else {}
                    )
                except requests.RequestException:
                    pass
                sink.go_on()

    await in_thread(read)


async def in_thread(read: Callable[[], None]) -> None:
    """A reader that blocks ends at its next byte, or its next try, after its sink was stopped."""

    def until_stopped() -> None:
        with suppress(Stopped):
            read()

    await asyncio.to_thread(until_stopped)
