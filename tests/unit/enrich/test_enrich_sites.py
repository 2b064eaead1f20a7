"""What the wikis said of themselves, over a restart."""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from streamer.enrich.sites import KeptSites
from streamer.log.base import Record, TopicSpec
from streamer.log.local import LocalLog
from streamer.model import encode_value
from streamer.origin.siteinfo import Sites
from tests.unit.enrich.conftest import SITE

META = "wiki.meta.v1"
NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize("lacks", ["", "aliases", "cased"])
async def test_what_an_earlier_version_kept_is_stale(tmp_path: Path, lacks: str) -> None:
    """It is of use, and asked for at once: without aliases comments were left out for a day."""
    kept = msgspec.to_builtins(replace(SITE, fetched_ms=NOW_MS))
    if lacks:
        del kept[lacks]
    async with LocalLog(tmp_path / "log.db", clean_every_s=3600) as log:
        await log.ensure_topics([TopicSpec(META, 1, compact=True, retention_ms=None)])
        await log.append([Record(META, 0, SITE.wiki, encode_value(kept))])
        sites = KeptSites(log, META)
        await sites.load()
    known = Sites(sites.known())
    assert known.of_wiki(SITE.wiki) is not None
    assert known.is_fresh(SITE.server_name, NOW_MS) == (not lacks)
