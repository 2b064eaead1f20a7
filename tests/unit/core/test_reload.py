"""What a reload takes over, and what it says waits for a restart."""

from streamer.config import LogSettings, MediaWikiSettings, Settings, SourceSettings
from streamer.reload import merged


def test_another_budget_is_taken_over() -> None:
    """At once, without a restart of those that run."""
    running = Settings(source=SourceSettings(contact="ops@example.org"), log=LogSettings(kind="kafka"))
    mediawiki = MediaWikiSettings(requests_per_minute=100, concurrency=4)
    settings, waiting = merged(running, Settings(source=running.source, log=running.log, mediawiki=mediawiki))
    assert (settings.requests_per_minute, settings.mediawiki.concurrency) == (100, 4)
    assert not waiting
