"""What a request is told instead of a stream: RFC 9457 problems that also carry `status` and `message`.

`message` repeats `detail` for clients of Wikimedia Enterprise, whose errors are `{status, message}`.
A problem's `code` is bounded: it is the tail of its type and a metric label. A problem never repeats a
key, and of what the client sent only the names of parameters.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from streamer.metrics import DELIVER_REFUSED

CONTENT_TYPE: Final = "application/problem+json"
RETRY_SOON_S: Final = 5
"""What a client that came too early or too often is asked to wait."""


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

    def response(self) -> web.Response:
        status = HTTPStatus(self.status)
        body: dict[str, object] = {
            "type": f"urn:streamer:problem:{self.code}",
            "title": status.phrase,
            "status": self.status,
            "detail": self.detail,
            "message": self.detail,
        }
        if self.parameter:
            body["parameter"] = self.parameter
        body.update(self.extra)
        response = web.Response(
            status=self.status,
            body=msgspec.json.encode(body),
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


def bad_position(parameter: str, detail: str) -> Problem:
    """400: a position that this topic cannot have given."""
    return Problem(400, "bad_position", f"{parameter}: {detail}", parameter=parameter)


def unauthorized(detail: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="streamer"'})


def busy(status: int, code: str, detail: str, retry_after_s: int = RETRY_SOON_S) -> Problem:
    """429 or 503: the same request may succeed later."""
    return Problem(status, code, detail, headers={"Retry-After": str(retry_after_s)})


def internal() -> Problem:
    return Problem(500, "internal", "this server made a mistake; nothing is wrong with the request")


def of_http(error: web.HTTPException) -> Problem:
    """What aiohttp itself refuses (an unknown route, a method, a body too large), in our words."""
    details = {
        404: "there is nothing here; the feed is at /v2/articles",
        405: "this route takes GET and POST",
        413: "the request's body is too large",
    }
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    code = HTTPStatus(error.status).phrase.lower().replace(" ", "_").replace("-", "_")
    return Problem(error.status, code, details.get(error.status, error.reason), headers=headers)
