"""Schemathesis asks the endpoint what openapi.json allows, and what it does not.

Every answer is held against the document: status, media type, headers, body; never a 5xx; what the document
allows is served, and what it forbids is refused. A stream never ends, so of one that was opened the status, the
headers and what comes at once are looked at, and then it is closed: what follows is other tests' business.

What a schema can't say is left out of the valid requests (ids and offsets of this very feed, no time in the
future): there the document is narrowed to what this server can have said. The invalid ones go by the document
as it is.
"""

import asyncio
import copy
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
import schemathesis
from harness.delivering import bearer, delivering
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig

from streamer.deliver.encode import PREAMBLE
from streamer.deliver.guard import MAX_TARGET_CHARS
from streamer.deliver.openapi import document

load_all_checks()
ALWAYS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
CONFIG = {
    "generation": {"with-security-parameters": False},  # a key is shown by us
    "checks": {
        "negative_data_rejection": {
            "expected-statuses": ["400", "401", "403", "404", "406", "410", "413", "414", "415", "422"]
        },
    },
}
ANSWER_S = 10.0
STREAMS = ("text/event-stream", "application/x-ndjson")
Document = dict[str, Any]


def of_server(server: Document, id_now: str) -> Document:
    """The document, narrowed to what this server can have said."""
    narrowed = copy.deepcopy(server)
    now = datetime.now(UTC)
    times = [
        (now - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for ago in (0, 60, 86_400 * 400)
    ]
    time_schema = {"type": "string", "enum": [*times, "2026-01-02t03:04:05+01:00"]}

    def narrow(name: str, schema: Document) -> None:
        target = schema.get("anyOf", [schema])[0]
        if name == "since":
            target.clear()
            target.update(time_schema)
        elif name in ("offsets", "since_per_partition"):
            target["propertyNames"] = {"enum": [str(partition) for partition in range(10)]}
            value = {"type": "integer", "minimum": 0, "maximum": 0}
            target["additionalProperties"] = value if name == "offsets" else time_schema
        elif name in ("last_event_id", "Last-Event-ID"):
            target["enum"] = ["", id_now]

    articles = narrowed["paths"]["/v2/articles"]
    for operation in articles.values():
        for parameter in operation.get("parameters", ()):
            schema = (
                parameter["schema"]
                if "schema" in parameter
                else parameter["content"]["application/json"]["schema"]
            )
            narrow(parameter["name"], schema)
    body = articles["post"]["requestBody"]["content"]["application/json"]["schema"]
    for name, schema in body["properties"].items():
        narrow(name, schema)
    return narrowed


def send(case: Case, url: str, session: requests.Session) -> requests.Response:
    """As schemathesis would; of a stream what comes at once."""
    arguments = case.as_transport_kwargs(base_url=url, headers=bearer())
    answer = session.request(**arguments, stream=True, timeout=ANSWER_S, allow_redirects=False)
    is_stream = answer.status_code == 200 and answer.headers["Content-Type"] in STREAMS
    if is_stream and case.method != "HEAD":
        first = next(chunk for chunk in answer.raw.stream(65_536, decode_content=True) if chunk)
        assert first.startswith((PREAMBLE, b" ")), first
        answer._content = first
        answer.close()
    else:
        _ = answer.content
    return answer


def beyond_schemas(answer: requests.Response) -> bool:
    """Refused for a reason that no schema can state."""
    request = answer.request
    if answer.status_code == 414:
        return len(str(request.path_url)) > MAX_TARGET_CHARS
    if answer.status_code != 422:
        return False
    if request.method == "HEAD":  # the GET tells
        answer = requests.get(str(request.url), headers=dict(request.headers), timeout=ANSWER_S)
        assert answer.status_code == 422
    return "is in none of the parts" in answer.json()["detail"]


def ask(
    url: str,
    described: Document,
    rng: random.Random,
    *,
    mode: GenerationMode,
    examples: int,
) -> dict[str, dict[int, int]]:
    """How often each operation was answered by which status."""
    described = copy.deepcopy(described)
    schema = schemathesis.openapi.from_dict(described, config=SchemathesisConfig.from_dict(CONFIG))
    check = "positive_data_acceptance" if mode == GenerationMode.POSITIVE else "negative_data_rejection"
    names = [*ALWAYS, check]
    checks = CHECKS.get_by_names(names)
    seen: dict[str, dict[int, int]] = {}
    with requests.Session() as session:
        for result in schema.get_all_operations():
            operation = result.ok()
            label = operation.label

            @seed(rng.randrange(2**32))
            @settings(
                max_examples=examples,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def one(case: Case) -> None:
                answer = send(case, url, session)
                counts = seen.setdefault(label, {})
                counts[answer.status_code] = counts.get(answer.status_code, 0) + 1
                if mode == GenerationMode.POSITIVE and beyond_schemas(answer):
                    return
                case.validate_response(answer, checks=checks)

            one()
    return seen


async def test_all(tmp_path: Path, rng: random.Random) -> None:
    async with delivering(tmp_path, limits="limits = { requests_per_minute = 1000000 }") as server:
        await server.write(range(20))
        url = server.url.removesuffix("/v2/articles")

        async def id_now() -> str:
            def get() -> str:
                return requests.get(url + "/v2/status", headers=bearer(), timeout=10).json()["positions"][
                    "newest"
                ]

            return await asyncio.to_thread(get)

        d = document()
        n = await id_now()
        t = time.monotonic()
        print(
            await asyncio.to_thread(
                ask, url, of_server(d, n), rng, mode=GenerationMode.POSITIVE, examples=20
            ),
            time.monotonic() - t,
        )
        t = time.monotonic()
        print(
            await asyncio.to_thread(ask, url, d, rng, mode=GenerationMode.NEGATIVE, examples=20),
            time.monotonic() - t,
        )
