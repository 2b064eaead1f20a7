"""What the wikis said of themselves, kept in the meta topic: a restart costs no request for it."""

import asyncio
import logging
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from streamer.errors import LogError
from streamer.log.base import Log, Record, Stored, partition_of
from streamer.log.table import Table
from streamer.model import encode_value
from streamer.origin.answer import SiteInfo

WAITING: Final = 1_000
"""More wikis than there are; beyond it the oldest is forgotten, which costs one request later."""

logger = logging.getLogger(__name__)


class _Complete(Struct):
    """What versions before did not ask for."""

    aliases: dict[str, int]
    cased: list[int]


class KeptSites:
    """`load` once, hand `keep` to the origin, and run `run` beside it. Keys are the wikis' names."""

    def __init__(self, log: Log, topic: str) -> None:
        self._log = log
        self._topic = topic
        self._sites: dict[str, SiteInfo] = {}
        self._waiting: dict[str, SiteInfo] = {}
        self._rang = asyncio.Event()

    async def load(self) -> None:
        await Table(self._log, self._topic, self._apply).load()

    def known(self) -> list[SiteInfo]:
        """The last word of each wiki; how old it may be is the origin's to judge."""
        return list(self._sites.values())

    def _apply(self, record: Stored) -> None:
        if record.value is None or "/" in record.key or "." in record.key:
            return  # a partner's start, a topic's epoch, a tick
        try:
            site = msgspec.json.decode(record.value, type=SiteInfo)
        except msgspec.MsgspecError:
            logger.warning("kept site info does not decode; it is asked for anew", extra={"wiki": record.key})
            return
        try:
            msgspec.json.decode(record.value, type=_Complete)
        except msgspec.MsgspecError:
            site = replace(site, fetched_ms=0)  # of use, and asked for anew with the next page
        self._sites[record.key] = site

    def keep(self, site: SiteInfo) -> None:
        """Never blocks: the newest of each wiki waits to be written."""
        self._waiting.pop(site.wiki, None)
        if len(self._waiting) >= WAITING:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[site.wiki] = site
        self._rang.set()

    async def run(self) -> None:
        """Writes what waits, until cancelled. What the log refuses is lost, and asked for again later."""
        while True:
            await self._rang.wait()
            self._rang.clear()
            sites, self._waiting = list(self._waiting.values()), {}
            try:
                info = await self._log.topic(self._topic)
                assert info
                await self._log.append(
                    [
                        Record(
                            self._topic,
                            partition_of(site.wiki, info.partitions),
                            site.wiki,
                            encode_value(site),
                        )
                        for site in sites
                    ]
                )
            except LogError as error:
                logger.warning("site info is not kept", extra={"code": error.code})
