"""The border around what an article is told with and can be without: its HTML, hints and scores."""

import logging
from collections.abc import Awaitable
from typing import TypeVar

from streamer.errors import StreamerError
from streamer.metrics import ERRORS

A = TypeVar("A")

log = logging.getLogger(__name__)


async def if_it_can(part: Awaitable[A]) -> A | None:
    """It, or None where it fails in whatever way: that costs the article this part, and nothing else."""
    try:
        return await part
    except Exception as error:  # noqa: BLE001 - a mistake of ours here must not end a change, nor its lane
        ERRORS.labels("enrich", error.code if isinstance(error, StreamerError) else StreamerError.code).inc()
        log.error("an article goes without what could not be had", extra={"error": type(error).__name__})  # noqa: TRY400 - a traceback may quote the page
        return None
