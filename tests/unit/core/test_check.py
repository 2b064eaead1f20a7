"""What `streamer check` says of settings that are in force."""

from streamer.check.configuration import in_force
from streamer.config import LogSettings, MediaWikiSettings, Settings, SourceSettings


def said(settings: Settings) -> str:
    return "\n".join(map(str, in_force(settings)))


def test_the_share_of_each_worker_is_told() -> None:
    """Beside the whole budget, on a cluster; on the local log that workers have no effect."""
    source, mediawiki = SourceSettings(contact="ops@example.org"), MediaWikiSettings(workers=3)
    text = said(Settings(source=source, mediawiki=mediawiki, log=LogSettings(kind="kafka")))
    assert "200 requests a minute, 3 at once" in text
    assert "each of mediawiki.workers = 3: 66, 1 at once" in text
    text = said(Settings(source=source, mediawiki=mediawiki))
    assert "warning mediawiki.workers = 3 has no effect" in text
    assert "workers" not in said(Settings(source=source))
