"""What the service promises its partners, and how far it keeps it, as deploy/prometheus judges it."""

from typing import Final

from deploy.grafana.promql import each_second

FRESHNESS: Final = 0.99
"""Share of admitted edits that are published within `FRESH_WITHIN_S`."""
FRESH_WITHIN_S: Final = 30.0
"""A bound of a bucket of `streamer_edit_to_publish_seconds`."""
COMPLETENESS: Final = 0.9999
"""Share of admitted changes that don't end as dead letters."""
CONNECTS: Final = 0.999
"""Share of requests for a stream that don't fail by our fault."""

PUBLISHED_FRESH: Final = (
    each_second("streamer_edit_to_publish_seconds_bucket", f'le="{FRESH_WITHIN_S}"')
    + " / "
    + each_second("streamer_edit_to_publish_seconds_count")
)
NOT_DEAD: Final = (
    "1 - "
    + each_second("streamer_committed_changes_total", 'role="enrich"', 'outcome="deadletter"')
    + " / "
    + each_second("streamer_committed_changes_total", 'role="enrich"', 'outcome="admitted"')
)
CONNECTS_ACCEPTED: Final = (
    each_second("streamer_deliver_connects_total", 'outcome="accepted"')
    + " / "
    + each_second("streamer_deliver_connects_total", 'outcome=~"accepted|failed"')
)
