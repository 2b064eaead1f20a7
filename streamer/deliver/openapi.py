"""`/openapi.json`: the wire contract as OpenAPI 3.1, made of the tables that the code itself goes by.

`python -m streamer.deliver.openapi > deploy/api/openapi.json` writes the copy that a test compares.
"""

import hashlib
import sys
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from streamer.deliver import article_schema, asked, cors, examples, schemas, ticket_route
from streamer.deliver.body import MAX_BODY_BYTES
from streamer.deliver.people import TYPES, People
from streamer.deliver.problems import CODES, CONTENT_TYPE, TYPE, Code, Scope, invalid
from streamer.deliver.request import PARAMETERS, Form, Known

Schema = dict[str, Any]
JSON: Final = "application/json"
VERSION: Final = "2.1.0"
"""Of the contract, as its paths have it; the second number grows with what is added to it."""
REFUSALS: Final[Mapping[str, frozenset[Scope]]] = {
    "Articles": frozenset({"any", "key", "log", "body", "parameters", "values", "articles"}),
    "Status": frozenset({"any", "key", "log", "parameters"}),
    "Tickets": frozenset({"any", "key", "body", "parameters", "values"}),
    "Open": frozenset({"any"}),
    "Asset": frozenset({"any", "path"}),
    "Elsewhere": frozenset({"path", "method"}),
}
"""Which problems a route, or a group of them, has."""
ALWAYS_WITH: Final[Mapping[int, tuple[str, ...]]] = {
    403: ("parameter",),
    410: ("parameter", "earliest"),
    422: ("parameter",),
}
"""What a problem of this status has beyond the rest."""
EACH_ONCE: Final = "A parameter stands in the query or in the body, never in both."
UNCOUNTED: Final = (401, 414, 417)
"""Who is unknown has no limits, and the others are told before anybody asks who it is."""
KEY: Final[Schema] = {"key": []}
ABOUT: Final = """\
Wikipedia's edits, with their articles, as a live feed for every partner. `GET /v2/articles` never ends by\
 itself; resume with the last `id:` after any break. Clients of Wikimedia Enterprise's Realtime API find its\
 parameters, fields and errors here.

Every refusal is an RFC 9457 problem; `Elsewhere…` are those of other paths and methods. HEAD is answered as\
 GET is, without a body and without a stream. OPTIONS needs no key, and any origin may ask (CORS);\
 credentials of browsers are never used."""
SSE: Final = """\
`text/event-stream` (the default): `retry: 3000` and a comment at once, then an unnamed event for each\
 article: `id:` is the position behind it, `data:` an `Article` in one line. A comment `:hb` every 15 s\
 (unless set otherwise) says that the stream lives. Named events: `cursor` (the position moves without\
 articles: keep its `id:`), `gap`, `bye`, with the data `Cursor`, `Gap`, `Bye`; ignore others. The stream\
 ends on an event's border with `bye`, or is reset.

`application/x-ndjson`: an `Article` a line; single spaces between lines say that the stream lives. Resume by\
 `offsets`: for each partition the last `event.offset` + 1. A gap is always 410.

With `Content-Encoding: gzip` every event is flushed as it comes."""


def document() -> Schema:
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "streamer",
            "version": VERSION,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": {
            "/v2/articles": _articles(),
            "/v2/status": _status(),
            "/v2/tickets": _tickets(),
            "/openapi.json": _plain("openapi", "This document.", {JSON: {"schema": {"type": "object"}}}),
            "/": _plain("page", "A page for people.", {TYPES[".html"]: {"schema": {"type": "string"}}}),
            "/page/{name}": _asset(),
        },
        "components": {
            "schemas": {
                **dict(sorted((_article() | schemas.components()).items())),
                **asked.components(),
                "Problem": _problem(CODES),
                "ServerSentEvent": _event(),
                "Ticket": _ticket(),
            },
            "responses": {
                _name(group, status): _refusal(status, scopes)
                for group, scopes in REFUSALS.items()
                for status in _statuses(scopes)
            },
            "headers": HEADERS,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "The partner's key."},
                "ticket": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "ticket",
                    "description": "Of `POST /v2/tickets`, for clients that can't set headers (EventSource).",
                },
            },
        },
    }


def _article() -> Schema:
    """As by SSE and NDJSON: with its place."""
    found = article_schema.definitions(schemas.REF)
    found["Event"]["required"] += schemas.PLACE
    return found


def encoded() -> bytes:
    return msgspec.json.format(msgspec.json.encode(document()), indent=1) + b"\n"


# ── routes ─────────────────────────────────────────────────────────────────────────────────────


def _articles() -> Schema:
    parameters = asked.article_parameters()
    taken = [
        *_in_query(parameters, PARAMETERS),
        {
            "name": "Last-Event-ID",
            "in": "header",
            "description": "Resume behind the event of this id. Beats all that says where to begin.",
            "schema": {"type": "string"},
        },
    ]
    answer: Schema = {
        "description": SSE,
        "headers": _headers("Cache-Control", "Vary", "Content-Encoding", *LIMITS),
        "content": {
            "text/event-stream": {
                "schema": {"$ref": "#/components/schemas/ServerSentEvent"},
                "example": examples.SSE,
            },
            "application/x-ndjson": {
                "schema": {
                    "type": "string",
                    "contentMediaType": JSON,
                    "contentSchema": {"$ref": "#/components/schemas/Article"},
                },
                "example": examples.NDJSON,
            },
        },
    }
    reading = {"security": [KEY, {"ticket": []}], "parameters": taken}
    return _path(
        {
            "get": {
                "operationId": "articles",
                "summary": "The partner's feed, from any kept position on, and then live",
                "description": "The parameters may also stand in a JSON body, as by POST.",
                **reading,
                "responses": _responses("Articles", {"200": answer}),
            },
            "post": {
                "operationId": "postArticles",
                "summary": "The same, also with the parameters in a JSON body",
                "description": EACH_ONCE,
                "security": [KEY],
                "parameters": taken,
                "requestBody": _body(
                    asked.body_of(parameters), {"fields": ["name", "event.*"], "parts": [0]}
                ),
                "responses": _responses("Articles", {"200": answer}),
            },
        }
    )


def _status() -> Schema:
    answer = {
        "description": "The partner's own feed",
        "headers": _headers("Cache-Control", *LIMITS),
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Status"}, "example": examples.STATUS}},
    }
    return _path(
        {
            "get": {
                "operationId": "status",
                "summary": "Freshness, completeness, positions and streams of the partner's feed",
                "security": [KEY],
                "responses": _responses("Status", {"200": answer}),
            }
        }
    )


def _tickets() -> Schema:
    answer = {
        "description": "A ticket, which opens `GET /v2/articles` until it expires or its key is revoked",
        "headers": _headers("Cache-Control", *LIMITS),
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Ticket"}, "example": examples.TICKET}},
    }
    parameters = asked.ticket_parameters()
    return _path(
        {
            "post": {
                "operationId": "ticket",
                "summary": "A ticket for a browser's EventSource, which can't send a key",
                "description": EACH_ONCE,
                "security": [KEY],
                "parameters": _in_query(parameters, ticket_route.PARAMETERS),
                "requestBody": _body(asked.body_of(parameters), {"valid_s": 600}),
                "responses": _responses("Tickets", {"201": answer}),
            }
        }
    )


def _plain(operation: str, says: str, content: Schema, refusals: str = "Open") -> Schema:
    """A file: no key, and an ETag."""
    headers = _headers("ETag", "Cache-Control")
    return _path(
        {
            "get": {
                "operationId": operation,
                "summary": says,
                "security": [],
                "responses": _responses(
                    refusals,
                    {
                        "200": {"description": says, "headers": headers, "content": content},
                        "304": {"description": "As `If-None-Match` knows it.", "headers": headers},
                    },
                ),
            }
        }
    )


def _asset() -> Schema:
    content = {kind: {"schema": {"type": "string"}} for ending, kind in TYPES.items() if ending != ".html"}
    path = _plain("asset", "What the page is made of.", content, "Asset")
    for method, operation in path.items():
        schema = {"type": "string"} if method == "options" else {"enum": People().names()}
        operation["parameters"] = [{"name": "name", "in": "path", "required": True, "schema": schema}]
    return path


def _path(operations: Schema) -> Schema:
    """With what every path takes beside."""
    if "get" in operations:
        get = operations["get"]
        operations["head"] = {
            **get,
            "operationId": get["operationId"] + "Head",
            "summary": "Status and headers of the GET",
        }
    methods = [method.upper() for method in operations]
    operations["options"] = {
        "operationId": next(iter(operations.values()))["operationId"] + "Options",
        "summary": "Which methods there are, for browsers too",
        "security": [],
        "responses": {
            "204": {
                "description": cors.methods_of(methods),
                "headers": _headers(
                    "Allow",
                    "Access-Control-Allow-Methods",
                    "Access-Control-Allow-Headers",
                    "Access-Control-Max-Age",
                ),
            },
            **_responses("Open", {}),
        },
    }
    return operations


def _in_query(parameters: Mapping[str, Schema], forms: Known) -> list[Schema]:
    return [_one_in_query(name, schema, forms[name]) for name, schema in parameters.items()]


def _one_in_query(name: str, schema: Schema, form: Form) -> Schema:
    parameter: Schema = {"name": name, "in": "query"}
    says = schema["description"]
    plain = {key: value for key, value in schema.items() if key != "description"}
    if form == "json":
        return {**parameter, "description": f"{says} As JSON.", "content": {JSON: {"schema": plain}}}
    if form == "list":
        says += " Repeated, or separated by commas."
    return {**parameter, "description": says, "schema": plain}


def _body(schema: Schema, example: Schema) -> Schema:
    return {
        "description": f"At most {MAX_BODY_BYTES:,} bytes, as it is; of any media type.",
        "content": {JSON: {"schema": schema, "example": example}},
    }


# ── answers ────────────────────────────────────────────────────────────────────────────────────


def _responses(refusals: str, good: Schema) -> Schema:
    return good | {
        str(status): {"$ref": f"#/components/responses/{_name(refusals, status)}"}
        for status in _statuses(REFUSALS[refusals])
    }


def _name(refusals: str, status: int) -> str:
    return f"{refusals}{status}"


def _statuses(scopes: frozenset[Scope]) -> list[int]:
    return sorted({code.status for code in CODES.values() if code.scope in scopes})


def _refusal(status: int, scopes: frozenset[Scope]) -> Schema:
    codes = {name: code for name, code in CODES.items() if code.status == status and code.scope in scopes}
    own = {401: ("WWW-Authenticate",), 405: ("Allow",), 429: ("Retry-After",), 503: ("Retry-After",)}
    limits = LIMITS if "key" in scopes and status not in UNCOUNTED else ()
    is_handlers = all(code.scope != "any" for code in codes.values())  # the others come before the route does
    varies = ("Vary",) if "articles" in scopes and is_handlers else ()
    return {
        "description": "; ".join(f"`{name}`: {code.says}" for name, code in codes.items()),
        "headers": _headers("Cache-Control", *own.get(status, ()), *varies, *limits),
        "content": {CONTENT_TYPE: {"schema": _problem(codes, status)}},
    }


def _problem(codes: Mapping[str, Code], status: int = 0) -> Schema:
    """Of one status, or of all."""
    types: Schema = {"enum": sorted(TYPE + code for code in codes)}
    if status:
        return {
            "$ref": "#/components/schemas/Problem",
            "properties": {"type": types, "status": {"const": status}},
            "required": list(ALWAYS_WITH.get(status, ())),
        }
    said = {
        "type": types,
        "title": {"type": "string", "description": "The status's own words."},
        "status": {"enum": sorted({code.status for code in codes.values()})},
        "detail": {"type": "string", "description": "What is wrong, and what to do about it."},
        "message": {"type": "string", "description": "`detail` again, for clients of Enterprise's API."},
    }
    may = {
        "parameter": {"type": "string", "description": "The one at fault."},
        "earliest": {"type": "string", "description": "The position of the earliest that is kept."},
    }
    example = invalid("since", "is not an RFC 3339 time, e.g. 2026-11-21T12:00:00Z").body()
    return {
        "description": "RFC 9457",
        "type": "object",
        "properties": said | may,
        "required": list(said),
        "additionalProperties": False,
        "examples": [example],
    }


def _event() -> Schema:
    """OpenAPI 3.1 has no word for the items of a stream: tools read its schema as that of each event."""

    def one(name: str, data: str) -> Schema:
        content = {"$ref": f"#/components/schemas/{data}"}
        return {
            "type": "object",
            "properties": {
                "event": {"const": name},
                "id": {"type": "string"},
                "data": {"type": "string", "contentMediaType": JSON, "contentSchema": content},
            },
            "required": ["event", "data", "id"],
        }

    return {
        "description": "Each event as a client gets it; one that is unnamed is a `message` to it.",
        "oneOf": [
            one("message", "Article"),
            one("cursor", "Cursor"),
            one("gap", "Gap"),
            one("bye", "Bye"),
        ],
    }


def _ticket() -> Schema:
    return {
        "type": "object",
        "properties": {
            "ticket": {"type": "string"},
            "expires_at": {"type": "string", "format": "date-time"},
            "valid_s": {"type": "integer"},
        },
        "required": ["ticket", "expires_at", "valid_s"],
        "additionalProperties": False,
    }


def _header(says: str, *, always: bool = True, schema: Schema | None = None) -> Schema:
    return {"description": says, "required": always, "schema": {"type": "string", **(schema or {})}}


HEADERS: Final[Mapping[str, Schema]] = {
    "Access-Control-Allow-Origin": _header("Any page may read the answer.", schema={"const": "*"}),
    "Access-Control-Expose-Headers": _header("What a page may read beside."),
    "Access-Control-Allow-Methods": _header("As `Allow`."),
    "Access-Control-Allow-Headers": _header("What a page may send.", schema={"const": cors.REQUEST_HEADERS}),
    "Access-Control-Max-Age": _header("Seconds.", schema={"const": str(cors.MAX_AGE_S)}),
    "Allow": _header("The methods that this path takes."),
    "Cache-Control": _header("`no-store` where the answer is one partner's."),
    "Content-Encoding": _header("Where `Accept-Encoding` allows it.", always=False, schema={"const": "gzip"}),
    "ETag": _header("For `If-None-Match`."),
    "RateLimit": _header(
        'Requests that are left, and seconds until all are: `"requests";r=599;t=1`. Where they are limited,'
        " once the key was looked at.",
        always=False,
        schema={"pattern": '^"requests";r=[0-9]+;t=[0-9]+$'},
    ),
    "RateLimit-Policy": _header(
        'So many requests in so many seconds: `"requests";q=600;w=60`. As `RateLimit`.',
        always=False,
        schema={"pattern": '^"requests";q=[0-9]+;w=60$'},
    ),
    "Retry-After": _header("Seconds.", schema={"pattern": "^[0-9]+$"}),
    "Vary": _header("What the answer depends on.", schema={"const": "Accept, Accept-Encoding"}),
    "WWW-Authenticate": _header("`Bearer`."),
}
LIMITS: Final = ("RateLimit", "RateLimit-Policy")


def _headers(*names: str) -> Schema:
    every = tuple(cors.EVERY_ANSWER)
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*names, *every)}


class OpenApi:
    """The route. Made once."""

    def __init__(self) -> None:
        self._body = encoded()
        self._tag = f'"{hashlib.sha256(self._body).hexdigest()[:24]}"'

    async def handle(self, request: web.Request) -> web.Response:
        headers = {"ETag": self._tag, "Cache-Control": "public, max-age=300"}
        known = [
            tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")
        ]
        if self._tag in known or "*" in known:
            return web.Response(status=304, headers=headers)
        return web.Response(body=self._body, headers={"Content-Type": JSON, **headers})


if __name__ == "__main__":
    sys.stdout.write(encoded().decode())
