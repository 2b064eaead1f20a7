"""Schemathesis asks the endpoint what openapi.json allows, and what it does not.

Every answer is held against the document: status, media type, headers, body; never a 5xx. What the document
allows is served, and not without a key; what it forbids is refused. A stream never ends, so of one that was
opened the status, the headers and what comes at once are looked at, and then it is closed: what follows is
other tests' business, as are tickets.

What no schema can state is left out of the valid requests, or excused by name: positions of this very feed,
times that were, the length of a URL. For that the document is narrowed to what this server can have said; the
invalid requests go by the document as it is.
"""

import asyncio
import copy
import random
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from harness.contract import schema
from harness.delivering import bearer, delivering
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig

from streamer.deliver.body import MAX_BODY_BYTES
from streamer.deliver.encode import PREAMBLE
from streamer.deliver.guard import MAX_TARGET_CHARS
from streamer.deliver.openapi import document
from streamer.deliver.request import PARAMETERS
from streamer.deliver.ticket_route import PARAMETERS as TICKET_PARAMETERS

load_all_checks()
Described = dict[str, Any]
VALID, INVALID = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
ALWAYS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
OF_MODE = {VALID: "positive_data_acceptance", INVALID: "negative_data_rejection"}
CONFIG: Described = {
    "generation": {"with-security-parameters": False},  # we show the key
    "checks": {
        "negative_data_rejection": {
            "expected-statuses": ["400", "401", "403", "404", "410", "413", "414", "415", "422"]
        }
    },
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
STREAMS = ("text/event-stream", "application/x-ndjson")
ANSWER_S = 10.0
LINE_CHARS = 8 * MAX_TARGET_CHARS - 100
"""Of the request line, as the server reads it; less the method and the version."""
EXAMPLES = [5, pytest.param(300, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
"""Of each operation, at random, beside the boundaries."""
UNLIMITED = "limits = { requests_per_minute = 1000000 }"


def of_this_server(newest: str) -> tuple[Described, ...]:
    """The document, narrowed to what this server can have said. A parameter of POST may be said once: in the
    first of the two it stands in the body, in the second in the query.
    """
    narrowed = copy.deepcopy(document())
    ago = [timedelta(0), timedelta(minutes=1), timedelta(days=400)]
    times = [(datetime.now(UTC) - each).isoformat() for each in ago]
    time = {"enum": [*times, "2026-01-02t03:04:05.678901234z"]}
    partitions = {"enum": [str(partition) for partition in range(10)]}
    known = {
        "since": time,
        "offsets": {"propertyNames": partitions, "additionalProperties": {"enum": [0, 0.0]}},
        "since_per_partition": {"propertyNames": partitions, "additionalProperties": time},
        "last_event_id": {"enum": ["", newest]},
        "Last-Event-ID": {"enum": [newest]},
    }
    paths = narrowed["paths"]
    articles = paths["/v2/articles"]
    for method in ("get", "head", "post"):
        for each in articles[method]["parameters"]:
            taken = each if "schema" in each else each["content"]["application/json"]
            _narrow(taken["schema"], known.get(each["name"], {}))
    body = articles["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    for name, taken in body.items():
        _narrow(taken["anyOf"][0], known.get(name, {}))
    # a partition that is in none of the parts can't be given a start: never both
    del body["parts"]
    starts = {"offsets", "since_per_partition"}
    for method, gone in (("get", {"parts"}), ("head", starts), ("post", starts)):
        _without(articles[method], gone)
    posts = {path: {"post": methods["post"]} for path, methods in paths.items() if "post" in methods}
    in_query = copy.deepcopy({**narrowed, "paths": posts})
    for path in posts:
        del in_query["paths"][path]["post"]["requestBody"]
        _without(paths[path]["post"], {*PARAMETERS, *TICKET_PARAMETERS})
    return narrowed, in_query


def _without(operation: Described, gone: Collection[str]) -> None:
    operation["parameters"] = [each for each in operation["parameters"] if each["name"] not in gone]


def _narrow(taken: Described, more: Mapping[str, Any]) -> None:
    taken.pop("examples", None)
    if "enum" in more:
        taken.clear()
    taken.update(more)


@dataclass
class Asking:
    """`answers`: how often each operation was answered by which status."""

    url: str
    described: Sequence[Described]
    mode: GenerationMode
    examples: int
    answers: dict[str, Counter[int]] = field(default_factory=dict)

    def run(self, rng: random.Random) -> None:
        """Blocking. Raises what schemathesis finds, with a curl line."""
        config = SchemathesisConfig.from_dict(CONFIG)
        apis = [schemathesis.openapi.from_dict(each, config=config) for each in self.described]
        with requests.Session() as session:
            for result in (result for api in apis for result in api.get_all_operations()):
                operation = result.ok()
                takes = operation.definition.raw
                is_fixed = not (takes.get("parameters") or takes.get("requestBody"))
                if self.mode == INVALID and (is_fixed or operation.method in ("head", "options")):
                    continue  # nothing of it can be wrong, or it is judged as the GET is
                self._operation(operation, session, rng.randrange(2**32))

    def _operation(self, operation: Any, session: requests.Session, number: int) -> None:
        if operation.method not in ("head", "options"):
            self._boundaries(operation, session)

        @seed(number)
        @settings(
            max_examples=self.examples,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=self.mode))
        def ask(case: Case) -> None:
            self._ask(case, session, "ignored_auth")  # asks each again, without a key and with a wrong one

        ask()

    def _boundaries(self, operation: Any, session: requests.Session) -> None:
        """What schemathesis makes of every bound, type and list of values, the same in every run."""
        config = operation.schema.config.generation
        for case in operation.schema.iter_coverage_cases(
            operation, generation_modes=[self.mode], generation_config=config
        ):
            self._ask(case, session)

    def _ask(self, case: Case, session: requests.Session, *more: str) -> None:
        answer = self._send(case, session)
        self.answers.setdefault(case.operation.label, Counter())[answer.status_code] += 1
        if self.mode == INVALID or not is_excused(answer):
            checks = CHECKS.get_by_names([*ALWAYS, OF_MODE[self.mode], *more])
            sent = {"base_url": self.url, "timeout": ANSWER_S, "headers": bearer()}
            case.validate_response(answer, checks=checks, headers=bearer(), transport_kwargs=sent)

    def _send(self, case: Case, session: requests.Session) -> requests.Response:
        """As schemathesis would; of a stream what comes at once."""
        arguments = case.as_transport_kwargs(base_url=self.url, headers=bearer())
        answer = session.request(**arguments, stream=True, timeout=ANSWER_S, allow_redirects=False)
        if case.method != "HEAD" and answer.headers.get("Content-Type") in STREAMS:
            first = next(chunk for chunk in answer.raw.stream(65_536, decode_content=True) if chunk)
            assert first.startswith((PREAMBLE, b" ")), first
            answer._content = first[: first.rfind(b"\n\n") + 2] or first  # no event that is cut
            answer.close()
        return answer


def is_excused(answer: requests.Response) -> bool:
    """Refused for the length of its URL or body, which no schema states. A URL of which the server does not
    read the end is no HTTP to it.
    """
    target, body = str(answer.request.path_url), answer.request.body or b""
    if answer.status_code == 413:
        return len(body) > MAX_BODY_BYTES
    return len(target) > {414: MAX_TARGET_CHARS, 400: LINE_CHARS}.get(answer.status_code, sys.maxsize)


async def newest(url: str) -> str:
    def get() -> str:
        status = requests.get(f"{url}/v2/status", headers=bearer(), timeout=ANSWER_S).json()
        found: str = status["positions"]["newest"]
        return found

    return await asyncio.to_thread(get)


async def asked(folder: Path, rng: random.Random, mode: GenerationMode, examples: int) -> Asking:
    async with delivering(folder, limits=UNLIMITED) as server:
        await server.write(range(1, 21))
        url = server.url.removesuffix("/v2/articles")
        described = of_this_server(await newest(url)) if mode == VALID else [document()]
        asking = Asking(url, described, mode, examples)
        await asyncio.to_thread(asking.run, rng)
        return asking


@pytest.mark.parametrize("examples", EXAMPLES)
async def test_what_the_document_allows_is_served(tmp_path: Path, rng: random.Random, examples: int) -> None:
    """Every operation, with the key alone; 403 where this partner is never given a field."""
    asking = await asked(tmp_path, rng, VALID, examples)
    operations = {
        f"{method.upper()} {path}" for path, methods in document()["paths"].items() for method in methods
    }
    assert asking.answers.keys() == operations
    for label, answers in asking.answers.items():
        assert {200, 201, 204} & answers.keys(), f"{label} was never served: {answers}"


@pytest.mark.parametrize("examples", EXAMPLES)
async def test_what_the_document_forbids_is_refused(
    tmp_path: Path, rng: random.Random, examples: int
) -> None:
    """With a problem that the document names, for every operation that takes anything (HEAD as its GET)."""
    asking = await asked(tmp_path, rng, INVALID, examples)
    assert {"GET /v2/articles", "POST /v2/articles", "POST /v2/tickets"} <= asking.answers.keys()
    for label, answers in asking.answers.items():
        assert answers.keys() & {400, 404, 422}, f"{label} was never refused: {answers}"


async def test_other_methods_and_paths_are_refused_as_described(tmp_path: Path) -> None:
    """405 with exactly the methods of the document in `Allow`, 404 for what is no route."""
    async with delivering(tmp_path) as server:
        url = server.url.removesuffix("/v2/articles")

        def ask() -> None:
            for path, operations in document()["paths"].items():
                described = {method.upper() for method in operations}
                target = url + path.replace("{name}", "page.js")
                for method in {*METHODS} - described:
                    answer = requests.request(method, target, headers=bearer(), timeout=ANSWER_S)
                    assert answer.status_code == 405, (method, path)
                    assert set(answer.headers["Allow"].split(", ")) == described, (method, path)
                    if method != "HEAD":
                        schema("Problem").validate(answer.json())
            answer = requests.get(f"{url}/v2/nothing", timeout=ANSWER_S)
            assert answer.status_code == 404
            schema("Problem").validate(answer.json())

        await asyncio.to_thread(ask)


async def test_the_document_is_served_to_all_and_known_by_its_tag(tmp_path: Path) -> None:
    """Without a key; 304 to who has it, HEAD without a body."""
    async with delivering(tmp_path) as server:
        url = server.url.replace("/v2/articles", "/openapi.json")

        def ask() -> None:
            answer = requests.get(url, timeout=ANSWER_S)
            assert answer.json() == document()
            assert "max-age" in answer.headers["Cache-Control"]
            known = {"If-None-Match": f'W/{answer.headers["ETag"]}, "other"'}
            again = requests.get(url, headers=known, timeout=ANSWER_S)
            assert (again.status_code, again.content) == (304, b"")
            head = requests.head(url, timeout=ANSWER_S)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["Content-Length"] == str(len(answer.content))

        await asyncio.to_thread(ask)
