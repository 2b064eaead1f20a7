"""Site info kept in `wiki.meta.v1` under the wiki's name, so that a restart knows every wiki at once.

A delete is published without asking its wiki anything: its namespace's name and its address come from here.
"""

import msgspec

from streamer.log.base import Log, Record, Stored, TopicPartition, partition_of
from streamer.model import encode_value
from streamer.origin.answer import SiteInfo

_decoder = msgspec.json.Decoder(SiteInfo)


class KeptSites:
    """What is in the log already."""

    def __init__(self) -> None:
        self._fetched_ms: dict[str, int] = {}

    def is_news(self, site: SiteInfo) -> bool:
        return site.fetched_ms > self._fetched_ms.get(site.wiki, -1)

    def kept(self, site: SiteInfo) -> None:
        self._fetched_ms[site.wiki] = site.fetched_ms


def site_record(topic: str, partitions: int, site: SiteInfo) -> Record:
    return Record(topic, partition_of(site.wiki, partitions), site.wiki, encode_value(site))


def site_of(record: Stored) -> SiteInfo | None:
    """None for the topic's other records, and for one of another version: it is asked for anew."""
    if record.value is None:
        return None
    try:
        site = _decoder.decode(record.value)
    except msgspec.DecodeError:
        return None
    return site if site.wiki == record.key else None


async def read_sites(log: Log, topic: str) -> list[SiteInfo]:
    """The newest of each wiki. The topic is small: compacted, a record for each wiki, topic and partner."""
    info = await log.topic(topic)
    if info is None:
        return []
    starts: dict[TopicPartition, int] = {}
    ends: dict[TopicPartition, int] = {}
    for partition in range(info.partitions):
        tp = TopicPartition(topic, partition)
        starts[tp], ends[tp] = await log.bounds(tp)
    sites: dict[str, SiteInfo] = {}
    async with log.reader(starts) as reader:
        while any(reader.position(tp) < end for tp, end in ends.items()):
            for record in await reader.read():
                site = site_of(record)
                if site:
                    sites[site.wiki] = site
    return list(sites.values())
