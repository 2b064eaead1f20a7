"""The clients of the matrix, by name."""

import shutil

import pytest
from clients import curl, ndjson, programs, python_sse
from clients.reading import Encoding, Read, Sink, Target


def on_httpx(name: str) -> Read:
    """httpx-sse does not bring the httpx that it needs."""
    pytest.importorskip("httpx")
    from clients import on_httpx as module  # noqa: PLC0415 - for the same reason

    read: Read = getattr(module, name)
    return read


async def by_httpx_sse(target: Target, sink: Sink) -> None:
    await on_httpx("by_httpx_sse")(target, sink)


async def by_python_sdk(target: Target, sink: Sink) -> None:
    await on_httpx("by_python_sdk")(target, sink)


CLIENTS: dict[str, tuple[Read, tuple[Encoding, ...]]] = {
    "sseclient-py": (python_sse.by_sseclient, ("identity", "gzip")),
    "sseclient-py-http-1.0": (python_sse.by_sseclient_over_http_1_0, ("identity",)),
    "httpx-sse": (by_httpx_sse, ("identity", "gzip")),
    "requests-sse": (python_sse.by_requests_sse, ("identity", "gzip")),
    "aiohttp": (ndjson.by_aiohttp, ("identity", "gzip")),
    "curl": (curl.by_curl, ("identity", "gzip")),
    "eventsource": (programs.by_eventsource, ("identity", "gzip")),
    "enterprise-python": (by_python_sdk, ("identity", "gzip")),
    "enterprise-go": (programs.by_go_sdk, ("identity", "gzip")),
}
SSE = {"sseclient-py", "sseclient-py-http-1.0", "httpx-sse", "requests-sse", "curl", "eventsource"}
IN_PROGRAMS = (curl.by_curl, programs.by_eventsource, programs.by_go_sdk)
"""They end when they are killed; the others, in threads, when their sink is stopped."""


def prepare(name: str) -> None:
    """Skips where a client can't be had."""
    if name in {"httpx-sse", "enterprise-python"}:
        pytest.importorskip("httpx", reason="httpx is not installed")
    elif name == "curl" and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    elif name == "eventsource":
        programs.node()
    elif name == "enterprise-go":
        programs.go()
