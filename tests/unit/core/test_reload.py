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


def test_what_html_may_take_is_taken_over() -> None:
    """Its part of the budget and its time are asked for at each request; an endpoint is not."""
    wanted = MediaWikiSettings(html_share=0.5, html_timeout_s=3.0, endpoint="http://127.0.0.1:1")
    settings, waiting = merged(Settings(), Settings(mediawiki=wanted))
    assert (settings.mediawiki.html_share, settings.mediawiki.html_timeout_s) == (0.5, 3.0)
    assert waiting == ["mediawiki.endpoint"]
