"""Partners' rules in force, and how far each partner is."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from streamer.metrics.registry import PARTITIONS, PARTNERS, REGISTRY, bounded

PARTNERS_FILE_INVALID: Final = Gauge(
    "streamer_partners_file_invalid",
    "1 while partners.toml is wrong and the rules before it stay in force.",
    registry=REGISTRY,
)
PARTNERS_RELOADS: Final = Counter(
    "streamer_partners_reloads", "Changes of partners.toml, by result.", ["result"], registry=REGISTRY
)
bounded(PARTNERS_RELOADS, result=("applied", "invalid"))
ROUTE_PARKED: Final = Gauge(
    "streamer_route_parked",
    "1 while a partner's topic takes nothing and its routing waits.",
    ["partner"],
    registry=REGISTRY,
)
bounded(ROUTE_PARKED, partner=PARTNERS)
ROUTE_BEHIND: Final = Gauge(
    "streamer_route_behind_offsets",
    "How far a partner is behind the partner that is furthest ahead in the same partition.",
    ["partner", "partition"],
    registry=REGISTRY,
)
bounded(ROUTE_BEHIND, partner=PARTNERS, partition=PARTITIONS)
ROUTE_SETTLING: Final = Gauge(
    "streamer_route_settling_records",
    "Records that are held for a partner until they have settled.",
    ["partner", "partition"],
    registry=REGISTRY,
)
bounded(ROUTE_SETTLING, partner=PARTNERS, partition=PARTITIONS)
ROUTE_HORIZON_AGE: Final = Gauge(
    "streamer_route_reverts_age_seconds",
    "How old the newest time is up to which all reverts are known: one lane of enrich that stands still"
    " holds up what settles on all partitions. 0 while nobody settles.",
    registry=REGISTRY,
)
ROUTE_PASS: Final = Histogram(
    "streamer_route_pass_seconds",
    "From what was read to its commit, for all partners of a pass.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
    registry=REGISTRY,
)
