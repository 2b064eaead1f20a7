"""As many descriptors as the settings want connections: most systems give a process 1,024 unless it asks."""

import logging
import resource
from typing import Final

from streamer.config import DeliverSettings
from streamer.deliver.protocol import SPARE_SOCKETS

OTHERS: Final = 256
"""The log's, the loop's, the listeners'."""

logger = logging.getLogger(__name__)


def wanted(settings: DeliverSettings) -> int:
    """A socket each, for a moment two while it is detached, and a memfd for each distinct feed."""
    return settings.max_connections + 2 * SPARE_SOCKETS + settings.max_feeds + OTHERS


def ask_for(settings: DeliverSettings) -> None:
    """Raises this process's own limit, as far as it may; warns where that is not enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted(settings)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    except (ValueError, OSError):  # a system that has a bound of its own below that
        allowed = soft
    if allowed < needed:
        logger.warning(
            "fewer descriptors than deliver.max_connections and deliver.max_feeds need: raise the hard limit"
            " (ulimit -Hn, LimitNOFILE=), or lower them",
            extra={"allowed": allowed, "needed": needed},
        )
