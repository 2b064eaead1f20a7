"""What the lanes of a process have in common."""

import asyncio
from dataclasses import dataclass
from typing import Final

from streamer.cutoffs import Cutoffs
from streamer.errors import LogUnavailable
from streamer.log.table import Table
from streamer.route.reverts import Horizon
from streamer.route.roster import Roster
from streamer.route.starts import Starts
from streamer.runtime import Runtime

TABLE_S: Final = 30.0
"""Cut-offs that can't be read for so long: the lane restarts, and says so."""


@dataclass(frozen=True, slots=True)
class Shared:
    runtime: Runtime
    roster: Roster
    cutoffs: Cutoffs
    withdrawals: Table
    starts: Starts
    meta: Table
    horizon: Horizon


async def caught_up(table: Table) -> None:
    """Raises LogUnavailable."""
    try:
        async with asyncio.timeout(TABLE_S):
            await table.catch_up()
    except TimeoutError:
        raise LogUnavailable(f"a table could not be read to its end within {TABLE_S:.0f} s") from None
