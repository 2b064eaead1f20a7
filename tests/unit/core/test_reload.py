"""What a reload takes over, and what it says waits for a restart."""

import pytest

from streamer.config import LogSettings, MediaWikiSettings, Settings, SourceSettings
from streamer.errors import ConfigError
from streamer.reload import merged


def test_another_number_of_workers_is_taken_over() -> None:
    """At once, so that a fleet can grow without a restart of those that run."""
    running = Settings(source=SourceSettings(contact="ops@example.org"), log=LogSettings(kind="kafka"))
    wanted = Settings(
        source=running.source, log=running.log, mediawiki=MediaWikiSettings(workers=2, concurrency=4)
    )
    settings, waiting = merged(running, wanted)
    assert settings.share == (100, 2)
    assert not waiting


def test_what_goes_only_with_what_waits_for_a_restart_is_a_mistake() -> None:
    """Twelve workers fit the budget of a contact that the wikis are not told yet: nothing is taken over."""
    running = Settings(log=LogSettings(kind="kafka"))
    wanted = Settings(
        source=SourceSettings(contact="ops@example.org"),
        log=running.log,
        mediawiki=MediaWikiSettings(workers=12, concurrency=12),
    )
    with pytest.raises(ConfigError, match=r"requests_per_minute is 10, .*workers = 12"):
        merged(running, wanted)
