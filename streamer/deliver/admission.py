"""Who may ask, and how much: one entry for every route that wants a key."""

from collections.abc import Callable
from typing import Final

from aiohttp import web

from streamer.clock import Clock
from streamer.deliver.auth import Identity, identify, refuse_keys_in_query
from streamer.deliver.pace import Pace, Paces
from streamer.deliver.problems import Problem, busy, invalid, unauthorized
from streamer.deliver.ratelimit import RateLimit, Requests
from streamer.deliver.tickets import Tickets
from streamer.partners import Partner, PartnersWatch

RATE_LIMIT: Final = web.RequestKey("rate_limit", RateLimit)
"""Of a request whose key is known and limited: every answer to it says this, problems too."""

TICKET: Final = "ticket"
"""The query's parameter; it is no parameter of what is asked for."""


class Admission:
    """Requests per minute and streams, by the limits that are in force at each request."""

    def __init__(
        self,
        partners: PartnersWatch,
        tickets: Tickets,
        max_connections: Callable[[], int],
        clock: Clock,
    ) -> None:
        self._partners = partners
        self._tickets = tickets
        self._max_connections = max_connections
        self._clock = clock
        self._streams: dict[str, int] = {}
        self._open = 0
        self._requests = Requests()
        self._paces = Paces(clock)

    def admit(self, request: web.Request, *, by_ticket: bool = False) -> Identity:
        """Who asks, by its key, or by a ticket where the route takes one; the request is counted, and its
        answer will say what is left. Call it before anything else is judged. Raises 400 (a key in the URL, a
        key and a ticket), 401, 429.
        """
        refuse_keys_in_query(request.query.items())
        identity = self._identity(request, by_ticket)
        partner = identity.partner
        limit, too_many = self._requests.count(
            partner.name, partner.limits.requests_per_minute, self._clock.monotonic_s()
        )
        if limit is not None:
            request[RATE_LIMIT] = limit
        if too_many is not None:
            raise too_many
        return identity

    def changed(self) -> None:
        """Other partners are in force: streams that are open go by their new limits from now on."""
        self._paces.change({p.name: p.limits.bytes_per_second for p in self._partners.current.values()})

    def _identity(self, request: web.Request, by_ticket: bool) -> Identity:
        authorization = request.headers.get("Authorization")
        tickets = request.query.getall(TICKET, [])
        if not tickets or (authorization and not by_ticket):
            return identify(self._partners.current, authorization)
        if not by_ticket:
            raise unauthorized(
                "a ticket opens GET /v2/articles alone; show your key as `Authorization: Bearer <key>`"
            )
        if authorization:
            raise Problem(400, "two_credentials", "show a key or a ticket, not both", parameter=TICKET)
        if len(tickets) > 1:
            raise invalid(TICKET, "is given twice")
        return self._tickets.verify(self._partners.current, tickets[0], self._clock.now_ms() / 1_000)

    def enter(self, partner: Partner) -> Pace:
        """Takes a place among the streams, until `leave`; they share the partner's bytes per second. Raises
        429 or 503.
        """
        allowed = partner.limits.connections
        if allowed and self._streams.get(partner.name, 0) >= allowed:
            raise busy(429, "too_many_connections", f"{allowed} connections at a time are allowed")
        if self._open >= self._max_connections():
            raise busy(503, "full", "this server has all the connections it takes")
        self._streams[partner.name] = self._streams.get(partner.name, 0) + 1
        self._open += 1
        return self._paces.of(partner.name, partner.limits.bytes_per_second)

    def leave(self, partner: str) -> None:
        self._open -= 1
        self._streams[partner] -= 1
        if not self._streams[partner]:
            del self._streams[partner]

    def is_paced(self, partner: str) -> bool:
        """Whether its bytes per second are limited by now."""
        found = self._partners.current.get(partner)
        return found is not None and found.limits.bytes_per_second > 0
