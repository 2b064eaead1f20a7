"""What the service promises its partners. How far it keeps it is told by the rules of deploy/prometheus, by
which the alerts judge too: of all processes together.
"""

from typing import Final

FRESHNESS: Final = 0.99
"""Share of admitted edits that are published within `FRESH_WITHIN_S`."""
FRESH_WITHIN_S: Final = 30.0
COMPLETENESS: Final = 0.9999
"""Share of admitted edits that come out."""
CONNECTS: Final = 0.999
"""Share of requests for a stream that don't fail by our fault."""
OBJECTIVES: Final = {"freshness": FRESHNESS, "completeness": COMPLETENESS, "connects": CONNECTS}
"""By `slo`, the label of the rules."""
PAGES_AT: Final = 6.0
"""Times the rate that would use a month's budget up in a month: held for six hours it calls a person."""


def kept(promise: str) -> str:
    """The share in which it was kept in the last hour."""
    return f'1 - streamer:slo_errors:ratio_1h{{slo="{promise}"}}'


def burn(promise: str, objective: float, window: str) -> str:
    return f'streamer:slo_errors:ratio_{window}{{slo="{promise}"}} / {1 - objective:.6g}'
