"""openapi.json against the code: nothing that the one has is missing from the other."""

import ast
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from harness.contract import schema
from openapi_spec_validator import validate

from streamer.deliver import examples, openapi
from streamer.deliver.asked import article_parameters, ticket_parameters
from streamer.deliver.encode import bye, control, cursor
from streamer.deliver.filters import parse_filters
from streamer.deliver.outlet import RESETS
from streamer.deliver.people import People
from streamer.deliver.problems import CODES, TYPE, Problem
from streamer.deliver.request import PARAMETERS
from streamer.deliver.schemas import BYE_REASONS, GAP_REASONS
from streamer.deliver.server import application
from streamer.deliver.ticket_route import PARAMETERS as TICKET_PARAMETERS
from streamer.model import Article
from streamer.projection import Projection

DELIVER = Path(openapi.__file__).parent
COPY = DELIVER.parent.parent / "deploy" / "api" / "openapi.json"
DOCUMENT = openapi.document()


def test_it_is_openapi_3_1_and_the_copy_is_the_codes_own() -> None:
    """After a change of the contract: python -m streamer.deliver.openapi > deploy/api/openapi.json"""
    validate(DOCUMENT)
    assert COPY.read_bytes() == openapi.encoded()


def routes() -> Iterable[tuple[str, str]]:
    class Handler:
        async def handle(self, _: web.Request) -> web.StreamResponse:
            raise NotImplementedError

    handler: Any = Handler()
    app = application(handler, handler, handler)
    for route in app.router.routes():
        assert route.resource is not None
        yield route.resource.canonical, route.method


def test_every_route_is_described_with_its_methods_and_no_other_is() -> None:
    """OPTIONS goes everywhere, by the guard."""
    served: dict[str, set[str]] = {}
    for path, method in routes():
        served.setdefault(path, {"OPTIONS"}).add(method)
    described = {
        path: {method.upper() for method in operations} for path, operations in DOCUMENT["paths"].items()
    }
    assert described == served
    (name,) = DOCUMENT["paths"]["/page/{name}"]["get"]["parameters"]
    assert name["schema"]["enum"] == People().names()


def test_every_parameter_is_described_and_no_other_is() -> None:
    """In the query, in a body, and of tickets."""
    assert PARAMETERS.keys() == article_parameters().keys()
    for path, known in (("/v2/articles", PARAMETERS), ("/v2/tickets", TICKET_PARAMETERS)):
        for method in DOCUMENT["paths"][path].keys() - {"options"}:
            parameters = DOCUMENT["paths"][path][method]["parameters"]
            assert {each["name"] for each in parameters if each["in"] == "query"} == known.keys()
        body = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert body["properties"].keys() == set(known)
        assert body["additionalProperties"] is False
    assert ticket_parameters().keys() == TICKET_PARAMETERS.keys()


def raised() -> Iterable[tuple[str, int]]:
    """The codes and statuses that stand in the role's source."""
    for file in sorted(DELIVER.glob("*.py")):
        for call in ast.walk(ast.parse(file.read_text())):
            if not isinstance(call, ast.Call) or getattr(call.func, "id", "") not in ("Problem", "busy"):
                continue
            status, code = call.args[:2]
            if isinstance(code, ast.Constant):
                assert isinstance(status, ast.Constant), (file, ast.unparse(call))
                yield code.value, status.value
            else:
                written = file.name, ast.unparse(call)
                assert written[0] in ("start.py", "problems.py"), f"a code that no test can see: {written}"


def test_every_code_that_is_raised_stands_in_the_table_and_in_the_document() -> None:
    """With its status; a code of the table that nobody raises is a defect too."""
    found = set(raised())
    # of aiohttp's refusals, and of positions that can't be resumed (start.py has them in a variable)
    found |= {(code, CODES[code].status) for code in (
        "not_found", "method_not_allowed", "request_entity_too_large", "expectation_failed", *GAP_REASONS
    )}  # fmt: skip
    assert found == {(name, code.status) for name, code in CODES.items()}
    named = {
        (kind, int(name[-3:]))
        for name, answer in DOCUMENT["components"]["responses"].items()
        for kind in answer["content"]["application/problem+json"]["schema"]["properties"]["type"]["enum"]
    }
    assert named == {(TYPE + code, status) for code, status in found}


@pytest.mark.parametrize("code", CODES)
def test_a_problem_is_what_the_document_says(code: str) -> None:
    """Its body, with all that any has."""
    problem = Problem(CODES[code].status, code, "why", parameter="since", extra={"earliest": "e7c14a09.0:1"})
    schema("Problem").validate(problem.body())


def test_the_reasons_of_ends_and_gaps_are_all_that_the_code_has() -> None:
    """As it writes them: `Ended`, `ended`, `cut` and `_gap` are given them as literals."""
    ends, gaps = set(), set()
    for file in DELIVER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
                if name in ("Ended", "cut"):
                    ends |= set(texts)
                elif name in ("_gap", "say_gap"):
                    gaps |= set(texts)
            elif (
                isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Constant)
                and getattr(node.targets[0], "attr", "") == "ended"
            ):
                ends.add(node.value.value)
    assert ends - {"", *RESETS} == set(BYE_REASONS)
    assert gaps == set(GAP_REASONS)


@pytest.mark.parametrize(
    "event",
    [
        examples.SSE.encode(),
        cursor("e7c14a09.0:1"),
        bye("drain", "e7c14a09.0:1"),
        control("gap", {"reason": "expired", "position": "e7c14a09.0:1"}, "e7c14a09.0:1"),
    ],
)
def test_events_are_what_the_document_says(event: bytes) -> None:
    """As a client's parser gives them, by the name that is in them; no two names fit one."""
    got = {"event": "message"}
    for line in event.decode().split("\n\n")[0].split("\n"):
        name, _, value = line.partition(": ")
        if name in ("event", "id", "data"):
            got[name] = value
    schema("ServerSentEvent").validate(got)
    (kind,) = [each for each in DOCUMENT["components"]["schemas"]["ServerSentEvent"]["oneOf"]
               if each["properties"]["event"]["const"] == got["event"]]  # fmt: skip
    data = kind["properties"]["data"]["contentSchema"]["$ref"].rpartition("/")[2]
    schema(data, closed=True).validate(json.loads(got["data"]))
    assert not schema("ServerSentEvent").is_valid({**got, "event": "error"})


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("Article", examples.DELIVERED),
        ("Status", examples.STATUS),
        ("Ticket", examples.TICKET),
        ("Cursor", json.loads(cursor("e7c14a09.0:1").split(b"data: ")[1])),
        *[("Bye", json.loads(bye(reason, "e7c14a09.0:1").split(b"data: ")[1])) for reason in BYE_REASONS],
        ("Problem", DOCUMENT["components"]["schemas"]["Problem"]["examples"][0]),
    ],
)
def test_examples_are_what_they_are_examples_of(name: str, example: object) -> None:
    """The code made them, so that what is shown is what comes."""
    schema(name).validate(example)


def test_what_the_schema_names_may_be_asked_for_and_the_rest_may_not() -> None:
    """Each name of `Field` is one that the projection takes, each of `Filter` one that filters take with a
    value of its type, and with no other type.
    """
    fields, free = DOCUMENT["components"]["schemas"]["Field"]["anyOf"]
    assert len(fields["enum"]) > 100
    Projection(fields["enum"])
    sample = {"string": "x", "number": 1.5, "boolean": True}
    for kind in DOCUMENT["components"]["schemas"]["Filter"]["anyOf"]:
        field, value = kind["properties"]["field"], kind["properties"]["value"]
        types = value["anyOf"][0]["type"]
        types = [types] if isinstance(types, str) else types
        for name in field.get("enum", ["version.scores.revertrisk.prediction"]):
            for type_, one in sample.items():
                asked = [{"field": name, "value": one}]
                if type_ in types:
                    assert parse_filters(asked)
                else:
                    with pytest.raises(Problem):
                        parse_filters(asked)
    assert free["pattern"].startswith("^(version")
    for name in ("version", "nonsense", "version.nonsense", "name.*"):
        assert not schema("Field").is_valid(name)
        with pytest.raises(Exception, match=r"not found|use wildcard"):
            Projection([name])


def test_the_schema_of_an_article_has_all_that_the_model_has() -> None:
    """And requires no more than what every selection of fields leaves."""
    found = DOCUMENT["components"]["schemas"]["Article"]
    assert found["properties"].keys() == {field.encode_name for field in msgspec.structs.fields(Article)}
    whole = msgspec.json.encode(examples.ARTICLE)
    least = msgspec.json.decode(Projection(["name"]).apply(whole, removed=True))
    least["event"] |= {"partition": 0, "offset": 0}
    schema("Article").validate(least)
    for name in found["required"]:
        assert not schema("Article").is_valid({key: value for key, value in least.items() if key != name})
