"""What a request is told instead of a stream: RFC 9457 problems that also carry `status` and `message`.

`message` repeats `detail` for clients of Wikimedia Enterprise, whose errors are `{status, message}`.
A problem's `code` is bounded: it is the tail of its type and a metric label. A problem never repeats a
key, and of what the client sent only the names of parameters and fields.
"""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final, Literal, NamedTuple

import msgspec
from aiohttp import web

from streamer.deliver.cors import methods_of
from streamer.errors import FieldUnknown
from streamer.metrics import DELIVER_REFUSED, bounded
from streamer.partners import KEY_PREFIX

CONTENT_TYPE: Final = "application/problem+json"
TYPE: Final = "urn:streamer:problem:"
RETRY_SOON_S: Final = 5
"""What a client that came too early or too often is asked to wait."""

Scope = Literal["any", "path", "method", "key", "log", "body", "parameters", "values", "articles"]
"""Where a problem can occur: at any route; for another path or method than those of the routes; where a key
is needed, the log is read, a body, parameters, or parameters with values are taken; at /v2/articles alone.
"""


class Code(NamedTuple):
    status: int
    scope: Scope
    says: str
    """What it means, for /openapi.json."""


CODES: Final[Mapping[str, Code]] = {
    "bad_request": Code(400, "any", "what was sent is no HTTP/1.1"),
    "key_in_query": Code(400, "key", "a key in a URL: it may stand in logs by now, so rotate it"),
    "bad_body": Code(400, "body", "the body is no JSON object, is broken off, or did not come in time"),
    "bad_position": Code(400, "articles", "a position that this feed cannot have given"),
    "two_credentials": Code(400, "articles", "a key and a ticket; show one of them"),
    "unauthorized": Code(401, "key", "no key or ticket, or one that is unknown, expired or revoked"),
    "not_granted": Code(403, "articles", "a field that this partner is never given"),
    "not_found": Code(404, "path", "there is nothing at this path"),
    "method_not_allowed": Code(405, "method", "the route does not take this method; see `Allow`"),
    "not_acceptable": Code(406, "articles", "none of the feed's formats, or encodings, will do"),
    "expired": Code(410, "articles", "retention took what follows this position; see `earliest`"),
    "recreated": Code(410, "articles", "the feed was made anew since this position; see `earliest`"),
    "request_entity_too_large": Code(413, "body", "a body beyond what is taken"),
    "uri_too_long": Code(414, "any", "put the parameters into a JSON body instead"),
    "unsupported_encoding": Code(415, "body", "a body with a Content-Encoding"),
    "expectation_failed": Code(417, "any", "an `Expect` other than 100-continue"),
    "field_unknown": Code(422, "articles", "a field that articles do not have"),
    "invalid_parameter": Code(422, "values", "a parameter's value makes no sense, or it is given twice"),
    "unknown_parameter": Code(422, "parameters", "there is no such parameter"),
    "too_many_connections": Code(429, "articles", "the partner has all the streams it may have"),
    "too_many_feeds": Code(429, "articles", "the partner has all the distinct feeds it may have"),
    "too_many_requests": Code(429, "key", "the partner's requests of this minute are used up"),
    "internal": Code(500, "any", "a mistake of this server's"),
    "draining": Code(503, "articles", "this server is stopping"),
    "full": Code(503, "articles", "this server has all the streams, or distinct feeds, that it takes"),
    "log_unavailable": Code(503, "log", "the log does not answer at the moment"),
    "not_ready": Code(503, "log", "the feed is being made; come back in a moment"),
}
"""Every code that a problem can have (`Problem` is given one by name; a test looks that it stands here)."""
bounded(DELIVER_REFUSED, code=tuple(CODES))
OF_STATUS: Final = {
    CODES[code].status: code
    for code in (
        "bad_request", "not_found", "method_not_allowed", "request_entity_too_large", "expectation_failed"
    )
}  # fmt: skip
"""What aiohttp refuses by itself."""


class Problem(Exception):
    """An answer in place of the stream. `parameter` names what is wrong, where a parameter is; `closes`: no
    other request is read from this connection.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        parameter: str = "",
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, object] | None = None,
        closes: bool = False,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.parameter = parameter
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})
        self.closes = closes

    def body(self) -> dict[str, object]:
        body: dict[str, object] = {
            "type": TYPE + self.code,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "message": self.detail,
        }
        if self.parameter:
            body["parameter"] = self.parameter
        return body | self.extra

    def response(self) -> web.Response:
        response = web.Response(
            status=self.status,
            body=msgspec.json.encode(self.body()),
            headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store", **self.headers},
        )
        if self.closes:
            response.force_close()
        return response


def refused(problem: Problem) -> web.Response:
    """The answer, counted by its code."""
    DELIVER_REFUSED.labels(problem.code).inc()
    return problem.response()


def invalid(parameter: str, detail: str) -> Problem:
    """422: the parameter is known and its value makes no sense."""
    return Problem(422, "invalid_parameter", f"{parameter}: {detail}", parameter=parameter)


def shown(name: str) -> str:
    """A name that a client sent, to be repeated; "?" where there is a key in it: answers are logged, too."""
    return "?" if KEY_PREFIX in name else name


def unknown_parameter(name: str, known: Iterable[str]) -> Problem:
    """422. A name that no parameter could have is not repeated."""
    name = shown(name) if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,40}", name, re.ASCII) else "?"
    said = ", ".join(sorted(known)) or "none"
    detail = f"there is no parameter {name!r}; known are {said}"
    return Problem(422, "unknown_parameter", detail, parameter=name)


def field_unknown(parameter: str, error: FieldUnknown) -> Problem:
    """422. The messages are Enterprise's own."""
    detail = str(error).replace(error.field, shown(error.field))
    return Problem(422, "field_unknown", detail, parameter=parameter)


def bad_position(parameter: str, detail: str) -> Problem:
    """400: a position that this topic cannot have given."""
    return Problem(400, "bad_position", f"{parameter}: {detail}", parameter=parameter)


def unauthorized(detail: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="streamer"'})


def busy(status: int, code: str, detail: str, retry_after_s: int = RETRY_SOON_S) -> Problem:
    """429 or 503: the same request may succeed later."""
    return Problem(status, code, detail, headers={"Retry-After": str(retry_after_s)})


def draining() -> Problem:
    """503, to who comes by a connection that was open already: nobody listens any more, and another process
    takes the same request. A proxy that keeps its connection to this one would ask it again, so it goes too.
    """
    retry = {"Retry-After": str(RETRY_SOON_S)}
    return Problem(503, "draining", "this server is stopping", headers=retry, closes=True)


def internal() -> Problem:
    return Problem(500, "internal", "this server made a mistake; nothing is wrong with the request")


def of_http(error: web.HTTPException) -> Problem:
    """What aiohttp itself refuses (an unknown route, a method, a body too large), in our words."""
    headers = {}
    methods = ""
    if isinstance(error, web.HTTPMethodNotAllowed):
        methods = headers["Allow"] = methods_of(error.allowed_methods)
    details = {
        404: "there is nothing here; the feed is at /v2/articles",
        405: f"this route takes {methods}",
        413: "the request's body is too large",
    }
    # not by the status's phrase: Python changes these
    code = OF_STATUS.get(error.status) or ("internal" if error.status >= 500 else "bad_request")
    return Problem(error.status, code, details.get(error.status, error.reason), headers=headers)
