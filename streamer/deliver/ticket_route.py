"""`POST /v2/tickets`: a key for a ticket."""

from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web

from streamer.clock import Clock
from streamer.deliver.admission import Admission
from streamer.deliver.body import body_of
from streamer.deliver.problems import invalid
from streamer.deliver.request import Known, parameters_of, whole
from streamer.deliver.tickets import Tickets
from streamer.model import rfc3339_ms

DEFAULT_VALID_S: Final = 3_600
MAX_VALID_S: Final = 86_400
PARAMETERS: Final[Known] = {"valid_s": "text"}


class TicketRoute:
    def __init__(self, admission: Admission, tickets: Tickets, clock: Clock) -> None:
        self._admission = admission
        self._tickets = tickets
        self._clock = clock

    async def handle(self, request: web.Request) -> web.StreamResponse:
        identity = self._admission.admit(request)
        parameters = parameters_of(request.query.items(), await body_of(request), PARAMETERS)
        valid_s = valid_s_of(parameters)
        expires_s = self._clock.now_ms() // 1_000 + valid_s
        answer = {
            "ticket": self._tickets.issue(identity, expires_s),
            "expires_at": rfc3339_ms(expires_s * 1_000),
            "valid_s": valid_s,
        }
        return web.Response(
            status=201,
            body=msgspec.json.encode(answer),
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )


def valid_s_of(parameters: Mapping[str, object]) -> int:
    """A whole number, in a query as digits."""
    value = parameters.get("valid_s", DEFAULT_VALID_S)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(MAX_VALID_S)):
        value = int(value)
    valid_s = whole(value)
    if valid_s is None or not 1 <= valid_s <= MAX_VALID_S:
        raise invalid("valid_s", f"is a whole number of seconds from 1 to {MAX_VALID_S}")
    return valid_s
