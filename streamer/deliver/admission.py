"""Who may ask, and how much: one entry for every route that wants a key."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from streamer.clock import Clock
from streamer.deliver.auth import Identity, identify, refuse_keys_in_query
from streamer.deliver.problems import busy
from streamer.deliver.ratelimit import RateLimit, Requests
from streamer.partners import Partner, PartnersWatch

RATE_LIMIT: Final = web.RequestKey("rate_limit", RateLimit)
"""Of a request whose key is known and limited: every answer to it says this, problems too."""


class Admission:
    """Requests per minute and streams, by the limits that are in force at each request."""

    def __init__(
        self, partners: PartnersWatch, max_connections: Callable[[], int], clock: Clock | None = None
    ) -> None:
        self._partners = partners
        self._max_connections = max_connections
        self._clock = clock or Clock()
        self._streams: dict[str, int] = {}
        self._requests = Requests()

    def admit(self, request: web.Request) -> Identity:
        """Who asks, by its key; the request is counted, and its answer will say what is left. Call it before
        anything else is judged. Raises 400 (a key in the URL), 401, 429.
        """
        refuse_keys_in_query(request.query.items())
        identity = identify(self._partners.current, request.headers.get("Authorization"))
        partner = identity.partner
        limit, too_many = self._requests.count(
            partner.name, partner.limits.requests_per_minute, self._clock.monotonic_s()
        )
        if limit is not None:
            request[RATE_LIMIT] = limit
        if too_many is not None:
            raise too_many
        return identity

    @contextmanager
    def stream(self, partner: Partner) -> Iterator[None]:
        """Holds one place among the streams. Raises 429 or 503."""
        allowed = partner.limits.connections
        if allowed and self._streams.get(partner.name, 0) >= allowed:
            raise busy(429, "too_many_connections", f"{allowed} connections at a time are allowed")
        if sum(self._streams.values()) >= self._max_connections():
            raise busy(503, "full", "this server has all the connections it takes")
        self._streams[partner.name] = self._streams.get(partner.name, 0) + 1
        try:
            yield
        finally:
            self._streams[partner.name] -= 1
            if not self._streams[partner.name]:
                del self._streams[partner.name]
