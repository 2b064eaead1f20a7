"""What the wikis are asked, and the budget of that."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from streamer.metrics.registry import REGISTRY, bounded

OUTCOMES: Final = (
    "ok", "cancelled", "timeout", "connect", "disconnected", "cut_off", "private_address", "not_json",
    "not_html", "redirect", "status_403", "status_404", "status_413", "status_429", "status_500",
    "status_502", "status_503", "status_504", "status_4xx", "status_5xx", "maxlag", "ratelimited", "readonly",
    "internal_api_error", "api_error", "toomanyvalues", "too_large", "unparsable", "another_page", "invalid",
)  # fmt: skip
"""Of a request: answered, or how it failed."""

ORIGIN_REQUESTS: Final = Counter(
    "streamer_origin_requests",
    "Requests to the wikis by outcome: all of them, each counts against the budget.",
    ["outcome"],
    registry=REGISTRY,
)
bounded(ORIGIN_REQUESTS, outcome=OUTCOMES)
ORIGIN_REQUEST_SECONDS: Final = Histogram(
    "streamer_origin_request_seconds",
    "From a request's start to its whole answer.",
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30),
    registry=REGISTRY,
)
ORIGIN_BATCH: Final = Histogram(
    "streamer_origin_batch_size",
    "Things asked for by one request, by how: revision, title, page, log, listing, lists, html.",
    ["by"],
    buckets=(1, 2, 5, 10, 20, 30, 40, 50, 100, 500),
    registry=REGISTRY,
)
bounded(ORIGIN_BATCH, by=("revision", "title", "page", "log", "listing", "lists", "html"))
ORIGIN_LISTS: Final = Counter(
    "streamer_origin_lists",
    "Page lists that were asked for, by what the article got: whole; or none, since the rest could not be had"
    " (failed), would have taken too many requests (too_many), was of a page that had changed (changed), or"
    " of an article that waited long enough, or beside too many (late); since the wiki knows no such list"
    " (unknown); or since the record would have been too large (too_large; such lists count as whole too).",
    ["outcome"],
    registry=REGISTRY,
)
bounded(ORIGIN_LISTS, outcome=("whole", "failed", "too_many", "changed", "late", "unknown", "too_large"))
ORIGIN_BUDGET_USED: Final = Gauge(
    "streamer_origin_budget_used_requests",
    "Requests that count in the current minute: the fleet's, told by the process that keeps its budget.",
    registry=REGISTRY,
)
ORIGIN_BUDGET: Final = Gauge(
    "streamer_origin_budget_requests",
    "Requests a minute that the fleet may make now, told by the process that keeps its budget; less than the"
    " settings say after wikis have refused some.",
    registry=REGISTRY,
)
ORIGIN_KEEPER: Final = Gauge(
    "streamer_origin_budget_keeper",
    "1 where this process keeps the budget of the fleet: of all its processes one, or none for some seconds.",
    registry=REGISTRY,
)
ORIGIN_PERMITS: Final = Counter(
    "streamer_origin_permits",
    "Permits of one request: granted (told by the keeper), unused and late (given back by who asked).",
    ["outcome"],
    registry=REGISTRY,
)
bounded(ORIGIN_PERMITS, outcome=("granted", "unused", "late"))
ORIGIN_PERMIT_SECONDS: Final = Histogram(
    "streamer_origin_permit_seconds",
    "From asking the keeper to its permit, waiting for the budget included.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    registry=REGISTRY,
)
ORIGIN_BREAKERS_OPEN: Final = Gauge(
    "streamer_origin_failing_hosts", "Hosts that failed several times in a row.", registry=REGISTRY
)
