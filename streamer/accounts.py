"""What of a partner's accounts stands in the positions of the group `route`, for who reads them from outside.

Route counts each record of the articles once for each partner, and commits the counts with the position.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from streamer.log.position import Position, State

GROUP: Final = "route"
ENRICH_GROUP: Final = "enrich"
"""Whose positions say how far all that was reverted is known (streamer.route.reverts)."""
COUNTED: Final = ("published", "filtered", "reverted", "withdrawn", "expired")


def counts_of(state: State) -> dict[str, int]:
    """By outcome. Beside those of COUNTED there may be `invalid`."""
    stored = msgspec.convert(state.get("counts", {}), dict[str, int])
    return {**dict.fromkeys(COUNTED, 0), **stored}


def seen_by(position: Position) -> int:
    """Up to where the articles were looked at. Of a partner that settles that is beyond `next`: between the
    two what is held waits for its time.
    """
    seen = position.state.get("seen")
    return max(position.next, seen) if isinstance(seen, int) else position.next


def is_behind(state: State) -> bool:
    """Whether the feed is being made anew there (streamer.route.rebuild), and has not met the live ones."""
    mark = state.get("rebuild")
    return isinstance(mark, Mapping) and mark.get("phase") != "met"
